# SPDX-License-Identifier: Apache-2.0
"""One object in full: a VIP or a real on each node, a drop reason.  Pure."""

from __future__ import annotations

from textwrap import wrap

from console import format as fmt
from console.model import rows
from console.model.labels import Said, in_words
from console.model.records import Emptied, Real, Vip
from console.views.blank import NO_VIP, why_empty
from console.views.cells import Cell, TextLine, line
from console.views.view import View
from console.views.withdrawals import words
from shared.messages import NodeSnapshot
from shared.reasons import BY_NUMBER

CHECK_ROOM = 22
"""Columns for what a check said, before anything else may take them: `http 200 12.3 ms`."""


def labels_line(heading: str, said: Said) -> list[TextLine]:
    """Nothing where there is none to say, and nothing is known."""
    text = in_words(said)
    tone = "warn" if len(said) > 1 else ""
    return [(Cell(f" {heading}"), Cell(text, tone))] if text else []


def _name_room(view: View) -> int:
    """Of the nodes' names: as many columns as the longest needs."""
    return max([10, *(min(24, len(agent.name)) for agent in view.agents)])


def vip_lines(view: View, vip: Vip, room: int) -> list[TextLine]:
    """The VIP on each node: the spread should be even."""
    lines, names = labels_line("labels     ", vip.labels), _name_room(view)
    for number, agent in enumerate(view.agents):
        if len(lines) >= room - 1 and vip.nodes > room:
            return [*lines, _rest(len(view.agents) - number, "remora get each")]
        for one in rows.vips([agent], view.now, name=vip.name):
            part = one.pps.value / vip.pps.value if one.pps.value and vip.pps.value else None
            lines.append(
                (
                    Cell(f" {fmt.fit(agent.name, names)} "),
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


def real_lines(view: View, real: Real, room: int, width: int = 140) -> list[TextLine]:
    """The real as each node has it: of what it says as much as there is room for."""
    lines, names = labels_line("labels     ", real.labels), _name_room(view)
    for number, agent in enumerate(view.agents):
        if len(lines) >= room - 1 and real.nodes > room:
            return [*lines, _rest(len(view.agents) - number, "Enter")]
        for one in rows.reals([agent], view.now, vip=real.vip, address=real.address):
            lines.append(_real_line(fmt.fit(agent.name, names), one, width))
            if one.emptied and (one.live_flows.value or one.emptied.unknown):
                lines.append(line(f"  {emptied_words(one.emptied)}", "warn"))
    return lines


def _real_line(name: str, one: Real, width: int) -> TextLine:
    """What a drain is judged by comes first, what the check said has the rest of the line."""
    old, flows = "?" if one.stale else "", one.live_flows.value
    text, before = "", len(name) + 14
    for part in (
        f"{fmt.si(flows) + old:>5} {'flow ' if flows == 1 else 'flows'}",
        f"  ring{fmt.percent(one.slots):>7}{old or ' '}",
        f" for {fmt.age(one.changed) + old:<4}",
        f"{fmt.si(one.pps.value) + old:>6} pps",
        f"  weight {one.weights[0]:<4}",
    ):
        if before + len(text + part) + CHECK_ROOM <= width:
            text += part
    check = f"  {one.check} {fmt.milliseconds(one.check_ms)} ms"
    text += fmt.fit(check, width - before - len(text)).rstrip()
    return (Cell(f" {name} "), Cell(fmt.fit(one.state.text, 12), one.state.tone), Cell(text))


def emptied_words(found: Emptied) -> str:
    """How the drain of a real goes that has flows left, or may have: what is left is older than the
    drain."""
    flows = "1 flow" if found.at_start == 1 else f"{found.at_start} flows"
    words = [f"began {fmt.age(found.seconds)} ago with {flows}"]
    left = "no estimate yet" if found.left is None else f"empty in {fmt.age(found.left)}"
    words.append(left)
    if found.heard is not None and found.silent is not None:
        words.append(f"last packet {fmt.age(found.heard)} ago")
        words.append(f"quietest {fmt.age(found.silent)}")
    if found.unknown:
        words.append(f"flows may be unknown for {fmt.age(found.unknown)} more: {found.unknown_why}")
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
