# SPDX-License-Identifier: Apache-2.0
"""When thousands are due, with one timer of the event loop for all of them.

The loop keeps its timers in a heap and compares them in Python: with two thousand in it every
other timer of the process pays for them, telemetry's first of all.  Here they are tuples.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

T = TypeVar("T")


class Timetable(Generic[T]):
    """Calls `start` with each that is due, in the loop that runs when it is used."""

    def __init__(self, start: Callable[[T], None]) -> None:
        self._start = start
        self._due: list[tuple[float, int, T]] = []
        """A heap; the number is there so that no two are compared any further."""
        self._put = 0
        self._timer: asyncio.TimerHandle | None = None
        self._context = copy_context()
        """One for all: each would copy its own."""

    def put(self, due: float, what: T) -> None:
        """`due`: as the loop's clock, which is the monotonic one."""
        self._put += 1
        heapq.heappush(self._due, (due, self._put, what))
        if self._due[0][1] == self._put:
            self._arm()

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Forget all others."""
        self._due = [entry for entry in self._due if wanted(entry[2])]
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
        now = asyncio.get_running_loop().time()
        while self._due and self._due[0][0] <= now:
            self._start(heapq.heappop(self._due)[2])
        self._arm()
