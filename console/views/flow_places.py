# SPDX-License-Identifier: Apache-2.0
"""Where many flows go: per real, per node, and how many another change would move.  Pure.

Every number is a count of flows that were asked about; the verdict of each is its node's.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from console import format as fmt
from console.views.cells import Cell, TextLine, line
from console.views.columns import Column
from console.views.items import Item
from shared.messages import FlowPlaces

NOBODY = 0xFFFF
STORED = 0
"""In FlowPlaces.by."""
Goal = tuple[str, str]
"""(VIP, real); a VIP without a real: dropped; both empty: no VIP's."""


class Told(NamedTuple):
    """What a node says of every flow, in their order."""

    node: str
    now: Sequence[Goal]
    """As new flows."""
    going_on: Sequence[Goal]
    """If they began before."""
    known: int
    """That have an entry in its flow tables."""
    then: Sequence[Goal]
    """As `now`, after the change; without one the same, as the next."""
    going_on_then: Sequence[Goal]
    leaving: tuple[str, ...]
    """VIPs whose route the change takes from it."""


def told(node: str, parts: Iterable[FlowPlaces]) -> Told:
    """What a node said, part after part.

    Flows with one goal share it: ten thousand of them on each of many nodes have few.
    """
    shared: dict[Goal, Goal] = {}
    now, going_on, then, going_on_then = list[Goal](), list[Goal](), list[Goal](), list[Goal]()
    known, leaving = 0, dict[str, None]()
    for part in parts:
        now += _goals(part, part.real, shared)
        going_on += _goals(part, part.going_on, shared)
        then += _goals(part, part.real_after or part.real, shared)
        going_on_then += _goals(part, part.going_on_after or part.going_on, shared)
        known += part.by.count(STORED)
        leaving |= dict.fromkeys(part.leaving)
    return Told(node, now, going_on, known, then, going_on_then, tuple(leaving))


def _goals(part: FlowPlaces, numbers: bytes, shared: dict[Goal, Goal]) -> list[Goal]:
    vips, reals = {NOBODY: ""}, {NOBODY: ""}
    vips.update(enumerate(part.vips))
    reals.update(enumerate(part.reals))
    pairs = list(zip(_numbers(part.vip), _numbers(numbers), strict=True))
    goals = {(vip, real): (vips[vip], reals[real]) for vip, real in set(pairs)}
    own = {pair: shared.setdefault(goal, goal) for pair, goal in goals.items()}
    return [own[pair] for pair in pairs]


def _numbers(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // 2}H", packed)


class Share(NamedTuple):
    """How many of the flows go to one real, on nodes that place them alike."""

    nodes: tuple[str, ...]
    vip: str
    real: str
    """Empty: they are dropped."""
    flows: int
    then: int
    of: int
    """All flows of VIPs that were asked about."""


class Count(NamedTuple):
    """What becomes of the flows on one node."""

    node: str
    flows: int
    """To a VIP."""
    known: int
    moved: int
    """New flows that would go to another real."""
    broken: int
    """Flows that began before, and would lose their real."""
    dropped: int
    dropped_then: int
    unlike: int
    """New flows that it places otherwise than most nodes do."""
    leaving: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not (self.dropped or self.dropped_then or self.unlike)


class Summary(NamedTuple):
    flows: int
    strange: int
    """To no VIP, on the node that knows most of them."""
    shares: tuple[Share, ...]
    """Of each group of nodes that place alike, the largest first."""
    counts: tuple[Count, ...]


def summary(every: Sequence[Told]) -> Summary:
    """`every`: of the same flows; one at least."""
    alike: dict[tuple[tuple[Goal, ...], tuple[Goal, ...]], list[Told]] = {}
    for each in every:
        alike.setdefault((tuple(each.now), tuple(each.then)), []).append(each)
    groups = sorted(alike.values(), key=len, reverse=True)
    usual = groups[0][0]
    return Summary(
        flows=len(usual.now),
        strange=min(sum(not vip for vip, _ in each.now) for each in every),
        shares=tuple(share for group in groups for share in _shares(group)),
        counts=tuple(_count(each, usual) for each in every),
    )


def _shares(group: Sequence[Told]) -> list[Share]:
    first, nodes = group[0], tuple(each.node for each in group)
    now, then = Counter(first.now), Counter(first.then)
    of = sum(count for (vip, _), count in now.items() if vip)
    goals = sorted({goal for goal in (*now, *then) if goal[0]}, key=lambda g: (g[0], not g[1], g))
    return [Share(nodes, *goal, now[goal], then[goal], of) for goal in goals]


def _count(each: Told, usual: Told) -> Count:
    return Count(
        node=each.node,
        flows=sum(bool(vip) for vip, _ in each.now),
        known=each.known,
        moved=_differing(each.now, each.then),
        broken=_differing(each.going_on, each.going_on_then),
        dropped=sum(bool(vip) and not real for vip, real in each.now),
        dropped_then=sum(bool(vip) and not real for vip, real in each.then),
        unlike=max(_differing(each.now, usual.now), _differing(each.then, usual.then)),
        leaving=each.leaving,
    )


def _differing(one: Sequence[Goal], other: Sequence[Goal]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


# ---- as text


def _share(count: int, of: int) -> Cell:
    return Cell(fmt.percent(count / of if of else None))


def _number(value: int, tone: str = "") -> Cell:
    return Cell(fmt.count(value), tone if value else "")


def _nodes(share: Share) -> str:
    return _named(share.nodes)


def _named(nodes: Sequence[str]) -> str:
    if len(nodes) <= 3:
        return ", ".join(nodes)
    return f"{', '.join(nodes[:2])} and {len(nodes) - 2} more"


SHARES: tuple[Column[Share], ...] = (
    Column("ON", 12, lambda s: Cell(_nodes(s)), _nodes),
    Column("VIP", 12, lambda s: Cell(s.vip), lambda s: s.vip),
    Column("REAL", 15, lambda s: Cell(s.real) if s.real else Cell("- (no_real)", "bad"),
           lambda s: s.real),
    Column("FLOWS", 7, lambda s: _number(s.flows), lambda s: s.flows, right=True),
    Column("SHARE", 6, lambda s: _share(s.flows, s.of), lambda s: s.flows, right=True),
)  # fmt: skip
THEN: tuple[Column[Share], ...] = (
    Column("AFTER", 7, lambda s: _number(s.then), lambda s: s.then, right=True),
    Column("SHARE", 6, lambda s: _share(s.then, s.of), lambda s: s.then, right=True),
)
COUNTS: tuple[Column[Count], ...] = (
    Column("NODE", 10, lambda c: Cell(c.node), lambda c: c.node),
    Column("FLOWS", 7, lambda c: _number(c.flows), lambda c: c.flows, right=True),
    Column("KNOWN", 7, lambda c: _number(c.known), lambda c: c.known, right=True),
    Column("DROPPED", 7, lambda c: _number(c.dropped, "bad"), lambda c: c.dropped, right=True),
    Column("UNLIKE", 7, lambda c: _number(c.unlike, "bad"), lambda c: c.unlike, right=True),
)
CHANGED: tuple[Column[Count], ...] = (
    Column("MOVE", 7, lambda c: _number(c.moved), lambda c: c.moved, right=True),
    Column("MOVE%", 6, lambda c: _share(c.moved, c.flows), lambda c: c.moved, right=True),
    Column("BREAK", 7, lambda c: _number(c.broken, "bad"), lambda c: c.broken, right=True),
    Column("BREAK%", 6, lambda c: _share(c.broken, c.flows), lambda c: c.broken, right=True),
    Column("DROPPED THEN", 12, lambda c: _number(c.dropped_then, "bad"),
           lambda c: c.dropped_then, right=True),
    Column("LEAVES", 12, lambda c: Cell(", ".join(c.leaving) or "-"), lambda c: len(c.leaving)),
)  # fmt: skip


# ---- as JSON


def items(found: Summary, *, supposed: bool) -> list[Item]:
    """One per node."""
    by_node = {node: s.nodes for s in found.shares for node in s.nodes}
    made = []
    for count in found.counts:
        mine = [s for s in found.shares if s.nodes == by_node.get(count.node)]
        made.append(
            {
                "node": count.node,
                "flows": count.flows,
                "known": count.known,
                "dropped": count.dropped,
                "unlike": count.unlike,
                "moved": count.moved if supposed else None,
                "broken": count.broken if supposed else None,
                "dropped_after": count.dropped_then if supposed else None,
                "leaving": list(count.leaving) if supposed else None,
                "reals": [
                    {
                        "vip": s.vip,
                        "real": s.real or None,
                        "flows": s.flows,
                        "flows_after": s.then if supposed else None,
                    }
                    for s in mine
                ],
            }
        )
    return made


# ---- as lines


def lines(found: Summary, *, supposed: bool, room: int) -> list[TextLine]:
    """What there is to say, in so many lines at most: totals first."""
    said = [_total(alike, supposed=supposed) for alike in _worst(found.counts)]
    shares = [_share_line(share, supposed=supposed) for share in found.shares]
    every = [*said[:2], *shares]
    if len(every) <= room:
        return every
    return [*every[: room - 1], line(f" and {len(every) - room + 1} more: remora flow", "dim")]


def _worst(counts: Sequence[Count]) -> list[list[Count]]:
    """Nodes that say the same together, what is wrong first."""
    alike: dict[tuple[object, ...], list[Count]] = {}
    for c in counts:
        alike.setdefault((c.moved, c.broken, c.dropped_then, c.unlike, c.leaving), []).append(c)
    return sorted(
        alike.values(), key=lambda g: (g[0].broken, g[0].unlike, g[0].moved), reverse=True
    )


def _total(alike: Sequence[Count], *, supposed: bool) -> TextLine:
    count = alike[0]
    words = [f"{fmt.count(count.flows)} flows"]
    if supposed:
        share = fmt.percent(count.moved / count.flows if count.flows else None)
        words.append(f"{share} of new ones move")
        words.append(f"{fmt.count(count.broken)} that began break")
    words += [f"{fmt.count(count.dropped_then)} dropped"] if count.dropped_then else []
    words += [f"{fmt.count(count.unlike)} placed otherwise than elsewhere"] if count.unlike else []
    words += [f"route of {', '.join(count.leaving)} leaves"] if count.leaving else []
    tone = "bad" if count.broken or not count.good else ""
    on = _named([each.node for each in alike])
    return (Cell(f" {on}: ", "dim"), Cell(", ".join(words), tone))


def _share_line(share: Share, *, supposed: bool) -> TextLine:
    now = fmt.percent(share.flows / share.of if share.of else None)
    then = fmt.percent(share.then / share.of if share.of else None)
    change = f" -> {then:>6}" if supposed else ""
    name = f"{share.real or 'no_real'}@{share.vip}"
    return (Cell(f" {name:<22}"), Cell(f"{now:>6}{change}"), Cell(f"  on {_nodes(share)}", "dim"))
