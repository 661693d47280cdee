# SPDX-License-Identifier: Apache-2.0
"""Topic `trace`: packets that a running trace saw, several per message."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.messages.snapshots import Message


class TracedPacket(msgspec.Struct, frozen=True, omit_defaults=True):
    """A packet that matched, as it came (`entry`) or as it left (`exit`): one of each, in order."""

    stage: Literal["entry", "exit"]
    at: int
    """The agent's CLOCK_MONOTONIC in ns when the program had it in hand."""
    cpu: int
    packet: int
    """Entry and exit of one packet on one CPU have the same."""
    rx_queue: int
    length: int
    """Of the frame in bytes: as received, or as it left."""
    head: bytes
    """The first bytes of the frame, without a VLAN tag at entry."""
    verdict: Literal["", "pass", "send", "drop", "answer"] = ""
    """Of an exit."""
    reason: str = ""
    """Of a drop, by name."""
    vip: str = ""
    real: str = ""
    slot: int = 0
    flow_hit: bool = False
    """The flow table said where to; else the ring, or the connection id of QUIC."""


class Packets(Message, frozen=True, kw_only=True, tag="trace"):
    """Topic `trace`: what a running trace saw since the last message; once a second even of
    nothing."""

    trace: str
    """The `operation` (else the `id`) of the command that started it."""
    offset: int
    """Unix time minus the agent's monotonic clock in ns: one for a whole trace."""
    packets: tuple[TracedPacket, ...]
    matched: int
    """Packets that matched since the trace began..."""
    entries: int
    """...and of how many the entry was sent: of the others, the rate or a full ring kept it."""
    exits: int
    ended: str = ""
    """Why it is over: this is its last message."""
