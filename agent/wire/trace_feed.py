# SPDX-License-Identifier: Apache-2.0
"""Traced packets: records of the event ring -> messages of topic `trace`.  Pure: clocks and totals
are arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from agent.core.state import NodeState
from agent.dataplane import abi
from shared.messages import Packets, TracedPacket
from shared.reasons import name_of

VERDICTS: Mapping[int, Literal["pass", "send", "drop", "answer"]] = {
    abi.PASS: "pass",
    abi.SEND: "send",
    abi.DROP: "drop",
    abi.ANSWER: "answer",
}
HEARTBEAT = 1.0
"""Seconds: a running trace that sees nothing says so."""


class Names(NamedTuple):
    """What the numbers in the records mean."""

    vips: Mapping[int, str]
    reals: Mapping[int, str]


def names_of(state: NodeState) -> Names:
    return Names(
        {vip.vip_num: name for name, vip in state.vips.items()},
        {r.number.real_num: r.name for vip in state.vips.values() for r in vip.reals.values()},
    )


class Feed:
    """One trace, from its start to its last message."""

    def __init__(self, trace: str, *, offset: int, matched: int) -> None:
        """`offset`: Unix time minus CLOCK_MONOTONIC, ns; `matched`: the total as it begins."""
        self._trace = trace
        self._offset = offset
        self._before = matched
        self._entries = self._exits = 0
        self._told = float("-inf")
        self.ending = ""
        """Why it is over, once it is."""

    def message(
        self,
        records: NDArray[Any],
        names: Names,
        head: Mapping[str, Any],
        *,
        matched: int,
        ended: str = "",
    ) -> Packets | None:
        """The records (struct lb_event, entries and exits only) as a message; None: nothing to say.

        `head`: what every message says of its origin; `matched`: the total, read after the records;
        `ended`: why this is the last one, if it is.
        """
        if not len(records) and not ended and head["at"] - self._told < HEARTBEAT:
            return None
        self._told = head["at"]
        self._entries += int((records["kind"] == abi.EVENT_ENTRY).sum())
        self._exits += int((records["kind"] == abi.EVENT_EXIT).sum())
        return Packets(
            **head,
            trace=self._trace,
            offset=self._offset,
            packets=tuple(_packets(records, names)),
            matched=matched - self._before,
            entries=self._entries,
            exits=self._exits,
            ended=ended,
        )


_COLUMNS = (
    "kind",
    "at",
    "cpu",
    "packet",
    "rx_queue",
    "length",
    "captured",
    "verdict",
    "reason",
    "vip_num",
    "real_num",
    "slot",
    "flow_hit",
)


def _packets(records: NDArray[Any], names: Names) -> Iterator[TracedPacket]:
    """Column by column out of numpy: a field of one record at a time costs ten times as much."""
    heads = records["head"].tobytes()
    columns = [records[name].tolist() for name in _COLUMNS]
    for place, row in enumerate(zip(*columns, strict=True)):
        (kind, at, cpu, packet, queue, length, captured,
         verdict, reason, vip, real, slot, flow_hit) = row  # fmt: skip
        left = kind == abi.EVENT_EXIT
        start = place * abi.CAPTURE
        yield TracedPacket(
            "exit" if left else "entry",
            at,
            cpu,
            packet,
            queue,
            length,
            heads[start : start + captured],
            VERDICTS[verdict] if left else "",
            name_of(reason) if left and reason else "",
            names.vips.get(vip, ""),
            names.reals.get(real, ""),
            slot,
            bool(flow_hit),
        )
