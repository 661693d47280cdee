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
"""Name -> where its row, or packets, are among those of the snapshot."""
NOWHERE: Places = {}
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


class Step(NamedTuple):
    """A second of all tracks: all that is kept of it for a minute."""

    after: Sequence[float]
    """Packets of each object when it was over; `before`: when it began, empty: not known."""
    places: Places
    before: Sequence[float]
    places_before: Places
    span: float

    def rate(self, name: Hashable) -> float | None:
        at = self.places.get(name)
        was = at if self.places_before is self.places else self.places_before.get(name)
        if at is None or was is None:
            return None
        return rate(self.before[was], self.after[at], self.span)


class Sights:
    """Of one topic of one agent."""

    __slots__ = (
        *("_address", "_before", "_count", "_kind", "_made", "_named", "_names", "_newest"),
        *("_places", "_places_before", "_recorded", "_rows", "_rows_before", "_seen", "_span"),
        *("_stepped", "_steps", "_tracks"),
    )

    def __init__(self, address: str) -> None:
        self._address = address
        self._kind = KINDS[NodeSnapshot]
        self._newest: Snapshot | None = None
        self._rows: Sequence[Any] = ()
        self._rows_before: Sequence[Any] = ()
        self._before: Snapshot | None = None
        """What rates are taken against, `_span` seconds older; None: there is nothing."""
        self._span = self._seen = 0.0
        self._names: list[Hashable] = []
        self._places = NOWHERE
        self._places_before = NOWHERE
        self._named = float("-inf")
        """The agent's clock at the first snapshot with just these names."""
        self._steps: deque[Step] = deque(maxlen=HISTORY_SECONDS)
        self._stepped: Snapshot | None = None
        """That of the last step."""
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
        self._newest, self._before, self._span, self._seen = new, before, span, seen
        self._kind, self._rows, self._made = kind, kind.rows(new), {}
        names = kind.names(new)
        if names != self._names or new.at < self._named:
            self._names, self._named, self._places = names, new.at, _places(names)
            self._tracks = {}  # of those that are gone, too
        if before is None:
            self._places_before = NOWHERE
        else:
            self._rows_before = kind.rows(before)
            same = before.at >= self._named
            self._places_before = self._places if same else _places(kind.names(before))
        if not 0 <= new.at - self._recorded < STEP:
            self._step(kind, new)

    def _step(self, kind: Kind, new: Snapshot) -> None:
        before = self._before
        old: Sequence[float] = ()
        if before is not None and before is self._stepped:
            old = self._steps[-1].after  # as it is at one snapshot a second
        elif before is not None:
            old = array("d", kind.packets(before))
        after = array("d", kind.packets(new))
        self._steps.append(Step(after, self._places, old, self._places_before, self._span))
        self._stepped, self._recorded = new, new.at
        self._count += 1

    @property
    def names(self) -> Iterable[Any]:
        """VIP names, (VIP, address), drop reasons or CPU numbers; a node's own is empty."""
        return self._places

    def get(self, name: Hashable) -> Sight:
        """Of an object that is among `names`."""
        sight = self._made.get(name)
        if sight is not None:
            return sight
        new, counters = self._newest, self._kind.counters
        assert new is not None
        at = self._places[name]
        was = at if self._places_before is self._places else self._places_before.get(name)
        row, before = self._rows[at], None if was is None else counters(self._rows_before[was])
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


def _places(names: Sequence[Hashable]) -> Places:
    return {name: at for at, name in enumerate(names)}


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
