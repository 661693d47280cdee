# SPDX-License-Identifier: Apache-2.0
"""Rings compared slot by slot: the first that differs, and who has it here and there.  Pure.

Nodes tell a digest of each ring all the time; a ring is asked for only where digests differ.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from console import format as fmt
from console.model.records import State
from console.model.store import Agent
from console.views.cells import Cell
from console.views.columns import Column
from shared.messages import Ring
from shared.model import RING_SLOTS

NOBODY = "nobody"


class Difference(NamedTuple):
    slots: int
    """How many differ."""
    first: int
    """-1: none."""
    here: str
    """Address that has the first of them; `nobody` where it has none."""
    there: str
    moved: tuple[tuple[str, str, int], ...]
    """(here, there, slots), most slots first."""


@lru_cache(maxsize=32)
def difference(here: Ring, there: Ring) -> Difference:
    if here.addresses == there.addresses and here.slots == there.slots:
        return Difference(0, -1, "", "", ())
    one, other = _owners(here), _owners(there)
    differing = [slot for slot, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if not differing:
        return Difference(0, -1, "", "", ())
    pairs = Counter((one[slot], other[slot]) for slot in differing)
    first = differing[0]
    moved = tuple((a, b, count) for (a, b), count in pairs.most_common())
    return Difference(len(differing), first, one[first], other[first], moved)


def _owners(ring: Ring) -> list[str]:
    numbers = array("H", ring.slots)
    if sys.byteorder == "big":
        numbers.byteswap()
    names = dict(enumerate(ring.addresses))
    return [names.get(number, NOBODY) for number in numbers]


def digests(vip: str, agents: Sequence[Agent], now: float) -> dict[str, list[Agent]]:
    """Digest of the VIP's ring -> the fresh nodes that have it; the one of most nodes first."""
    found: dict[str, list[Agent]] = {}
    for agent in agents:
        if agent.vips is not None and agent.fresh(now, "vip"):
            for row in agent.vips.vips:
                if row.name == vip:
                    found.setdefault(row.ring_digest, []).append(agent)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def wanted(
    agents: Sequence[Agent], now: float, known: Mapping[tuple[str, str], Ring]
) -> list[tuple[str, str]]:
    """(address, VIP) of the rings to ask for: of each digest one, where there is more than one."""
    seen: dict[str, dict[str, str]] = {}
    for agent in agents:
        if agent.vips is not None and agent.fresh(now, "vip"):
            for row in agent.vips.vips:
                seen.setdefault(row.name, {}).setdefault(row.ring_digest, agent.address)
    return [
        (address, vip)
        for vip, by_digest in seen.items()
        if len(by_digest) > 1
        for digest, address in by_digest.items()
        if (vip, digest) not in known
    ]


def differing(agent: Agent, agents: Sequence[Agent], now: float) -> str:
    """The first VIP whose ring is another one on this node than elsewhere; empty: none is."""
    for row in agent.vips.vips if agent.vips else ():
        if any(digest != row.ring_digest for digest in digests(row.name, agents, now)):
            return row.name
    return ""


def first_difference(
    agent: Agent, agents: Sequence[Agent], now: float, known: Mapping[tuple[str, str], Ring]
) -> str:
    """What is different on this node, in words; empty where it is not known (yet)."""
    for row in agent.vips.vips if agent.vips else ():
        # That of most nodes; where none has most, any other one.
        others = [d for d in digests(row.name, agents, now) if d != row.ring_digest]
        if not others:
            continue
        here, there = known.get((row.name, row.ring_digest)), known.get((row.name, others[0]))
        if here is None or there is None:
            return f"{row.name}: "
        found = difference(here, there)
        return (
            f"{row.name} from slot {fmt.count(found.first)} on ({found.here} here, {found.there} "
            f"elsewhere), {fmt.percent(found.slots / RING_SLOTS)} of it: "
        )
    return ""


# ---- the screen of one VIP's rings


class NodeRing(msgspec.Struct, frozen=True):
    """One node's ring, against that of most nodes."""

    key: str
    node: str
    state: State
    digest: str
    age: float | None
    fresh: bool
    difference: Difference | None
    """None: not known (yet)."""


EQUAL = State("● equal", "ok", 0)
DIFFERS = State("✕ differs", "bad", 8)
OLD = State("? old", "stale", 6)


def node_rings(
    vip: str, agents: Sequence[Agent], now: float, known: Mapping[tuple[str, str], Ring]
) -> list[NodeRing]:
    common = next(iter(digests(vip, agents, now)), "")
    found = []
    for agent in agents:
        row = next((r for r in agent.vips.vips if r.name == vip), None) if agent.vips else None
        if row is None:
            continue
        fresh = agent.fresh(now, "vip")
        here, there = known.get((vip, row.ring_digest)), known.get((vip, common))
        equal = row.ring_digest == common
        found.append(
            NodeRing(
                key=agent.address,
                node=agent.name,
                state=(EQUAL if equal else DIFFERS) if fresh else OLD,
                digest=row.ring_digest,
                age=agent.age(now, "vip"),
                fresh=fresh,
                difference=difference(here, there) if here and there and not equal else None,
            )
        )
    return found


def _slots(row: NodeRing) -> str:
    if row.state is EQUAL:
        return "0"
    return fmt.UNKNOWN if row.difference is None else fmt.count(row.difference.slots)


def _first(row: NodeRing) -> str:
    found = row.difference
    if found is None or found.first < 0:
        return fmt.UNKNOWN
    return f"{fmt.count(found.first)}: {found.here} here, {found.there} elsewhere"


RINGS: tuple[Column[NodeRing], ...] = (
    Column("NODE", 10, lambda r: Cell(r.node), lambda r: r.node, grows="name"),
    Column("STATE", 10, lambda r: Cell(r.state.text, r.state.tone), lambda r: r.state.urgency),
    Column("DIGEST", 12, lambda r: Cell(r.digest), lambda r: r.digest, 3),
    Column("SLOTS", 7, lambda r: Cell(_slots(r)), _slots, 1, right=True),
    Column("FIRST THAT DIFFERS", 43, lambda r: Cell(_first(r), "warn"), _first, 2, grows="prose"),
    Column(
        "AGE",
        4,
        lambda r: Cell(fmt.age(r.age), "dim" if r.fresh else "stale"),
        lambda r: r.age,
        1,
        right=True,
    ),
)


def moved_lines(row: NodeRing, room: int, *, past: bool = False) -> list[tuple[Cell, ...]]:
    """Who has on this node what another one has elsewhere; of the `past` nodes keep the digest."""
    if row.state is EQUAL:
        return [(Cell(" every slot as on most nodes", "ok"),)]
    if row.difference is None:
        unknown = (
            "nodes keep no slots, only digests: which slots differed then is not known   t is now"
            if past
            else "its slots are not known yet"
        )
        return [(Cell(f" {unknown}", "dim"),)]
    lines: list[tuple[Cell, ...]] = [
        (Cell(f" {fmt.count(count):>7} slots  "), Cell(f"{here} here, {there} elsewhere"))
        for here, there, count in row.difference.moved
    ]
    if len(lines) > room:
        left = len(lines) - room + 1
        lines = [*lines[: room - 1], (Cell(f" and {left} more pairs", "dim"),)]
    return lines
