# SPDX-License-Identifier: Apache-2.0
"""`B`: a route is announced or withdrawn by the drain of what it belongs to.  Pure.

No command touches a route alone: a drain asks routers for other paths first and withdraws when they
were taken, or at its deadline; the way back announces at once.  So the plan is that of the drain.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from console.model import objects
from console.model.objects import Object, Verb
from console.model.store import Agent, Liveness
from console.planning.wish import Target, Wish, wish
from shared.messages import VipRow
from shared.model import Admin


def of_vip(
    name: str, agents: Sequence[Agent], now: float, addresses: Collection[str] = ()
) -> Wish | str:
    """Announce the VIP where a drain took its route away, else withdraw it where it is announced.

    `addresses`: of the agents that are meant; empty: all.  A text says why there is no plan.
    """
    carrying = objects.carriers(Object("vip", name), agents)
    meant = [agent for agent in carrying if not addresses or agent.address in addresses]
    there = {agent: _row(agent, name) for agent in meant if agent.fresh(now, "vip")}
    if not there:
        return f"{name}: no node with live values has it: no action on old ones"
    away = [agent for agent, row in there.items() if row.phase]
    nodes = away or [agent for agent, row in there.items() if row.announced]
    if not nodes:
        return _nowhere(name, list(there))
    return _wish(
        "undrain" if away else "drain",
        Target("vip", name, "", _seats(nodes), 0),
        everywhere=len(nodes) == len(carrying),
    )


def of_node(agent: Agent, now: float) -> Wish | str:
    """As `of_vip`, of all VIPs of a node at once."""
    if agent.node is None or agent.liveness(now) is not Liveness.LIVE:
        return f"{agent.name}: {agent.liveness(now)}: no action on values that are not live"
    verb: Verb = "drain" if agent.node.admin is Admin.ENABLED else "undrain"
    return _wish(verb, Target("node", agent.name, "", _seats([agent]), 0), everywhere=True)


def _wish(verb: Verb, target: Target, *, everywhere: bool) -> Wish:
    nodes = tuple(node for _, node in target.agents)
    word = "withdraw" if verb == "drain" else "announce"
    what = f"{target.name} on {_some(nodes)}" if target.kind == "vip" else f"all of {target.name}"
    return wish(verb, [target])._replace(
        title=f"{word} {what}, by {verb} {target}", only=() if everywhere else nodes
    )


def _nowhere(name: str, there: Sequence[Agent]) -> str:
    drained = [a.name for a in there if a.node and a.node.admin is not Admin.ENABLED]
    if drained:
        return f"{name}: {_some(drained)} is drained: U on the node (1) announces all of it again"
    return f"{name} is not announced, and nobody drained it: its reals say when (Enter)"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{len(names)} nodes"


def _seats(agents: Sequence[Agent]) -> tuple[tuple[str, str], ...]:
    return tuple((agent.address, agent.name) for agent in agents)


def _row(agent: Agent, name: str) -> VipRow:
    assert agent.vips is not None
    return next(row for row in agent.vips.vips if row.name == name)
