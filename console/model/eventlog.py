# SPDX-License-Identifier: Apache-2.0
"""One agent's events in the order in which they happened, with its gaps.  Pure.

Sequence numbers find the gaps; what the agent still has is filled in later, what it has not stays a
line that says how many are lost.  An agent that restarts numbers from 0 again: a new *run*; with
its machine its clock begins anew, too.
"""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple

import msgspec

from shared.messages import ChangeEvent, DropEvent, Event, LostEvent

EVENTS_KEPT = 2000
CHANGES_KEPT = OTHERS_KEPT = 500
HOLES_KEPT = 100


class Line(NamedTuple):
    """What a tail shows: an event, or (without one) how many are lost here."""

    wall: float
    """Unix time."""
    node: str
    place: tuple[int, int]
    """(run, sequence)."""
    event: Event | None
    lost: int


class _Hole(msgspec.Struct):
    first: tuple[int, int]
    size: int
    wall: float
    node: str
    filled: int = 0
    """Events that were got later; they may have left the log again."""

    def has(self, place: tuple[int, int]) -> bool:
        run, first = self.first
        return place[0] == run and first <= place[1] < first + self.size

    @property
    def lost(self) -> int:
        return max(0, self.size - self.filled)


class EventLog:
    def __init__(self) -> None:
        self._places: list[tuple[int, int]] = []
        self._events: dict[tuple[int, int], Event] = {}
        self._holes: list[_Hole] = []
        self._changes: dict[tuple[int, int], Event] = {}
        """Kept apart: dropped packets are many and push all else out."""
        self._others: dict[tuple[int, int], Event] = {}
        """Neither changes nor dropped packets."""
        self._run = 0
        self._next: int | None = None
        self._newest = 0.0
        self._boot = ""
        self._asked = 0
        self._forgotten = 0
        """Lost events of holes that are not kept."""

    def publish(self, event: Event) -> int | None:
        """Files a published event; returns the sequence to replay from when there is a gap."""
        if self._next is not None and event.sequence < self._next and self._is_another_life(event):
            self._run += 1
            self._next, self._newest = 0, event.at
        gap = None
        if self._next is not None and event.sequence > self._next:
            gap = self._asked = self._next
            size = event.sequence - gap
            self._holes.append(_Hole((self._run, gap), size, event.wall, event.node))
        self._boot = event.boot
        self._keep(event)
        return gap

    def _is_another_life(self, event: Event) -> bool:
        """Of an event with a number that was already: a machine that booted has another clock."""
        return event.at > self._newest or event.boot != self._boot

    def replay(self, events: tuple[Event, ...]) -> None:
        """Files what an agent still had.  Its word on what it had not is what the hole says."""
        before = 0
        """Of those that were asked for: what is kept of them although newer ones are lost."""
        for event in events:
            body, asked = event.body, event.sequence - self._asked + 1
            if isinstance(body, LostEvent) and body.count == asked - before:
                continue
            before += asked > 0
            self._keep(event)

    def lines(self, newest: int) -> list[Line]:
        """The last `newest` lines, oldest first."""
        kept = self._places[-newest:] if newest else []
        lines = [self._line(place) for place in kept]
        oldest = kept[0] if kept else (0, 0)
        for hole in self._holes:
            if hole.lost and hole.first >= oldest:
                lines.append(Line(hole.wall, hole.node, hole.first, None, hole.lost))
        return sorted(lines, key=lambda line: line.place)[-newest:]

    def rare(self, newest: int) -> list[Line]:
        """The last `newest` that are no dropped packets, oldest first."""
        places = sorted([*self._changes, *self._others])[-newest:] if newest else []
        return [self._line(place) for place in places]

    @property
    def changes(self) -> list[Event]:
        """The newest ChangeEvents, in no order."""
        return list(self._changes.values())

    def event(self, place: tuple[int, int]) -> Event | None:
        return self._events.get(place) or self._changes.get(place) or self._others.get(place)

    @property
    def lost(self) -> int:
        """Events that were published and could not be got."""
        return self._forgotten + sum(hole.lost for hole in self._holes)

    def _keep(self, event: Event) -> None:
        place = (self._run, event.sequence)
        if place not in self._events:
            insort(self._places, place)
            self._events[place] = event
            if self._next is not None and event.sequence < self._next:
                for hole in self._holes:
                    hole.filled += hole.has(place)
            if isinstance(event.body, ChangeEvent):
                _keep_newest(self._changes, place, event, CHANGES_KEPT)
            elif not isinstance(event.body, DropEvent | LostEvent):
                _keep_newest(self._others, place, event, OTHERS_KEPT)
        self._next = max(self._next or 0, event.sequence + 1)
        self._newest = max(self._newest, event.at)
        for old in self._places[:-EVENTS_KEPT]:
            del self._events[old]
        del self._places[:-EVENTS_KEPT]
        if len(self._holes) > HOLES_KEPT:
            self._forgotten += self._holes.pop(0).lost

    def _line(self, place: tuple[int, int]) -> Line:
        event = self.event(place)
        assert event is not None
        return Line(event.wall, event.node, place, event, 0)


def _keep_newest(
    kept: dict[tuple[int, int], Event], place: tuple[int, int], event: Event, most: int
) -> None:
    kept[place] = event
    if len(kept) > most:
        del kept[min(kept)]
