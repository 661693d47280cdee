# SPDX-License-Identifier: Apache-2.0
"""How a verb ends.  Pure, and imports nothing: `remora version` needs it too."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    REFUSED = 4
    TIMED_OUT = 5
    NO_AGENT = 6
    CONFLICT = 7
    NOT_ALLOWED = 8
    INTERRUPTED = 130


class VerbError(Exception):
    """One line for the operator (what, and the remedy), and the exit code."""

    def __init__(self, text: str, code: int = Exit.USAGE) -> None:
        super().__init__(text)
        self.code = code
