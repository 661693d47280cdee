# SPDX-License-Identifier: Apache-2.0
"""Guard rails: changes that are refused, by name, on every path.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

from msgspec import Meta

from agent.config.tables import Table
from shared.guards import (
    BLAST_RADIUS,
    CAPACITY,
    FRESH,
    LAST_ANNOUNCER,
    LAST_HEALTHY,
    LIVE_FLOWS,
    MIN_HEALTHY,
    NAMES,
    OTHER_OP,
)


class Limits(Table, frozen=True, kw_only=True):
    """The table `guards` of the config file."""

    blast_radius: Annotated[int, Meta(ge=0, le=100)] = 60
    fresh: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    announcers: Annotated[int, Meta(ge=0, le=1000)] = 1


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
    uncounted: tuple[str, ...] = ()
    """Of these: who may have flows that the flow table does not hold, in words."""
    unsure: str = ""
    """Why it may not hold them."""
    moved: float = 0.0
    """Share of its ring that changes hands, besides what reals that come would take alone."""
    overloaded: tuple[str, ...] = ()
    """Reals that would get more than they can take, in words."""
    carriers: tuple[str, ...] = ()
    """Reals that would take new flows."""
    stale: tuple[str, ...] = ()
    """Those of them that were not checked for too long."""
    others: tuple[str, ...] = ()
    """Changes of somebody else that are still pending on it, in words."""
    elsewhere: int | None = None
    """Its route is withdrawn here: other nodes that announce it, as the sender knows; None: the
    route is not what changes."""


def check(impact: Impact, limits: Limits) -> Iterator[Refusal]:
    """Every guard that says no.

    A change that makes nothing worse is always allowed: an operator must be able to repair.
    """
    if impact.elsewhere is not None and impact.elsewhere < limits.announcers:
        yield _last(impact, impact.elsewhere, limits)
    if impact.cut_flows:
        yield Refusal(
            LIVE_FLOWS,
            f"{impact.vip}: {impact.cut_flows} live flows would lose their real; drain what "
            "is to go and wait until it is empty",
        )
    elif impact.uncounted:
        yield Refusal(
            LIVE_FLOWS,
            f"{impact.vip}: {impact.unsure}, and {', '.join(impact.uncounted)} may have some that "
            "are not counted; drain it and wait until it is empty",
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
    if 0 < limits.blast_radius < 100 * impact.moved and impact.serving_after:
        yield Refusal(
            BLAST_RADIUS,
            f"{impact.vip}: {100 * impact.moved:.0f} % of its ring would change hands at once, "
            f"at most {limits.blast_radius} % may; do it in several steps",
        )
    yield from _doubts(impact)


def _last(impact: Impact, elsewhere: int, limits: Limits) -> Refusal:
    if not elsewhere:
        why = "no other node is known to announce it: nobody would reach it"
    else:
        some = "one other node announces" if elsewhere == 1 else f"{elsewhere} other nodes announce"
        why = f"{some} it, guards.announcers wants {limits.announcers}"
    return Refusal(LAST_ANNOUNCER, f"{impact.vip}: {why}; announce it elsewhere first")


def _doubts(impact: Impact) -> Iterator[Refusal]:
    if impact.overloaded:
        yield Refusal(
            CAPACITY,
            f"{impact.vip}: too much for {', '.join(impact.overloaded)}; bring others up first",
        )
    if impact.stale and impact.serving_after < impact.serving_before:
        yield Refusal(
            FRESH,
            f"{impact.vip}: {', '.join(impact.stale)} would have to carry more, but was not "
            "checked lately (guards.fresh); see why its checks stand still",
        )
    if impact.others:
        yield Refusal(
            OTHER_OP,
            f"{impact.vip}: {', '.join(impact.others)} is not over yet; wait, or ask",
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
