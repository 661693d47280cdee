# SPDX-License-Identifier: Apache-2.0
"""When each topic's snapshot is due: its own rate, and for `node` no more than BUDGET.  Pure.

Everybody follows `node`, of every node: it must stay cheap whatever its rate and its size, and
comes less often rather than cost more.
"""

from __future__ import annotations

from collections.abc import Mapping

EVERY = ("node", "vip", "real", "cpu", "flowtable", "drop")
"""Of snapshots, each of which counts something."""
LABELS_EVERY = 10.0
"""Seconds: they change with the config only, and are said at once then."""
TOPICS = (*EVERY, "label")
BUDGET = 1000.0
"""Bytes a second of `node`, frames without ZeroMQ's framing."""
EARLY = 0.001
"""Seconds that a timer may go off too soon."""
SLOWEST = 10.0
"""Seconds between two snapshots of a topic, at most: older values look stale (console)."""


class Pace:
    """Topic -> when it is due (monotonic seconds), and how many of it there were."""

    def __init__(self) -> None:
        self.sequences = dict.fromkeys(TOPICS, 0)
        """Of the last snapshot of each topic: up by one each, so that a gap is a lost one."""
        self._due = dict.fromkeys(TOPICS, float("-inf"))

    def take(self, now: float, rates: Mapping[str, float]) -> frozenset[str]:
        """The topics that are due, each counted; `rates`: snapshots a second.

        What is late is made once, not made up for.
        """
        due = frozenset(topic for topic in TOPICS if self._due[topic] <= now + EARLY)
        for topic in due:
            self.sequences[topic] += 1
            step = LABELS_EVERY if topic == "label" else 1 / rates[topic]
            following = self._due[topic] + step
            self._due[topic] = following if following > now else now + step
        return due

    def hasten(self, topic: str) -> None:
        """Its next one is due now."""
        self._due[topic] = float("-inf")

    def cost(self, topic: str, size: int, now: float) -> None:
        """It was published, `size` bytes long."""
        if topic == "node":
            afforded = now + min(size / BUDGET + EARLY, SLOWEST)
            self._due[topic] = max(self._due[topic], afforded)

    def wait(self, now: float, rates: Mapping[str, float]) -> float:
        """Seconds until one is due; a rate that was raised meanwhile counts from now."""
        for topic in EVERY[1:]:
            self._due[topic] = min(self._due[topic], now + 1 / rates[topic])
        return max(0.0, min(self._due.values()) - now)
