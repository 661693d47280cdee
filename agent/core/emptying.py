# SPDX-License-Identifier: Apache-2.0
"""A draining real: how many flows it has left, how fast they end, when it will be empty.  Pure.

Flows of one kind end like radioactive decay: the same share of them in every second.  So the
estimate is the half-life over the last minute, and the time until less than one is left; with
long-living flows it is what it is, an estimate, and it is not given while nothing ends.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from agent.core.unknown_flows import SURE, Unsure

WINDOW = 60.0
"""Seconds that the estimate looks back."""
LEAST = 3.0
"""Seconds before there is an estimate."""
SAMPLES = 64


class Emptying(NamedTuple):
    """A drain under way."""

    since: float
    at_start: int
    """Live flows when it began, as counted first."""
    samples: tuple[tuple[float, int], ...] = ()
    """(seconds, live flows), the newest last."""
    empty_at: float = 0.0
    """When it was found empty; 0: it is not."""
    silence: tuple[float, float] | None = None
    """Seconds since its live flows were heard of, when counted last: least and most."""
    unsure: Unsure = SURE
    """Until when it is not found empty, though no flow is counted."""


def begin(now: float, flows: int) -> Emptying:
    return Emptying(now, flows)


def counted(
    emptying: Emptying,
    flows: int,
    now: float,
    silence: tuple[float, float] | None = None,
    *,
    unsure: Unsure = SURE,
) -> Emptying:
    """With one more count.  `unsure`: flows may be left of which it does not know: one without an
    entry gets one with its next packet."""
    kept = tuple(s for s in emptying.samples if now - s[0] <= WINDOW)[-SAMPLES + 1 :]
    begins = not emptying.samples or bool(unsure.until)
    first = max(emptying.at_start, flows) if begins else emptying.at_start
    found_empty = emptying.empty_at or (0.0 if unsure.until else now)
    return Emptying(
        emptying.since,
        first,
        (*kept, (now, flows)),
        0.0 if flows else found_empty,
        silence,
        SURE if found_empty else unsure,
    )


def half_life(emptying: Emptying) -> float:
    """Seconds in which half of the flows end; infinite while none does; 0 when it is empty."""
    if not emptying.samples:
        return math.inf
    (begun, before), (now, flows) = emptying.samples[0], emptying.samples[-1]
    if flows == 0:
        return 0.0 if emptying.empty_at else math.inf
    if now - begun < LEAST or flows >= before:
        return math.inf
    return (now - begun) * math.log(2) / math.log(before / flows)


def seconds_left(emptying: Emptying) -> float:
    """Until less than one flow is left, 0: none is; infinite: no estimate."""
    if not emptying.samples:
        return math.inf
    flows = emptying.samples[-1][1]
    return half_life(emptying) * (math.log2(max(1, flows)) + 1)
