# SPDX-License-Identifier: Apache-2.0
"""What a plan can be about: rows and names -> targets; never of stale values.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from console import format as fmt
from console.model import objects, rows
from console.model.objects import Object
from console.model.records import Node, Real, Vip
from console.model.store import Liveness
from console.planning.wish import Target
from console.views.view import View


def agents_of(view: View, addresses: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(address, node name) of those that are live now."""
    live = {agent.address: agent.name for agent in view.store.live(view.now)}
    return tuple((address, live[address]) for address in addresses if address in live)


def _left_out(view: View, wanted: Object, agents: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Nodes that carry it, or of which nobody knows, that are not among these."""
    there = {address for address, _ in agents}
    known = {agent.address for agent in objects.carriers(wanted, view.agents)}
    return tuple(
        agent.name
        for agent in view.agents
        if agent.address not in there and (agent.address in known or agent.vips is None)
    )


def node_target(view: View, node: Node) -> Target | str:
    """What a plan on this node is about, or why there can be none."""
    if node.liveness is not Liveness.LIVE:
        return f"{node.name}: {node.liveness}: no action on values that are not live"
    return Target("node", node.name, "", agents_of(view, [node.address]), 0)


def node_target_of(view: View, address: str) -> Target | str:
    """As node_target, of the node whose agent has this address."""
    return node_target(view, rows.nodes([view.store.agents[address]], view.now)[0])


def real_target(view: View, real: Real) -> Target | str:
    """As node_target, for a real on every live node that carries it."""
    if real.stale or not real.agents:
        return f"{real.address}: its values are {fmt.age(real.age)} old: no action on them"
    agents = agents_of(view, real.agents)
    left_out = _left_out(view, Object("real", real.address, real.vip), agents)
    return Target("real", real.address, real.vip, agents, real.weights[-1], left_out)


def vip_target(view: View, vip: Vip) -> Target | str:
    """As node_target, for a VIP on every live node that carries it."""
    if vip.stale:
        return f"{vip.name}: its values are {fmt.age(vip.age)} old: no action on them"
    carrying = objects.carriers(Object("vip", vip.name), view.agents)
    agents = agents_of(view, [agent.address for agent in carrying])
    left_out = _left_out(view, Object("vip", vip.name), agents)
    return Target("vip", vip.name, "", agents, 0, left_out)


def named_target(view: View, wanted: Object) -> Target | str:
    """As node_target and real_target, for a name; a real without a VIP is that of all VIPs."""
    if wanted.kind in ("node", "peer"):
        found_node = _node_named(view, wanted)
        if isinstance(found_node, str):
            return found_node
        return found_node._replace(kind=wanted.kind, name=wanted.name)
    if wanted.kind == "vip":
        vips = rows.vips(view.agents, view.now, name=wanted.name)
        return vip_target(view, vips[0]) if vips else f"{wanted}: there is none"
    reals = rows.reals(view.agents, view.now, vip=wanted.vip)
    found = [real_target(view, real) for real in reals if real.address == wanted.name]
    targets = [target for target in found if isinstance(target, Target)]
    if len(targets) < len(found) or not targets:
        return next((t for t in found if isinstance(t, str)), f"{wanted}: there is none")
    agents = tuple(dict.fromkeys(agent for target in targets for agent in target.agents))
    return targets[0]._replace(
        vip=wanted.vip, agents=agents, left_out=_left_out(view, wanted, agents)
    )


def _node_named(view: View, wanted: Object) -> Target | str:
    """Of the node that is called so; of none where two are: either may be meant."""
    name = wanted.name.partition("/")[0]
    addresses = [agent.address for agent in view.agents if agent.name == name]
    if len(addresses) > 1:
        own = "give each a node.name of its own"
        return f"{wanted}: {len(addresses)} agents call themselves so: {own}"
    return node_target_of(view, addresses[0]) if addresses else f"{wanted}: there is none"
