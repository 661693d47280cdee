# SPDX-License-Identifier: Apache-2.0
"""Operators' withdrawals that are in force: of what, where, by whom, since when and why.  Pure.

A wish, and no failure: it is told, and counts as no problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from console import format as fmt
from console.model.store import Agent, Liveness
from console.views.items import Item, said_by
from shared.messages import Withdrawn


class Away(NamedTuple):
    """One object that is withdrawn on some nodes."""

    subject: str
    """`vip/web`, `node/lb1`, `peer/lb1/10.2.1.1`"""
    nodes: tuple[str, ...]
    said: Withdrawn
    """By whom first."""

    @property
    def text(self) -> str:
        on = f" on {', '.join(self.nodes)}" if self.subject.startswith("vip/") else ""
        return f"withdrawn{on} {words(self.said)}"


def words(said: Withdrawn) -> str:
    """`2026-11-28 13:20:04Z by ann@jump: INC-7`"""
    return f"{fmt.dated(said.at)} by {said.who}" + (f": {said.why}" if said.why else "")


def in_force(agents: Sequence[Agent], now: float) -> list[Away]:
    """As the live nodes say: nodes first, then peers, then VIPs."""
    found: dict[str, list[tuple[str, Withdrawn]]] = {}
    for agent in agents:
        for subject, said in _of(agent, now):
            found.setdefault(subject, []).append((agent.name, said))
    order = ("node", "peer", "vip")
    return [
        Away(
            subject,
            tuple(name for name, _ in told),
            min((said for _, said in told), key=lambda said: said.at),
        )
        for subject, told in sorted(
            found.items(), key=lambda item: order.index(item[0].partition("/")[0])
        )
    ]


def _of(agent: Agent, now: float) -> Iterator[tuple[str, Withdrawn]]:
    node = agent.node
    if node is not None and agent.liveness(now) is Liveness.LIVE:
        if node.withdrawn:
            yield f"node/{agent.name}", node.withdrawn
        for peer in node.peers:
            if peer.withdrawn:
                yield f"peer/{agent.name}/{peer.address}", peer.withdrawn
    if agent.vips is not None and agent.fresh(now, "vip"):
        for row in agent.vips.vips:
            if row.withdrawn:
                yield f"vip/{row.name}", row.withdrawn


def item(away: Away) -> Item:
    return {"object": away.subject, "nodes": list(away.nodes), **said_by(away.said)}
