# SPDX-License-Identifier: Apache-2.0
"""The agent's own recording: the last hour of what it published, in a bounded directory.

Segments of SEGMENT seconds (shared/recording.py each), the oldest removed past SPAN or the limit.
A block is written every BLOCK seconds, of a large node sooner, by a thread: a kill costs at most
that.  Disk that refuses costs history, which is counted, nothing else.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from shared import recording
from shared.recording import Record, RecordingError

log = logging.getLogger("remora.history")

SPAN = 3600.0
SEGMENT = 300.0
BLOCK = 5.0
FULL = 256 << 10
"""Bytes, raw, at which a block is written at once: what waits is memory, and a block that is longer
than this compresses no better (zlib looks back by 32 KiB)."""
MOST_WAITING = 16 << 20
"""Bytes, raw, that wait for a disk; then they are let go."""
LARGEST_ANSWER = 4 << 20
"""Bytes of blocks in one answer; a first block that is larger goes alone."""


def history_path(state_dir: str) -> Path:
    return Path(state_dir) / "history"


class History:
    """Made with a directory (created when first written) and the most bytes to keep there."""

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self.limit = limit
        self._pending: list[Record] = []
        self._size = 0
        self._writing = False
        self._began: float | None = None
        """Unix time of the present segment's first record."""
        self.failed = 0
        """Blocks that the disk refused."""

    def add(self, record: Record) -> bool:
        """Keeps a record for the next block; True when it is time for `write(take())`.

        One write at a time: a disk that hangs must not take every thread, nor all memory.
        """
        if self._size > MOST_WAITING:
            self._pending, self._size = [], 0
            self._count_failure("the disk is too slow")
        self._pending.append(record)
        self._size += sum(map(len, record.frames))
        # A clock may jump back.
        due = self._size >= FULL or abs(record.at - self._pending[0].at) >= BLOCK
        return due and not self._writing

    def take(self) -> tuple[Record, ...]:
        """For write(), which must follow."""
        taken, self._pending, self._size = tuple(self._pending), [], 0
        self._writing = bool(taken)
        return taken

    def write(self, records: tuple[Record, ...]) -> None:
        """Compress, append, remove what is too old.  For a thread."""
        if not records:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with self._segment(records[0].at).open("ab") as file:
                if file.tell() == 0:
                    file.write(recording.MAGIC)
                file.write(recording.block(records))
            self._trim(records[-1].at)
        except OSError as error:
            self._began = None  # a half block may be there: what follows begins a new segment
            self._count_failure(error)
        finally:
            self._writing = False

    def let_go(self) -> None:
        """What was taken will not be written: too much waits for the disk."""
        self._writing = False
        self._count_failure("the disk is too far behind")

    def _count_failure(self, why: object) -> None:
        self.failed += 1
        if self.failed & (self.failed - 1) == 0:
            log.warning("history not kept: %s lost_blocks=%d", why, self.failed)

    def kept_from(self) -> float:
        """Unix time of the oldest that is kept; 0: nothing.  For a thread."""
        starts = [_start(path) for path in self._segments()[:1]]
        return starts[0] if starts else next((r.at for r in tuple(self._pending)), 0.0)

    def blocks(self, since: float, until: float) -> tuple[bytes, ...]:
        """Blocks that overlap the span, oldest first, up to LARGEST_ANSWER.  For a thread."""
        found: list[bytes] = []
        size = 0
        for data in self._overlapping(since, until):
            if found and size + len(data) > LARGEST_ANSWER:
                break
            found.append(data)
            size += len(data)
        return tuple(found)

    def _overlapping(self, since: float, until: float) -> Iterator[bytes]:
        for path in self._segments():
            if _start(path) > until:
                return
            with contextlib.suppress(OSError, RecordingError), path.open("rb") as file:
                for place in list(recording.places(file)):
                    if place.last > since and place.first <= until:
                        yield recording.load(file, place)
        pending = [record for record in tuple(self._pending) if since < record.at <= until]
        if pending:
            yield recording.block(pending)

    def _segment(self, at: float) -> Path:
        if self._began is None or not 0 <= at - self._began < SEGMENT:
            self._began = at
        return self._directory / f"{self._began:.3f}.rec"

    def _segments(self) -> list[Path]:
        return sorted(self._directory.glob("*.rec"), key=_start)

    def _trim(self, now: float) -> None:
        kept = 0
        present = f"{self._began:.3f}.rec"
        for path in reversed(self._segments()):
            kept += path.stat().st_size
            if path.name != present and (kept > self.limit or now - _start(path) > SPAN + SEGMENT):
                path.unlink()


def _start(path: Path) -> float:
    try:
        return float(path.stem)
    except ValueError:
        return 0.0
