# SPDX-License-Identifier: Apache-2.0
"""One object in full: a node, a VIP or a real on each node, a drop reason.  Pure."""

from __future__ import annotations

from textwrap import wrap

from console import format as fmt
from console.model import rows
from console.model.labels import Said, in_words
from console.model.rates import HISTORY_SECONDS
from console.model.records import Emptied, Node, Real, Vip
from console.model.tracks import added
from console.views.blank import NO_VIP, why_empty
from console.views.cells import Cell, TextLine, line
from console.views.view import View
from console.views.withdrawals import words
from shared.messages import NodeSnapshot
from shared.reasons import BY_NUMBER


def node_lines(node: Node) -> list[TextLine]:
    snapshot = node.snapshot
    if snapshot is None:
        return [
            (Cell(" state    "), Cell(node.state.text, node.state.tone)),
            line(f" {node.address}"),
        ]
    old = "" if node.live else "?"
    peers = ", ".join(
        f"{p.address} AS{p.asn} {p.state}{old} {fmt.age(snapshot.at - p.since)}{old}"
        + (" (withdrawn)" if p.withdrawn else "")
        for p in snapshot.peers
    )
    up = fmt.age(snapshot.at - snapshot.started)
    differs = "differs from the other nodes" if node.ring_differs else "as the other nodes"
    differs = differs if node.live else "when it was last heard of"
    return [
        (
            Cell(" state    "),
            Cell(node.state.text, node.state.tone),
            Cell(f"  age {fmt.age(node.age)}  agent {snapshot.version} up {up}  "),
            _xdp(snapshot),
            Cell(f" {snapshot.interface}  revision {snapshot.revision}"),
        ),
        (
            Cell(f" ring     {snapshot.ring_digest}  "),
            Cell(differs, "bad" if node.ring_differs else "dim"),
        ),
        line(f" BGP      {peers or 'no peers'}"),
        *_away(snapshot),
        *labels_line("labels   ", node.labels),
        (
            Cell(
                f" rx {fmt.si(node.pps)}{old} pps  tx {fmt.si(node.tx_pps)}{old}"
                f"  pass {fmt.si(node.pass_pps)}{old}  drop {fmt.si(node.drop_pps)}{old}"
                f"  miss {fmt.percent(node.misses)}{old}"
                f"  flows {fmt.si(snapshot.live_flows)}{old}  "
            ),
            Cell(fmt.sparkline(added(node.minute.tracks), 16, HISTORY_SECONDS), "hot"),
        ),
    ]


def _away(snapshot: NodeSnapshot) -> list[TextLine]:
    said = snapshot.withdrawn
    return [line(f" routes   withdrawn {words(said)}", "warn")] if said else []


def labels_line(heading: str, said: Said) -> list[TextLine]:
    """Nothing where there is none to say, and nothing is known."""
    text = in_words(said)
    tone = "warn" if len(said) > 1 else ""
    return [(Cell(f" {heading}"), Cell(text, tone))] if text else []


def _xdp(snapshot: NodeSnapshot) -> Cell:
    """As the kernel has it; an older agent says what was asked for."""
    mode = snapshot.xdp_attached or snapshot.xdp_mode
    tones = {"native": "", "offloaded": "", "generic": "warn"}
    return Cell(f"XDP {mode}", tones.get(mode, "bad"))


def vip_lines(view: View, vip: Vip, room: int) -> list[TextLine]:
    """The VIP on each node: the spread should be even."""
    lines = labels_line("labels     ", vip.labels)
    for number, agent in enumerate(view.agents):
        if len(lines) >= room - 1 and vip.nodes > room:
            return [*lines, _rest(len(view.agents) - number, "remora get each")]
        for one in rows.vips([agent], view.now, name=vip.name):
            part = one.pps.value / vip.pps.value if one.pps.value and vip.pps.value else None
            lines.append(
                (
                    Cell(f" {fmt.fit(agent.name, 10)} "),
                    Cell(fmt.fit(one.state.text, 14), one.state.tone),
                    Cell(f" {fmt.si(one.pps.value):>6} pps {fmt.percent(part):>6} "),
                    Cell(fmt.bar(part, 20), "hot"),
                    _announced(one, agent.node),
                )
            )
    return lines


def _announced(one: Vip, node: NodeSnapshot | None) -> Cell:
    """On one node, with whose word keeps the route away."""
    if one.stale:
        return Cell("  announced?", "stale")
    text = "announced" if one.announced else "not announced"
    if one.withdrawn:
        still = "announced for another VIP of its address, " if one.announced else ""
        return Cell(f"  {still}withdrawn {words(one.withdrawn[0][1])}", "warn")
    if node is not None and node.withdrawn:
        return Cell(f"  {text}: node withdrawn {words(node.withdrawn)}", "warn")
    return Cell(f"  {text}", "dim")


def _rest(nodes: int, where: str) -> TextLine:
    """What is not shown is said, and not computed: of five hundred nodes that is most of it."""
    return line(f" and {nodes} more nodes: {where} has them all", "dim")


def real_lines(view: View, real: Real, room: int) -> list[TextLine]:
    """The real as each node has it."""
    lines = labels_line("labels     ", real.labels)
    for number, agent in enumerate(view.agents):
        if len(lines) >= room - 1 and real.nodes > room:
            return [*lines, _rest(len(view.agents) - number, "Enter")]
        for one in rows.reals([agent], view.now, vip=real.vip, address=real.address):
            old = "?" if one.stale else ""
            lines.append(
                (
                    Cell(f" {fmt.fit(agent.name, 10)} "),
                    Cell(fmt.fit(one.state.text, 12), one.state.tone),
                    Cell(
                        f"w {one.weights[0]:<4} ring{fmt.percent(one.slots):>6}{old or ' '}"
                        f"{fmt.si(one.pps.value):>6} pps{fmt.si(one.live_flows.value):>6} "
                        f"{'flow ' if one.live_flows.value == 1 else 'flows'}"
                        f"  {one.check} {fmt.milliseconds(one.check_ms)} ms"
                        f"  changed {fmt.age(one.changed)} ago"
                    ),
                )
            )
            if one.emptied and one.live_flows.value:
                lines.append(line(f"  {emptied_words(one.emptied)}", "warn"))
    return lines


def emptied_words(found: Emptied) -> str:
    """How the drain of a real goes that has flows left: what is left is older than the drain."""
    flows = "1 flow" if found.at_start == 1 else f"{found.at_start} flows"
    words = [f"began {fmt.age(found.seconds)} ago with {flows}"]
    left = "no estimate yet" if found.left is None else f"empty in {fmt.age(found.left)}"
    words.append(left)
    if found.heard is not None and found.silent is not None:
        words.append(f"last packet {fmt.age(found.heard)} ago")
        words.append(f"quietest {fmt.age(found.silent)}")
    return ", ".join(words)


def reason_lines(reason: int, width: int = 10_000) -> list[TextLine]:
    known = BY_NUMBER.get(reason)
    if known is None:
        return [line(" a reason of a newer agent: this console has no words for it", "dim")]
    said = (("means", known.meaning), ("cause", known.cause), ("remedy", known.remedy))
    return [
        (Cell(f" {label if part == 0 else '':<8}", "dim"), Cell(text))
        for label, words in said
        for part, text in enumerate(wrap(words, width - 10))
    ]


BARS_UP_TO = 60
"""Nodes over which the fleet's screen adds VIPs up."""


def vip_bars(view: View, room: int) -> list[TextLine]:
    """The busiest VIPs of the fleet."""
    if len(view.agents) > BARS_UP_TO:
        return [line(" 3 has the VIPs", "dim")]
    found = sorted(rows.vips(view.agents, view.now), key=lambda vip: -(vip.pps.value or 0.0))
    lines = [_vip_bar(vip) for vip in found[:room]]
    if len(found) > room:
        lines[-1] = line(f" and {len(found) - room + 1} more: 3", "dim")
    none = why_empty(view.agents, view.now, lambda agent: agent.vips, NO_VIP[0])
    return lines or [line(f" {none}", "dim")]


def _vip_bar(vip: Vip) -> TextLine:
    left = "?" if vip.pps.left_out else ""
    return (
        Cell(f" {fmt.fit(vip.name, 11)}"),
        Cell(f"{fmt.si(vip.pps.value) + left:>7} {fmt.percent(vip.share):>6} "),
        Cell(fmt.bar(vip.share, 14), "hot"),
        Cell(f" {vip.reals_up}/{vip.reals} "),
        Cell(vip.state.text, vip.state.tone),
    )
