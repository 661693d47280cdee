# SPDX-License-Identifier: Apache-2.0
"""One node: who it is, what it carries."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from console.model import rows
from console.model.records import Vip
from console.planning import routes
from console.planning.wish import Target, Wish
from console.tui.screens import asks
from console.tui.screens.bands import LARGE
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views import node as whole
from console.views import placing, tables, totals
from console.views.blank import why_empty
from console.views.cells import line, rule
from console.views.tail import recent
from console.views.targets import node_target_of
from console.views.view import View

NO_VIP = ("this node has no VIP", "[[vips]] of its agent's config")


class NodeScreen(LiveScreen):
    TOPICS = frozenset({"flowtable"})
    FOOTER = (
        "enter",
        "up",
        "drain",
        "undrain",
        "route",
        "vips",
        "drops",
        "sort",
        "freeze",
        "what-if",
        "ring",
        "totals",
        "filter",
    )

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.node_name = address.rpartition("/")[2]

    def crumb(self) -> str:
        return f"Fleet › {self.node_name}"

    def body(self) -> ComposeResult:
        yield Painted(id="about")
        yield Painted(id="vips_rule", classes="section")
        yield LineTable[Vip]((*tables.VIPS, *totals.VIPS), empty="")
        with Vertical(classes="pane wide"):
            yield Painted(id="recent_rule", classes="section")
            yield Painted(id="recent")

    def draw(self, view: View) -> None:
        agent = view.store.agents[self.address]
        self.node_name = agent.name
        node = next(n for n in rows.nodes(view.agents, view.now) if n.key == self.address)
        table = placing.lines(placing.flow_table(agent, view.now))
        self.fitted("about", [*whole.lines(node, view.wall, self.size.width), *table])
        self.pane("vips_rule", [rule(f"VIPs on {agent.name}", self.size.width)])
        none = why_empty([agent], view.now, lambda agent: agent.vips, *NO_VIP)
        self.table.show(rows.vips([agent], view.now), none)
        if self.size.width >= LARGE:
            self.pane("recent_rule", [rule(f"lately on {agent.name}", self.size.width)])
            none = why_empty([agent], view.now, lambda agent: agent.node, "nothing has happened")
            lately = recent(agent.log, self.room("recent"))
            self.pane("recent", lately or [line(f" {none}", "dim")])

    def target(self, view: View) -> Target | str:
        return node_target_of(view, self.address)

    def routed(self, view: View) -> Wish | str:
        """Of the VIP under the cursor, on this node."""
        if not self.vip_name():
            return "no VIP under the cursor"
        return routes.of_vip(self.vip_name(), view.agents, view.now, (self.address,))

    def node(self) -> str:
        return self.address

    def open(self) -> asks.Opened | None:
        vip: Vip | None = self.table.current
        return asks.Opened("vip", vip.name) if vip else None

    def vip_name(self) -> str:
        vip: Vip | None = self.table.current
        return vip.name if vip else ""
