# SPDX-License-Identifier: Apache-2.0
"""Reads of files that may hang (a dead network mount), each in a thread of its own, bounded.

Who gave up still has its thread until the kernel lets go of it.  So a directory has AT_ONCE of
them, all directories MOST: what hangs takes no more, and checks behind it fail for want of a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

AT_ONCE = 2
"""Reads of files of one directory."""
MOST = 64
"""Reads."""


class Readers:
    """Of one event loop."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(MOST)
        self._of: dict[Path, asyncio.Semaphore] = {}

    async def __call__(self, path: Path, read: Callable[[Path], T]) -> T:
        """What `read` makes of the file, or raises.

        Waits for a turn, then for the file; whoever calls has a time-out.
        """
        mine = self._of.setdefault(path.parent, asyncio.Semaphore(AT_ONCE))
        await mine.acquire()
        try:
            await self._all.acquire()
        except asyncio.CancelledError:
            mine.release()
            raise
        loop = asyncio.get_running_loop()
        said: asyncio.Future[T] = loop.create_future()

        def end(tell: Callable[[], None]) -> None:
            mine.release()
            self._all.release()
            if not said.cancelled():
                tell()

        def work() -> None:
            try:
                tell = partial(said.set_result, read(path))
            except Exception as error:  # the turn is given back whatever happens
                tell = partial(said.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(end, tell)

        # A daemon: one that hangs must not keep the process from its end.
        threading.Thread(target=work, name="file-check", daemon=True).start()
        return await said


def readers() -> Readers:
    """The running loop's."""
    return _READERS.setdefault(asyncio.get_running_loop(), Readers())


_READERS: WeakKeyDictionary[asyncio.AbstractEventLoop, Readers] = WeakKeyDictionary()
