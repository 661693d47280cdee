# SPDX-License-Identifier: Apache-2.0
"""Health checks: each target in its own time, results as facts.  Judging them is the core's work.

What is asked, and how, is in probe.py and its neighbours; here is when.  No check waits for
another: each has a task and time-out of its own while it is under way, and only programs (exec)
take turns, before their time begins to count.  Between two checks a target is an entry in a
timetable: a task that sleeps is many times as large, and there may be thousands.

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
from agent.checks.timetable import Timetable
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
SOONER = 0.1
"""Seconds by which a check may be sooner to come together with others."""
HEARTBEAT = 0.05
"""Seconds between two looks at our own clock."""
STALL = 0.15
"""Seconds that a look may be late before time-outs do not count."""
COMPLAIN_EVERY = 10.0


class Watch:
    """A target that is asked again and again."""

    __slots__ = ("asking", "due", "hurried", "streak", "task")

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.streak = health.Streak()
        self.due = 0.0
        """Of the next check, monotonic seconds."""
        self.hurried = True
        """The next check is not where it would be among all: it was asked sooner."""
        self.task: asyncio.Task[None] | None = None
        """The check that is under way."""

    def end(self) -> None:
        if self.task:
            self.task.cancel()


class Prober:
    """Runs a declared set of checks."""

    def __init__(self, tell: Callable[[Probed], None], tunnel: Tunnel | None = None) -> None:
        self._tell = tell
        self._tunnel = tunnel
        self._watches: dict[Asking, Watch] = {}
        self._timetable = Timetable(self._start)
        self._programs = asyncio.Semaphore(PROGRAMS_AT_ONCE)
        self._under_way = 0
        """Checks."""
        self._heart: asyncio.TimerHandle | None = None
        """Beats while checks are under way."""
        self._beat = 0.0
        self._stalled = -1.0
        """When this process was last late."""
        self._untold: Counter[str] = Counter()
        """Results that say nothing, by why."""
        self._complained = time.monotonic()

    def declare(self, checks: frozenset[Asking]) -> None:
        """Run these and no others; those that run already go on undisturbed."""
        gone = self._watches.keys() - checks
        for asking in gone:
            self._watches.pop(asking).end()
        if gone:
            self._timetable.keep(lambda watch: self._watches.get(watch.asking) is watch)
        new = checks - self._watches.keys()
        window = max(FIRST_ROUND, len(new) / STARTS_PER_SECOND)
        for asking in new:
            self._watches[asking] = watch = Watch(asking)
            self._wait(watch, _first(asking, window))

    def close(self) -> None:
        self.declare(frozenset())

    def _wait(self, watch: Watch, seconds: float) -> None:
        """Then ask.  Counted from when it was due: what is late now is not late for ever."""
        now = time.monotonic()
        watch.due = max((watch.due or now) + seconds, now)
        self._timetable.put(watch.due, watch, sooner=sooner(seconds))

    def _start(self, watch: Watch) -> None:
        self._under_way += 1
        if self._heart is None:
            self._beat = time.monotonic()
            self._live_on()
        watch.task = asyncio.create_task(self._ask(watch))
        watch.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way -= 1
        if not self._under_way and self._heart:
            self._heart.cancel()
            self._heart = None

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
            pause = self.pause(watch)
        self._complain()
        watch.task = None
        self._wait(watch, pause * (1 + check.jitter * random.uniform(-1, 1)))

    def pause(self, watch: Watch) -> float:
        """Seconds until the next check.  After a hurry, and the first round is one, each goes to
        its own place in the interval: else all that hurried together would come together again,
        round after round."""
        check = watch.asking.check
        hurried, watch.hurried = watch.hurried, watch.streak.deciding(check.rise, check.fall)
        if watch.hurried:
            return check.quick
        return check.interval * (_phase(watch.asking) if hurried else 1)

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

    def _live_on(self) -> None:
        now = time.monotonic()
        if now - self._beat > HEARTBEAT + STALL:
            self._stalled = now
        self._beat = now
        self._heart = asyncio.get_running_loop().call_later(HEARTBEAT, self._live_on)

    def _complain(self) -> None:
        now = time.monotonic()
        if self._untold and now - self._complained > COMPLAIN_EVERY:
            for why, times in self._untold.items():
                log.warning("checks: %d results not counted: %s", times, why)
            self._untold.clear()
            self._complained = now


def sooner(pause: float) -> float:
    """Seconds by which the check after this pause may be sooner: well within the usual jitter."""
    return min(SOONER, pause / 20)


def _first(asking: Asking, window: float) -> float:
    """Seconds until the first check.  The first round is short, so that a fresh node serves soon,
    but not so short that checks wait for each other."""
    return _phase(asking) * min(asking.check.interval, window)


def _phase(asking: Asking) -> float:
    """0 to 1, by name: reals do not beat in step."""
    return zlib.crc32(str(asking.target).encode()) / 2**32
