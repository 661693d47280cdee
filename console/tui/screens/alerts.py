# SPDX-License-Identifier: Apache-2.0
"""8: all that is wrong, with its age, and the way to it."""

from __future__ import annotations

from textual.app import ComposeResult

from console.tui.screens import asks
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views.alerts import ALERTS, Alert, alert_lines
from console.views.cells import rule
from console.views.view import View


class AlertsScreen(LiveScreen):
    TOPICS = frozenset({"real"})
    FOOTER = ("enter", "up", "fleet", "vips", "bgp", "filter", "sort", "freeze")

    def crumb(self) -> str:
        return "Alerts"

    def body(self) -> ComposeResult:
        yield LineTable[Alert](ALERTS, empty="nothing is wrong")
        yield Painted(id="detail_rule", classes="section")
        yield Painted(id="detail")

    def draw(self, view: View) -> None:
        self.table.show(view.alerts)
        alert: Alert | None = self.table.current
        self.pane("detail_rule", [rule("in full" if alert else "", self.size.width)])
        self.pane("detail", alert_lines(alert, self.size.width) if alert else [])

    def open(self) -> asks.Opened | None:
        """The row that it is about."""
        alert: Alert | None = self.table.current
        if alert is None or self.view is None:
            return None
        kind, _, name = alert.problem.subject.partition("/")
        match kind:
            case "real":
                vip = name.partition("@")[2]
                return asks.Opened("vip", vip, alert.problem.subject)
            case "vip":
                return asks.Opened("vip", name)
            case "op":
                return asks.Opened("operations")
        address = next((a.address for a in self.view.agents if a.name == name), None)
        return asks.Opened("node", address) if address else None
