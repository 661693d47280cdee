# SPDX-License-Identifier: Apache-2.0
"""One real on every node that carries it, in every VIP that it serves."""

from __future__ import annotations

from textual.app import ComposeResult

from console.model.objects import Object
from console.planning.wish import Target
from console.tui.screens import asks
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views.blank import why_empty
from console.views.cells import line, rule
from console.views.everywhere import ON_NODES, TOTALS, OnNode, on_nodes
from console.views.targets import named_target
from console.views.view import View


class RealScreen(LiveScreen):
    TOPICS = frozenset({"real"})
    FOOTER = (
        "enter",
        "up",
        "drain",
        "undrain",
        "weight",
        "what-if",
        "filter",
        "sort",
        "freeze",
        "totals",
    )

    def __init__(self, name: str) -> None:
        """`name`: `10.3.1.2@web`; D is about the real in that VIP."""
        super().__init__()
        self.address, _, self.vip = name.partition("@")

    def crumb(self) -> str:
        return f"Reals › {self.address}{f' of {self.vip}' if self.vip else ''} on every node"

    def body(self) -> ComposeResult:
        yield LineTable[OnNode]((*ON_NODES, *TOTALS), empty="")
        yield Painted(id="detail_rule", classes="section")
        yield Painted(id="detail")

    def draw(self, view: View) -> None:
        found = on_nodes(view.agents, view.now, self.address)
        nothing = (f"no node has {self.address}", "3, Enter has the reals of a VIP")
        none = why_empty(view.agents, view.now, lambda agent: agent.reals, *nothing)
        self.table.show(found, none)
        row: OnNode | None = self.table.current
        self.pane("detail_rule", [rule("its check there" if row else "", self.size.width)])
        self.pane("detail", [line(f" {row.node}  {row.real.check}")] if row else [])

    def target(self, view: View) -> Target | str:
        """On all nodes, whatever node the cursor is on: rings must stay equal."""
        return named_target(view, Object("real", self.address, self.vip))

    def node(self) -> str:
        row: OnNode | None = self.table.current
        return row.agent if row else ""

    def open(self) -> asks.Opened | None:
        return asks.Opened("node", self.node()) if self.node() else None

    def vip_name(self) -> str:
        return self.vip
