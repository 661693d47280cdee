# SPDX-License-Identifier: Apache-2.0
"""The columns of the four lists: nodes, VIPs, reals, drop reasons.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from console import format as fmt
from console.model.labels import in_words
from console.model.rates import HISTORY_SECONDS, Sum
from console.model.records import Drop, Node, Real, State, Vip
from console.model.sights import Minute
from console.model.tracks import STEADY, added, trend
from console.views.cells import Cell
from console.views.columns import Column
from shared.messages import NodeSnapshot
from shared.reasons import BY_NUMBER

R = TypeVar("R")
Write = Callable[[float | None], str]

# ---- cells


def _state(state: State) -> Cell:
    return Cell(state.text, state.tone)


def _sum(value: Sum, write: Callable[[float | None], str]) -> Cell:
    """A `?` after the number: some nodes are not in it."""
    if value.value is None:
        return Cell(fmt.UNKNOWN, "dim")
    return Cell(
        write(value.value) + ("?" if value.left_out else ""), "stale" if value.left_out else ""
    )


def _marked(text: str, row: Node) -> Cell:
    """The last value of a node that does not answer, marked as such."""
    if row.live or text == fmt.UNKNOWN:
        return Cell(text)
    return Cell(f"{text}?", "stale")


def _age(age: float | None, *, stale: bool) -> Cell:
    return Cell(fmt.age(age), "stale" if stale else "dim")


def _spark(minute: Minute, width: int) -> Cell:
    return Cell(fmt.sparkline(added(minute.tracks), width, HISTORY_SECONDS), "hot")


def trended(value: Callable[[R], Minute]) -> Column[R]:
    """Packets now against those of the minute before."""
    return Column(
        "TREND",
        5,
        lambda r: Cell(fmt.change(trend(value(r).tracks), STEADY), "dim"),
        lambda r: trend(value(r).tracks),
        9,
        right=True,
        wide=True,
    )


def _ratio(part: int, whole: int) -> Cell:
    return Cell(f"{part}/{whole}", "" if part == whole else "warn")


def _told(row: Vip) -> Cell:
    """As it was when it was told last, marked as such where that is long ago."""
    cell = _ratio(row.reals_up, row.reals)
    return Cell(f"{cell.text}?", "stale") if row.stale else cell


def _announced(row: Vip) -> Cell:
    """Of the nodes that are live: of the others nobody knows.  `wd`: an operator's withdrawal."""
    if row.stale:
        return Cell("?", "stale")
    there = _ratio(row.announced, row.nodes)
    return Cell(f"{there.text} wd", "warn") if row.withdrawn else there


def _where(row: Drop) -> Cell:
    return Cell(" ".join(row.nodes), "dim")


def _range(values: Sequence[int]) -> str:
    """`100`, or `50…100` where nodes differ."""
    return f"{values[0]}" if values[0] == values[-1] else f"{values[0]}…{values[-1]}"


def _of(row: Node, value: Callable[[Any], str]) -> Cell:
    return Cell(fmt.UNKNOWN, "dim") if row.snapshot is None else _marked(value(row.snapshot), row)


def _bgp(row: Node) -> Cell:
    if row.snapshot is None or not row.snapshot.peers:
        return Cell(fmt.UNKNOWN, "dim")
    up = sum(peer.state == "up" for peer in row.snapshot.peers)
    all_ = len(row.snapshot.peers)
    return Cell(f"{up}/{all_}" + ("" if row.live else "?"), "" if up == all_ else "bad")


def _ring(row: Node) -> Cell:
    if row.snapshot is None:
        return Cell(fmt.UNKNOWN, "dim")
    mark = "!" if row.ring_differs else "*" if row.ring_expected else ("" if row.live else "?")
    tone = "bad" if row.ring_differs else "warn" if row.ring_expected else ""
    return Cell(row.snapshot.ring_digest[:6] + mark, tone)


def _xdp(snapshot: NodeSnapshot) -> str:
    return snapshot.xdp_attached or snapshot.xdp_mode


def _xdp_of(row: Node) -> str | None:
    return None if row.snapshot is None else _xdp(row.snapshot)


def labelled(priority: int = 10) -> Column[Any]:
    """Of whatever record has labels: shown where there is room for all else."""
    return Column(
        "LABELS",
        24,
        _labels,
        lambda r: in_words(r.labels) or None,
        priority,
        wide=True,
        grows="prose",
    )


def _labels(row: Any) -> Cell:  # noqa: ANN401
    """Empty: it has none; `-`: they are not known."""
    if not row.labels:
        return Cell(fmt.UNKNOWN, "dim")
    return Cell(in_words(row.labels), "warn" if len(row.labels) > 1 else "dim")


def _version(row: Node) -> str | None:
    return None if row.snapshot is None else row.snapshot.version


# ---- columns that are made alike, of whatever record


def _rate(
    title: str, value: Callable[[Node], float | None], write: Write, priority: int
) -> Column[Node]:
    """A node's own, marked where it is old."""
    return Column(title, 6, lambda r: _marked(write(value(r)), r), value, priority, True, True)


def summed(
    title: str,
    value: Callable[[R], Sum],
    priority: int,
    write: Write = fmt.si,
    *,
    wide: bool = True,
) -> Column[R]:
    """Over nodes, marked where some are not in it."""
    return Column(
        title, 6, lambda r: _sum(value(r), write), lambda r: value(r).value, priority, True, wide
    )


def of_snapshot(
    title: str,
    width: int,
    value: Callable[[NodeSnapshot], Any],
    priority: int,
    write: Callable[[NodeSnapshot], str] | None = None,
    *,
    wide: bool = False,
) -> Column[Node]:
    """As the node said; `write`: where that is not the value as it is."""
    words = write or (lambda snapshot: str(value(snapshot)))
    return Column(
        title,
        width,
        lambda r: _of(r, words),
        lambda r: None if r.snapshot is None else value(r.snapshot),
        priority,
        True,
        wide,
    )


def _share(
    title: str, value: Callable[[R], float | None], priority: int, *, wide: bool = True
) -> Column[R]:
    return Column(title, 6, lambda r: Cell(fmt.percent(value(r))), value, priority, True, wide)


NODES: tuple[Column[Node], ...] = (
    Column("NODE", 10, lambda r: Cell(r.name), lambda r: r.name, grows="name"),
    Column("STATE", 11, lambda r: _state(r.state), lambda r: r.state.urgency),
    Column("AGE", 4, lambda r: _age(r.age, stale=not r.live), lambda r: r.age, 1, right=True),
    _rate("PPS", lambda r: r.pps, fmt.si, 1),
    Column("60s", 10, lambda r: _spark(r.minute, 10), lambda r: r.pps, 6, wide=True),
    trended(lambda r: r.minute),
    _rate("BIT/S", lambda r: r.bytes_per_second, fmt.bits, 4),
    _rate("NEW/S", lambda r: r.new_flows_per_second, fmt.si, 3),
    of_snapshot("FLOWS", 6, lambda n: n.live_flows, 2, lambda n: fmt.si(n.live_flows)),
    _rate("MISS", lambda r: r.misses, fmt.percent, 7),
    _rate("DROP/S", lambda r: r.drop_pps, fmt.si, 2),
    of_snapshot("VIPS", 5, lambda n: n.vips_announced, 4, lambda n: f"{n.vips_announced}/{n.vips}"),
    of_snapshot("REALS", 7, lambda n: n.reals_up, 3, lambda n: f"{n.reals_up}/{n.reals}"),
    Column("RING", 7, _ring, lambda r: r.snapshot.ring_digest if r.snapshot else None, 2),
    Column("BGP", 4, _bgp, lambda r: _bgp(r).text, 1),
    Column("XDP", 7, lambda r: Cell(_of(r, _xdp).text), _xdp_of, 8, wide=True),
    _rate("CPU", lambda r: r.cpu, fmt.percent, 8)._replace(width=5),
    of_snapshot("RSS", 6, lambda n: n.rss_bytes, 9, lambda n: fmt.si(n.rss_bytes), wide=True),
    of_snapshot("REV", 4, lambda n: n.revision, 7, wide=True),
    Column("AGENT", 7, lambda r: Cell(_version(r) or fmt.UNKNOWN, "dim"), _version, 8, wide=True),
    labelled(),
)

VIPS: tuple[Column[Vip], ...] = (
    Column("VIP", 10, lambda r: Cell(r.name), lambda r: r.name, grows="name"),
    Column("ADDRESS", 21, lambda r: Cell(r.endpoint), lambda r: r.endpoint, 1, grows="name"),
    Column("STATE", 14, lambda r: _state(r.state), lambda r: r.state.urgency),
    summed("PPS", lambda r: r.pps, 1),
    Column("60s", 12, lambda r: _spark(r.minute, 12), lambda r: r.pps.value, 6, wide=True),
    trended(lambda r: r.minute),
    _share("SHARE", lambda r: r.share, 5),
    summed("BIT/S", lambda r: r.bytes_per_second, 4, fmt.bits),
    summed("NEW/S", lambda r: r.new_flows_per_second, 3),
    summed("DROP/S", lambda r: r.drop_pps, 7),
    Column("REALS", 6, _told, lambda r: r.reals_up, 1, right=True),
    Column("MIN", 3, lambda r: Cell(str(r.quorum), "dim"), lambda r: r.quorum, 2, right=True),
    Column("ANN", 7, _announced, lambda r: r.announced, 2, right=True),
    Column("RING", 7, lambda r: Cell("/".join(d[:6] for d in r.digests)), lambda r: r.digests, 8),
    Column("AGE", 4, lambda r: _age(r.age, stale=r.stale), lambda r: r.age, 1, right=True),
    labelled(),
)

REALS: tuple[Column[Real], ...] = (
    Column("REAL", 15, lambda r: Cell(r.address), lambda r: r.address, grows="name"),
    Column("VIP", 10, lambda r: Cell(r.vip), lambda r: r.vip, 9, grows="name"),
    Column("STATE", 11, lambda r: _state(r.state), lambda r: r.state.urgency),
    Column("W", 7, lambda r: Cell(_range(r.weights)), lambda r: r.weights[0], 2, right=True),
    Column("UP", 7, lambda r: _ratio(r.up, r.nodes), lambda r: r.up, 1, right=True),
    summed("PPS", lambda r: r.pps, 1),
    Column("60s", 12, lambda r: _spark(r.minute, 12), lambda r: r.pps.value, 6, wide=True),
    trended(lambda r: r.minute),
    _share("SHARE", lambda r: r.share, 4),
    summed("BIT/S", lambda r: r.bytes_per_second, 7, fmt.bits),
    summed("FLOWS", lambda r: r.live_flows, 1, wide=False),
    summed("NEW/S", lambda r: r.new_flows_per_second, 3),
    _share("RING", lambda r: r.slots, 5, wide=False),
    Column("CHECK", 18, lambda r: Cell(r.check, "dim"), lambda r: r.check, 8, grows="prose"),
    Column(
        "MS", 5, lambda r: Cell(fmt.milliseconds(r.check_ms)), lambda r: r.check_ms, 8, True, True
    ),
    Column("CHANGED", 7, lambda r: Cell(fmt.age(r.changed), "dim"), lambda r: r.changed, 7, True),
    Column("AGE", 4, lambda r: _age(r.age, stale=r.stale), lambda r: r.age, 1, right=True),
    labelled(),
)

DROPS: tuple[Column[Drop], ...] = (
    Column("REASON", 13, lambda r: Cell(r.name), lambda r: r.name, grows="name"),
    summed("DROP/S", lambda r: r.pps, 0),
    Column("60s", 12, lambda r: _spark(r.minute, 12), lambda r: r.pps.value, 2, wide=True),
    _share("SHARE", lambda r: r.share, 1),
    Column("PACKETS", 7, lambda r: Cell(fmt.si(r.packets)), lambda r: r.packets, right=True),
    Column("NODES", 16, _where, lambda r: r.nodes, 1, grows="prose"),
    Column(
        "MEANING",
        60,
        lambda r: Cell(BY_NUMBER[r.reason].meaning if r.reason in BY_NUMBER else "not known here"),
        lambda r: r.name,
        3,
        grows="prose",
    ),
)
