# SPDX-License-Identifier: Apache-2.0
"""4: dropped packets by reason, what the reason means, and everything that happens."""

from __future__ import annotations

from textual.app import ComposeResult

from console import columns, rows
from console.records import Drop
from console.screens.live import LiveScreen
from console.view import View, reason_lines, rule, tail_lines
from console.widgets.painted import Painted
from console.widgets.table import LineTable


class DropsScreen(LiveScreen):
    TOPICS = frozenset({"drop"})
    FOOTER = ("up", "fleet", "vips", "filter", "sort", "freeze")

    def crumb(self) -> str:
        return "Drops and events"

    def body(self) -> ComposeResult:
        yield LineTable[Drop](columns.DROPS, empty="no packet was dropped", id="reasons")
        yield Painted(id="reason")
        yield Painted(id="tail_rule", classes="section")
        yield Painted(id="tail")

    def draw(self, view: View) -> None:
        self.table.show(rows.drops(view.agents, view.now))
        drop: Drop | None = self.table.current
        self.pane("reason", reason_lines(drop.reason) if drop else [])
        lost = sum(agent.log.lost for agent in view.agents)
        title = f"events, newest last; {lost} lost on the way" if lost else "events, newest last"
        self.pane("tail_rule", [rule(title, self.size.width)])
        room = self.query_one("#tail", Painted).size.height
        self.pane("tail", tail_lines(view, room, self.table.words))
