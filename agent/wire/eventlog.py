# SPDX-License-Identifier: Apache-2.0
"""Events as JSON lines (shared/jsonl.py), for those who feed Loki, Elastic or Falco.

To standard error and so to journald, at once; or to a file, which is renamed to .1 when it is full:
its lines wait here for the disk's thread.  A disk that refuses costs lines, which are counted and
reported, nothing else.
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
    """`to` is a path, or `journal`.  Raises EffectError when the file cannot be opened."""

    def __init__(self, to: str) -> None:
        self.lost = 0
        self._waiting: deque[Event] | None = None if to == "journal" else deque()
        self._told = False
        """The disk's thread, that some wait."""
        self._handler: logging.StreamHandler  # type: ignore[type-arg]
        if to == "journal":
            self._handler = logging.StreamHandler(sys.stderr)
        else:
            try:
                Path(to).parent.mkdir(parents=True, exist_ok=True)
                self._handler = logging.handlers.RotatingFileHandler(
                    to, maxBytes=LARGEST_FILE, backupCount=KEPT_FILES, encoding="utf-8"
                )
            except OSError as error:
                raise EffectError(f"telemetry.event_log {to}: {error.strerror}") from error
        self._handler.handleError = self._failed  # type: ignore[method-assign]

    def take(self, event: Event, disk: StateDisk) -> None:
        """To be written: of a file by the disk's thread, all that waits by one piece of work, since
        a burst of events must not keep the last hour from its turn."""
        if self._waiting is None:
            self.write(event)
        elif len(self._waiting) >= MOST_WAITING:
            self._count("the disk is too far behind")
        else:
            self._waiting.append(event)
            self._tell(disk)

    def _tell(self, disk: StateDisk) -> None:
        if not self._told:
            self._told = True  # first: the thread may be done with it before `later` returns
            if not disk.later(self._write_waiting):
                self._told = False

    def write(self, event: Event) -> None:
        line = json.dumps(jsonl.fields(event), separators=(",", ":"))
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def _write_waiting(self) -> None:
        """In the thread."""
        self._told = False  # first: what comes from now on is another's turn, if not this one's
        while self._waiting:
            self.write(self._waiting.popleft())

    def close(self) -> None:
        """What waits is written first.  By who writes."""
        self._write_waiting()
        self._handler.close()

    def _failed(self, record: logging.LogRecord) -> None:
        del record
        self._count(sys.exc_info()[1])

    def _count(self, why: object) -> None:
        self.lost += 1
        if self.lost & (self.lost - 1) == 0:
            log.warning("event log: %s lost=%d", why, self.lost)
