# SPDX-License-Identifier: Apache-2.0
"""What was done, by whom, on which nodes, and whether it can be taken back.  Pure.

Made of the agents' change events, so every console shows the same, other operators' too.  Commands
of one operation carry its name; those without (other clients) are one operation each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from console import format as fmt
from console.exits import VerbError
from console.model.records import State
from console.model.store import Agent
from console.model.underway import Seat, Underway, underway
from console.views.blank import NO_OPERATION, why_empty
from console.views.cells import Cell, TextLine, line
from console.views.columns import Column
from console.views.items import Item, word
from shared.messages import ChangeEvent

AGENT = "agent"
"""Who says what becomes of a change later: the node itself."""
BACK = ("time is over, back as before", "not confirmed, taken back")
"""A change with --for or --confirm-within, in the end."""


class Step(NamedTuple):
    """One node's part."""

    address: str
    node: str
    wall: float
    result: str
    """As the agent says: `applied`, `refused: ...`, ..."""
    revision: int
    undo: tuple[str, ...]
    later: bool = False
    """Not the answer to a command: what became of it."""

    @property
    def done(self) -> bool:
        return self.result == "applied"

    @property
    def good(self) -> bool:
        """As it was wanted there, also where it was so before."""
        return self.done or self.result == "unchanged"


class Operation(msgspec.Struct, frozen=True):
    key: str
    wall: float
    """Unix time of its first part."""
    who: str
    what: str
    why: str
    steps: tuple[Step, ...]
    state: State
    overtaken: str
    """Who changed the same object afterwards; empty: nobody."""
    underway: Underway | None = None
    """While it comes to its nodes one after the other."""

    @property
    def undo(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """(address, node, lines) of the nodes on which there is something to take back."""
        return [(s.address, s.node, s.undo) for s in self.steps if s.undo]


def operations(agents: Sequence[Agent], now: float) -> list[Operation]:
    """Those that are not over, then the newest first."""
    going = {each.operation: each for each in underway(agents, now)}
    found = _of_events(agents)
    known = {made.key: made for made in found if made.key in going}
    first = [_not_over(each, known.get(each.operation)) for each in going.values()]
    return [*first, *(made for made in found if made.key not in going)]


def named(known: Sequence[Operation], name: str) -> Operation:
    """The one that is called so, or of which only one's name begins so.  Raises VerbError."""
    wanted = name.removeprefix("op/")
    found = [each for each in known if each.key == wanted] or [
        each for each in known if wanted and each.key.startswith(wanted)
    ]
    if not found:
        raise VerbError(f"{name}: no such operation; remora get op lists them")
    if len(found) > 1:
        raise VerbError(f"{name}: {len(found)} operations begin so; give more of it")
    return found[0]


def _not_over(each: Underway, known: Operation | None) -> Operation:
    text = f"HELD {each.count}" if each.held else f"◐ {each.count}"
    return Operation(
        key=each.operation,
        wall=known.wall if known else each.wall,
        who=each.who,
        what=each.what,
        why=each.why,
        steps=known.steps if known else (),
        state=State(text, "warn strong" if each.held else "warn", 7 if each.held else 4),
        overtaken="",
        underway=each,
    )


def _of_events(agents: Sequence[Agent]) -> list[Operation]:
    grouped: dict[str, list[tuple[Step, ChangeEvent]]] = {}
    for agent in agents:
        for event in agent.log.changes:
            body = event.body
            assert isinstance(body, ChangeEvent)
            key = body.operation or f"{agent.address} {event.boot} {event.sequence}"
            step = Step(
                agent.address, event.node, event.wall, body.result, body.revision, body.undo,
                body.who == AGENT,
            )  # fmt: skip
            grouped.setdefault(key, []).append((step, body))
    newest_first = sorted(grouped.items(), key=lambda item: -min(s.wall for s, _ in item[1]))
    found: list[Operation] = []
    later: dict[str, str] = {}
    for key, parts in newest_first:
        found.append(_operation(key, parts, later))
        for name in _touched(found[-1]):
            later.setdefault(name, f"{found[-1].who} at {fmt.clock(found[-1].wall)}")
    return found


def _operation(
    key: str, parts: Sequence[tuple[Step, ChangeEvent]], later: dict[str, str]
) -> Operation:
    steps = tuple(step for step, _ in sorted(parts, key=lambda part: part[0].wall))
    first = parts[0][1]
    made = Operation(
        key=key,
        wall=steps[0].wall,
        who=first.who,
        what=first.what,
        why=first.why,
        steps=steps,
        state=_state(steps),
        overtaken="",
    )
    by = next((later[name] for name in _touched(made) if name in later), "")
    return made if not by else _overtaken(made, by)


def _overtaken(made: Operation, by: str) -> Operation:
    return Operation(made.key, made.wall, made.who, made.what, made.why, made.steps, made.state, by)


def _touched(operation: Operation) -> set[str]:
    """Objects that it really changed, as the lines that take it back name them, per node: a VIP,
    and its route, are two."""
    lines = ((s.address, text.split()) for s in operation.steps for text in s.undo)
    return {
        f"{address} {words[1]} {words[0] in ('announce', 'withdraw')}"
        for address, words in lines
        if len(words) > 1
    }


def _state(all_steps: Sequence[Step]) -> State:
    if any(step.result in BACK for step in all_steps):
        return State("○ went back", "dim", 0)
    steps = [step for step in all_steps if not step.later] or all_steps
    good = sum(step.good for step in steps)
    words = {step.result.partition(":")[0] for step in steps}
    if words == {"unchanged"}:
        return State("· already so", "dim", 0)
    if good == len(steps):
        return State(f"● ok {good}/{good}", "ok", 0)
    if good:
        return State(f"▲ partial {good}/{len(steps)}", "bad", 6)
    if "failed" in words:
        return State("✕ failed", "bad", 6)
    if words <= {"refused", "unchanged"}:
        return State("✕ refused", "warn", 2)
    # What the agent tells of itself: a drain that has ended, pressure, ...
    return State(f"· {steps[0].result}", "dim", 0)


def name_of(operation: Operation) -> str:
    """As much of its name as one types; operations of other clients have none."""
    return "-" if " " in operation.key else operation.key[:8]


def undoable(operation: Operation) -> str:
    """`yes`, the keys that it takes, or why not."""
    if operation.underway:
        return "R K" if operation.underway.held else "K"
    if not operation.undo or any(step.result in BACK for step in operation.steps):
        return "-"
    return f"no: {operation.overtaken}" if operation.overtaken else "yes"


def item(row: Operation) -> Item:
    return {
        "name": row.key,
        "at": round(row.wall, 3),
        "who": row.who,
        "what": row.what,
        "why": row.why,
        "result": word(row.state),
        "overtaken_by": row.overtaken or None,
        "nodes": [
            {
                "node": step.node,
                "at": round(step.wall, 3),
                "result": step.result,
                "revision": step.revision,
                "undo": list(step.undo),
            }
            for step in row.steps
        ],
    }


def _result(row: Operation) -> Cell:
    return Cell(row.state.text, row.state.tone)


OPERATIONS: tuple[Column[Operation], ...] = (
    Column("OP", 8, lambda r: Cell(name_of(r)), name_of, 2),
    Column("WHEN", 8, lambda r: Cell(fmt.clock(r.wall)), lambda r: r.wall),
    Column("WHO", 12, lambda r: Cell(r.who), lambda r: r.who, 1, grows="prose"),
    Column("WHAT", 32, lambda r: Cell(r.what), lambda r: r.what, grows="prose"),
    Column("RESULT", 14, _result, lambda r: r.state.urgency, grows="prose"),
    Column("UNDO", 4, lambda r: Cell(undoable(r).partition(":")[0]), undoable, 1),
    Column("REASON", 28, lambda r: Cell(r.why, "dim"), lambda r: r.why, 3, grows="prose"),
)


def newest_lines(agents: Sequence[Agent], now: float, room: int) -> list[TextLine]:
    """For a screen that is about something else: those under way, then the newest."""
    found = operations(agents, now)
    if not found:
        none = why_empty(agents, now, lambda agent: agent.node, NO_OPERATION[0])
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
