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
