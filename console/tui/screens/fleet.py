# SPDX-License-Identifier: Apache-2.0
"""1: all nodes, the cluster's totals and what is wrong."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container, Vertical

from console.model import rows
from console.model.records import Node
from console.planning import routes
from console.planning.wish import Target, Wish
from console.tui.screens import asks
from console.tui.screens.bands import BANDS, LARGE, TABLE
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views import tables
from console.views import totals as counted
from console.views.alerts import in_short
from console.views.cells import rule
from console.views.details import vip_bars
from console.views.operation_lines import newest_lines
from console.views.targets import node_target
from console.views.view import View, totals

SMALL, WIDE = (2, 4), (6, 6)
"""Lines, at the least, of the sums and of what is wrong; on wide screens of VIPs and operations."""
RULES = 2
"""Headings of two panes."""


class FleetScreen(LiveScreen):
    FOOTER = (
        "enter",
        "vips",
        "drops",
        "drain",
        "undrain",
        "filter",
        "command",
        "heat",
        "bgp",
        "alerts",
        "sort",
        "freeze",
        "mark",
        "totals",
    )

    def crumb(self) -> str:
        return "Fleet"

    def body(self) -> ComposeResult:
        yield LineTable[Node](
            (*tables.NODES, *counted.NODES), empty="no agents: give -a ipc:///run/remora/NODE"
        )
        with Container(classes="panes"):
            with Vertical(classes="pane", id="left"):
                yield Painted(id="totals_rule", classes="section")
                yield Painted(id="totals")
            with Vertical(classes="pane", id="right"):
                yield Painted(id="alerts_rule", classes="section")
                yield Painted(id="alerts")
        with Container(classes="panes wide"):
            with Vertical(classes="pane", id="left_more"):
                yield Painted(id="bars_rule", classes="section")
                yield Painted(id="bars")
            with Vertical(classes="pane"):
                yield Painted(id="newest_rule", classes="section")
                yield Painted(id="newest")

    def draw(self, view: View) -> None:
        found = self.rows(view, lambda: rows.nodes(view.agents, view.now))
        self.table.show(found)
        large = self.size.width >= LARGE
        self._share_out(max(TABLE, len(found) + 1), large=large)
        self.pane("totals_rule", [rule("cluster", self.size.width)])
        self.pane("alerts_rule", [rule("what is wrong: 8 leads there", self.size.width)])
        width = self.query_one("#totals", Painted).size.width or self.size.width
        self.pane("totals", totals(found, width, large=large))
        pane = self.query_one("#alerts", Painted)
        self.pane("alerts", in_short(view.alerts, self._lines["alerts"], pane.size.width))
        if large:
            self._draw_more(view)

    def _share_out(self, wanted: int, *, large: bool) -> None:
        """Lines that few nodes leave go to what is below them: most to what is wrong."""
        sums, least = WIDE if large else SMALL
        below = max(sums, least) + least if large else sums + least
        spare = max(0, self.size.height - BANDS - RULES - below - wanted)
        alerts = least + (spare // 2 if large else spare)
        more = least + spare - spare // 2
        self._lines = {
            "totals": alerts if large else sums, "alerts": alerts, "bars": more, "newest": more,
        }  # fmt: skip
        for name, lines in self._lines.items():
            self.high(name, lines)

    def moved(self, view: View) -> None:
        """Nothing here is about one node."""

    def _draw_more(self, view: View) -> None:
        """On wide screens only: VIPs and operations, of which others need a key."""
        self.pane("bars_rule", [rule("VIPs", self.size.width)])
        self.pane("bars", vip_bars(view, self._lines["bars"]))
        self.pane("newest_rule", [rule("operations", self.size.width)])
        self.pane(
            "newest",
            newest_lines(view.agents, view.now, self._lines["newest"], past=view.past is not None),
        )

    def target(self, view: View) -> Target | str:
        node: Node | None = self.table.current
        return node_target(view, node) if node else "no node under the cursor"

    def target_of(self, view: View, row: Node) -> Target | str:
        return node_target(view, row)

    def routed(self, view: View) -> Wish | str:
        agent = view.store.agents.get(self.node())
        return routes.of_node(agent, view.now) if agent else "no node under the cursor"

    def node(self) -> str:
        node: Node | None = self.table.current
        return node.key if node else ""

    def open(self) -> asks.Opened | None:
        node: Node | None = self.table.current
        return asks.Opened("node", node.key) if node else None
