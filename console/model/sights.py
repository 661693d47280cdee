# SPDX-License-Identifier: Apache-2.0
"""What one agent says of each object of a topic: its row, rates, and a minute of packets.  Pure.

Nothing is worked out before somebody looks: of all rows of five hundred agents a screen shows some.
What was worked out stands until the next snapshot, however many frames show it.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from console.model.rates import HISTORY_SECONDS, rate, rates
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
Places = Mapping[Hashable, int]
"""Name -> where its row is in the snapshot."""
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


class Kind(NamedTuple):
    rows: Callable[[Any], Sequence[Any]]
    names: Callable[[Any], list[Hashable]]
    """Of the rows, in their order."""
    packets: Callable[[Any], Iterable[float]]
    """Of each row: their rates make the track."""
    counters: Callable[[Any], tuple[float, ...]]
    """Row -> its totals."""


NODE_COUNTERS = (
    *("rx_packets", "rx_bytes", "tx_packets", "pass_packets", "drop_packets", "new_flows"),
    *("flow_hits", "flow_misses", "cpu_seconds"),
)
NODE_TRACKS = ("", "bytes", "new_flows", "drops")
"""Of a node more than its packets is drawn second by second."""
VIP_COUNTERS = ("packets", "bytes", "new_flows", "drops")
REAL_COUNTERS = ("packets", "bytes", "new_flows")
DROP_COUNTERS = ("packets",)
KINDS: Mapping[type[Snapshot], Kind] = {
    NodeSnapshot: Kind(
        lambda s: (s,) * len(NODE_TRACKS),
        lambda _: list(NODE_TRACKS),
        attrgetter("rx_packets", "rx_bytes", "new_flows", "drop_packets"),
        attrgetter(*NODE_COUNTERS),
    ),
    VipSnapshot: Kind(
        lambda s: s.vips,
        lambda s: [r.name for r in s.vips],
        lambda s: [r.packets for r in s.vips],
        attrgetter(*VIP_COUNTERS),
    ),
    RealSnapshot: Kind(
        lambda s: s.reals,
        lambda s: [(r.vip, r.address) for r in s.reals],
        lambda s: [r.packets for r in s.reals],
        attrgetter(*REAL_COUNTERS),
    ),
    DropSnapshot: Kind(
        lambda s: s.drops,
        lambda s: [r.reason for r in s.drops],
        lambda s: [r.packets for r in s.drops],
        lambda row: (row.packets,),
    ),
    CpuSnapshot: Kind(
        lambda s: s.rx_packets,
        lambda s: list(range(len(s.rx_packets))),
        lambda s: s.rx_packets,
        lambda packets: (packets,),
    ),
}


class Totals(NamedTuple):
    """A snapshot's packets: all that is kept of it for a minute."""

    places: Places
    packets: Sequence[float]


class Step(NamedTuple):
    """A second of all tracks."""

    after: Totals
    before: Totals | None
    span: float

    def rate(self, name: Hashable) -> float | None:
        at = self.after.places.get(name)
        if at is None or self.before is None:
            return None
        was = at if self.before.places is self.after.places else self.before.places.get(name)
        return (
            None
            if was is None
            else rate(self.before.packets[was], self.after.packets[at], self.span)
        )


class Sights:
    """Of one topic of one agent."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._newest: Snapshot | None = None
        self._rows: Sequence[Any] = ()
        self._rows_before: Sequence[Any] = ()
        self._places: Places = {}
        self._places_before: Places = {}
        self._names: list[Hashable] = []
        self._span = self._seen = 0.0
        self._kept: deque[tuple[Snapshot, Totals]] = deque()
        """What rates may be taken against yet."""
        self._steps: deque[Step] = deque(maxlen=HISTORY_SECONDS)
        self._count = 0
        """Of all steps that there ever were."""
        self._recorded = float("-inf")
        self._made: dict[Hashable, Sight] = {}
        self._tracks: dict[Hashable, tuple[int, Track]] = {}
        """Name -> the track that somebody looked at, and how many steps there were then."""

    def take(self, new: Snapshot, before: Snapshot | None, span: float, seen: float) -> None:
        """`before`: what rates are taken against, `span` seconds older; None: there is none."""
        kind = KINDS.get(type(new))
        if kind is None:
            return
        self._newest, self._span, self._seen, self._made = new, span, seen, {}
        self._rows = kind.rows(new)
        names = kind.names(new)
        if names != self._names:
            self._names, self._places = names, {name: at for at, name in enumerate(names)}
            self._tracks = {}
        old = self._totals_of(before)
        self._rows_before = kind.rows(before) if old is not None else ()
        self._places_before = old.places if old is not None else {}
        totals = Totals(self._places, array("d", kind.packets(new)))
        self._kept.append((new, totals))
        if not 0 <= new.at - self._recorded < STEP:
            self._recorded = new.at
            self._count += 1
            self._steps.append(Step(totals, old, span))

    def _totals_of(self, before: Snapshot | None) -> Totals | None:
        """What is older is not asked for again."""
        kept = self._kept
        while kept and kept[0][0] is not before:
            kept.popleft()
        return kept[0][1] if kept else None

    @property
    def names(self) -> Iterable[Any]:
        """VIP names, (VIP, address), drop reasons or CPU numbers; a node's own is empty."""
        return self._places

    def get(self, name: Hashable) -> Sight:
        """Of an object that is among `names`."""
        sight = self._made.get(name)
        if sight is not None:
            return sight
        new, was = self._newest, self._places_before.get(name)
        assert new is not None
        counters, row = KINDS[type(new)].counters, self._rows[self._places[name]]
        before = None if was is None else counters(self._rows_before[was])
        told = rates(before, counters(row), self._span)
        sight = Sight(self._address, new.node, row, new.at, self._seen, told)
        self._made[name] = sight
        return sight

    def track(self, name: Hashable) -> Track:
        """Its packets per second, one value a second."""
        upto, track = self._tracks.get(name, (0, EMPTY))
        new = min(self._count - upto, len(self._steps))
        if new:
            for number in range(-new, 0):
                track = recorded(track, self._steps[number].rate(name))
            self._tracks[name] = self._count, track
        return track


class Minute(NamedTuple):
    """Where the tracks of an object are: they are worked out for those that are shown."""

    name: Hashable
    of: Sequence[Sights]

    @property
    def tracks(self) -> list[Track]:
        return self.along(self.name)

    def along(self, name: Hashable) -> list[Track]:
        """Of something else that the same ones tell: a name among NODE_TRACKS."""
        return [sights.track(name) for sights in self.of if name in sights.names]


NEVER = Sights("")
"""Of a topic of which nothing came."""
