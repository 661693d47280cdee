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
from pathlib import Path

AT_ONCE = 2
"""Reads of files of one directory."""
MOST = 64
"""Reads."""


class Readers:
    """Of one event loop."""

    def __init__(self, read: Callable[[Path], str]) -> None:
        self._read = read
        self._all = asyncio.Semaphore(MOST)
        self._of: dict[Path, asyncio.Semaphore] = {}

    async def __call__(self, path: Path) -> str:
        """Waits for a turn, then for the file; whoever calls has a time-out.  Raises OSError."""
        mine = self._of.setdefault(path.parent, asyncio.Semaphore(AT_ONCE))
        await mine.acquire()
        try:
            await self._all.acquire()
        except asyncio.CancelledError:
            mine.release()
            raise
        loop = asyncio.get_running_loop()
        said: asyncio.Future[str] = loop.create_future()

        def end(text: str, error: OSError | None) -> None:
            mine.release()
            self._all.release()
            if said.cancelled():
                return
            if error is None:
                said.set_result(text)
            else:
                said.set_exception(error)

        def work() -> None:
            text, error = "", None
            try:
                text = self._read(path)
            except OSError as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(end, text, error)

        # A daemon: one that hangs must not keep the process from its end.
        threading.Thread(target=work, name="file-check", daemon=True).start()
        return await said
