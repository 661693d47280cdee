# SPDX-License-Identifier: Apache-2.0
"""What one agent says of each object of a topic: its row, rates, and a minute of packets.  Pure.

All of it is worked out once, when a snapshot comes: frames, of which several may show the same
snapshot of five hundred agents, only add up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from console.model.rates import rates
from console.model.tracks import EMPTY, Track, recorded
from shared.messages import (
    CpuSnapshot,
    DropSnapshot,
    NodeSnapshot,
    RealSnapshot,
    Snapshot,
    VipSnapshot,
)

Rates = tuple[float | None, ...]
STEP = 0.9
"""Seconds of the agent's clock from one value of a track to the next, at least."""


class Sight(msgspec.Struct, frozen=True, gc=False):
    """One agent's newest row of an object."""

    address: str
    node: str
    row: Any
    at: float
    """The agent's clock at its snapshot."""
    seen: float
    """The console's when it came."""
    rates: Rates
    """Per second, of the counters of its kind (`..._COUNTERS`); None where it cannot be known."""
    track: Track


class Kind(NamedTuple):
    rows: Callable[[Any], Mapping[Hashable, Any]]
    """Snapshot -> its objects by name."""
    counters: Callable[[Any], tuple[float, ...]]
    """Row -> its totals; the first is packets, whose rates make the track."""


NODE_COUNTERS = (
    *("rx_packets", "rx_bytes", "tx_packets", "pass_packets", "drop_packets", "new_flows"),
    *("flow_hits", "flow_misses", "cpu_seconds"),
)
VIP_COUNTERS = ("packets", "bytes", "new_flows", "drops")
REAL_COUNTERS = ("packets", "bytes", "new_flows")
DROP_COUNTERS = ("packets",)
KINDS: Mapping[type[Snapshot], Kind] = {
    NodeSnapshot: Kind(lambda s: {"": s}, attrgetter(*NODE_COUNTERS)),
    VipSnapshot: Kind(lambda s: {r.name: r for r in s.vips}, attrgetter(*VIP_COUNTERS)),
    RealSnapshot: Kind(
        lambda s: {(r.vip, r.address): r for r in s.reals}, attrgetter(*REAL_COUNTERS)
    ),
    DropSnapshot: Kind(lambda s: {r.reason: r for r in s.drops}, lambda r: (r.packets,)),
    CpuSnapshot: Kind(lambda s: dict(enumerate(s.rx_packets)), lambda packets: (packets,)),
}


class Sights:
    """Of one topic of one agent."""

    def __init__(self, address: str) -> None:
        self.newest: Mapping[Any, Sight] = {}
        """By VIP name, (VIP, address), drop reason or CPU number; a node's own under ""."""
        self._address = address
        self._totals: deque[tuple[Snapshot, Mapping[Hashable, tuple[float, ...]]]] = deque()
        self._recorded = float("-inf")

    def take(self, new: Snapshot, before: Snapshot | None, span: float, seen: float) -> None:
        """`before`: what rates are taken against, `span` seconds older; None: there is none."""
        kind = KINDS.get(type(new))
        if kind is None:
            return
        rows = kind.rows(new)
        totals = {name: kind.counters(row) for name, row in rows.items()}
        old = self._totals_of(before, kind)
        self._totals.append((new, totals))
        due = not 0 <= new.at - self._recorded < STEP
        if due:
            self._recorded = new.at
        newest = {}
        for name, row in rows.items():
            told = rates(old.get(name), totals[name], span)
            last = self.newest.get(name)
            track = last.track if last is not None else EMPTY
            if due:
                track = recorded(track, told[0])
            newest[name] = Sight(self._address, new.node, row, new.at, seen, told, track)
        self.newest = newest

    def _totals_of(
        self, before: Snapshot | None, kind: Kind
    ) -> Mapping[Hashable, tuple[float, ...]]:
        """What is older is not asked for again."""
        if before is None:
            self._totals.clear()
            return {}
        while self._totals:
            snapshot, totals = self._totals[0]
            if snapshot is before:
                return totals
            self._totals.popleft()
        return {name: kind.counters(row) for name, row in kind.rows(before).items()}
