# SPDX-License-Identifier: Apache-2.0
"""Whether the console may open plans: never by itself, for some minutes, with a reason.  Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from console.exits import Exit, VerbError

USUAL_MINUTES = 15
MOST_MINUTES = 120
ONLY_LOOKS = "in a browser the console only looks: no plans, no files, no other context"
_SPAN = re.compile(r"(\d{1,4})\s*(m|min|h)?")


class ArmingError(VerbError):
    """Minutes or reason that will not do; the text says what would."""


class Arming(NamedTuple):
    """VIEW, or ARMED until a moment of the console's monotonic clock."""

    until: float = float("-inf")
    reason: str = ""
    """Becomes the reason of every plan, unless another one is typed."""
    never: bool = False
    """This console is for looking only (`view_only` in its config)."""
    served: bool = False
    """It is in a browser: whoever looks has no name here, and the disk is the server's."""

    def armed(self, now: float) -> bool:
        return now < self.until

    def word(self, now: float) -> str:
        """`VIEW`, or `ARMED 12:41`: what is left."""
        if not self.armed(now):
            return "VIEW"
        left = int(self.until - now)
        return f"ARMED {left // 60:02}:{left % 60:02}"

    def refusal(self) -> str:
        if self.served:
            return ONLY_LOOKS
        if self.never:
            return "VIEW only: this console's config says so; use another context"
        return "VIEW: nothing can be changed; A arms the console for some minutes"

    def disarmed(self) -> Arming:
        return Arming(never=self.never, served=self.served)

    def for_minutes(self, minutes: int, reason: str, now: float) -> Arming:
        """Raises ArmingError."""
        if self.never:
            raise ArmingError(self.refusal(), Exit.NOT_ALLOWED)
        if not 1 <= minutes <= MOST_MINUTES:
            raise ArmingError(f"arm: 1 to {MOST_MINUTES} minutes, got {minutes}")
        if not reason.strip():
            raise ArmingError("arm: say why; it becomes the reason in the nodes' journals")
        return Arming(now + 60 * minutes, reason.strip())


def minutes(text: str) -> int:
    """`15`, `15m`, `1h` -> minutes.  Raises ArmingError."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ArmingError(f"arm: {text!r} is no time; 15m would be")
    return int(found[1]) * (60 if found[2] == "h" else 1)
