# SPDX-License-Identifier: Apache-2.0
"""`B`: which way it goes, and on which nodes, is what the nodes say now.  Pure.

Where an operator withdrew a route it is announced again, else it is withdrawn where it stands.  A
route that a drain or health took away is not B's: the text says whose it is.
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
    """Of a VIP.  `addresses`: of the agents that are meant; empty: all.  A text says why there is
    no plan."""
    carrying = objects.carriers(Object("vip", name), agents)
    meant = [agent for agent in carrying if not addresses or agent.address in addresses]
    there = {agent: _row(agent, name) for agent in meant if agent.fresh(now, "vip")}
    if not there:
        return f"{name}: no node with live values has it: no action on old ones"
    away = [agent for agent, row in there.items() if row.withdrawn]
    nodes = away or [agent for agent, row in there.items() if row.announced]
    if not nodes:
        return _nowhere(name, there)
    return _wish(
        "announce" if away else "withdraw",
        Target("vip", name, "", _seats(nodes), 0),
        everywhere=len(nodes) == len(carrying),
    )


def of_node(agent: Agent, now: float) -> Wish | str:
    """As `of_vip`, of all routes of a node at once."""
    if agent.node is None or agent.liveness(now) is not Liveness.LIVE:
        return _old(agent, now)
    verb: Verb = "announce" if agent.node.withdrawn else "withdraw"
    return _wish(verb, Target("node", agent.name, "", _seats([agent]), 0), everywhere=True)


def of_peer(agent: Agent, address: str, now: float) -> Wish | str:
    """As `of_vip`, of all routes to one of a node's peers."""
    if agent.node is None or agent.liveness(now) is not Liveness.LIVE:
        return _old(agent, now)
    away = any(peer.address == address and peer.withdrawn for peer in agent.node.peers)
    target = Target("peer", f"{agent.name}/{address}", "", _seats([agent]), 0)
    return _wish("announce" if away else "withdraw", target, everywhere=True)


def _old(agent: Agent, now: float) -> str:
    return f"{agent.name}: {agent.liveness(now)}: no action on values that are not live"


def _wish(verb: Verb, target: Target, *, everywhere: bool) -> Wish:
    nodes = tuple(node for _, node in target.agents)
    where = f" on {_some(nodes)}" if target.kind == "vip" else ""
    return wish(verb, [target])._replace(
        title=f"{verb} {target}{where}", only=() if everywhere else nodes
    )


def _nowhere(name: str, there: dict[Agent, VipRow]) -> str:
    nodes = [agent for agent in there if agent.node]
    withdrawn = [a.name for a in nodes if a.node and a.node.withdrawn]
    if withdrawn:
        return f"{name}: {_some(withdrawn)} is withdrawn as a whole: B on the node (1)"
    drained = [a.name for a in nodes if a.node and a.node.admin is not Admin.ENABLED]
    if drained:
        return f"{name}: {_some(drained)} is drained: U on the node (1) announces all of it again"
    gone = [agent.name for agent, row in there.items() if row.phase]
    if gone:
        return f"{name} is drained on {_some(gone)}: U takes it back into service"
    return f"{name} is not announced, and nobody withdrew it: its reals say when (Enter)"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{len(names)} nodes"


def _seats(agents: Sequence[Agent]) -> tuple[tuple[str, str], ...]:
    return tuple((agent.address, agent.name) for agent in agents)


def _row(agent: Agent, name: str) -> VipRow:
    assert agent.vips is not None
    return next(row for row in agent.vips.vips if row.name == name)
