# SPDX-License-Identifier: Apache-2.0
"""3: all VIPs, and how the one under the cursor is spread over the nodes."""

from __future__ import annotations

from textual.app import ComposeResult

from console.model import rows
from console.model.records import Vip
from console.planning.wish import Target
from console.tui.screens import asks
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views import tables, totals
from console.views.blank import NO_VIP, why_empty
from console.views.cells import rule
from console.views.details import vip_lines
from console.views.targets import vip_target
from console.views.view import View


class VipsScreen(LiveScreen):
    FOOTER = (
        "enter",
        "up",
        "ring",
        "drain",
        "undrain",
        "route",
        "fleet",
        "drops",
        "filter",
        "sort",
        "freeze",
        "what-if",
        "totals",
    )

    def crumb(self) -> str:
        return "VIPs"

    def body(self) -> ComposeResult:
        yield LineTable[Vip]((*tables.VIPS, *totals.VIPS), empty="")
        yield Painted(id="detail_rule", classes="section")
        yield Painted(id="detail")

    def draw(self, view: View) -> None:
        none = why_empty(view.agents, view.now, lambda agent: agent.vips, *NO_VIP)
        found = self.rows(view, lambda: rows.vips(view.agents, view.now))
        self.table.show(found, none)
        room = self.below("detail", len(found), 4)
        vip: Vip | None = self.table.current
        self.pane("detail_rule", [rule(f"{vip.name} per node" if vip else "", self.size.width)])
        self.pane("detail", vip_lines(view, vip, room) if vip else [])

    def target(self, view: View) -> Target | str:
        vip: Vip | None = self.table.current
        return vip_target(view, vip) if vip else "no VIP under the cursor"

    def target_of(self, view: View, row: Vip) -> Target | str:
        return vip_target(view, row)

    def open(self) -> asks.Opened | None:
        vip: Vip | None = self.table.current
        return asks.Opened("vip", vip.name) if vip else None

    def vip_name(self) -> str:
        vip: Vip | None = self.table.current
        return vip.name if vip else ""
