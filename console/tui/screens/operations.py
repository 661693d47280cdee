# SPDX-License-Identifier: Apache-2.0
"""9: what was done, by whom, and how it is taken back."""

from __future__ import annotations

from typing import Literal

from textual.app import ComposeResult

from console.tui.screens import asks
from console.tui.screens.bands import LARGE
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views.blank import NO_OPERATION, NONE_THEN, why_empty
from console.views.cells import TextLine, line, rule
from console.views.operation_lines import operation_lines
from console.views.operations import (
    OPERATIONS,
    Operation,
    operations,
    undoable,
)
from console.views.standing import maybe_missing
from console.views.view import View


class OperationsScreen(LiveScreen):
    FOOTER = ("up", "undo", "resume", "abort", "fleet", "vips", "drops", "filter", "sort", "freeze")

    def crumb(self) -> str:
        return "Operations, newest first"

    def body(self) -> ComposeResult:
        yield LineTable[Operation](OPERATIONS, empty="", by_urgency=False)
        yield Painted(id="detail_rule", classes="section")
        yield Painted(id="operation")

    def draw(self, view: View) -> None:
        nothing = NO_OPERATION if view.past is None else NONE_THEN
        none = why_empty(view.agents, view.now, lambda agent: agent.node, *nothing)
        found = operations(view.agents, view.now)
        self.table.show(found, none)
        room = self.below("operation", len(found), 16 if self.size.width >= LARGE else 8)
        row: Operation | None = self.table.current
        self.pane("detail_rule", [rule("node by node" if row else "", self.size.width)])
        self.pane("operation", operation_lines(row, room) if row else [])

    def standing(self, view: View) -> TextLine:
        """An operation that is not over is on show here already."""
        if view.note:
            return super().standing(view)
        return line(f" {maybe_missing(view.agents, view.now)}", "stale")

    def action_undo(self) -> None:
        row: Operation | None = self.table.current
        wrong = self.refusal()
        if wrong or row is None:
            self.say(wrong or "no operation under the cursor")
        elif row.underway is not None:
            self.say("it is not over: R goes on, K holds it, or takes a held one back")
        elif undoable(row) != "yes":
            why = f": changed again by {row.overtaken}" if row.overtaken else ""
            self.say(f"{row.what} cannot be taken back{why or ': it changed nothing'}")
        else:
            self.post_message(asks.UndoWanted(row.undo, f"undo {row.what}"))

    def action_resume(self) -> None:
        row: Operation | None = self.table.current
        wrong = self.refusal()
        if wrong or row is None or row.underway is None:
            self.say(wrong or "nothing is under way there")
        elif not row.underway.held:
            self.say("it goes on already; K holds it")
        else:
            self.post_message(asks.Steer("resume", row.underway))

    def action_abort(self) -> None:
        """Holding changes nothing on any node, and every second counts: it needs no plan."""
        row: Operation | None = self.table.current
        wrong = self.refusal()
        if wrong or row is None or row.underway is None:
            self.say(wrong or "nothing is under way there")
        else:
            order: Literal["hold", "revert"] = "revert" if row.underway.held else "hold"
            self.post_message(asks.Steer(order, row.underway))
