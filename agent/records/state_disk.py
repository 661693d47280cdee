# SPDX-License-Identifier: Apache-2.0
"""A disk of the agent's: a thread works there, in order, and nobody waits for it for ever.

A disk that hangs (a dead network mount, a controller that resets) holds whoever calls fsync,
without a time-out and past every signal.  That is this thread, so health, BGP and telemetry go on;
changes are refused until it answers again.  What was given up meanwhile is taken back when it does.

The state directory's has two: records (journal, audit) are short and somebody waits for them; what
is long (the last hour) and all that is read have a thread of their own.  An event log may be
anywhere, so it has a third.  The loop's own threads, of which the rest of the agent lives, never
touch these disks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from agent.boundary import EffectError

log = logging.getLogger("remora")

PATIENCE = 3.0
"""Seconds for one record; then the disk counts as silent.  Consoles wait 5 s for an answer."""
READING = 10.0
"""Seconds for what is long."""
MOST = 1000
"""Pieces of work that wait for it."""

T = TypeVar("T")

Work = Callable[[], None]


class _Job:
    def __init__(self, work: Work, take_back: Work | None = None) -> None:
        self.work = work
        self.take_back = take_back
        self.given_up = False
        self.over = False
        self.ended: Callable[[BaseException | None], None] = lambda error: None


class StateDisk:
    """One thread for one directory.  `close` ends it."""

    def __init__(
        self, directory: str, *, patience: float = PATIENCE, called: str = "state disk"
    ) -> None:
        """`called`: in what people read."""
        self._directory = directory
        self._patience = patience
        self._called = called
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        """Between giving up and being done."""
        self._begun: float | None = None
        """Monotonic seconds: when the work under way began."""
        self._tried = -math.inf
        """Monotonic seconds: when `try_out` did."""
        self._thread = threading.Thread(target=self._run, name="state-disk", daemon=True)
        self._thread.start()

    @property
    def silent(self) -> float:
        """Seconds for which it has not answered; 0: it answers."""
        begun = self._begun
        waited = time.monotonic() - begun if begun is not None else 0.0
        return waited if waited >= self._patience else 0.0

    def try_out(self) -> None:
        """A write that costs nothing, now and then, if there is nothing else to do: so that
        `silent` is true also while nobody wants anything."""
        now = time.monotonic()
        if self._begun is None and self._jobs.empty() and now - self._tried >= self._patience:
            self._tried = now
            self.later(self._touch)

    def later(self, work: Work) -> bool:
        """In its turn; False when too much waits already.  `work` must not raise."""
        if self._jobs.qsize() >= MOST:
            return False
        self._jobs.put(_Job(work))
        return True

    async def ask(self, work: Callable[[], T]) -> T:
        """What `work` finds, in its turn.  Raises as `write` does."""
        found: list[T] = []
        await self.write(lambda: found.append(work()))
        return found[0]

    async def write(
        self, work: Work, take_back: Work | None = None, *, patience: float | None = None
    ) -> None:
        """Returns when it is done, and all that was before it.  Raises what it raises, and
        EffectError when the disk is silent: then it is not done, or `take_back` undoes it."""
        if self.silent:
            raise self._refusal(self.silent)
        job, done = _Job(work, take_back), asyncio.get_running_loop().create_future()
        job.ended = _into(done)
        self._jobs.put(job)
        try:
            await asyncio.wait_for(asyncio.shield(done), patience or self._patience)
        except TimeoutError:
            with self._lock:
                job.given_up = not job.over
            if job.given_up:
                log.error(  # noqa: TRY400  # a traceback says nothing of a disk
                    "%s=%s has not answered for %g s",
                    self._called,
                    self._directory,
                    patience or self._patience,
                )
                raise self._refusal(patience or self._patience) from None
            await done

    def _refusal(self, silent: float) -> EffectError:
        return EffectError(
            f"the {self._called} ({self._directory}) has not answered for {silent:.0f} s"
        )

    def end(self) -> None:
        """Behind what waits; nobody waits for that."""
        self._jobs.put(None)

    async def close(self) -> None:
        """What waits is still written, if the disk takes it."""
        self.end()
        deadline = time.monotonic() + self._patience
        # A thread sets no asyncio.Event.
        while self._thread.is_alive() and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    # ---- in the thread

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._begun = time.monotonic()
            self._do(job)
            if silent := self.silent:
                log.warning(
                    "%s=%s answers again after %.0f s", self._called, self._directory, silent
                )
            self._begun = None

    def _touch(self) -> None:
        """On a disk that hangs one of the two does, whatever else is cached."""
        os.utime(self._directory)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _do(self, job: _Job) -> None:
        if job.given_up:
            return
        error: BaseException | None = None
        try:
            job.work()
        except Exception as raised:  # whoever waits is told
            error = raised
        with self._lock:
            job.over = not job.given_up
        if job.over:
            job.ended(error)
        elif error is None and job.take_back is not None:
            with contextlib.suppress(OSError):
                job.take_back()


def silence(records: StateDisk, long: StateDisk) -> float:
    """Seconds for which changes are refused; 0: they are not.  One long look at an old file, of
    which only the thread for what is long knows, is no silence: the other one is tried."""
    if long.silent:
        records.try_out()
    return records.silent


def _into(done: asyncio.Future[None]) -> Callable[[BaseException | None], None]:
    """Tells the future from the thread."""
    loop = done.get_loop()

    def settle(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def ended(error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, error)

    return ended
