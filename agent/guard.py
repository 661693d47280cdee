# SPDX-License-Identifier: Apache-2.0
"""Guard rails: changes that are refused, by name, on every path.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

LAST_HEALTHY = "last-healthy"
MIN_HEALTHY = "min-healthy"
LIVE_FLOWS = "live-flows"
NAMES = (LAST_HEALTHY, MIN_HEALTHY, LIVE_FLOWS)
"""What `--allow` takes."""


class Refusal(NamedTuple):
    guard: str
    why: str


class Impact(NamedTuple):
    """What a change does to one VIP."""

    vip: str
    serving_before: int
    """Reals that take new flows."""
    serving_after: int
    quorum_before: int
    quorum: int
    cut_flows: int = 0
    """Live flows of reals that would be removed or disabled."""


def check(impact: Impact) -> Iterator[Refusal]:
    """Every guard that says no.

    A change that makes nothing worse is always allowed: an operator must be able to repair.
    """
    if impact.cut_flows:
        yield Refusal(
            LIVE_FLOWS,
            f"{impact.vip}: {impact.cut_flows} live flows would lose their real; drain what "
            "is to go and wait until it is empty",
        )
    fewer = impact.serving_after < impact.serving_before
    quorum_was_met = impact.serving_before >= impact.quorum_before
    if fewer and impact.serving_after == 0:
        yield Refusal(
            LAST_HEALTHY,
            f"{impact.vip} would have no real for new flows; bring another one up or undrain one "
            "first",
        )
    elif impact.serving_after < impact.quorum and (fewer or quorum_was_met):
        yield Refusal(
            MIN_HEALTHY,
            f"{impact.vip} would have {impact.serving_after} reals for new flows, its quorum is "
            f"{impact.quorum}: this node would withdraw its route; undrain another real first, or "
            "lower `quorum`",
        )


def first(refusals: Iterable[Refusal], allowed: Iterable[str]) -> Refusal | None:
    """The first that was not allowed by name."""
    passed = frozenset(allowed)
    return next((refusal for refusal in refusals if refusal.guard not in passed), None)


def wrongly_allowed(allowed: Iterable[str], why: str) -> str:
    """What is wrong with an `--allow`; empty: nothing."""
    given = tuple(allowed)
    unknown = [name for name in given if name not in NAMES]
    if unknown:
        return f"--allow {unknown[0]}: no such guard; there are {', '.join(NAMES)}"
    if given and not why.strip():
        return "--allow needs a --reason: passing a guard is written to the journal"
    return ""
