# SPDX-License-Identifier: Apache-2.0
"""Operations in words: the newest in short, one in full, node by node.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from console import format as fmt
from console.model.store import Agent
from console.model.underway import Seat, Underway
from console.views.blank import NO_OPERATION, NONE_THEN, why_empty
from console.views.cells import Cell, TextLine, line
from console.views.operations import Operation, name_of, operations


def newest_lines(
    agents: Sequence[Agent], now: float, room: int, *, past: bool = False
) -> list[TextLine]:
    """For a screen that is about something else: those under way, then the newest."""
    found = operations(agents, now)
    if not found:
        nothing = NONE_THEN if past else NO_OPERATION[:1]
        none = why_empty(agents, now, lambda agent: agent.node, *nothing)
        return [line(f" {none}", "dim")]
    lines: list[TextLine] = [
        (
            Cell(f" {fmt.clock(each.wall)} {fmt.fit(each.who, 10)} {fmt.fit(each.what, 32)} "),
            Cell(each.state.text, each.state.tone),
        )
        for each in found[:room]
    ]
    if len(found) > room:
        lines[-1] = line(f" and {len(found) - room + 1} more: 9", "dim")
    return lines


def operation_lines(operation: Operation, room: int) -> list[TextLine]:
    """The one under the cursor, node by node."""
    lines: list[TextLine] = [
        (Cell(" what     ", "dim"), Cell(operation.what, "strong")),
        (
            Cell(" from     ", "dim"),
            Cell(f"{operation.who}   reason {operation.why or '-'}   op {name_of(operation)}"),
        ),
    ]
    if operation.underway:
        return [*lines, *_underway_lines(operation.underway, room - len(lines))]
    for step in operation.steps:
        tone = "ok" if step.done else "warn"
        lines.append(
            (
                Cell(f" {fmt.clock(step.wall, digits=2)}  {step.node:<10} "),
                Cell(step.result, tone),
                Cell(f"  revision {step.revision}", "dim"),
            )
        )
    for node, text in operation.later:
        lines.append((Cell(" later    ", "dim"), Cell(f"{node}: {text}", "warn")))
    if any("confirmed" in text for _, text in operation.later):
        keep = f"remora confirm {operation.key}"
        lines.append((Cell(" keep it  ", "dim"), Cell(keep, "strong")))
    lines.append((Cell(" undo     ", "dim"), Cell(_undo_text(operation))))
    return lines[:room]


def _underway_lines(each: Underway, room: int) -> list[TextLine]:
    lines: list[TextLine] = [(Cell(" rollout  ", "dim"), Cell(each.terms or "-"))]
    if each.held:
        lines.append((Cell(" HELD     ", "warn strong"), Cell(each.said, "warn")))
    way = "R plans to go on, K to take it back" if each.held else "K holds it"
    end = (Cell(" next     ", "dim"), Cell(f"{way}; other-op keeps others off"))
    seats = [_seat_line(seat) for seat in each.seats]
    space = room - len(lines) - 1
    if len(seats) > space:
        left = len(seats) - space + 1
        seats = [*seats[: space - 1], line(f" and {left} more nodes", "dim")]
    return [*lines, *seats, end]


def _seat_line(seat: Seat) -> TextLine:
    turn = Cell(f"{'done' if seat.row.done else 'waits':<6}", "warn" if seat.row.done else "dim")
    told = f"told {fmt.age(seat.told)} ago"
    if not seat.fresh:
        return (
            Cell(f" {seat.node:<10} "),
            Cell("?     ", "stale"),
            Cell("its values are old", "dim"),
        )
    back = f"   back: {', '.join(seat.row.undo)}" if seat.row.undo else ""
    return (Cell(f" {seat.node:<10} "), turn, Cell(f"{told}{back}", "dim"))


def _undo_text(operation: Operation) -> str:
    if operation.overtaken:
        return f"no: the same was changed again by {operation.overtaken}"
    lines = dict.fromkeys(text for _, _, each in operation.undo for text in each)
    return f"Z plans: {', '.join(lines)}" if lines else "there is nothing to take back"
