# SPDX-License-Identifier: Apache-2.0
"""Telemetry into a file while it comes, from a thread of its own: no disk holds up who receives.

    recorder = Recorder(path)          # `Client(tap=recorder.put)`, or client.record(recorder.put)
    recorder.late(inbox)               # events that were missed come as answers
    recorder.close()                   # what is left; recorder.written

A block is written and synced every BLOCK seconds: a kill or a power cut costs at most that.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from pathlib import Path
from typing import NamedTuple

from console.model.store import Inbox
from shared import recording
from shared.codec import telemetry_frames
from shared.recording import Record

BLOCK = 2.0
LARGEST_BLOCK = 4 << 20
"""Bytes of frames that are not written yet."""


class Written(NamedTuple):
    records: int = 0
    frames: int = 0
    """Bytes of them, as they came."""
    packed: int = 0
    """Bytes in the file."""


class Recorder:
    """Raises OSError when the file is there already or cannot be made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = Written(packed=len(recording.MAGIC))
        self.failed: OSError | None = None
        """Why nothing more is written."""
        self._came: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        # For its owner's eyes: dropped and traced packets are in it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._file.write(recording.MAGIC)
        self._thread = threading.Thread(target=self._run, name="remora-recorder", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """From any thread."""
        if self.failed is None:
            self._came.put(record)

    def late(self, inbox: Inbox) -> None:
        """Events that came as an answer to who asked for them."""
        now = time.time()
        for reply in inbox.replies:
            for event in reply.answer.events if reply.answer is not None else ():
                self.put(Record(now, reply.address, tuple(telemetry_frames(event))))

    def close(self) -> None:
        """When all is written that came."""
        self._came.put(None)
        self._thread.join()
        self._file.close()

    def _run(self) -> None:
        waiting: list[Record] = []
        size, due = 0, time.monotonic() + BLOCK
        going = True
        while going:
            try:
                record = self._came.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                pass
            else:
                going = record is not None
                if record is not None:
                    waiting.append(record)
                    size += _size(record)
            if not going or size > LARGEST_BLOCK or time.monotonic() >= due:
                self._flush(waiting)
                waiting, size, due = [], 0, time.monotonic() + BLOCK

    def _flush(self, waiting: list[Record]) -> None:
        if not waiting or self.failed is not None:
            return
        waiting.sort(key=lambda record: record.at)
        packed = recording.block(waiting)
        try:
            left = memoryview(packed)
            while left:  # a disk that is nearly full takes a part, then the rest or an error
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self.failed = error
            return
        known = self.written
        self.written = Written(
            known.records + len(waiting),
            known.frames + sum(map(_size, waiting)),
            known.packed + len(packed),
        )


def _size(record: Record) -> int:
    return sum(map(len, record.frames))
