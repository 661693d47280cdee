# SPDX-License-Identifier: Apache-2.0
"""The state directory's disk: a thread works there, in order, and nobody waits for it for ever.

A disk that hangs (a dead network mount, a controller that resets) holds whoever calls fsync,
without a time-out and past every signal.  That is this thread, so health, BGP and telemetry go on;
changes are refused until it answers again.  What was given up meanwhile is taken back when it does.

There are two: records (journal, audit) are short and somebody waits for them; files that are long
(the last hour, the event log) and all that is read have a thread of their own.  The loop's own
threads, of which the rest of the agent lives, never touch this disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
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

    def __init__(self, directory: str, *, patience: float = PATIENCE) -> None:
        self._directory = directory
        self._patience = patience
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        """Between giving up and being done."""
        self._begun: float | None = None
        """Monotonic seconds: when the work under way began."""
        self._thread = threading.Thread(target=self._run, name="state-disk", daemon=True)
        self._thread.start()

    @property
    def silent(self) -> float:
        """Seconds for which it has not answered; 0: it answers."""
        begun = self._begun
        waited = time.monotonic() - begun if begun is not None else 0.0
        return waited if waited >= self._patience else 0.0

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
                    "state disk=%s has not answered for %g s",
                    self._directory,
                    patience or self._patience,
                )
                raise self._refusal(patience or self._patience) from None
            await done

    def _refusal(self, silent: float) -> EffectError:
        return EffectError(
            f"the state disk ({self._directory}) has not answered for {silent:.0f} s"
        )

    async def close(self) -> None:
        """What waits is still written, if the disk takes it."""
        self._jobs.put(None)
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
                log.warning("state disk=%s answers again after %.0f s", self._directory, silent)
            self._begun = None

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
