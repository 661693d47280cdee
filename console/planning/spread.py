# SPDX-License-Identifier: Apache-2.0
"""Who else announces: what a withdrawal must say, and what becomes of the traffic.  Pure.

No agent knows of the others.  So a wish is completed here, from live values, before it is planned:
each Withdraw names how many other nodes announce the VIP and go on doing so (the nodes' guard goes
by that), and the plan's head says how the routers spread afterwards.  They are taken to spread
evenly (ECMP); where their weights differ, so do the shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from console import format as fmt
from console.model.store import Agent
from console.planning.wish import Order, Wish, parts_of
from shared.messages import Action, Announce, Batch, NodeSnapshot, VipRow, Withdraw

NAMED = 4
"""So many nodes, or lines, are counted and not named."""


def completed(wish: Wish, agents: Sequence[Agent], now: float) -> Wish:
    """With what the nodes must be told and the operator should know; of other wishes as it was."""
    if not any(isinstance(part, Withdraw | Announce) for _, part in _routed(wish)):
        return wish
    by_address = {agent.address: agent for agent in agents}
    going = {o.address: _going(o.action, by_address.get(o.address)) for o in wish.orders}
    concerned = {o.address: _concerned(o.action, by_address.get(o.address)) for o in wish.orders}
    named = list(dict.fromkeys(vip for vips in concerned.values() for vip in vips))
    spreads = {vip: _spread(vip, wish, agents, going, now) for vip in named}
    orders = tuple(
        order._replace(action=_told(order.action, concerned[order.address], order, spreads))
        for order in wish.orders
    )
    return wish._replace(orders=orders, known=tuple(_lines(spreads.values())))


def told_anew(orders: Sequence[Order], agents: Iterable[Agent], now: float) -> tuple[Order, ...]:
    """The same orders with who announces now: between a plan and its turn another node may go.

    None of the nodes of these orders counts as one that goes on, whether it had its turn or not.
    """
    return completed(Wish("", "", (), tuple(orders), ()), list(agents), now).orders


class Spread(NamedTuple):
    """Who announces a VIP, by node, before and after."""

    vip: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    rate: float | None
    """Packets per second of all of them together; None: not known."""
    unknown: tuple[str, ...]
    """Nodes that have it, of which nothing is known now."""
    others: frozenset[str] = frozenset()
    """Addresses of those that announce it after."""


def _routed(wish: Wish) -> Iterator[tuple[Order, Action]]:
    for order in wish.orders:
        for part in parts_of(order.action):
            yield order, part


def _all_vips(agent: Agent | None) -> list[str]:
    return [row.name for row in agent.vips.vips] if agent and agent.vips else []


def _concerned(action: Action, agent: Agent | None) -> list[str]:
    """VIPs whose routes it may change on this node."""
    found: list[str] = []
    for part in parts_of(action):
        if isinstance(part, Withdraw | Announce):
            found += [part.vip] if part.vip else _all_vips(agent)
    return list(dict.fromkeys(found))


def _going(action: Action, agent: Agent | None) -> frozenset[str]:
    """VIPs that the node does not announce any more."""
    parts = [part for part in parts_of(action) if isinstance(part, Withdraw)]
    peers = {part.peer for part in parts if part.peer}
    whole = any(part.node for part in parts)
    if agent and agent.node and peers:
        whole = whole or not _heard(agent.node, without=peers)
    return frozenset(_all_vips(agent) if whole else [part.vip for part in parts if part.vip])


def _heard(node: NodeSnapshot, without: Iterable[str] = ()) -> bool:
    """Whether any router hears its routes."""
    away = set(without)
    return any(p.state == "up" and not p.withdrawn and p.address not in away for p in node.peers)


def announces(agent: Agent, row: VipRow) -> bool:
    """And will go on, as far as it says."""
    node = agent.node
    quiet = node is None or node.withdrawn is not None or bool(node.phase) or not _heard(node)
    return row.announced and not row.phase and not quiet


def _spread(
    vip: str, wish: Wish, agents: Sequence[Agent], going: dict[str, frozenset[str]], now: float
) -> Spread:
    coming = {o.address for o, part in _routed(wish) if isinstance(part, Announce)}
    before, after, unknown, others = [], [], [], set()
    rates: list[float | None] = []
    for agent in agents:
        row = next((r for r in agent.vips.vips if r.name == vip), None) if agent.vips else None
        if row is None:
            continue
        if not (agent.fresh(now, "vip") and agent.fresh(now, "node")):
            unknown.append(agent.name)
            continue
        there = announces(agent, row)
        if there:
            before.append(agent.name)
            rates.append(agent.sights("vip").get(vip).rates[0])
        if there and vip not in going.get(agent.address, ()):
            others.add(agent.address)
        if agent.address in others or agent.address in coming:
            after.append(agent.name)
    known = [rate for rate in rates if rate is not None]
    rate = sum(known) if known and len(known) == len(rates) else None
    return Spread(vip, tuple(before), tuple(after), rate, tuple(unknown), frozenset(others))


def _told(
    action: Action, concerned: Sequence[str], order: Order, spreads: dict[str, Spread]
) -> Action:
    def one(part: Action) -> Action:
        if not isinstance(part, Withdraw):
            return part
        vips = [part.vip] if part.vip else concerned
        counted = {vip: len(spreads[vip].others - {order.address}) for vip in vips}
        return msgspec.structs.replace(part, elsewhere=counted)

    if isinstance(action, Batch):
        return Batch(tuple(one(part) for part in action.actions))  # type: ignore[misc]
    return one(action)


def _lines(spreads: Iterable[Spread]) -> Iterator[tuple[str, str]]:
    """A line for all VIPs of which the same is to be said."""
    together: dict[str, list[str]] = {}
    for spread in spreads:
        together.setdefault(_in_words(spread), []).append(spread.vip)
    shown = list(together.items())[:NAMED]
    for text, vips in shown:
        yield "announced", f"{_some(vips)} {text}"
    if len(together) > len(shown):
        yield (
            "",
            f"and {sum(map(len, together.values())) - sum(len(v) for _, v in shown)} VIPs more",
        )


def _in_words(spread: Spread) -> str:
    before, after = len(spread.before), len(spread.after)
    text = f"by {_nodes(before)} -> {after}"
    if after:
        text += f": {_some(spread.after)}"
    if after and before and after != before:
        text += f"; each gets {fmt.percent(1 / before)} -> {fmt.percent(1 / after)} by ECMP"
    if after and before and after != before and spread.rate is not None:
        text += f", {fmt.si(spread.rate / before)} -> {fmt.si(spread.rate / after)} pps"
    if spread.unknown:
        text += f" (not known: {_some(spread.unknown)})"
    return text


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _nodes(count: int) -> str:
    return f"{count} node" + ("" if count == 1 else "s")
