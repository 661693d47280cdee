# SPDX-License-Identifier: Apache-2.0
"""Telemetry that an agent sent and that did not come: its messages are numbered without a gap.

Numbers go up by one per topic, whether somebody is connected or not; those that begin again are a
restarted agent's, and say nothing of what was before.
"""

from __future__ import annotations

import threading
from collections import Counter

from shared.codec import numbered
from shared.recording import Record


class Gaps:
    """Filled in one thread, read in others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], int] = {}
        self._missed: Counter[tuple[str, str]] = Counter()

    def take(self, record: Record) -> None:
        """Telemetry as the agent published it; answers to questions are none."""
        topic, _, payload = record.frames
        number = numbered(payload)
        if number is None:
            return
        of = record.address, topic.decode()
        with self._lock:
            last = self._last.get(of, number)
            self._last[of] = number
            if number > last + 1:
                self._missed[of] += number - last - 1

    def missed(self) -> Counter[tuple[str, str]]:
        """(agent's address, topic) -> messages so far."""
        with self._lock:
            return Counter(self._missed)
