# SPDX-License-Identifier: Apache-2.0
"""From probe results to up and down: rise, fall, flap damping, slow start.  Pure.

Damping bounds how often a flapping real changes its VIP's ring (H1).  Every fall within memory
doubles the time for which the real must answer without a failure before it rises again; what stays
up is forgiven a fall at a time.  In any minute a real changes at most MOST_CHANGES times, however
its checks go.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.model import Health

FREE_FALLS = 2
"""Falls that cost nothing but `rise`: a restart, and one more try."""
FIRST_HOLD = 10.0
"""Seconds of answers that the next fall costs, unless configured; doubled by each further one."""
LONGEST_HOLD = 12
"""Times the first."""
FORGIVEN = 120.0
"""Seconds up after which a fall is forgotten."""
MOST_CHANGES = 9
"""Changes of one real within a minute with FIRST_HOLD, the worst: five falls, four rises."""
RAMP_STEPS = 5
"""Of a slow start.  Each moves some slots of others too, so they are few."""


class Verdict(NamedTuple):
    """A real's health, and what speaks against it."""

    health: Health
    against: int = 0
    """Results in a row that say otherwise."""
    falls: int = 0
    """Lately."""
    since: float = 0.0
    """Up: when it rose, or was last forgiven a fall.  Down: when the results in a row began."""


def judge(
    verdict: Verdict, *, ok: bool, rise: int, fall: int, now: float, first_hold: float = FIRST_HOLD
) -> Verdict:
    """The verdict after one more result.  first_hold: 0 is without damping.

    Consecutive results count, not cumulative ones (H1): a single result of the other kind starts
    the count again.  The first result of an unknown real decides alone: there is no state to
    protect yet, and a node that starts must not wait `rise` rounds before it serves.
    """
    if verdict.health is Health.UNKNOWN:
        return Verdict(Health.UP if ok else Health.DOWN, since=now)
    if verdict.health is Health.UP:
        return _judge_up(_forgiven(verdict, now), ok=ok, fall=fall, now=now)
    if not ok:
        return verdict._replace(against=0, since=now)
    since = verdict.since if verdict.against else now
    verdict = verdict._replace(against=verdict.against + 1, since=since)
    if verdict.against < rise or held(verdict, now, first_hold) > 0:
        return verdict
    return Verdict(Health.UP, 0, verdict.falls, now)


def _judge_up(verdict: Verdict, *, ok: bool, fall: int, now: float) -> Verdict:
    against = 0 if ok else verdict.against + 1
    if against >= fall:
        return Verdict(Health.DOWN, 0, verdict.falls + 1, now)
    return verdict if against == verdict.against else verdict._replace(against=against)


def _forgiven(verdict: Verdict, now: float) -> Verdict:
    if not verdict.falls:
        return verdict  # nearly always
    times = min(verdict.falls, int((now - verdict.since) // FORGIVEN))
    return verdict._replace(falls=verdict.falls - times, since=verdict.since + times * FORGIVEN)


def held(verdict: Verdict, now: float, first_hold: float = FIRST_HOLD) -> float:
    """Seconds for which a real that answers is still held down; 0: it is not."""
    if verdict.health is not Health.DOWN or not verdict.against:
        return 0.0
    return max(0.0, verdict.since + hold(verdict.falls, first_hold) - now)


def hold(falls: int, first_hold: float) -> float:
    """Seconds of answers that the rise after so many falls takes."""
    if falls <= FREE_FALLS:
        return 0.0
    return first_hold * min(float(LONGEST_HOLD), 2.0 ** (min(falls, 10) - FREE_FALLS - 1))


def ramp_step(since: float, ramp: float, now: float) -> int:
    """Of RAMP_STEPS, the step of a slow start that takes `ramp` seconds and began at `since`."""
    if ramp <= 0:
        return RAMP_STEPS
    return min(RAMP_STEPS, 1 + int(max(0.0, now - since) * RAMP_STEPS / ramp))


def share(weight: int, *, step: int = RAMP_STEPS, percent: int = 100) -> int:
    """The weight that a ramp and the real's own wish leave of the configured one; never 0."""
    return max(1, round(weight * step * percent / (RAMP_STEPS * 100)))


class Streak(NamedTuple):
    """How many results in a row were alike: what the prober needs to know to look closer."""

    ok: bool | None = None
    length: int = 0
    first: bool = True
    """No result of the other kind came yet: there is nothing to decide."""

    def after(self, *, ok: bool) -> Streak:
        if self.ok is None or ok is self.ok:
            return Streak(ok, self.length + 1, self.first)
        return Streak(ok, 1, False)

    def deciding(self, rise: int, fall: int) -> bool:
        """Whether the verdict may be changing: then the checks come at `fast_interval`."""
        return not self.first and self.length < (rise if self.ok else fall)
