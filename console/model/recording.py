# SPDX-License-Identifier: Apache-2.0
"""Recorded frames -> what a client would have handed over of them.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from console.model.store import Arrived, Inbox, fault_of
from shared.codec import WireError, telemetry_of
from shared.recording import Record


def inbox(records: Iterable[Record], shift: float = 0.0) -> Inbox:
    """`shift` is added to each record's Unix time: to the clock of whoever shows it."""
    arrived, faults = [], []
    for at, address, frames in records:
        try:
            arrived.append(Arrived(address, telemetry_of(frames), at + shift))
        except WireError as error:
            faults.append(fault_of(address, error))
    return Inbox(tuple(arrived), (), tuple(faults))
