# SPDX-License-Identifier: Apache-2.0
"""Health checks: each target in its own time, results as facts.  Judging them is the core's work.

What is asked, and how, is in probe.py and its neighbours; here is when.  No check waits for
another: each has a task and time-out of its own while it is under way, and only programs (exec)
take turns, before their time begins to count.  Between two checks a target is a timer: a task that
sleeps is four times as large, and there may be thousands.

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
from contextvars import copy_context

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


class Watch:
    """A target that is asked again and again."""

    __slots__ = ("asking", "due", "streak", "task", "timer")

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.streak = health.Streak()
        self.due = 0.0
        """Of the next check, monotonic seconds."""
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        """The check that is under way."""

    def end(self) -> None:
        if self.timer:
            self.timer.cancel()
        if self.task:
            self.task.cancel()


class Prober:
    """Runs a declared set of checks."""

    def __init__(self, tell: Callable[[Probed], None], tunnel: Tunnel | None = None) -> None:
        self._tell = tell
        self._tunnel = tunnel
        self._watches: dict[Asking, Watch] = {}
        self._context = copy_context()
        """One for all timers: each would copy its own."""
        self._begin = self._start
        """Bound once, for all timers."""
        self._programs = asyncio.Semaphore(PROGRAMS_AT_ONCE)
        self._heart: asyncio.Task[None] | None = None
        self._beat = 0.0
        self._stalled = -1.0
        """When this process was last late."""
        self._untold: Counter[str] = Counter()
        """Results that say nothing, by why."""

    def declare(self, checks: frozenset[Asking]) -> None:
        """Run these and no others; those that run already go on undisturbed."""
        for asking in self._watches.keys() - checks:
            self._watches.pop(asking).end()
        new = checks - self._watches.keys()
        window = max(FIRST_ROUND, len(new) / STARTS_PER_SECOND)
        for asking in new:
            self._watches[asking] = watch = Watch(asking)
            self._wait(watch, _first(asking, window))
        if self._watches and self._heart is None:
            self._heart = asyncio.create_task(self._watch_ourselves())

    def close(self) -> None:
        self.declare(frozenset())
        if self._heart:
            self._heart.cancel()

    def _wait(self, watch: Watch, seconds: float) -> None:
        """Then ask.  Counted from when it was due: what is late now is not late for ever."""
        now = time.monotonic()
        watch.due = max((watch.due or now) + seconds, now)
        loop = asyncio.get_running_loop()  # whose clock is the monotonic one
        watch.timer = loop.call_at(watch.due, self._begin, watch, context=self._context)

    def _start(self, watch: Watch) -> None:
        watch.timer, watch.task = None, asyncio.create_task(self._ask(watch))

    async def _ask(self, watch: Watch) -> None:
        check = watch.asking.check
        async with self._turn(check):
            started = time.monotonic()
            result = await probe(watch.asking, self._tunnel)
        if why := self._says_nothing(result, started):
            self._untold[why] += 1
            pause = check.quick
        else:
            self._tell(result)
            watch.streak = watch.streak.after(ok=result.ok)
            deciding = watch.streak.deciding(check.rise, check.fall)
            pause = check.quick if deciding else check.interval
        watch.task = None
        self._wait(watch, pause * (1 + check.jitter * random.uniform(-1, 1)))

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


def _first(asking: Asking, window: float) -> float:
    """Seconds until the first check.  Spread by name, so that reals do not beat in step.  The first
    round is short, so that a fresh node serves soon, but not so short that checks wait for each
    other."""
    phase = zlib.crc32(str(asking.target).encode()) / 2**32
    return phase * min(asking.check.interval, window)
