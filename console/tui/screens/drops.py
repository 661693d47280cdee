# SPDX-License-Identifier: Apache-2.0
"""4: dropped packets by reason, what the reason means, and everything that happens."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult

from console.model import rows
from console.model.records import Drop
from console.model.selectors import Selector
from console.tui.screens import asks
from console.tui.screens.bands import TABLE
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views import tables
from console.views.blank import why_empty
from console.views.cells import rule
from console.views.details import reason_lines
from console.views.event_labels import EventLabels
from console.views.tail_rows import TAIL, TailRow, flow_of, opens, tail_rows, who_lines
from console.views.view import View

REASONS = 9
"""Lines of their table, at the most: what happens wants room as well."""


class DropsScreen(LiveScreen):
    TOPICS = frozenset({"drop"})
    TABLES = ("reasons", "tail")
    FOOTER = (
        "enter",
        "up",
        "pane",
        "follow",
        "fleet",
        "vips",
        "filter",
        "match",
        "what-if",
        "sort",
        "freeze",
        "export",
    )

    WITHOUT_TOTALS = "PACKETS are totals already"

    def crumb(self) -> str:
        return f"Drops and events › {self.chosen}"

    def body(self) -> ComposeResult:
        yield LineTable[Drop](tables.DROPS, empty="", id="reasons")
        yield Painted(id="reason")
        yield Painted(id="tail_rule", classes="section")
        yield LineTable[TailRow](
            TAIL, empty="", id="tail", by_urgency=False, follows=True, labelled=self._labelled
        )

    def _labelled(self, wanted: Selector) -> Callable[[TailRow], bool]:
        """By what an event is about, as `events -l` has it."""
        judge = EventLabels(wanted, self.view.agents if self.view else ())
        return lambda row: judge.hold(row.line)

    def draw(self, view: View) -> None:
        reasons = self.query_one("#reasons", LineTable)
        tail = self.query_one("#tail", LineTable)
        none = why_empty(view.agents, view.now, lambda agent: agent.drops, "no packet was dropped")
        found = rows.drops(view.agents, view.now)
        reasons.show(found, none)
        reasons.styles.height = max(TABLE, min(REASONS, len(found) + 1))
        happened = tail_rows(view.agents)
        drop: Drop | None = reasons.current
        width = self.size.width
        self.fitted(
            "reason",
            [*who_lines(happened, drop.reason, width), *reason_lines(drop.reason, width)]
            if drop
            else [],
        )
        none = why_empty(view.agents, view.now, lambda agent: agent.node, "nothing has happened")
        tail.show(happened, none)
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
