# SPDX-License-Identifier: Apache-2.0
"""One topic of one agent: what came last, when it is too old, what it says of each object.  Pure.

Five hundred agents send three of them a second: what is kept of each is small, and in one place.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from console.model.rates import Samples
from console.model.sights import Sights
from shared.messages import Snapshot

STALE_AFTER = 5.0
"""Seconds without telemetry after which values are not live any more (3 intervals, if longer)."""
LONGEST_INTERVAL = 10.0
"""Seconds; no agent publishes a topic more seldom (telemetry.topic_hz)."""


class Heard:
    __slots__ = ("_samples", "_steps", "limit", "seen", "sights")

    def __init__(self, address: str, max_age: float | None = None) -> None:
        """`max_age`: seconds past which its values are stale, instead of what its rhythm says."""
        self.seen = float("-inf")
        """When the newest snapshot came, by the console's clock."""
        self.limit = STALE_AFTER if max_age is None else max_age
        """Age in seconds past which its values are stale: each topic has a rate of its own."""
        self.sights = Sights(address)
        self._samples: Samples[Any] = Samples()
        self._steps: deque[float] | None = deque(maxlen=5) if max_age is None else None

    @property
    def pair(self) -> tuple[Any, float]:
        """(the snapshot to subtract from the latest, or None; seconds between them)."""
        return self._samples.before(self.limit), self._samples.span()

    def take(self, new: Snapshot, at: float) -> bool:
        """False when it is not newer than what is known."""
        samples = self._samples
        older = samples.latest
        if not samples.push(new):
            return False
        self.seen = at
        if older is not None and self._steps is not None:
            self._step(self._steps, abs(new.at - older.at))
        self.sights.take(new, *self.pair, at)
        return True

    def _step(self, steps: deque[float], seconds: float) -> None:
        steps.append(seconds)
        if 3 * seconds <= STALE_AFTER == self.limit:
            return  # as it is with all but a few
        # The median: neither a silence nor an extra look changes an agent's rhythm.
        usual = sorted(steps)[len(steps) // 2]
        self.limit = max(STALE_AFTER, 3 * min(usual, LONGEST_INTERVAL))


NOTHING = Heard("")
"""Of a topic of which nothing came."""
