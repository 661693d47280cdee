# SPDX-License-Identifier: Apache-2.0
"""Traced packets: records of the event ring -> messages of topic `trace`.  Pure: clocks and totals
are arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from agent import abi
from agent.state import NodeState
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
            packets=tuple(_packet(record, names) for record in records),
            matched=matched - self._before,
            entries=self._entries,
            exits=self._exits,
            ended=ended,
        )


def _packet(record: Any, names: Names) -> TracedPacket:  # noqa: ANN401  # one struct lb_event
    left = int(record["kind"]) == abi.EVENT_EXIT
    reason = int(record["reason"])
    return TracedPacket(
        stage="exit" if left else "entry",
        at=int(record["at"]),
        cpu=int(record["cpu"]),
        packet=int(record["packet"]),
        rx_queue=int(record["rx_queue"]),
        length=int(record["length"]),
        head=record["head"].tobytes()[: int(record["captured"])],
        verdict=VERDICTS[int(record["verdict"])] if left else "",
        reason=name_of(reason) if left and reason else "",
        vip=names.vips.get(int(record["vip_num"]), ""),
        real=names.reals.get(int(record["real_num"]), ""),
        slot=int(record["slot"]),
        flow_hit=bool(record["flow_hit"]),
    )
