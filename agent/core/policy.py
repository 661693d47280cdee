# SPDX-License-Identifier: Apache-2.0
"""What a VIP does when too few of its reals are up.  Pure.

Four questions, one function each: is it a panic, does a fail-open wait for more reals, is the
address to be announced, and how much of the weight that a real asks for is heard.
"""

from __future__ import annotations

from typing import Literal

AllDown = Literal["withdraw", "fail-open", "drop"]
RELIEF = 10
"""Percent above the threshold at which a panic ends: so that one real cannot toggle it."""
COARSE = 10
"""Percent: wishes are heard in steps, for each step moves slots of others too."""
PATIENCE = 10.0
"""Seconds between two changes of weight that a real asks for."""


def panics(*, healthy: int, listed: int, threshold: int, panicking: bool) -> bool:
    """Whether `all_down` is in force.

    healthy, listed: weights of the enabled reals, those that are up and all.  threshold: percent of
    the weight that must be up; 0: any.  Without enabled reals there is nothing to panic about: that
    is the operator's doing.
    """
    if listed == 0:
        return False
    if healthy == 0:
        return True
    needed = min(100, threshold + RELIEF) if panicking and threshold else threshold
    return 100 * healthy < needed * listed


def follows(*, up: bool, passed: int, asked: float) -> bool:
    """Whether a real may still come up with those whose rise would end a fail-open.

    passed: checks in a row that it passed.  asked: seconds between that rise and its last result; 0
    or less: it was not asked since.

    A check that was broken is mended for all reals alike, but they are asked one after the other:
    without a round's patience the first one up would take the flows of all others.
    """
    return not up and (asked <= 0 or passed > 0)


def attracts(
    all_down: AllDown,
    *,
    serving: int,
    announced: bool,
    announce_at: int,
    withdraw_below: int,
    panicking: bool,
    placed: bool,
) -> bool:
    """Whether a VIP wants its address announced, as far as its reals are concerned.

    serving: reals that take new flows.  placed: its ring has a real, and will have one.
    """
    if all_down == "fail-open" and (panicking or announced):
        return placed
    if all_down == "drop" and announced:
        return True
    if panicking:
        return False
    return serving >= max(1, withdraw_below if announced else announce_at)


def heard(wish: int | None, now_at: int, *, waited: float) -> int:
    """The percent of its weight that a real gets, given what it asks for and what it has.

    wish: None: it does not say, so all of it.  waited: seconds since what it has last changed.
    """
    if waited < PATIENCE:
        return now_at
    return 100 if wish is None else max(COARSE, round(wish / COARSE) * COARSE)
