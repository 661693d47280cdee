# SPDX-License-Identifier: Apache-2.0
"""8: all that is wrong, with its age, and the way to it."""

from __future__ import annotations

from textual.app import ComposeResult

from console.model.objects import Kind, Object
from console.planning.wish import Target
from console.tui.screens import asks
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views.alerts import ALERTS, Alert, alert_lines
from console.views.cells import rule
from console.views.targets import named_target
from console.views.view import View


class AlertsScreen(LiveScreen):
    TOPICS = frozenset({"real"})
    FOOTER = (
        *("enter", "up", "acknowledge", "drain", "undrain", "ring", "vips", "bgp", "filter"),
        *("sort", "freeze"),
    )

    def crumb(self) -> str:
        return "Alerts"

    def body(self) -> ComposeResult:
        yield LineTable[Alert](ALERTS, empty="nothing is wrong")
        yield Painted(id="detail_rule", classes="section")
        yield Painted(id="detail")

    def draw(self, view: View) -> None:
        self.table.show(view.alerts)
        self.below("detail", len(view.alerts), 6)
        alert: Alert | None = self.table.current
        self.pane("detail_rule", [rule("in full" if alert else "", self.size.width)])
        self.pane("detail", alert_lines(alert, self.size.width) if alert else [])

    def action_acknowledge(self) -> None:
        """Those that are marked, else the one under the cursor; where all are, no more."""
        if self.view is None or self.view.past is not None:
            self.say("this is the past: t is now, then acknowledge")
            return
        if self.view.held is not None:
            self.say("the display is held: p goes on, then v")
            return
        current: Alert | None = self.table.current
        marked: list[Alert] = self.table.marked
        chosen = marked if self.table.marks else [current] if current else []
        if not chosen:
            self.say("no alert under the cursor, or all marked ones are hidden by the filter")
            return
        new = [alert for alert in chosen if alert.seen is None]
        one = chosen[0].problem.subject if len(chosen) == 1 else f"{len(new)} alerts"
        keys = [alert.key for alert in new or chosen]
        self.post_message(asks.AckWanted(keys, one if new else ""))

    def node(self) -> str:
        """None, where two are called so: it may be about either."""
        kind, name = _subject(self.table.current)
        agents = self.view.agents if self.view else ()
        found = [a.address for a in agents if kind == "node" and a.name == name]
        return found[0] if len(found) == 1 else ""

    def vip_name(self) -> str:
        kind, name = _subject(self.table.current)
        return {"vip": name, "real": name.partition("@")[2]}.get(kind, "")

    def target(self, view: View) -> Target | str:
        """What it is about: one need not go there first."""
        return self.target_of(view, self.table.current)

    def target_of(self, view: View, row: Alert | None) -> Target | str:
        kind, name = _subject(row)
        if kind not in ("node", "vip", "real"):
            return super().target(view)
        address, _, vip = name.partition("@")
        wanted: Kind = kind  # type: ignore[assignment]  # one of these three
        return named_target(view, Object(wanted, address, vip))

    def open(self) -> asks.Opened | None:
        """The row that it is about; of a ring the ring."""
        alert: Alert | None = self.table.current
        kind, name = _subject(alert)
        if alert is not None and alert.problem.kind == "ring" and self.ring_name():
            return asks.Opened("ring", self.ring_name())
        match kind:
            case "real":
                return asks.Opened("vip", self.vip_name(), f"real/{name}")
            case "vip":
                return asks.Opened("vip", name)
            case "op":
                return asks.Opened("operations")
        if kind == "node" and not self.node():
            self.say(f"{kind}/{name}: more than one agent calls itself so: Fleet (1) has each")
        return asks.Opened("node", self.node()) if self.node() else None


def _subject(alert: Alert | None) -> tuple[str, str]:
    """(`node`, `vip`, `real` or `op`; its name)"""
    kind, _, name = alert.problem.subject.partition("/") if alert else ("", "", "")
    return kind, name
