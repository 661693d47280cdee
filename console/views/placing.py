# SPDX-License-Identifier: Apache-2.0
"""How a node finds the real of a packet: its flow table, and what is no plain TCP or UDP.  Pure."""

from __future__ import annotations

import msgspec

from console import format as fmt
from console.model.rates import rate, share
from console.model.store import Agent
from console.views.cells import Cell, TextLine
from console.views.items import Item
from shared.messages import FlowtableSnapshot


class FlowTable(msgspec.Struct, frozen=True):
    """A node's, over all CPUs; rates are per second and None where they cannot be known."""

    totals: FlowtableSnapshot
    fresh: bool
    used: float | None
    """Of the capacity, as a fraction."""
    hits: float | None
    """Of the lookups, as a fraction."""
    misses: dict[str, float | None]
    """By cause."""
    untracked: float | None
    evictions: float | None
    turnover: float | None
    """Seconds until as many new flows came as there are entries; None too while none comes."""


def flow_table(agent: Agent, now: float) -> FlowTable | None:
    """None: the node has not told."""
    totals = agent.flowtable
    if totals is None:
        return None
    before, span = agent.pair("flowtable")

    def per_second(field: str) -> float | None:
        return rate(getattr(before, field), getattr(totals, field), span) if before else None

    misses = {cause: per_second(f"miss_{cause}") for cause in ("syn", "udp", "other")}
    hits = per_second("hits")
    known = [m for m in misses.values() if m is not None]
    lookups = None if hits is None or len(known) < len(misses) else hits + sum(known)
    new = None if lookups is None else (misses["syn"] or 0) + (misses["udp"] or 0)
    return FlowTable(
        totals=totals,
        fresh=agent.fresh(now, "flowtable"),
        used=share(totals.occupied, totals.capacity),
        hits=share(hits, lookups),
        misses=misses,
        untracked=per_second("untracked"),
        evictions=per_second("evictions"),
        turnover=totals.capacity / new if new else None,
    )


def lines(table: FlowTable | None) -> list[TextLine]:
    if table is None:
        return [(Cell(" table    not known yet", "dim"),)]

    def then(text: str) -> str:
        """What was so when it was told, marked where that is long ago."""
        return text if table.fresh or text == fmt.UNKNOWN else f"{text}?"

    totals = table.totals
    misses = " ".join(f"{then(fmt.si(n))} {cause}" for cause, n in table.misses.items())
    held = (
        f" table    {fmt.si(totals.occupied)}/{fmt.si(totals.capacity)} "
        f"{then(fmt.percent(table.used))}  turnover {then(fmt.age(table.turnover))}"
        f"  hit {then(fmt.percent(table.hits))}  evicted/s {then(fmt.si(table.evictions))}"
    )
    special = ", ".join(
        f"{name.replace('_', ' ')} {fmt.si(number)}"
        for name, number in msgspec.structs.asdict(totals.program).items()
        if number
    )
    missed = f" miss/s   {misses}"
    return [(Cell(held),), (Cell(missed),), (Cell(f" special  {special or 'none'}", "dim"),)]


def item(table: FlowTable | None) -> Item | None:
    """For JSON: totals as they came, and what follows from two looks."""
    if table is None:
        return None
    totals = msgspec.structs.asdict(table.totals)
    for origin in ("node", "boot", "sequence", "at"):
        del totals[origin]
    program = msgspec.structs.asdict(totals.pop("program"))
    return {
        **totals,
        "turnover_s": None if table.turnover is None else round(table.turnover, 1),
        "program": program,
    }
