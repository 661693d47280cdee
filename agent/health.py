# SPDX-License-Identifier: Apache-2.0
"""From probe results to up and down: rise and fall.  Pure."""

from __future__ import annotations

from typing import NamedTuple

from shared.model import Health


class Verdict(NamedTuple):
    """A real's health, and how many results in a row speak against it."""

    health: Health
    against: int = 0


def judge(verdict: Verdict, *, ok: bool, rise: int, fall: int) -> Verdict:
    """The verdict after one more result.

    Consecutive results count, not cumulative ones (H1): a single result of the other kind starts
    the count again.  The first result of an unknown real decides alone: there is no state to
    protect yet, and a node that starts must not wait `rise` rounds before it serves.
    """
    told = Health.UP if ok else Health.DOWN
    if verdict.health is Health.UNKNOWN:
        return Verdict(told)
    if told is verdict.health:
        return Verdict(verdict.health)
    against = verdict.against + 1
    needed = rise if ok else fall
    return Verdict(told) if against >= needed else Verdict(verdict.health, against)


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
