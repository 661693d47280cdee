# SPDX-License-Identifier: Apache-2.0
"""Health checks: one task per target, results as facts.  Judging them is the core's work.

What is asked, and how, is in probe.py and its neighbours; here is when.  No check waits for
another: each has its own task and time-out, and only programs (exec) take turns, before their time
begins to count.

Silence is a verdict on the real only if we listened.  When this process got no processor time
while a check was under way, its time-out says nothing: it is not told, and asked again soon.  Nor
is a check that could not be made because this process has no descriptors left, or no memory:
else whoever opens enough connections to us would take every real out of service.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from agent.boundary import Probed
from agent.checks.probe import probe
from agent.config.check_table import Check
from agent.core import health
from agent.dataplane.tunnel import Tunnel
from agent.nouns import Asking

log = logging.getLogger("remora")

FIRST_ROUND = 0.2
"""Seconds over which the first checks of a few targets are spread."""
STARTS_PER_SECOND = 500
"""First checks of many targets."""
PROGRAMS_AT_ONCE = 64
HEARTBEAT = 0.05
"""Seconds between two looks at our own clock."""
STALL = 0.15
"""Seconds that a look may be late before time-outs do not count."""
COMPLAIN_EVERY = 10.0


class Prober:
    """Runs a declared set of checks."""

    def __init__(self, tell: Callable[[Probed], None], tunnel: Tunnel | None = None) -> None:
        self._tell = tell
        self._tunnel = tunnel
        self._tasks: dict[Asking, asyncio.Task[None]] = {}
        self._programs = asyncio.Semaphore(PROGRAMS_AT_ONCE)
        self._heart: asyncio.Task[None] | None = None
        self._beat = 0.0
        self._stalled = -1.0
        """When this process was last late."""
        self._untold: Counter[str] = Counter()
        """Results that say nothing, by why."""

    def declare(self, checks: frozenset[Asking]) -> None:
        """Run these and no others; those that run already go on undisturbed."""
        for asking in self._tasks.keys() - checks:
            self._tasks.pop(asking).cancel()
        new = checks - self._tasks.keys()
        window = max(FIRST_ROUND, len(new) / STARTS_PER_SECOND)
        for asking in new:
            self._tasks[asking] = asyncio.create_task(self._watch(asking, window))
        if self._tasks and self._heart is None:
            self._heart = asyncio.create_task(self._watch_ourselves())

    def close(self) -> None:
        self.declare(frozenset())
        if self._heart:
            self._heart.cancel()

    async def _watch(self, asking: Asking, window: float) -> None:
        check = asking.check
        # Spread by name, so that reals do not beat in step.  The first round is short, so that a
        # fresh node serves soon, but not so short that checks wait for each other.
        phase = zlib.crc32(str(asking.target).encode()) / 2**32
        await asyncio.sleep(phase * min(check.interval, window))
        due = time.monotonic()
        streak = health.Streak()
        while True:
            async with self._turn(check):
                started = time.monotonic()
                result = await probe(asking, self._tunnel)
            if why := self._says_nothing(result, started):
                self._untold[why] += 1
                pause = check.quick
            else:
                self._tell(result)
                streak = streak.after(ok=result.ok)
                pause = check.quick if streak.deciding(check.rise, check.fall) else check.interval
            pause *= 1 + check.jitter * random.uniform(-1, 1)
            due = max(due + pause, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def _turn(self, check: Check) -> AbstractAsyncContextManager[object]:
        return self._programs if check.kind == "exec" else nullcontext()

    def _says_nothing(self, result: Probed, started: float) -> str:
        """Why a result is none; empty: it is one."""
        if result.unasked:
            return result.detail
        late = result.silent and self._was_late(started)
        return "this process had no processor time" if late else ""

    def _was_late(self, started: float) -> bool:
        """Whether we were without the processor since then, or are only just back."""
        return self._stalled >= started or time.monotonic() - self._beat > HEARTBEAT + STALL

    async def _watch_ourselves(self) -> None:
        complained = time.monotonic()
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(HEARTBEAT)
            now = time.monotonic()
            if now - self._beat > HEARTBEAT + STALL:
                self._stalled = now
            if self._untold and now - complained > COMPLAIN_EVERY:
                for why, times in self._untold.items():
                    log.warning("checks: %d results not counted: %s", times, why)
                self._untold.clear()
                complained = now
