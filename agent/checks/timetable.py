# SPDX-License-Identifier: Apache-2.0
"""When thousands are due, with one timer of the event loop for all of them.

The loop keeps its timers in a heap and compares them in Python: with two thousand in it every
other timer of the process pays for them, telemetry's first of all.  Here they are tuples.

What may come a little sooner comes together with others: a check by itself takes four times the
processor time of one among several, for what it needs has left the caches (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

T = TypeVar("T")
AT_ONCE = 16
"""Called in one turn of the loop because of one that is due: some milliseconds of checks."""


class Timetable(Generic[T]):
    """Calls `start` with each that is due, in the loop that runs when it is used."""

    def __init__(self, start: Callable[[T], None]) -> None:
        self._start = start
        self._due: list[tuple[float, int, float, T]] = []
        """A heap: when, seconds by which it may be sooner, what; the number is there so that no two
        are compared any further."""
        self._put = 0
        self._timer: asyncio.TimerHandle | None = None
        self._context = copy_context()
        """One for all: each would copy its own."""

    def put(self, due: float, what: T, *, sooner: float = 0.0) -> None:
        """`due`: as the loop's clock, which is the monotonic one; `sooner`: seconds before it from
        which on it may be called together with another."""
        self._put += 1
        heapq.heappush(self._due, (due, self._put, sooner, what))
        if self._due[0][1] == self._put:
            self._arm()

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Forget all others."""
        self._due = [entry for entry in self._due if wanted(entry[3])]
        heapq.heapify(self._due)
        self._arm()

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._due:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._due[0][0], self._go, context=self._context)

    def _go(self) -> None:
        self._timer = None
        now, called = asyncio.get_running_loop().time(), 0
        while self._due:
            due, _, sooner, what = self._due[0]
            if due > now and (due - sooner > now or called >= AT_ONCE):
                break
            heapq.heappop(self._due)
            self._start(what)
            called += 1
        self._arm()
