# SPDX-License-Identifier: Apache-2.0
"""What is wrong, worst first: the alerts of the fleet screen and the verdict of `status`.  Pure.

A drain is an operator's wish and no problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from console import format as fmt
from console import rows
from console.records import Node, Vip
from console.store import Agent, Liveness
from shared.messages import RealRow
from shared.model import Admin, Health

Kind = Literal[
    "silent",
    "stale",
    "foreign",
    "wire",
    "ring",
    "peer",
    "quorum",
    "announce",
    "health",
    "mixed",
]


class Problem(NamedTuple):
    critical: bool
    subject: str
    """`node/lb1`, `vip/web`, `real/10.3.1.2@web`"""
    text: str
    kind: Kind
    age: float | None = None
    """Seconds that it has lasted, where the agents say so."""
    at_least: bool = False
    """It may have begun before that."""
    with_whom: str = ""
    """Of a node's session: the neighbour."""

    @property
    def key(self) -> str:
        """The same for as long as it lasts, another for every other problem."""
        return f"{self.kind} {self.subject} {self.with_whom}"


def problems(agents: Sequence[Agent], now: float) -> list[Problem]:
    """Critical ones first."""
    found = [
        *_of_nodes(agents, now),
        *(p for vip in rows.vips(agents, now) for p in _of_vip(vip, agents, now)),
        *_of_reals(agents, now),
    ]
    return sorted(found, key=lambda problem: not problem.critical)


def _of_nodes(agents: Sequence[Agent], now: float) -> Iterator[Problem]:
    for agent, node in zip(agents, rows.nodes(agents, now), strict=True):
        name = f"node/{node.name}"
        if node.liveness is not Liveness.LIVE:
            yield Problem(True, name, _absence(node), ABSENT[node.liveness], node.age)
            continue
        if agent.wire_errors:
            yield Problem(False, name, f"{agent.wire_errors} messages could not be read", "wire")
        if node.ring_differs:
            text = "ring differs from the others: flows that move here break"
            yield Problem(True, name, text, "ring")
        yield from _of_peers(node, name)


def _of_peers(node: Node, name: str) -> Iterator[Problem]:
    snapshot = node.snapshot
    for peer in snapshot.peers if snapshot else ():
        if snapshot and peer.state == "down":
            age = max(0.0, snapshot.at - peer.since + (node.age or 0.0))
            text = f"BGP to {peer.address} is down: {peer.detail}"
            yield Problem(True, name, text, "peer", age, with_whom=peer.address)


ABSENT: Mapping[Liveness, Kind] = {
    Liveness.SILENT: "silent",
    Liveness.STALE: "stale",
    Liveness.FOREIGN: "foreign",
}


def _absence(node: Node) -> str:
    match node.liveness:
        case Liveness.FOREIGN:
            return "speaks another wire version: upgrade the older side"
        case Liveness.STALE:
            return f"no telemetry for {fmt.age(node.age)}: its values are old, no action on it"
    return f"no answer at {node.address}: is the agent running, may you read its sockets?"


def _of_vip(vip: Vip, agents: Sequence[Agent], now: float) -> Iterator[Problem]:
    if vip.stale:
        return
    silent = [agent.name for agent in agents if _keeps_back(agent, vip.name, now)]
    if vip.reals_up < max(1, vip.quorum):
        yield Problem(
            True,
            vip.key,
            f"{vip.reals_up} of {vip.reals} reals take new flows, its quorum is {vip.quorum}",
            "quorum",
        )
    elif silent:
        yield Problem(False, vip.key, f"not announced by {', '.join(silent)}", "announce")


def _keeps_back(agent: Agent, vip: str, now: float) -> bool:
    """A node that should announce the VIP (it speaks BGP and is not being drained) and does not."""
    node, vips = agent.node, agent.vips
    if node is None or vips is None or not agent.fresh(now, "vip"):
        return False
    if not node.peers or node.admin is not Admin.ENABLED:
        return False
    return any(row.name == vip and not row.announced for row in vips.vips)


def _of_reals(agents: Sequence[Agent], now: float) -> Iterator[Problem]:
    """Without rates and shares: this runs over every real of the fleet at every frame."""
    seen: dict[tuple[str, str], list[RealRow]] = {}
    since: dict[tuple[str, str], float] = {}
    for agent in agents:
        if agent.reals is not None and agent.fresh(now, "real"):
            for row in agent.reals.reals:
                seen.setdefault((row.vip, row.address), []).append(row)
                if row.health is not Health.UP:
                    # Of admin, health or weight: its health has been so for no less.
                    age = agent.reals.at - row.changed + (agent.age(now, "real") or 0.0)
                    since[row.vip, row.address] = max(age, since.get((row.vip, row.address), 0.0))
    for (vip, address), found in seen.items():
        ailing = [row for row in found if row.health is not Health.UP]
        drained = sum(row.admin is Admin.DRAINING for row in found)
        if ailing:
            everywhere = len(ailing) == len(found)
            where = "" if everywhere else f" on {len(ailing)} of {len(found)} nodes"
            text = f"not up{where}: {ailing[0].check}"
            age = since[vip, address]
            yield Problem(False, f"real/{address}@{vip}", text, "health", age, at_least=True)
        elif 0 < drained < len(found):
            text = f"drained on {drained} of {len(found)} nodes only"
            yield Problem(False, f"real/{address}@{vip}", text, "mixed")
