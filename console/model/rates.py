# SPDX-License-Identifier: Apache-2.0
"""Totals -> rates, where *unknown* is a value of its own.  Pure.

A rate is the difference of two totals over the agent's own clock.  One sample, a changed `boot`, a
counter that went backwards or a hole between the samples gives None: shown `-`, never 0, never a
spike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from shared.messages import Snapshot

SHORTEST_SPAN = 0.45
"""Seconds between the samples of a rate: a fast agent's totals are taken further apart, or one
packet more or less would look like a jump."""
HISTORY_SECONDS = 60
"""What sparklines show: one rate per second."""
LARGEST_STEP_BACK = 5.0
"""Seconds by which a late answer may be older than what was published meanwhile."""

S = TypeVar("S", bound=Snapshot)


class Sum(NamedTuple):
    """A total over several agents, and what had to be left out of it."""

    value: float | None
    """None: nobody knows."""
    left_out: int
    """Agents whose value is unknown or too old."""


def rate(before: float | None, after: float, seconds: float) -> float | None:
    """Per second, or None when it cannot be known."""
    if before is None or after < before or seconds <= 0:
        return None
    return (after - before) / seconds


def rates(
    before: Sequence[float] | None, after: Sequence[float], seconds: float
) -> tuple[float | None, ...]:
    """As `rate`, of several counters."""
    if before is None or seconds <= 0:
        return (None,) * len(after)
    if len(after) == 3:
        # Those of a real, of which there are most: a third of the time.
        (a, b, c), (x, y, z) = before, after
        return (
            (x - a) / seconds if x >= a else None,
            (y - b) / seconds if y >= b else None,
            (z - c) / seconds if z >= c else None,
        )
    return tuple(
        [(b - a) / seconds if b >= a else None for a, b in zip(before, after, strict=True)]
    )


def share(part: float | None, whole: float | None) -> float | None:
    """`part` of `whole` as a fraction, or None (also of nothing)."""
    if part is None or not whole:
        return None
    return part / whole


def total(values: Iterable[float | None], left_out: int = 0) -> Sum:
    """The sum of what is known; unknown values are counted, not taken as 0.

    `left_out`: how many more there are that are too old.
    """
    all_ = list(values)
    if None not in all_:
        return Sum(sum(all_) if all_ else None, left_out)  # type: ignore[arg-type]  # no None
    known = [value for value in all_ if value is not None]
    return Sum(sum(known) if known else None, len(all_) - len(known) + left_out)


class Samples(Generic[S]):
    """The newest snapshot of one topic, and the older one that rates are taken against."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[S] = []

    @property
    def latest(self) -> S | None:
        return self._kept[-1] if self._kept else None

    def before(self, longest: float) -> S | None:
        """What to subtract: None when there is no sample at most `longest` seconds older."""
        if len(self._kept) < 2 or self.span() > longest:
            return None
        return self._kept[0]

    def span(self) -> float:
        """Seconds of the agent's clock between the two."""
        return self._kept[-1].at - self._kept[0].at if self._kept else 0.0

    def push(self, sample: S) -> bool:
        """Takes a snapshot; False when it is not newer than what is known."""
        latest = self.latest
        if latest is not None:
            step = sample.at - latest.at
            if latest.boot == sample.boot and -LARGEST_STEP_BACK < step <= 0:
                return False
            if latest.boot != sample.boot or step < 0:
                self._kept.clear()
        self._kept.append(sample)
        while len(self._kept) > 2 and sample.at - self._kept[1].at >= SHORTEST_SPAN:
            self._kept.pop(0)
        return True
