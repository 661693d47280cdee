# SPDX-License-Identifier: Apache-2.0
"""Events as JSON lines (shared/jsonl.py), for those who feed Loki, Elastic or Falco.

To standard error and so to journald, at once; or to a file, which is renamed to .1 when it is full:
its lines wait here for a thread of the log's own, since its disk may be none that the agent needs.
A disk that refuses, or hangs, costs lines, which are counted and reported, nothing else.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
from collections import deque
from pathlib import Path

from agent.boundary import EffectError
from agent.records.state_disk import StateDisk
from shared import jsonl
from shared.messages import Event

log = logging.getLogger("remora.eventlog")

LARGEST_FILE = 16 << 20
KEPT_FILES = 8
MOST_WAITING = 16384
"""Events that wait for a disk; what comes then is lost."""


class EventLog:
    """`to` is a path, or `journal`.  `open` it first; `close` or `end` it."""

    def __init__(self, to: str) -> None:
        self.lost = 0
        self._to = to
        self._disk: StateDisk | None = None
        """Of a file."""
        self._waiting: deque[Event] = deque()
        self._told = False
        """The disk's thread, that some wait."""
        self._handler: logging.StreamHandler  # type: ignore[type-arg]
        if to == "journal":
            self._handler = logging.StreamHandler(sys.stderr)
        else:
            self._disk = StateDisk(str(Path(to).parent), called="event log's disk")
            self._handler = logging.handlers.RotatingFileHandler(
                to, maxBytes=LARGEST_FILE, backupCount=KEPT_FILES, encoding="utf-8", delay=True
            )
        self._handler.handleError = self._failed  # type: ignore[method-assign]

    async def open(self) -> None:
        """Raises EffectError when the file cannot be opened, or its disk hangs."""
        if self._disk is None:
            return
        try:
            await self._disk.write(self._open)
        except OSError as error:
            self.end()
            raise EffectError(f"telemetry.event_log {self._to}: {error.strerror}") from error
        except EffectError as error:
            self.end()
            raise EffectError(f"telemetry.event_log {self._to}: {error}") from error

    def _open(self) -> None:
        """In the thread."""
        Path(self._to).parent.mkdir(parents=True, exist_ok=True)
        Path(self._to).open("ab").close()

    def take(self, event: Event) -> None:
        """To be written: into a file by the thread, all that waits by one piece of work."""
        if self._disk is None:
            self.write(event)
        elif len(self._waiting) >= MOST_WAITING:
            self._count("the disk is too far behind")
        else:
            self._waiting.append(event)
            if not self._told:
                self._told = True  # first: the thread may be done with it before `later` returns
                self._disk.later(self._write_waiting)

    def write(self, event: Event) -> None:
        line = json.dumps(jsonl.fields(event), separators=(",", ":"))
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def _write_waiting(self) -> None:
        """In the thread."""
        self._told = False  # first: what comes from now on is another's turn, if not this one's
        while self._waiting:
            self.write(self._waiting.popleft())

    async def close(self) -> None:
        """What waits is written first, if the disk takes it."""
        self.end()
        if self._disk is not None:
            await self._disk.close()

    def end(self) -> None:
        """Behind what waits to be written; nobody waits for that."""
        if self._disk is None:
            self._handler.close()
            return
        self._disk.later(self._handler.close)
        self._disk.end()

    def _failed(self, record: logging.LogRecord) -> None:
        del record
        self._count(sys.exc_info()[1])

    def _count(self, why: object) -> None:
        self.lost += 1
        if self.lost & (self.lost - 1) == 0:
            log.warning("event log: %s lost=%d", why, self.lost)
