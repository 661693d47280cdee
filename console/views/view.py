# SPDX-License-Identifier: Apache-2.0
"""One frame's view of the world, and what every screen says: header, alerts, totals.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from console import format as fmt
from console.model.rates import HISTORY_SECONDS, Sum, total
from console.model.records import Node
from console.model.store import Agent, Store
from console.model.tracks import added
from console.model.underway import underway
from console.planning.arming import Arming
from console.views.alerts import Alert
from console.views.cells import Cell, TextLine, line
from console.views.problems import Problem

KINDS_FROM, NAMES_FROM = 100, 120
"""Columns from which the header has room for kinds of alerts, for names."""


class View(NamedTuple):
    """What a screen draws from; nothing else reaches it."""

    store: Store
    now: float
    """Seconds of the console's monotonic clock."""
    wall: float
    cluster: str
    who: str = ""
    """`user@host`: by this name the agents know this console."""
    problems: tuple[Problem, ...] = ()
    """Worst first."""
    alerts: tuple[Alert, ...] = ()
    """The same with their ages."""
    held: float | None = None
    """Seconds for which the display has been held; None: it is live."""
    waiting: int = 0
    """Messages that came meanwhile."""
    slow: bool = False
    """The terminal cannot take more: frames are rarer."""
    arming: Arming = Arming()
    mode: str = "LIVE"
    past: float | None = None
    """Seconds that it is ago; None: it is not the past, as the agents kept it."""
    recording: tuple[str, int] | None = None
    """File and bytes in it, while telemetry is recorded."""
    note: str = ""
    """Of the past: what there is of it."""
    totals: bool = False
    """Tables show what was counted so far, in the place of rates."""

    @property
    def simulated(self) -> bool:
        return any(agent.node is not None and agent.node.simulated for agent in self.agents)

    @property
    def agents(self) -> list[Agent]:
        return list(self.store.agents.values())


def header(view: View, width: int) -> TextLine:
    """Cluster, freshness, alerts; never hidden."""
    all_ = view.agents
    live = len(view.store.live(view.now))
    stale = len(all_) - live
    armed = view.arming.armed(view.now)
    left = [
        Cell(f" {view.cluster} ", "strong"),
        Cell("│ "),
        Cell(f"{view.arming.word(view.now)} ", "warn strong" if armed else ""),
        Cell("│ "),
        Cell(f"nodes {live}/{len(all_)} ", "" if live == len(all_) else "bad"),
        Cell("│ "),
        Cell(f"stale {stale} ", "stale" if stale else ""),
        Cell("│ "),
        *_alerts(view, width),
        *_operations(view),
    ]
    if view.who and width >= NAMES_FROM:
        left += [Cell("│ "), Cell(f"{view.who} ", "dim")]
    behind = f" +{fmt.si(view.waiting)} updates" if width >= KINDS_FROM else f" +{view.waiting}"
    mode = view.mode if view.held is None else f"FROZEN {fmt.age(view.held)}{behind}"
    mode = f"SIMULATED {mode}" if view.simulated else mode
    odd = view.slow or view.held is not None or view.mode != "LIVE" or view.simulated
    pace = "0.5 Hz slow link  " if view.slow else ""
    right = f"{pace}{_recording(view, width)}{mode} {fmt.stamp(view.wall)} "
    gap = width - sum(len(cell.text) for cell in left) - len(right)
    return (
        *left,
        Cell(" " * max(1, gap)),
        Cell(right, "warn" if odd else "ok"),
    )


def _alerts(view: View, width: int) -> list[Cell]:
    """How many, and where there is room of which kind."""
    critical, warnings, seen = _counted(view)
    parts = {"crit": critical, "warn": warnings} if width >= KINDS_FROM else {}
    kinds = "".join(f"{number} {kind} " for kind, number in parts.items() if number)
    tone = "bad" if critical else "warn" if warnings else ""
    known = [Cell(f"{seen} ack ", "dim")] if seen else []
    return [Cell(f"alerts {kinds or f'{critical + warnings} '}", tone), *known]


def _counted(view: View) -> tuple[int, int, int]:
    """(critical, warnings, acknowledged)."""
    seen = {alert.key for alert in view.alerts if alert.seen}
    new = [problem for problem in view.problems if problem.key not in seen]
    critical = sum(problem.critical for problem in new)
    return critical, len(new) - critical, len(seen)


def _recording(view: View, width: int) -> str:
    """Its name where there is room for it."""
    if view.recording is None:
        return ""
    path, size = view.recording
    name = f"{path.rpartition('/')[2]} " if width >= NAMES_FROM else ""
    return f"REC {name}{fmt.si(size)}B  "


def _operations(view: View) -> list[Cell]:
    """Those that come to their nodes one after the other, and are not over."""
    found = underway(view.agents, view.now)
    if not found:
        return []
    held = sum(each.held for each in found)
    text = f"ops {held} HELD " if held else f"ops {len(found)} "
    return [Cell("│ "), Cell(text, "warn strong" if held else "warn")]


def tiny(view: View) -> list[TextLine]:
    """All there is room for on a terminal of a few lines."""
    critical, warnings, seen = _counted(view)
    live, all_ = len(view.store.live(view.now)), len(view.agents)
    text = f"{view.cluster} {live}/{all_} nodes, {critical} crit, {critical + warnings} alerts"
    text += f" {seen} ack" if seen else ""
    tone_ = "bad" if critical or live < all_ else "ok"
    return [line(text, tone_), line("too small for tables: remora status", "dim")]


def totals(found: Sequence[Node], width: int, *, large: bool) -> list[TextLine]:
    """The cluster's sums over live nodes; what is left out is said beside them."""
    live = [node for node in found if node.live]
    gone = len(found) - len(live)
    pps = _text(_sum([n.pps for n in live], gone))
    octets = _text(_sum([n.bytes_per_second for n in live], gone), 8)
    new = _text(_sum([n.new_flows_per_second for n in live], gone))
    flows = _text(_sum([n.snapshot.live_flows if n.snapshot else None for n in live], gone))
    dropped = _text(_sum([n.drop_pps for n in live], gone))
    missed = fmt.percent(_missed(live))

    def minute(track: str, room: int) -> Cell:
        tracks = [each for node in live for each in node.minute.along(track)]
        blocks = min(room, HISTORY_SECONDS)  # one a second at most
        return Cell(fmt.sparkline(added(tracks), blocks, HISTORY_SECONDS).ljust(room), "hot")

    if not large:
        return [
            line(f" pps {pps}  bit/s {octets}  new/s {new}  flows {flows}  drops/s {dropped}"),
            (
                Cell(" pps 60s "),
                minute("", width - 51),
                Cell("  drops 60s "),
                minute("drops", 16),
                Cell(f"  miss {missed}"),
            ),
        ]
    room = width - 23
    return [
        (Cell(f" packets/s {pps:>9}  "), minute("", room)),
        (Cell(f" bits/s    {octets:>9}  "), minute("bytes", room)),
        (Cell(f" new/s     {new:>9}  "), minute("new_flows", room)),
        (Cell(f" drops/s   {dropped:>9}  "), minute("drops", room)),
        line(f" flows     {flows:>9}  misses {missed} of lookups"),
    ]


def _missed(live: Sequence[Node]) -> float | None:
    """Of all lookups of the nodes that say so."""
    told = [(n.misses, n.lookups) for n in live if n.misses is not None and n.lookups is not None]
    lookups = sum(each for _, each in told)
    return sum(part * each for part, each in told) / lookups if lookups else None


def _sum(values: list[float | None], gone: int) -> Sum:
    known = total(values)
    return Sum(known.value, known.left_out + gone)


def _text(value: Sum, factor: int = 1) -> str:
    if value.value is None:
        return fmt.UNKNOWN
    return fmt.si(value.value * factor) + (f"+{value.left_out}?" if value.left_out else "")
