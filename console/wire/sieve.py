# SPDX-License-Identifier: Apache-2.0
"""What a relay passes on: telemetry of this wire, as much as there is room for.

Cheap, as the relay must not decode what its consoles decode: frames, topic, version, size, how the
payload begins.  What is none is counted by agent and reason (relay_metrics.py).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from shared.codec import LARGEST_TELEMETRY
from shared.messages import TOPICS, WIRE_VERSION
from shared.recording import Record

MOST_WAITING = 128 << 20
"""Bytes between the two threads of a relay: seconds of 500 large nodes."""
MOST_KEPT = LARGEST_TELEMETRY
"""Bytes of one agent's newest snapshots."""
UNKEPT = ("event", "trace")
"""Topics whose newest message says nothing of the one before."""
BACKLOG = "backlog"
"""Of telemetry for which there is no room."""
NOT_KEPT = "not kept"
"""Of a message that was passed on, but is not there for who subscribes later."""
_VERSION = bytes([WIRE_VERSION])


def wrong(frames: Sequence[bytes]) -> str:
    """What is wrong with a telemetry message at first sight; empty: nothing."""
    if len(frames) != 3:
        return "frames"
    topic, version, payload = frames
    if topic not in TOPICS:
        return "topic"
    if version != _VERSION:
        return "version"
    if len(payload) > LARGEST_TELEMETRY:
        return "size"
    if not payload or not (payload[0] & 0xF0 == 0x80 or payload[0] in (0xDE, 0xDF)):
        return "payload"  # MessagePack: a map
    return ""


class Sieve:
    """Filled in the client's thread, emptied in the relay's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Record] = []
        self._size = 0
        self._newest: dict[str, dict[bytes, list[bytes]]] = {}
        """Agent's address -> topic -> the four frames of its last snapshot."""
        self._passed: Counter[str] = Counter()
        self._dropped: Counter[tuple[str, str]] = Counter()

    def put(self, record: Record) -> str:
        """Why it is not passed on; empty: it is."""
        why = wrong(record.frames)
        size = sum(map(len, record.frames))
        with self._lock:
            if not why and self._size + size > MOST_WAITING:
                why = BACKLOG
            if why:
                self._dropped[record.address, why] += 1
                return why
            self._passed[record.address] += 1
            self._waiting.append(record)
            self._size += size
            return ""

    def take(self) -> list[list[bytes]]:
        """What came since the last call: four frames each, the last is the agent's address."""
        with self._lock:
            taken, self._waiting, self._size = self._waiting, [], 0
        return [self._kept(record) for record in taken]

    def passed(self) -> Counter[str]:
        """Agent's address -> messages so far."""
        with self._lock:
            return Counter(self._passed)

    def dropped(self) -> Counter[tuple[str, str]]:
        """(agent's address, why) -> messages so far."""
        with self._lock:
            return Counter(self._dropped)

    def newest(self, topic: bytes) -> list[list[bytes]]:
        """Of all agents: for who has just subscribed."""
        return [kept[topic] for kept in self._newest.values() if topic in kept]

    def _kept(self, record: Record) -> list[bytes]:
        frames = [*record.frames, record.address.encode()]
        topic = frames[0]
        if topic.decode() in UNKEPT:
            return frames
        kept = self._newest.setdefault(record.address, {})
        others = sum(len(f[2]) for of, f in kept.items() if of != topic)
        if others + len(frames[2]) <= MOST_KEPT:
            kept[topic] = frames
        else:
            kept.pop(topic, None)  # nobody shall take an old one for the newest
            with self._lock:
                self._dropped[record.address, NOT_KEPT] += 1
        return frames
