# SPDX-License-Identifier: Apache-2.0
"""Dropped packets: records of the event ring -> bodies of events, as many as can be told.  Pure.

The data plane bounds its events by reason and CPU, as the config says; an attack that hits many
reasons on many CPUs still fills the ring.  Putting a record into words, and sending it, takes a
hundred times what reading it takes: so of too many only some are told, and the others are a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.capture import ends
from shared.messages import DropEvent, LostEvent
from shared.reasons import name_of

MOST = 100
"""Told of one batch; the ring is looked at ten times a second."""


def drop_events(
    records: NDArray[Any], vips: Mapping[int, str], most: int = MOST
) -> Iterator[DropEvent | LostEvent]:
    """Of struct lb_event: at most so many, taken evenly over the batch, and how many were not.

    `vips`: vip_num -> name.
    """
    left_out = len(records) - most
    if left_out > 0:
        records = records[np.linspace(0, len(records) - 1, most).astype(np.intp)]
    for record in records:
        yield _drop_event(record, vips)
    if left_out > 0:
        yield LostEvent(left_out, f"more than {most} packets dropped at once")


def _drop_event(record: Any, vips: Mapping[int, str]) -> DropEvent:  # noqa: ANN401  # one struct lb_event
    head = bytes(record["head"])[: int(record["length"])]
    source, destination, protocol = ends(head)
    return DropEvent(
        reason=int(record["reason"]),
        name=name_of(int(record["reason"])),
        vip=vips.get(int(record["vip_num"]), ""),
        source=source,
        destination=destination,
        protocol=protocol,
        length=int(record["length"]),
        cpu=int(record["cpu"]),
        rx_queue=int(record["rx_queue"]),
        head=head,
    )
