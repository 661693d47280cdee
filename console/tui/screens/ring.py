# SPDX-License-Identifier: Apache-2.0
"""d: the ring of a VIP on every node, slot by slot where digests differ."""

from __future__ import annotations

from textual.app import ComposeResult

from console.planning import routes
from console.planning.wish import Wish
from console.tui.screens import asks
from console.tui.screens.bands import LARGE
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views.blank import why_empty
from console.views.cells import rule
from console.views.rings import RINGS, NodeRing, moved_lines, node_rings
from console.views.view import View


class RingScreen(LiveScreen):
    FOOTER = ("enter", "up", "fleet", "vips", "alerts", "filter", "sort", "freeze")

    def __init__(self, vip: str) -> None:
        super().__init__()
        self.vip = vip

    def crumb(self) -> str:
        return f"VIPs › {self.vip} › ring"

    def body(self) -> ComposeResult:
        yield LineTable[NodeRing](RINGS, empty="")
        yield Painted(id="detail_rule", classes="section")
        yield Painted(id="moved")

    def draw(self, view: View) -> None:
        nothing = (f"no node has {self.vip}", "3 has all VIPs")
        none = why_empty(view.agents, view.now, lambda agent: agent.vips, *nothing)
        found = node_rings(self.vip, view.agents, view.now, view.store.rings)
        self.table.show(found, none)
        room = self.below("moved", len(found), 16 if self.size.width >= LARGE else 8)
        row: NodeRing | None = self.table.current
        title = f"{row.node} against most nodes" if row else ""
        self.pane("detail_rule", [rule(title, self.size.width)])
        self.pane("moved", moved_lines(row, room, past=view.past is not None) if row else [])

    def routed(self, view: View) -> Wish | str:
        """On the node under the cursor."""
        if not self.node():
            return "no node under the cursor"
        return routes.of_vip(self.vip, view.agents, view.now, (self.node(),))

    def node(self) -> str:
        row: NodeRing | None = self.table.current
        return row.key if row else ""

    def open(self) -> asks.Opened | None:
        return asks.Opened("node", self.node()) if self.node() else None

    def vip_name(self) -> str:
        return self.vip
