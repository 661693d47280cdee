# SPDX-License-Identifier: Apache-2.0
"""What the message line says, and for how long.  Pure.

A message is about a moment: the answer to a key leaves with the next key, news of what others do
stay until they can have been read.  An error stays until a key says that somebody is there.  What
lasts (a held operation, the past) is no message: it is made of the view at every frame.
"""

from __future__ import annotations

from dataclasses import dataclass

SEEN = 1.0
"""Seconds on show after which a key means that it was read: keys may have been typed ahead."""
LASTS = 30.0
"""Seconds on show of what is no error."""


@dataclass
class Saying:
    text: str = ""
    tone: str = ""
    """`bad` is an error, `hot` is news; all else answers a key."""
    _since: float | None = None
    """Since when it has been on show, in seconds of the console's clock."""

    def lapse(self, now: float) -> bool:
        """Whether it leaves now, of itself."""
        if self._since is None:
            self._since = now
        return self._ends(self.tone != "bad" and now - self._since >= LASTS)

    def pressed(self, now: float) -> bool:
        """Whether it leaves as a key was pressed."""
        unread = self._since is None or now - self._since < SEEN
        return self._ends(not (unread and self.tone in ("bad", "hot")))

    def _ends(self, over: bool) -> bool:  # the answer itself
        ended = over and bool(self.text)
        if ended:
            self.text = ""
        return ended
