# SPDX-License-Identifier: Apache-2.0
"""BGP sessions, where each VIP is announced, and what the checks of every real last said.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from console import format as fmt
from console.model import rows
from console.model.labels import UNKNOWN, Said
from console.model.records import STALE, Node, Real, State
from console.model.store import Agent
from console.views.blank import NO_VIP, why_empty
from console.views.cells import Cell, TextLine, line
from console.views.columns import Column
from console.views.items import Item, rounded, withdrawal, word
from shared.messages import Peer, RealRow, Withdrawn
from shared.model import Health

ESTABLISHED = State("● up", "ok", 0)
DOWN = State("✕ down", "bad", 6)
NAME_ROOM = 11
"""Columns of a VIP's name before the nodes."""


class Session(msgspec.Struct, frozen=True):
    """One node's session with one neighbour."""

    key: str
    node: str
    agent: str
    """Address of the node's agent."""
    peer: str
    asn: int
    state: State
    since: float | None
    """Seconds since it last went up or down."""
    detail: str
    announced: str
    """`2/2`: VIPs that the node announces to it."""
    age: float | None
    fresh: bool
    failure: str
    """Why it went down last or could not come up, and how long ago; kept while it is up."""
    withdrawn: Withdrawn | None = None
    """Of the peer, or of the whole node."""
    labels: Said = UNKNOWN
    """Of the node."""


def sessions(agents: Sequence[Agent], now: float) -> list[Session]:
    return [
        _session(agent, node, peer, now)
        for agent, node in zip(agents, rows.nodes(agents, now), strict=True)
        for peer in (node.snapshot.peers if node.snapshot else ())
    ]


def _session(agent: Agent, node: Node, peer: Peer, now: float) -> Session:
    snapshot = node.snapshot
    assert snapshot is not None
    fresh, age = agent.fresh(now, "node"), agent.age(now, "node")
    state = ESTABLISHED if peer.state == "up" else DOWN
    away = peer.withdrawn or snapshot.withdrawn
    return Session(
        key=f"{agent.address} {peer.address}",
        node=node.name,
        agent=agent.address,
        peer=peer.address,
        asn=peer.asn,
        state=state if fresh else STALE,
        since=max(0.0, snapshot.at - peer.since + (age or 0.0)),
        detail=peer.detail,
        announced=f"{0 if away else snapshot.vips_announced}/{snapshot.vips}",
        age=age,
        fresh=fresh,
        failure=_failure(peer, snapshot.at + (age or 0.0)),
        withdrawn=away,
        labels=node.labels,
    )


def _failure(peer: Peer, at: float) -> str:
    """`at`: the agent's clock now."""
    ago = fmt.age(max(0.0, at - peer.failed))
    return f"{ago} ago: {peer.error}" if peer.error else ""


def session_item(row: Session) -> Item:
    return {
        "name": f"{row.node}/{row.peer}",
        "node": row.node,
        "peer": row.peer,
        "asn": row.asn,
        "state": word(row.state),
        "age_s": rounded(row.age),
        "since_s": rounded(row.since),
        "vips_announced": row.announced,
        "detail": row.detail,
        "last_failure": row.failure or None,
        "withdrawn": withdrawal(row.withdrawn),
    }


def _last_words(row: Session) -> Cell:
    if row.withdrawn is None or row.state is DOWN:
        return Cell(row.detail, "dim")
    said = row.withdrawn
    return Cell(f"wd {fmt.clock(said.at)} {said.who}: {said.why}".rstrip(": "), "warn")


def _failed(row: Session) -> Cell:
    return Cell(row.failure, "dim")


SESSIONS: tuple[Column[Session], ...] = (
    Column("NODE", 10, lambda r: Cell(r.node), lambda r: r.node, grows="name"),
    Column("PEER", 15, lambda r: Cell(r.peer), lambda r: r.peer, grows="name"),
    Column("AS", 10, lambda r: Cell(str(r.asn), "dim"), lambda r: r.asn, 5, right=True),
    Column("STATE", 8, lambda r: Cell(r.state.text, r.state.tone), lambda r: r.state.urgency),
    Column("SINCE", 5, lambda r: _then(r, fmt.age(r.since)), lambda r: r.since, 1, right=True),
    Column("ANN", 6, lambda r: _then(r, r.announced), lambda r: r.announced, 2, right=True),
    Column("LAST WORDS", 24, _last_words, lambda r: r.detail, 4, grows="prose"),
    Column("LAST FAILURE", 24, _failed, lambda r: r.failure, 6, grows="prose"),
    Column("AGE", 4, lambda r: _age(r.age, r.fresh), lambda r: r.age, 1, right=True),
)


def _then(row: Session, text: str) -> Cell:
    """What was so when the node was last heard of, marked as such."""
    return Cell(text) if row.fresh else Cell(f"{text}?", "stale")


def _age(age: float | None, fresh: bool) -> Cell:
    return Cell(fmt.age(age), "dim" if fresh else "stale")


# ---- announced where


def announced_lines(agents: Sequence[Agent], now: float, width: int, room: int) -> list[TextLine]:
    """A line per VIP, a column per node: ● announced, w withdrawn by an operator, · not, ? not
    known now."""
    vips = rows.vips(agents, now)
    if not vips:
        none = why_empty(agents, now, lambda agent: agent.vips, NO_VIP[0])
        return [line(f" {none}", "dim")]
    each = max(2, min(8, (width - NAME_ROOM - 30) // max(1, len(agents))))
    heads = "".join(fmt.fit(_short(agent.name, each - 1), each) for agent in agents)
    lines = [line(f" {fmt.fit('VIP', NAME_ROOM)}{heads}nodes  address", "head")]
    shown = vips if len(vips) < room else vips[: room - 2]
    lines += [_announced(vip.name, vip.endpoint, agents, now, each) for vip in shown]
    if len(shown) < len(vips):
        lines.append(line(f" and {len(vips) - len(shown)} more: 3 has them all", "dim"))
    return lines


def _short(name: str, width: int) -> str:
    """The end of a name tells nodes apart: `lb-07` -> `07`."""
    return name if len(name) <= width else name[len(name) - width :]


def _announced(vip: str, endpoint: str, agents: Sequence[Agent], now: float, each: int) -> TextLine:
    marks = [_mark(agent, vip, now) for agent in agents]
    there = sum(mark.text == "●" for mark in marks)
    unknown = sum(mark.text == "?" for mark in marks)
    count = f"{there}" + (f"+{unknown}?" if unknown else "")
    tone = "" if there == len(agents) else "warn"
    return (
        Cell(f" {fmt.fit(vip, NAME_ROOM)}"),
        *(Cell(mark.text.ljust(each), mark.tone) for mark in marks),
        Cell(f"{count:<7}", tone),
        Cell(endpoint, "dim"),
    )


def _mark(agent: Agent, vip: str, now: float) -> Cell:
    if agent.vips is None or not agent.fresh(now, "vip"):
        return Cell("?", "stale")
    found = next((row for row in agent.vips.vips if row.name == vip), None)
    if found is None:
        return Cell(" ")
    if found.announced:
        return Cell("●", "ok")
    away = found.withdrawn or (agent.node and agent.node.withdrawn)
    return Cell("w" if away else "·", "warn")


# ---- checks


class Check(msgspec.Struct, frozen=True):
    """What the probes of a real say, over all nodes."""

    key: str
    real: Real
    down_on: tuple[str, ...]
    """Nodes on which it is not up."""

    @property
    def state(self) -> State:
        return self.real.state

    @property
    def labels(self) -> Said:
        return self.real.labels


def checks(agents: Sequence[Agent], now: float) -> list[Check]:
    ailing: dict[tuple[str, str], list[str]] = {}
    for agent in agents:
        for row in _fresh_reals(agent, now):
            if row.health is not Health.UP:
                ailing.setdefault((row.vip, row.address), []).append(agent.name)
    return [
        Check(real.key, real, tuple(ailing.get((real.vip, real.address), ())))
        for real in rows.reals(agents, now)
    ]


def _fresh_reals(agent: Agent, now: float) -> Sequence[RealRow]:
    return agent.reals.reals if agent.reals and agent.fresh(now, "real") else ()


def _changed(row: Check) -> float | None:
    return row.real.changed


def check_item(row: Check) -> Item:
    return {
        "name": f"{row.real.address}@{row.real.vip}",
        "vip": row.real.vip,
        "address": row.real.address,
        "state": word(row.state),
        "age_s": rounded(row.real.age),
        "nodes": row.real.nodes,
        "nodes_up": row.real.up,
        "not_up_on": list(row.down_on),
        "check": row.real.check,
        "check_ms": row.real.check_ms,
        "changed_s_ago": rounded(row.real.changed),
    }


def _said(row: Check) -> Cell:
    return Cell(row.real.check)


def _not_up_on(row: Check) -> Cell:
    return Cell(" ".join(row.down_on), "warn")


CHECKS: tuple[Column[Check], ...] = (
    Column("REAL", 15, lambda r: Cell(r.real.address), lambda r: r.real.address, grows="name"),
    Column("VIP", 10, lambda r: Cell(r.real.vip), lambda r: r.real.vip, grows="name"),
    Column("STATE", 11, lambda r: Cell(r.state.text, r.state.tone), lambda r: r.state.urgency),
    Column("UP", 5, lambda r: _up(r.real), lambda r: r.real.up, 1, right=True),
    Column("LAST WORDS", 20, _said, lambda r: r.real.check, 1, grows="prose"),
    Column("MS", 5, lambda r: _ms(r.real), lambda r: r.real.check_ms, 2, right=True),
    Column("CHANGED", 7, lambda r: Cell(fmt.age(r.real.changed), "dim"), _changed, 3, right=True),
    Column("NOT UP ON", 30, _not_up_on, lambda r: r.down_on, 4, grows="prose"),
    Column("AGE", 4, lambda r: _age(r.real.age, not r.real.stale), lambda r: r.real.age, 1, True),
)


def _up(real: Real) -> Cell:
    if real.stale:
        return Cell("?", "stale")
    return Cell(f"{real.up}/{real.nodes}", "" if real.up == real.nodes else "warn")


def _ms(real: Real) -> Cell:
    text = fmt.milliseconds(real.check_ms)
    return Cell(f"{text}?", "stale") if real.stale else Cell(text)
