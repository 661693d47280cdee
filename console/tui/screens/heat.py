# SPDX-License-Identifier: Apache-2.0
"""5: how the packets of every node are spread over its CPUs."""

from __future__ import annotations

from textual.app import ComposeResult

from console.planning import routes
from console.planning.wish import Target, Wish
from console.tui.screens import asks
from console.tui.screens.bands import LARGE
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views.cells import line, rule
from console.views.heat import METRICS, Heat, columns, cpu_lines, heat
from console.views.targets import node_target_of
from console.views.view import View


class HeatScreen(LiveScreen):
    TOPICS = frozenset({"cpu"})
    FOOTER = ("enter", "up", "metric", "fleet", "drops", "drain", "sort", "freeze")

    def __init__(self) -> None:
        super().__init__()
        self.metric = METRICS[0]

    def crumb(self) -> str:
        return f"Heat › {self.metric.name}"

    def body(self) -> ComposeResult:
        yield Painted(id="legend")
        yield LineTable[Heat]((), empty="no agents: give -a ipc:///run/remora/NODE")
        yield Painted(id="cpus_rule", classes="section")
        yield Painted(id="cpus")

    def draw(self, view: View) -> None:
        found = heat(view.agents, view.now, self.metric)
        self.pane("legend", [line(f" {self.metric.legend}   · idle  ? old", "dim")])
        self.table.use(columns(found, self.metric, self.size.width))
        self.table.show(found)
        row: Heat | None = self.table.current
        self.pane("cpus_rule", [rule(f"{row.name}, busiest first" if row else "", self.size.width)])
        least = 16 if self.size.width >= LARGE else 8
        room = self.below("cpus", len(found) + 1, least)  # the legend
        self.pane("cpus", cpu_lines(row, room, self.size.width) if row else [])

    def target(self, view: View) -> Target | str:
        row: Heat | None = self.table.current
        return node_target_of(view, row.key) if row else "no node under the cursor"

    def target_of(self, view: View, row: Heat) -> Target | str:
        return node_target_of(view, row.key)

    def routed(self, view: View) -> Wish | str:
        agent = view.store.agents.get(self.node())
        return routes.of_node(agent, view.now) if agent else "no node under the cursor"

    def node(self) -> str:
        row: Heat | None = self.table.current
        return row.key if row else ""

    def open(self) -> asks.Opened | None:
        row: Heat | None = self.table.current
        return asks.Opened("node", row.key) if row else None

    def action_metric(self) -> None:
        """The next one; the same view, so that a held display can be looked at too."""
        self.metric = METRICS[(METRICS.index(self.metric) + 1) % len(METRICS)]
        self._redraw()
