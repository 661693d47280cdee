# SPDX-License-Identifier: Apache-2.0
"""One node in full: what runs there, what comes of its packets, what it does by itself.  Pure."""

from __future__ import annotations

from typing import NamedTuple

from console import format as fmt
from console.model.rates import HISTORY_SECONDS, share
from console.model.records import Node
from console.model.tracks import added
from console.views.cells import Cell, TextLine, line
from console.views.details import labels_line
from console.views.withdrawals import words
from shared.messages import NodeSnapshot, PendingRow

APART = 0.5
"""Seconds that a clock may differ before that is said loudly: events are sorted by it."""
GOES: dict[str, str] = {
    "expire": "goes back in {}",
    "confirm": "goes back in {} unless confirmed",
    "wait": "drain: waits {} longer for its flows",
    "kill": "drain: its flows are ended in {}",
}
"""What a pending change does, by its kind."""


class Trend(NamedTuple):
    label: str
    value: str
    track: str
    """Name of its minute (sights.py)."""


def lines(node: Node, wall: float, width: int) -> list[TextLine]:
    """`wall`: Unix time of the console."""
    snapshot = node.snapshot
    if snapshot is None:
        return [
            (Cell(" state    "), Cell(node.state.text, node.state.tone)),
            line(f" {node.address}"),
        ]
    return [
        _state(node, snapshot),
        _agent(node, snapshot, wall),
        _ring(node, snapshot),
        _peers(node, snapshot),
        *_away(snapshot),
        *labels_line("labels   ", node.labels),
        *_drain(snapshot),
        *(
            line(f" later    {later(each, snapshot.at)} ({each.who})", "warn")
            for each in snapshot.pending
        ),
        *_figures(node, snapshot, width),
    ]


def _state(node: Node, snapshot: NodeSnapshot) -> TextLine:
    return (
        Cell(" state    "),
        Cell(node.state.text, node.state.tone),
        Cell(f"  age {fmt.age(node.age)}  "),
        _xdp(snapshot),
        Cell(f" on {snapshot.interface}, program {snapshot.program[:8]}"),
    )


def _xdp(snapshot: NodeSnapshot) -> Cell:
    """As the kernel has it; an older agent says what was asked for."""
    mode = snapshot.xdp_attached or snapshot.xdp_mode
    tones = {"native": "", "offloaded": "", "generic": "warn"}
    return Cell(f"XDP {mode}", tones.get(mode, "bad"))


def _agent(node: Node, snapshot: NodeSnapshot, wall: float) -> TextLine:
    old = "" if node.live else "?"
    apart = snapshot.wall + (node.age or 0.0) - wall
    # Within a tenth it may be the way here.
    clock = "as here" if abs(apart) < 0.1 else f"{apart:+.1f} s" if node.live else "?"
    loud = node.live and abs(apart) >= APART
    return (
        Cell(
            f" agent    {snapshot.version} up {fmt.age(snapshot.at - snapshot.started)}{old}"
            f"  cpu {fmt.percent(node.cpu)}{old}  {fmt.si(snapshot.rss_bytes)}B{old}"
            f"  config {snapshot.generation}  revision {snapshot.revision}  "
        ),
        Cell(f"clock {clock}", "warn" if loud else ""),
    )


def _ring(node: Node, snapshot: NodeSnapshot) -> TextLine:
    words, tone = "as the other nodes", "dim"
    if not node.live:
        words = "when it was last heard of"
    elif node.ring_expected:
        words, tone = "differs as expected: an operation came to this node first", "warn"
    elif node.ring_differs:
        words, tone = "differs from the other nodes: d on a VIP says where", "bad"
    return (Cell(f" ring     {snapshot.ring_digest}  "), Cell(words, tone))


def _peers(node: Node, snapshot: NodeSnapshot) -> TextLine:
    old = "" if node.live else "?"
    cells = []
    for peer in snapshot.peers:
        since = fmt.age(snapshot.at - peer.since)
        tone = "bad" if peer.state == "down" and node.live else ""
        away = " withdrawn" if peer.withdrawn else ""
        tone = tone or ("warn" if away else "")
        said = f"{peer.address} AS{peer.asn} {peer.state}{old} {since}{old}{away}  "
        cells.append(Cell(said, tone))
    return (Cell(" BGP      "), *(cells or [Cell("no peers")]))


def _away(snapshot: NodeSnapshot) -> list[TextLine]:
    said = snapshot.withdrawn
    return [line(f" routes   withdrawn {words(said)}", "warn")] if said else []


def _drain(snapshot: NodeSnapshot) -> list[TextLine]:
    """Why it has not gone further."""
    if not snapshot.phase:
        return []
    since = fmt.age(snapshot.at - snapshot.phase_since)
    return [line(f" drain    {snapshot.phase} for {since}: {snapshot.phase_why}", "warn")]


def later(pending: PendingRow, at: float) -> str:
    """`at`: the agent's clock now."""
    words = GOES.get(pending.kind, f"{pending.kind} in {{}}")
    return f"{pending.what}: {words.format(fmt.age(max(0.0, pending.at - at)))}"


def _figures(node: Node, snapshot: NodeSnapshot, width: int) -> list[TextLine]:
    """What comes, second by second, and beside it what becomes of it."""
    old = "" if node.live else "?"
    trends = (
        Trend("packets/s", fmt.si(node.pps), ""),
        Trend("bits/s", fmt.bits(node.bytes_per_second), "bytes"),
        Trend("new/s", fmt.si(node.new_flows_per_second), "new_flows"),
        Trend("drops/s", fmt.si(node.drop_pps), "drops"),
    )
    ends = (
        ("sent", fmt.si(node.tx_pps), fmt.percent(share(node.tx_pps, node.pps))),
        ("passed", fmt.si(node.pass_pps), fmt.percent(share(node.pass_pps, node.pps))),
        ("dropped", fmt.si(node.drop_pps), fmt.percent(share(node.drop_pps, node.pps))),
        ("flows", fmt.si(snapshot.live_flows), ""),
    )
    room = min(HISTORY_SECONDS, width - 52)
    return [
        (
            Cell(f" {trend.label:<9}{trend.value + old:>7}  "),
            Cell(
                fmt.sparkline(added(node.minute.along(trend.track)), room, HISTORY_SECONDS), "hot"
            ),
            Cell(f"   {name:<8}{value + old:>7} {part + old if part else '':>8}"),
        )
        for trend, (name, value, part) in zip(trends, ends, strict=True)
    ]
