# SPDX-License-Identifier: Apache-2.0
"""Operations that come to their nodes one after the other, made of the nodes' parts.  Pure.

Every node tells of its own part only, so every console sees the same, whoever steers it.  Such an
operation makes nodes differ for a while: that is expected, and no alarm, for EXPECTED seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from console.model.store import Agent
from shared.messages import RolloutRow

EXPECTED = 900.0
"""Seconds since its nodes were told last: an operation that is left longer is an alarm again."""


class Seat(NamedTuple):
    """One node's part."""

    address: str
    node: str
    row: RolloutRow
    told: float
    """Seconds since the node was told last."""
    fresh: bool
    wall: float
    """Unix time of that."""


class Underway(msgspec.Struct, frozen=True):
    operation: str
    who: str
    lines: tuple[str, ...]
    why: str
    terms: str
    said: str
    """Why it is held."""
    held: bool
    seats: tuple[Seat, ...]
    steered_by: str = ""
    """Who began it or went on with it last; empty: older agents."""

    @property
    def done(self) -> list[Seat]:
        return [seat for seat in self.seats if seat.row.done]

    @property
    def waiting(self) -> list[Seat]:
        return [seat for seat in self.seats if not seat.row.done]

    @property
    def left(self) -> float:
        """Seconds since it was told last, on any node."""
        return min(seat.told for seat in self.seats)

    @property
    def wall(self) -> float:
        """Unix time when it was told last."""
        return max(seat.wall for seat in self.seats)

    @property
    def count(self) -> str:
        """`1/11`, `1/11?` when some part is old."""
        old = "" if all(seat.fresh for seat in self.seats) else "?"
        return f"{len(self.done)}/{len(self.seats)}{old}"

    @property
    def what(self) -> str:
        return ", ".join(self.lines)


def underway(agents: Iterable[Agent], now: float) -> list[Underway]:
    """In the order in which the agents tell of them."""
    found: dict[str, list[Seat]] = {}
    for agent in agents:
        snapshot = agent.node
        for row in snapshot.rollouts if snapshot else ():
            assert snapshot is not None
            told = max(0.0, snapshot.at - row.since + (agent.age(now, "node") or 0.0))
            wall = snapshot.wall - (snapshot.at - row.since)
            fresh = agent.fresh(now, "node")
            seat = Seat(agent.address, agent.name, row, told, fresh, wall)
            found.setdefault(row.operation, []).append(seat)
    return [_together(operation, seats) for operation, seats in found.items()]


def _together(operation: str, seats: Sequence[Seat]) -> Underway:
    first = seats[0].row
    # What is old says nothing against what is not.
    told = [seat for seat in seats if seat.fresh] or seats
    holding = [seat for seat in told if seat.row.state == "held"]
    return Underway(
        operation=operation,
        who=first.who,
        lines=tuple(dict.fromkeys(line for seat in seats for line in seat.row.lines)),
        why=first.why,
        terms=first.terms,
        said=next((seat.row.said for seat in holding if seat.row.said), ""),
        held=bool(holding),
        seats=tuple(seats),
        steered_by=max(told, key=lambda seat: seat.wall).row.steered_by,
    )


def touches(lines: Iterable[str], vip: str) -> bool:
    """Whether what these lines do is about the VIP, too; a line may name several objects."""
    return any(_is_about(word, vip) for line in lines for word in line.split()[1:])


def _is_about(word: str, vip: str) -> bool:
    kind, _, name = word.partition("/")
    return (
        kind == "node"
        or (kind == "vip" and name == vip)
        or (kind == "real" and name.partition("@")[2] in ("", vip))
    )


def explained(agents: Sequence[Agent], now: float) -> frozenset[str]:
    """VIPs whose rings differ only as an operation has come to some nodes and not to others yet.

    Nodes that had their turn must agree among themselves, and so must all others.
    """
    found = [each for each in underway(agents, now) if each.left <= EXPECTED]
    if not found:
        return frozenset()
    turned = {
        (seat.address, each.operation) for each in found for seat in each.seats if seat.row.done
    }
    digests: dict[str, dict[tuple[str, ...], set[str]]] = {}
    for agent in agents:
        if agent.vips is None or not agent.fresh(now, "vip"):
            continue
        for row in agent.vips.vips:
            mine = [each for each in found if touches(each.lines, row.name)]
            had = tuple(e.operation for e in mine if (agent.address, e.operation) in turned)
            if mine:
                digests.setdefault(row.name, {}).setdefault(had, set()).add(row.ring_digest)
    return frozenset(
        name
        for name, groups in digests.items()
        if len(groups) > 1 and all(len(seen) == 1 for seen in groups.values())
    )


def had_its_turn(agent: Agent) -> bool:
    return any(row.done for row in agent.node.rollouts) if agent.node else False


def as_expected(agent: Agent, agents: Sequence[Agent], known: frozenset[str], now: float) -> bool:
    """Whether everything in which the node's rings differ from others' is explained (`known`)."""
    if agent.vips is None:
        return False
    mine = {row.name: row.ring_digest for row in agent.vips.vips}
    for other in agents:
        if other.vips is None or not other.fresh(now, "vip"):
            continue
        for row in other.vips.vips:
            if row.name not in known and mine.get(row.name, row.ring_digest) != row.ring_digest:
                return False
    return True
