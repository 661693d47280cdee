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
from console.rings import first_difference
from console.store import Agent, Liveness
from shared.messages import Ring
from shared.model import Admin

Kind = Literal[
    "silent",
    "stale",
    "foreign",
    "denied",
    "insecure",
    "wire",
    "xdp",
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


def problems(
    agents: Sequence[Agent], now: float, rings: Mapping[tuple[str, str], Ring] | None = None
) -> list[Problem]:
    """Critical ones first.  `rings`: those that were asked for, to say where they differ."""
    found = [
        *_of_nodes(agents, now, rings or {}),
        *(p for vip in rows.vips(agents, now) for p in _of_vip(vip, agents, now)),
        *_of_reals(agents, now),
    ]
    return sorted(found, key=lambda problem: not problem.critical)


def _of_xdp(name: str, node: Node) -> Iterator[Problem]:
    snapshot = node.snapshot
    mode = snapshot.xdp_attached if snapshot else ""
    if snapshot is None or mode in ("", snapshot.xdp_mode, "offloaded"):
        return
    if mode in ("none", "foreign"):
        whose = "no program is" if mode == "none" else "somebody else's program is"
        text = f"{whose} attached to {snapshot.interface}: no packet is balanced; restart the agent"
        yield Problem(True, name, text, "xdp")
        return
    text = f"XDP runs in {mode} mode, {snapshot.xdp_mode} is configured"
    yield Problem(False, name, text, "xdp")


def _of_nodes(
    agents: Sequence[Agent], now: float, rings: Mapping[tuple[str, str], Ring]
) -> Iterator[Problem]:
    for agent, node in zip(agents, rows.nodes(agents, now), strict=True):
        name = f"node/{node.name}"
        if node.liveness is not Liveness.LIVE:
            yield Problem(True, name, _absence(node), ABSENT[node.liveness], node.age)
            continue
        if agent.wire_errors:
            yield Problem(False, name, f"{agent.wire_errors} messages could not be read", "wire")
        yield from _of_xdp(name, node)
        if node.ring_differs:
            where = first_difference(agent, agents, now, rings)
            text = f"ring differs from the others: {where}flows that move here break"
            yield Problem(True, name, text, "ring")
        yield from _of_peers(node, name)
        if node.snapshot is not None and node.snapshot.insecure:
            text = "listens on a network without keys: anybody who reaches it can steer it"
            yield Problem(False, name, text, "insecure")


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
    Liveness.DENIED: "denied",
}


def _absence(node: Node) -> str:
    match node.liveness:
        case Liveness.FOREIGN:
            return "speaks another wire version: upgrade the older side"
        case Liveness.DENIED:
            return "this console's key is not in the node's authorised keys, or was taken out"
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


class _Seen:
    """What the nodes that carry a VIP say of its reals."""

    def __init__(self) -> None:
        self.nodes = 0
        self.ailing: dict[str, list[tuple[str, float]]] = {}
        """Address -> (last words, seconds since its last change) of each node."""
        self.drained: dict[str, int] = {}


def _of_reals(agents: Sequence[Agent], now: float) -> Iterator[Problem]:
    """From the topic that every screen follows, so that all of them count alike."""
    seen: dict[str, _Seen] = {}
    for agent in agents:
        if agent.vips is None or not agent.fresh(now, "vip"):
            continue
        since = agent.vips.at + (agent.age(now, "vip") or 0.0)
        for row in agent.vips.vips:
            vip = seen.setdefault(row.name, _Seen())
            vip.nodes += 1
            for real in row.ailing:
                # Of admin, health or weight: its health has been so for no less.
                told = real.check, since - real.changed
                vip.ailing.setdefault(real.address, []).append(told)
            for address in row.drained:
                vip.drained[address] = vip.drained.get(address, 0) + 1
    for name, vip in seen.items():
        yield from _of_one(name, vip)


def _of_one(vip: str, seen: _Seen) -> Iterator[Problem]:
    for address, told in seen.ailing.items():
        where = "" if len(told) == seen.nodes else f" on {len(told)} of {seen.nodes} nodes"
        text = f"not up{where}: {told[0][0]}"
        age = max(age for _, age in told)
        yield Problem(False, f"real/{address}@{vip}", text, "health", age, at_least=True)
    for address, count in seen.drained.items():
        if count < seen.nodes and address not in seen.ailing:
            text = f"drained on {count} of {seen.nodes} nodes only"
            yield Problem(False, f"real/{address}@{vip}", text, "mixed")
