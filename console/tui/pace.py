# SPDX-License-Identifier: Apache-2.0
"""How often the display is drawn anew: less often where the terminal cannot keep up.  Pure."""

from __future__ import annotations

from collections import deque

FRAME = 0.5
"""Seconds between frames."""
SLOW_FRAME = 2.0
"""The same on a slow link."""
MOST_OF_A_CORE = 0.02
"""Share of a core that frames may take: where one is dear (500 nodes), they become rarer."""
EARLY = FRAME / 5
"""Seconds: the clock that asks is not exact, a tick that comes a little early is taken."""
WINDOW = 10.0
"""Seconds over which what is written is averaged."""
MOST = 20_000
"""Bytes per second to the terminal above which frames become rarer."""
CALM = MOST * FRAME / SLOW_FRAME * 0.8
"""Bytes per second at the slow pace under which the fast one would be fine again."""


class Pace:
    """Decides from what was written whether a frame is due; time and bytes are its caller's."""

    def __init__(self) -> None:
        self.slow = False
        self._samples: deque[tuple[float, int]] = deque()
        self._held = float("-inf")
        self._drawn = float("-inf")
        self._took = 0.0

    def sample(self, now: float, written: int, *, held: bool) -> None:
        """`written`: bytes since the start; `held`: the terminal is not reading."""
        self._samples.append((now, written))
        while self._samples[-1][0] - self._samples[0][0] > WINDOW:
            self._samples.popleft()
        if held:
            self._held = now
        if self.slow:
            self.slow = now - self._held <= WINDOW or self.bytes_per_second > CALM
        else:
            self.slow = held or self.bytes_per_second > MOST

    @property
    def bytes_per_second(self) -> float:
        """Over the whole window, also before that much time has passed."""
        return (self._samples[-1][1] - self._samples[0][1]) / WINDOW if self._samples else 0.0

    def drawn(self, took: float) -> None:
        """What a frame cost, in seconds of processor time."""
        self._took = max(took, 0.8 * self._took)

    def due(self, now: float) -> bool:
        """True once per frame."""
        dear = min(SLOW_FRAME, self._took / MOST_OF_A_CORE)
        if now - self._drawn < (SLOW_FRAME if self.slow else dear) - EARLY:
            return False
        self._drawn = now
        return True
