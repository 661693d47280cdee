# SPDX-License-Identifier: Apache-2.0
"""The reals of one VIP over all nodes, and the one under the cursor on each."""

from __future__ import annotations

from textual.app import ComposeResult

from console.model import rows
from console.model.records import Real
from console.planning.wish import Target
from console.tui.screens import asks
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views import tables, totals
from console.views.blank import why_empty
from console.views.cells import rule
from console.views.details import real_lines
from console.views.targets import real_target
from console.views.view import View


class VipScreen(LiveScreen):
    TOPICS = frozenset({"real"})
    FOOTER = (
        "enter",
        "up",
        "drain",
        "undrain",
        "weight",
        "filter",
        "sort",
        "freeze",
        "mark",
        "what-if",
        "ring",
        "totals",
        "export",
    )

    def __init__(self, vip: str, row: str = "") -> None:
        super().__init__()
        self.vip = vip
        self._row = row

    def crumb(self) -> str:
        return f"VIPs › {self.vip} › reals"

    def body(self) -> ComposeResult:
        yield LineTable[Real]((*tables.REALS, *totals.REALS), empty="")
        yield Painted(id="detail_rule", classes="section")
        yield Painted(id="detail")

    def draw(self, view: View) -> None:
        found = self.rows(view, lambda: rows.reals(view.agents, view.now, vip=self.vip))
        if self._row and found:
            self.table.select(self._row)
            self._row = ""
        nothing = (f"no node has a real of {self.vip}", "3 has all VIPs")
        none = why_empty(view.agents, view.now, lambda agent: agent.reals, *nothing)
        self.table.show(found, none)
        room = self.below("detail", len(found), 4)
        real: Real | None = self.table.current
        title = f"{real.address} per node" if real else ""
        self.pane("detail_rule", [rule(title, self.size.width)])
        self.pane("detail", real_lines(view, real, room, self.size.width) if real else [])

    def target(self, view: View) -> Target | str:
        real: Real | None = self.table.current
        return real_target(view, real) if real else "no real under the cursor"

    def target_of(self, view: View, row: Real) -> Target | str:
        return real_target(view, row)

    def vip_name(self) -> str:
        return self.vip

    def open(self) -> asks.Opened | None:
        real: Real | None = self.table.current
        return asks.Opened("real", f"{real.address}@{real.vip}") if real else None
