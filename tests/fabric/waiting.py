# SPDX-License-Identifier: Apache-2.0
"""Waiting for a fact with a deadline: the only place of the fabric where time passes unused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


_SLOW = 4
"""Times as long as on a machine that has nothing else to do."""
_LONGEST = 60.0
"""Seconds; a deadline that is further away stays as it is."""


class DeadlineError(AssertionError):
    """Something awaited did not come true in time; the text says what and what was seen last."""


def until(ask: Callable[[], T], seconds: float, what: str, *, every: float = 0.02) -> T:
    """Ask until the answer is truthy and return it.

    `seconds`: on an idle machine; DeadlineError is raised after several times as many, which costs
    nothing while all is well.  What must not take longer than so long is measured, not waited for.
    """
    seconds = max(seconds, min(seconds * _SLOW, _LONGEST))
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise DeadlineError(f"not within {seconds:g} s: {what} (last seen: {answer!r})")
        time.sleep(every)
