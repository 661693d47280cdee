# SPDX-License-Identifier: Apache-2.0
"""4: dropped packets by reason, what the reason means, and everything that happens."""

from __future__ import annotations

from textual.app import ComposeResult

from console.model import rows
from console.model.records import Drop
from console.tui.screens import asks
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views import tables
from console.views.blank import why_empty
from console.views.cells import rule
from console.views.details import reason_lines
from console.views.tail_rows import TAIL, TailRow, flow_of, opens, tail_rows
from console.views.view import View


class DropsScreen(LiveScreen):
    TOPICS = frozenset({"drop"})
    TABLES = ("reasons", "tail")
    FOOTER = ("enter", "up", "pane", "follow", "fleet", "vips", "filter", "sort", "freeze")

    def crumb(self) -> str:
        return f"Drops and events › {self.chosen}"

    def body(self) -> ComposeResult:
        yield LineTable[Drop](tables.DROPS, empty="", id="reasons")
        yield Painted(id="reason")
        yield Painted(id="tail_rule", classes="section")
        yield LineTable[TailRow](TAIL, empty="", id="tail", by_urgency=False, follows=True)

    def draw(self, view: View) -> None:
        reasons = self.query_one("#reasons", LineTable)
        tail = self.query_one("#tail", LineTable)
        none = why_empty(view.agents, view.now, lambda agent: agent.drops, "no packet was dropped")
        reasons.show(rows.drops(view.agents, view.now), none)
        drop: Drop | None = reasons.current
        self.pane("reason", reason_lines(drop.reason, self.size.width) if drop else [])
        none = why_empty(view.agents, view.now, lambda agent: agent.node, "nothing has happened")
        tail.show(tail_rows(view.agents), none)
        self.pane("tail_rule", [rule(self._title(view, following=tail.following), self.size.width)])

    def _title(self, view: View, *, following: bool) -> str:
        """What is not on show is said: suppressed by the rate limit, lost in a ring, on the way."""
        known = [agent.drops for agent in view.agents if agent.drops]
        suppressed = sum(snapshot.suppressed for snapshot in known)
        lost = sum(snapshot.lost for snapshot in known)
        on_the_way = sum(agent.log.lost for agent in view.agents)
        words = ["following" if following else "not following: f"]
        words += [f"{suppressed} over the event rate"] if suppressed else []
        words += [f"{lost} lost in ring buffers"] if lost else []
        words += [f"{on_the_way} lost on the way"] if on_the_way else []
        return f"events, newest last; {', '.join(words)}"

    def action_follow(self) -> None:
        self.query_one("#tail", LineTable).follow()

    def question(self) -> str:
        """Where the flow of the packet under the cursor goes."""
        row = self.table.current
        flow = flow_of(row.body) if isinstance(row, TailRow) else ""
        return f"flow {flow}" if flow else ""

    def open(self) -> asks.Opened | None:
        row = self.table.current
        if isinstance(row, TailRow):
            found = opens(row)
            return asks.Opened(*found) if found else None
        if isinstance(row, Drop):
            # Its packets: the tail, with the reason as its filter.
            self.choose("tail")
            self._filter(row.name)
        return None
