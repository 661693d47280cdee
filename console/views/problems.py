# SPDX-License-Identifier: Apache-2.0
"""What is wrong, worst first: the alerts of the fleet screen and the verdict of `status`.  Pure.

A drain is an operator's wish and no problem.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from console import format as fmt
from console.model import rows
from console.model.store import Agent, Liveness
from console.model.underway import EXPECTED, as_expected, explained, underway
from console.views.rings import first_difference
from shared.messages import NodeSnapshot, Ring, VipRow, Withdrawn
from shared.model import Admin

Kind = Literal[
    "silent",
    "stale",
    "foreign",
    "denied",
    "insecure",
    "disk",
    "wire",
    "name",
    "xdp",
    "ring",
    "peer",
    "quorum",
    "announce",
    "health",
    "mixed",
    "held",
    "limit",
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
    """Of a node's session: the neighbour; of a name that two have: the agent's address."""
    everywhere: bool = False
    """On all of the nodes that it could be on: worse than on some."""

    @property
    def key(self) -> str:
        """The same for as long as it lasts, another for every other problem."""
        return f"{self.kind} {self.subject} {self.with_whom}"

    @property
    def badness(self) -> tuple[bool, bool]:
        """Larger: worse, of the same problem."""
        return self.critical, self.everywhere


def problems(
    agents: Sequence[Agent], now: float, rings: Mapping[tuple[str, str], Ring] | None = None
) -> list[Problem]:
    """Critical ones first.  `rings`: those that were asked for, to say where they differ."""
    known = explained(agents, now)
    found = [
        *_of_nodes(agents, now, rings or {}, known),
        *_of_vips(agents, now, known),
        *_of_operations(agents, now),
    ]
    return sorted(found, key=lambda problem: not problem.critical)


def _of_xdp(name: str, snapshot: NodeSnapshot) -> Iterator[Problem]:
    mode = snapshot.xdp_attached
    if mode in ("", snapshot.xdp_mode, "offloaded"):
        return
    if mode in ("none", "foreign"):
        whose = "no program is" if mode == "none" else "somebody else's program is"
        text = f"{whose} attached to {snapshot.interface}: no packet is balanced; restart the agent"
        yield Problem(True, name, text, "xdp")
        return
    text = f"XDP runs in {mode} mode, {snapshot.xdp_mode} is configured"
    yield Problem(False, name, text, "xdp")


def _of_nodes(
    agents: Sequence[Agent],
    now: float,
    rings: Mapping[tuple[str, str], Ring],
    known: frozenset[str],
) -> Iterator[Problem]:
    common = rows.common_digest(agents, now)
    called = Counter(agent.name for agent in agents)
    for agent in agents:
        if called[agent.name] > 1:
            text = f"{agent.address} is called as another agent is: no verb can tell them apart"
            yield Problem(False, f"node/{agent.name}", text, "name", with_whom=agent.address)
        name, liveness, age = f"node/{agent.name}", agent.liveness(now), agent.age(now)
        if liveness is not Liveness.LIVE:
            text = _absence(agent, liveness, age)
            yield Problem(True, name, text, ABSENT[liveness], age)
            continue
        if agent.wire_errors:
            yield Problem(False, name, f"{agent.wire_errors} messages could not be read", "wire")
        snapshot = agent.node
        if snapshot is None:
            continue
        yield from _of_xdp(name, snapshot)
        expected = bool(known) and as_expected(agent, agents, known, now)
        if snapshot.ring_digest != common and not expected:
            where = first_difference(agent, agents, now, rings)
            text = f"ring differs from the others: {where}flows that move here break"
            yield Problem(True, name, text, "ring")
        yield from _of_peers(snapshot, name, age or 0.0)
        if snapshot.disk_silent:
            text = "the disk of its state directory does not answer: it refuses all changes"
            yield Problem(True, name, text, "disk", snapshot.disk_silent)
        if snapshot.insecure:
            text = "listens on a network without keys: anybody who reaches it can steer it"
            yield Problem(False, name, text, "insecure")


def _of_peers(snapshot: NodeSnapshot, name: str, age: float) -> Iterator[Problem]:
    for peer in snapshot.peers:
        if peer.state == "down":
            since = max(0.0, snapshot.at - peer.since + age)
            text = f"BGP to {peer.address} is down: {peer.detail}"
            yield Problem(True, name, text, "peer", since, with_whom=peer.address)


ABSENT: Mapping[Liveness, Kind] = {
    Liveness.SILENT: "silent",
    Liveness.STALE: "stale",
    Liveness.FOREIGN: "foreign",
    Liveness.DENIED: "denied",
}


def _absence(agent: Agent, liveness: Liveness, age: float | None) -> str:
    match liveness:
        case Liveness.FOREIGN:
            return "speaks another wire version: upgrade the older side"
        case Liveness.DENIED:
            return "this console's key is not in the node's authorised keys, or was taken out"
        case Liveness.STALE:
            return f"no telemetry for {fmt.age(age)}: its values are old, no action on it"
    return f"no answer at {agent.address}: is the agent running, may you read its sockets?"


class _Seen:
    """What the nodes that carry a VIP say of it and of its reals."""

    def __init__(self, row: VipRow) -> None:
        self.nodes = 0
        self.reals = self.quorum = 0
        self.reals_up = row.reals_up
        self.silent: list[str] = []
        """Nodes that should announce it and do not."""
        self.announced = 0
        """Nodes that do."""
        self.away: dict[str, Withdrawn] = {}
        """Nodes on which an operator withdrew it, or all routes."""
        self.ailing: dict[str, list[tuple[str, float]]] = {}
        """Address -> (last words, seconds since its last change) of each node."""
        self.drained: dict[str, int] = {}

    def take(self, row: VipRow, since: float) -> None:
        """`since`: the agent's clock now."""
        self.nodes += 1
        self.reals, self.quorum = max(self.reals, row.reals), max(self.quorum, row.quorum)
        self.reals_up = min(self.reals_up, row.reals_up)
        for real in row.ailing:
            # Of admin, health or weight: its health has been so for no less.
            told = real.check, since - real.changed
            self.ailing.setdefault(real.address, []).append(told)
        for address in row.drained:
            self.drained[address] = self.drained.get(address, 0) + 1


def _of_operations(agents: Sequence[Agent], now: float) -> Iterator[Problem]:
    for each in underway(agents, now):
        if each.held or each.left > EXPECTED:
            word = "HELD" if each.held else "left"
            text = f"{word} at {each.count}: {each.what}: {each.said or 'its console went'}"
            yield Problem(False, f"op/{each.operation[:8]}", text, "held", each.left)


def _of_vips(agents: Sequence[Agent], now: float, known: frozenset[str]) -> Iterator[Problem]:
    """From the topic that every screen follows, so that all of them count alike.

    Without rates and shares: this runs over the whole fleet all the time.
    """
    seen: dict[str, _Seen] = {}
    unknown: dict[str, list[str]] = {}
    mute: list[str] = []
    for agent in agents:
        if agent.vips is None:
            mute.append(agent.name)
            continue
        if not agent.fresh(now, "vip"):
            for row in agent.vips.vips:
                unknown.setdefault(row.name, []).append(agent.name)
            continue
        since = agent.vips.at + (agent.age(now, "vip") or 0.0)
        node = agent.node
        speaks = bool(node and node.peers and node.admin is Admin.ENABLED)
        whole = _withdrawn(node) if node else None
        for row in agent.vips.vips:
            vip = seen.get(row.name)
            if vip is None:
                vip = seen[row.name] = _Seen(row)
            vip.take(row, since)
            vip.announced += row.announced
            away = row.withdrawn or whole
            if away:
                vip.away[agent.name] = away
            elif speaks and not row.announced:
                vip.silent.append(agent.name)
    for name, vip in seen.items():
        yield from _of_vip(name, vip, [*unknown.get(name, ()), *mute])
    for name, vip in seen.items():
        yield from _of_one(name, vip, canary=name in known)


def _withdrawn(node: NodeSnapshot) -> Withdrawn | None:
    """By whom all of its routes are away."""
    peers = [peer.withdrawn for peer in node.peers]
    return node.withdrawn or (peers[0] if peers and all(peers) else None)


def _of_vip(name: str, vip: _Seen, unknown: Sequence[str]) -> Iterator[Problem]:
    """`unknown`: nodes that carry it, or may, and do not say now whether they announce it."""
    if vip.reals_up < max(1, vip.quorum):
        text = f"{vip.reals_up} of {vip.reals} reals take new flows, its quorum is {vip.quorum}"
        yield Problem(True, f"vip/{name}", text, "quorum")
    elif vip.away and not vip.announced:
        said = min(vip.away.values(), key=lambda said: said.at)
        by = f"{said.who}" + (f": {said.why}" if said.why else "")
        none = f"no live node (not known: {', '.join(unknown)})" if unknown else "no node"
        text = f"announced by {none}: withdrawn on {', '.join(vip.away)} by {by}"
        yield Problem(False, f"vip/{name}", text, "announce", everywhere=True)
    elif vip.silent:
        text = f"not announced by {', '.join(vip.silent)}"
        yield Problem(False, f"vip/{name}", text, "announce", everywhere=not vip.announced)


def _of_one(vip: str, seen: _Seen, *, canary: bool) -> Iterator[Problem]:
    for address, told in seen.ailing.items():
        everywhere = len(told) == seen.nodes
        where = "" if everywhere else f" on {len(told)} of {seen.nodes} nodes"
        text = f"not up{where}: {told[0][0]}"
        age = max(age for _, age in told)
        subject = f"real/{address}@{vip}"
        yield Problem(False, subject, text, "health", age, at_least=True, everywhere=everywhere)
    for address, count in seen.drained.items():
        if count < seen.nodes and address not in seen.ailing and not canary:
            text = f"drained on {count} of {seen.nodes} nodes only"
            yield Problem(False, f"real/{address}@{vip}", text, "mixed")
