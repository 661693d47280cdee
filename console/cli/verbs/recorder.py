# SPDX-License-Identifier: Apache-2.0
"""`record FILE`: every telemetry message of the agents, until Ctrl-C (or SIGTERM) or for --seconds.

A block is written and synced every BLOCK seconds: a kill or a power cut costs at most that.  Events
that were missed are asked for and recorded when they come.
"""

from __future__ import annotations

import os
import queue
import time
from argparse import Namespace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from console.cli.verbs.ending import ended_as_by_ctrl_c
from console.exits import Exit, VerbError
from console.model.store import Inbox, Store
from console.settings import Settings
from console.wire.client import Client
from shared import recording
from shared.codec import telemetry_frames
from shared.messages import TOPICS, Replay
from shared.recording import Record

BLOCK = 2.0
LARGEST_BLOCK = 4 << 20
"""Bytes of frames that are not written yet."""


class _Written(NamedTuple):
    records: int
    frames: int
    packed: int


def record(settings: Settings, who: str, arguments: Namespace) -> int:
    """Exit 0.  Raises VerbError; a file that is there is left alone."""
    path = Path(arguments.file)
    try:
        # For its owner's eyes: dropped and traced packets are in it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        file = os.fdopen(descriptor, "wb", buffering=0)
    except OSError as error:
        raise VerbError(f"{path}: {error.strerror}; give a new file", Exit.FAILED) from error
    came: queue.SimpleQueue[Record] = queue.SimpleQueue()
    topics = {topic.decode() for topic in TOPICS}
    client = Client(
        settings.agents,
        who,
        topics=topics,
        trust=settings.trust,
        relay=settings.relay,
        tap=came.put,
    )
    with file:
        try:
            file.write(recording.MAGIC)
            with ended_as_by_ctrl_c():
                total = _run(client, came, file, arguments.seconds)
        except OSError as error:
            raise VerbError(f"{path}: {error.strerror}", Exit.FAILED) from error
        finally:
            client.close()
    print(f"{path}: {total.records} messages, {total.frames} bytes in {total.packed}")
    return Exit.DONE if total.records else Exit.NO_AGENT


def _run(
    client: Client, came: queue.SimpleQueue[Record], file: BinaryIO, seconds: float | None
) -> _Written:
    store = Store(client.addresses)
    for address in client.addresses:
        client.send(address, Replay(0))
    total = _Written(0, 0, 0)
    until = time.monotonic() + (seconds or float("inf"))
    waiting: list[Record] = []
    began = time.monotonic()
    try:
        while time.monotonic() < until:
            inbox = client.wait(min(0.5, max(0.0, until - time.monotonic())))
            client.ask(store.take(inbox))
            waiting += _late_events(inbox)
            waiting += _all_of(came)
            full = sum(_size(r) for r in waiting) > LARGEST_BLOCK
            if full or time.monotonic() - began > BLOCK:
                total = _flush(file, waiting, total)
                waiting, began = [], time.monotonic()
    except KeyboardInterrupt:
        pass  # the usual end
    return _flush(file, waiting + _all_of(came), total)


def _late_events(inbox: Inbox) -> list[Record]:
    now = time.time()
    return [
        Record(now, reply.address, tuple(telemetry_frames(event)))
        for reply in inbox.replies
        if reply.answer is not None
        for event in reply.answer.events
    ]


def _all_of(came: queue.SimpleQueue[Record]) -> list[Record]:
    found = []
    while True:
        try:
            found.append(came.get_nowait())
        except queue.Empty:
            return found


def _size(record: Record) -> int:
    return sum(map(len, record.frames))


def _flush(file: BinaryIO, waiting: list[Record], total: _Written) -> _Written:
    if not waiting:
        return total
    waiting.sort(key=lambda record: record.at)
    packed = recording.block(waiting)
    left = memoryview(packed)
    while left:  # a disk that is nearly full takes a part, and the rest or an error the next time
        left = left[file.write(left) :]
    os.fsync(file.fileno())
    frames = sum(map(_size, waiting))
    return _Written(total.records + len(waiting), total.frames + frames, total.packed + len(packed))
