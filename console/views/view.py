# SPDX-License-Identifier: Apache-2.0
"""One frame's view of the world, and the text blocks around the tables.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from console import format as fmt
from console.model import objects, rows
from console.model.objects import Object
from console.model.rates import HISTORY_SECONDS, Sum, total
from console.model.records import Node, Real, Vip
from console.model.store import Agent, Liveness, Store
from console.planning.arming import Arming
from console.planning.wish import Target
from console.views.alerts import Alert
from console.views.columns import Cell
from console.views.problems import Problem
from shared.messages import NodeSnapshot
from shared.reasons import BY_NUMBER

TextLine = tuple[Cell, ...]


class View(NamedTuple):
    """What a screen draws from; nothing else reaches it."""

    store: Store
    now: float
    """Seconds of the console's monotonic clock."""
    wall: float
    cluster: str
    problems: tuple[Problem, ...] = ()
    """Worst first."""
    alerts: tuple[Alert, ...] = ()
    """The same with their ages."""
    held: float | None = None
    """Seconds for which the display has been held; None: it is live."""
    slow: bool = False
    """The terminal cannot take more: frames are rarer."""
    arming: Arming = Arming()
    mode: str = "LIVE"

    @property
    def simulated(self) -> bool:
        return any(agent.node is not None and agent.node.simulated for agent in self.agents)

    @property
    def agents(self) -> list[Agent]:
        return list(self.store.agents.values())


def line(text: str, tone_: str = "") -> TextLine:
    return (Cell(text, tone_),)


def rule(title: str, width: int) -> TextLine:
    return line(f"─ {title} ".ljust(width, "─"), "rule")


def header(view: View, width: int) -> TextLine:
    """Cluster, freshness, alerts; never hidden."""
    all_ = view.agents
    live = len(view.store.live(view.now))
    stale = len(all_) - live
    alerts = len(view.problems)
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
        Cell(f"alerts {alerts} ", "bad" if alerts else ""),
    ]
    mode = view.mode if view.held is None else f"FROZEN {fmt.age(view.held)}"
    mode = f"SIMULATED {mode}" if view.simulated else mode
    odd = view.slow or view.held is not None or view.mode != "LIVE" or view.simulated
    pace = "0.5 Hz slow link  " if view.slow else ""
    right = f"{pace}{mode} {fmt.clock(view.wall)}Z "
    gap = width - sum(len(cell.text) for cell in left) - len(right)
    return (
        *left,
        Cell(" " * max(1, gap)),
        Cell(right, "warn" if odd else "ok"),
    )


def tiny(view: View) -> list[TextLine]:
    """All there is room for on a terminal of a few lines."""
    critical = sum(problem.critical for problem in view.problems)
    live, all_ = len(view.store.live(view.now)), len(view.agents)
    text = f"{view.cluster} {live}/{all_} nodes, {critical} crit, {len(view.problems)} alerts"
    tone_ = "bad" if critical or live < all_ else "ok"
    return [line(text, tone_), line("too small for tables: remora status", "dim")]


def alerts(view: View, room: int) -> list[TextLine]:
    """The worst problems, one line each; the last says how many are not shown."""
    found = view.problems
    if not found:
        return [line(" nothing is wrong", "ok")]
    shown = found if len(found) <= room else found[: room - 1]
    lines = [_alert(problem) for problem in shown]
    if len(shown) < len(found):
        lines.append(line(f" and {len(found) - len(shown)} more: 8", "dim"))
    return lines


def _alert(problem: Problem) -> TextLine:
    mark = Cell(" ! " if problem.critical else " ▲ ", "bad" if problem.critical else "warn")
    return (mark, Cell(f"{problem.subject} ", "strong"), Cell(problem.text))


def totals(found: Sequence[Node], *, large: bool) -> list[TextLine]:
    """The cluster's sums over live nodes; what is left out is said beside them."""
    live = [node for node in found if node.live]
    gone = len(found) - len(live)
    pps = _sum([n.pps for n in live], gone)
    octets = _sum([n.bytes_per_second for n in live], gone)
    new = _sum([n.new_flows_per_second for n in live], gone)
    flows = _sum([n.snapshot.live_flows if n.snapshot else None for n in live], gone)
    dropped = _sum([n.drop_pps for n in live], gone)
    spark = fmt.sparkline(_added([n.history for n in live]), 40 if large else 30, HISTORY_SECONDS)
    if not large:
        return [
            line(
                f" pps {_text(pps)}  bit/s {_text(octets, 8)}  new/s {_text(new)}"
                f"  flows {_text(flows)}  drops/s {_text(dropped)}"
            ),
            (Cell(" pps 60s "), Cell(spark, "hot")),
        ]
    return [
        (Cell(f" packets/s {_text(pps):>8}  "), Cell(spark, "hot")),
        line(f" bits/s    {_text(octets, 8):>8}"),
        line(f" new/s     {_text(new):>8}"),
        line(f" flows     {_text(flows):>8}"),
        line(f" drops/s   {_text(dropped):>8}"),
    ]


def _sum(values: list[float | None], gone: int) -> Sum:
    known = total(values)
    return Sum(known.value, known.left_out + gone)


def _text(value: Sum, factor: int = 1) -> str:
    if value.value is None:
        return fmt.UNKNOWN
    return fmt.si(value.value * factor) + (f"+{value.left_out}?" if value.left_out else "")


def _added(histories: Iterable[Sequence[float | None]]) -> list[float | None]:
    """Histories of several nodes added up from the newest back; unknown where one is."""
    kept = [history for history in histories if history]
    length = min((len(history) for history in kept), default=0)
    columns = zip(*(history[len(history) - length :] for history in kept), strict=True)
    return [
        None if None in column else sum(v for v in column if v is not None) for column in columns
    ]


# ---- one object


def node_lines(node: Node) -> list[TextLine]:
    snapshot = node.snapshot
    if snapshot is None:
        return [
            (Cell(" state    "), Cell(node.state.text, node.state.tone)),
            line(f" {node.address}"),
        ]
    old = "" if node.live else "?"
    peers = ", ".join(
        f"{p.address} AS{p.asn} {p.state} {fmt.age(snapshot.at - p.since)}" for p in snapshot.peers
    )
    up = fmt.age(snapshot.at - snapshot.started)
    differs = "differs from the other nodes" if node.ring_differs else "as the other nodes"
    return [
        (
            Cell(" state    "),
            Cell(node.state.text, node.state.tone),
            Cell(f"   age {fmt.age(node.age)}   agent {snapshot.version} up {up}   "),
            _xdp(snapshot),
            Cell(f" {snapshot.interface}   revision {snapshot.revision}"),
        ),
        (
            Cell(f" ring     {snapshot.ring_digest}  "),
            Cell(differs, "bad" if node.ring_differs else "dim"),
        ),
        line(f" BGP      {peers or 'no peers'}"),
        (
            Cell(
                f" rx {fmt.si(node.pps)}{old} pps  tx {fmt.si(node.tx_pps)}{old}"
                f"  pass {fmt.si(node.pass_pps)}{old}  drop {fmt.si(node.drop_pps)}{old}"
                f"  miss {fmt.percent(node.misses)}{old}"
                f"  flows {fmt.si(snapshot.live_flows)}{old}  "
            ),
            Cell(fmt.sparkline(node.history, 16, HISTORY_SECONDS), "hot"),
        ),
    ]


def _xdp(snapshot: NodeSnapshot) -> Cell:
    """As the kernel has it; an older agent says what was asked for."""
    mode = snapshot.xdp_attached or snapshot.xdp_mode
    tones = {"native": "", "offloaded": "", "generic": "warn"}
    return Cell(f"XDP {mode}", tones.get(mode, "bad"))


def vip_lines(view: View, vip: Vip) -> list[TextLine]:
    """The VIP on each node: the spread should be even."""
    lines: list[TextLine] = []
    for agent in view.agents:
        for one in rows.vips([agent], view.now, name=vip.name):
            part = one.pps.value / vip.pps.value if one.pps.value and vip.pps.value else None
            lines.append(
                (
                    Cell(f" {fmt.fit(agent.name, 10)} "),
                    Cell(fmt.fit(one.state.text, 14), one.state.tone),
                    Cell(f" {fmt.si(one.pps.value):>6} pps {fmt.percent(part):>6} "),
                    Cell(fmt.bar(part, 20), "hot"),
                    Cell("  announced" if one.announced else "  not announced", "dim"),
                )
            )
    return lines


def real_lines(view: View, real: Real) -> list[TextLine]:
    """The real as each node has it."""
    lines: list[TextLine] = []
    for agent in view.agents:
        for one in rows.reals([agent], view.now, vip=real.vip):
            if one.address != real.address:
                continue
            old = "?" if one.stale else ""
            lines.append(
                (
                    Cell(f" {fmt.fit(agent.name, 10)} "),
                    Cell(fmt.fit(one.state.text, 12), one.state.tone),
                    Cell(
                        f"w {one.weights[0]:<4} ring {fmt.percent(one.slots):>6}{old}"
                        f"  {fmt.si(one.pps.value):>6} pps"
                        f"  flows {fmt.si(one.live_flows.value):>5}"
                        f"  check {one.check} {fmt.milliseconds(one.check_ms)} ms"
                        f"  changed {fmt.age(one.changed)} ago"
                    ),
                )
            )
    return lines


def reason_lines(reason: int) -> list[TextLine]:
    known = BY_NUMBER.get(reason)
    if known is None:
        return [line(" a reason of a newer agent: this console has no words for it", "dim")]
    return [
        line(f" means   {known.meaning}"),
        line(f" cause   {known.cause}"),
        line(f" remedy  {known.remedy}"),
    ]


# ---- plans


def agents_of(view: View, addresses: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(address, node name) of those that are live now."""
    live = {agent.address: agent.name for agent in view.store.live(view.now)}
    return tuple((address, live[address]) for address in addresses if address in live)


def node_target(view: View, node: Node) -> Target | str:
    """What a plan on this node is about, or why there can be none."""
    if node.liveness is not Liveness.LIVE:
        return f"{node.name}: {node.liveness}: no action on values that are not live"
    return Target("node", node.name, "", agents_of(view, [node.address]), 0)


def node_target_of(view: View, address: str) -> Target | str:
    """As node_target, of the node whose agent has this address."""
    return node_target(view, rows.nodes([view.store.agents[address]], view.now)[0])


def real_target(view: View, real: Real) -> Target | str:
    """As node_target, for a real on every live node that carries it."""
    if real.stale or not real.agents:
        return f"{real.address}: its values are {fmt.age(real.age)} old: no action on them"
    agents = agents_of(view, real.agents)
    return Target("real", real.address, real.vip, agents, real.weights[-1])


def vip_target(view: View, vip: Vip) -> Target | str:
    """As node_target, for a VIP on every live node that carries it."""
    if vip.stale:
        return f"{vip.name}: its values are {fmt.age(vip.age)} old: no action on them"
    carrying = objects.carriers(Object("vip", vip.name), view.agents)
    agents = agents_of(view, [agent.address for agent in carrying])
    return Target("vip", vip.name, "", agents, 0)


def named_target(view: View, wanted: Object) -> Target | str:
    """As node_target and real_target, for a name; a real without a VIP is that of all VIPs."""
    if wanted.kind == "node":
        address = next((a.address for a in view.agents if a.name == wanted.name), "")
        return node_target_of(view, address) if address else f"{wanted}: there is none"
    if wanted.kind == "vip":
        vips = rows.vips(view.agents, view.now, name=wanted.name)
        return vip_target(view, vips[0]) if vips else f"{wanted}: there is none"
    reals = rows.reals(view.agents, view.now, vip=wanted.vip)
    found = [real_target(view, real) for real in reals if real.address == wanted.name]
    targets = [target for target in found if isinstance(target, Target)]
    if len(targets) < len(found) or not targets:
        return next((t for t in found if isinstance(t, str)), f"{wanted}: there is none")
    agents = tuple(dict.fromkeys(agent for target in targets for agent in target.agents))
    return targets[0]._replace(vip=wanted.vip, agents=agents)
