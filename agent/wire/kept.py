# SPDX-License-Identifier: Apache-2.0
"""The newest events, for who asks for them later.  Pure.

Dropped packets are many, and so are the words of how many were not told (one a batch, ten batches a
second): they push out each other, and neither what operators did nor what became of reals and
sessions, which is what one wants to know just then.
"""

from __future__ import annotations

from collections import deque
from heapq import merge
from operator import attrgetter
from typing import NamedTuple

from shared.messages import DropEvent, Event, LostEvent

DROPS_KEPT, OTHERS_KEPT = 4096, 2048
_number = attrgetter("sequence")


class Since(NamedTuple):
    events: tuple[Event, ...]
    """Oldest first."""
    missing: int
    """How many there were besides."""
    newest_missing: int
    """Sequence; -1: none is missing."""


class Kept:
    def __init__(self) -> None:
        self._drops: deque[Event] = deque(maxlen=DROPS_KEPT)
        self._others: deque[Event] = deque(maxlen=OTHERS_KEPT)

    def add(self, event: Event) -> None:
        flood = isinstance(event.body, DropEvent | LostEvent)
        (self._drops if flood else self._others).append(event)

    def since(self, sequence: int, upto: int) -> Since:
        """From a number on, of all that were before `upto`."""
        found = [e for e in merge(self._drops, self._others, key=_number) if e.sequence >= sequence]
        missing = max(0, upto - sequence - len(found))
        at = upto - 1
        for event in reversed(found):
            if event.sequence != at:
                break
            at -= 1
        return Since(tuple(found), missing, at if missing else -1)
