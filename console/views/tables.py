# SPDX-License-Identifier: Apache-2.0
"""The columns of the four lists: nodes, VIPs, reals, drop reasons.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from console import format as fmt
from console.model.rates import HISTORY_SECONDS, Sum
from console.model.records import Drop, Node, Real, State, Vip
from console.model.tracks import Track, added
from console.views.cells import Cell
from console.views.columns import Column
from shared.reasons import BY_NUMBER

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


def _spark(tracks: Sequence[Track], width: int) -> Cell:
    return Cell(fmt.sparkline(added(tracks), width, HISTORY_SECONDS), "hot")


def _ratio(part: int, whole: int) -> Cell:
    return Cell(f"{part}/{whole}", "" if part == whole else "warn")


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


def _flows(row: Node) -> float | None:
    return None if row.snapshot is None else row.snapshot.live_flows


NODES: tuple[Column[Node], ...] = (
    Column("NODE", 10, lambda r: Cell(r.name), lambda r: r.name),
    Column("STATE", 11, lambda r: _state(r.state), lambda r: r.state.urgency),
    Column("AGE", 4, lambda r: _age(r.age, stale=not r.live), lambda r: r.age, 1, right=True),
    Column(
        "PPS", 6, lambda r: _marked(fmt.si(r.pps), r), lambda r: r.pps, 1, right=True, wide=True
    ),
    Column("60s", 10, lambda r: _spark(r.tracks, 10), lambda r: r.pps, 6, wide=True),
    Column(
        "BIT/S",
        6,
        lambda r: _marked(fmt.bits(r.bytes_per_second), r),
        lambda r: r.bytes_per_second,
        4,
        right=True,
        wide=True,
    ),
    Column(
        "NEW/S",
        6,
        lambda r: _marked(fmt.si(r.new_flows_per_second), r),
        lambda r: r.new_flows_per_second,
        3,
        right=True,
        wide=True,
    ),
    Column("FLOWS", 6, lambda r: _of(r, lambda n: fmt.si(n.live_flows)), _flows, 2, right=True),
    Column(
        "MISS", 6, lambda r: _marked(fmt.percent(r.misses), r), lambda r: r.misses, 7, True, True
    ),
    Column(
        "DROP/S",
        6,
        lambda r: _marked(fmt.si(r.drop_pps), r),
        lambda r: r.drop_pps,
        2,
        right=True,
        wide=True,
    ),
    Column(
        "VIPS",
        5,
        lambda r: _of(r, lambda n: f"{n.vips_announced}/{n.vips}"),
        lambda r: r.snapshot.vips_announced if r.snapshot else None,
        4,
        right=True,
    ),
    Column(
        "REALS",
        6,
        lambda r: _of(r, lambda n: f"{n.reals_up}/{n.reals}"),
        lambda r: r.snapshot.reals_up if r.snapshot else None,
        3,
        right=True,
    ),
    Column("RING", 7, _ring, lambda r: r.snapshot.ring_digest if r.snapshot else None, 2),
    Column("BGP", 4, _bgp, lambda r: _bgp(r).text, 1),
    Column(
        "XDP",
        7,
        lambda r: Cell(_of(r, lambda n: n.xdp_attached or n.xdp_mode).text),
        lambda r: (r.snapshot.xdp_attached or r.snapshot.xdp_mode) if r.snapshot else None,
        8,
        wide=True,
    ),
    Column("CPU", 5, lambda r: _marked(fmt.percent(r.cpu), r), lambda r: r.cpu, 8, True, True),
    Column(
        "RSS",
        6,
        lambda r: _of(r, lambda n: fmt.si(n.rss_bytes)),
        lambda r: r.snapshot.rss_bytes if r.snapshot else None,
        9,
        right=True,
        wide=True,
    ),
    Column(
        "REV",
        4,
        lambda r: _of(r, lambda n: str(n.revision)),
        lambda r: r.snapshot.revision if r.snapshot else None,
        7,
        right=True,
        wide=True,
    ),
    Column(
        "AGENT",
        7,
        lambda r: Cell(r.snapshot.version if r.snapshot else fmt.UNKNOWN, "dim"),
        lambda r: r.snapshot.version if r.snapshot else None,
        8,
        wide=True,
    ),
)

VIPS: tuple[Column[Vip], ...] = (
    Column("VIP", 10, lambda r: Cell(r.name), lambda r: r.name),
    Column("ADDRESS", 22, lambda r: Cell(r.endpoint), lambda r: r.endpoint, 1),
    Column("STATE", 14, lambda r: _state(r.state), lambda r: r.state.urgency),
    Column("PPS", 6, lambda r: _sum(r.pps, fmt.si), lambda r: r.pps.value, 1, True, True),
    Column("60s", 12, lambda r: _spark(r.tracks, 12), lambda r: r.pps.value, 6, wide=True),
    Column(
        "SHARE",
        6,
        lambda r: Cell(fmt.percent(r.share)),
        lambda r: r.share,
        5,
        right=True,
        wide=True,
    ),
    Column(
        "BIT/S",
        6,
        lambda r: _sum(r.bytes_per_second, fmt.bits),
        lambda r: r.bytes_per_second.value,
        4,
        True,
        True,
    ),
    Column(
        "NEW/S",
        6,
        lambda r: _sum(r.new_flows_per_second, fmt.si),
        lambda r: r.new_flows_per_second.value,
        3,
        True,
        True,
    ),
    Column(
        "DROP/S", 6, lambda r: _sum(r.drop_pps, fmt.si), lambda r: r.drop_pps.value, 7, True, True
    ),
    Column("REALS", 6, lambda r: _ratio(r.reals_up, r.reals), lambda r: r.reals_up, 1, right=True),
    Column("MIN", 3, lambda r: Cell(str(r.quorum), "dim"), lambda r: r.quorum, 2, right=True),
    Column("ANN", 4, lambda r: _ratio(r.announced, r.nodes), lambda r: r.announced, 2, right=True),
    Column("RING", 7, lambda r: Cell("/".join(d[:6] for d in r.digests)), lambda r: r.digests, 8),
    Column("AGE", 4, lambda r: _age(r.age, stale=r.stale), lambda r: r.age, 1, right=True),
)

REALS: tuple[Column[Real], ...] = (
    Column("REAL", 15, lambda r: Cell(r.address), lambda r: r.address),
    Column("VIP", 10, lambda r: Cell(r.vip), lambda r: r.vip, 9),
    Column("STATE", 11, lambda r: _state(r.state), lambda r: r.state.urgency),
    Column("W", 7, lambda r: Cell(_range(r.weights)), lambda r: r.weights[0], 2, right=True),
    Column("UP", 4, lambda r: _ratio(r.up, r.nodes), lambda r: r.up, 1, right=True),
    Column("PPS", 6, lambda r: _sum(r.pps, fmt.si), lambda r: r.pps.value, 1, True, True),
    Column("60s", 12, lambda r: _spark(r.tracks, 12), lambda r: r.pps.value, 6, wide=True),
    Column(
        "SHARE",
        6,
        lambda r: Cell(fmt.percent(r.share)),
        lambda r: r.share,
        4,
        right=True,
        wide=True,
    ),
    Column(
        "BIT/S",
        6,
        lambda r: _sum(r.bytes_per_second, fmt.bits),
        lambda r: r.bytes_per_second.value,
        7,
        True,
        True,
    ),
    Column("FLOWS", 6, lambda r: _sum(r.live_flows, fmt.si), lambda r: r.live_flows.value, 1, True),
    Column(
        "NEW/S",
        6,
        lambda r: _sum(r.new_flows_per_second, fmt.si),
        lambda r: r.new_flows_per_second.value,
        3,
        True,
        True,
    ),
    Column("RING", 6, lambda r: Cell(fmt.percent(r.slots)), lambda r: r.slots, 5, right=True),
    Column("CHECK", 18, lambda r: Cell(r.check, "dim"), lambda r: r.check, 8),
    Column(
        "MS", 5, lambda r: Cell(fmt.milliseconds(r.check_ms)), lambda r: r.check_ms, 8, True, True
    ),
    Column("CHANGED", 7, lambda r: Cell(fmt.age(r.changed), "dim"), lambda r: r.changed, 7, True),
    Column("AGE", 4, lambda r: _age(r.age, stale=r.stale), lambda r: r.age, 1, right=True),
)

DROPS: tuple[Column[Drop], ...] = (
    Column("REASON", 13, lambda r: Cell(r.name), lambda r: r.name),
    Column("DROP/S", 6, lambda r: _sum(r.pps, fmt.si), lambda r: r.pps.value, 0, True, True),
    Column("60s", 12, lambda r: _spark(r.tracks, 12), lambda r: r.pps.value, 2, wide=True),
    Column(
        "SHARE",
        6,
        lambda r: Cell(fmt.percent(r.share)),
        lambda r: r.share,
        1,
        right=True,
        wide=True,
    ),
    Column("PACKETS", 7, lambda r: Cell(fmt.si(r.packets)), lambda r: r.packets, right=True),
    Column("NODES", 16, lambda r: Cell(" ".join(r.nodes), "dim"), lambda r: r.nodes, 1),
    Column(
        "MEANING",
        60,
        lambda r: Cell(BY_NUMBER[r.reason].meaning if r.reason in BY_NUMBER else "not known here"),
        lambda r: r.name,
        3,
    ),
)
