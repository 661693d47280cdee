# SPDX-License-Identifier: Apache-2.0
"""What stops an operation that comes to its nodes one after the other.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from console.model.rates import rate
from console.model.store import Agent
from console.model.underway import touches
from console.planning.staging import Stop
from console.planning.wish import Order

Agents = Mapping[str, Agent]
"""By address."""


class Seen(NamedTuple):
    """How a node was before."""

    drops: float | None
    """Per second; None: not known."""
    ailing: frozenset[tuple[str, str]]
    """(VIP, address) of the reals that are not up, of its VIPs."""


class Course(NamedTuple):
    """How far it is."""

    operation: str
    lines: tuple[str, ...]
    stop: Stop
    orders: Sequence[Order]
    done: Sequence[Order]
    """Those whose nodes had their turn."""
    before: Mapping[str, Seen]
    """By address."""
    told_at: float
    """When all nodes had said that they know of it."""


def why(course: Course, agents: Agents, now: float) -> str:
    """Empty: it may go on."""
    """Why it must not go on; empty: it may."""
    more, known = 0.0, False
    for order in course.orders:
        agent, before = agents[order.address], course.before[order.address]
        if not agent.fresh(now, "node"):
            return f"{order.node}: no telemetry for {agent.age(now, 'node') or 0:.0f} s"
        rows = agent.node.rollouts if agent.node else ()
        mine = next((row for row in rows if row.operation == course.operation), None)
        if mine is not None and mine.state == "held" and agent.node:
            ago = agent.node.at - mine.since + (agent.age(now, "node") or 0.0)
            if ago >= now - course.told_at:
                continue  # of before: the next telemetry has what it was told now
            return mine.said or f"held on {order.node}"
        after = seen(agent, course.lines)
        if course.stop.health and after.ailing != before.ailing:
            vip, real = min(after.ailing ^ before.ailing)
            word = "down" if (vip, real) in after.ailing else "up"
            return f"real/{real}@{vip} went {word} on {order.node}"
        if order in course.done and after.drops is not None and before.drops is not None:
            more, known = more + after.drops - before.drops, True
    limit = course.stop.drops
    if limit is not None and known and more > limit:
        return f"drops +{more:.0f}/s (limit +{limit:g}/s)"
    return ""


def seen(agent: Agent, lines: Sequence[str]) -> Seen:
    before, span = agent.pair("node")
    now = agent.node
    drops = rate(before.drop_packets, now.drop_packets, span) if before and now else None
    rows = [row for row in agent.vips.vips if touches(lines, row.name)] if agent.vips else []
    return Seen(drops, frozenset((row.name, real.address) for row in rows for real in row.ailing))
