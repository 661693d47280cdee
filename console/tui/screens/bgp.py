# SPDX-License-Identifier: Apache-2.0
"""6: BGP sessions, where each VIP is announced, and what the checks of the reals last said."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container, Vertical

from console.planning import routes
from console.planning.wish import Target, Wish
from console.tui.screens import asks
from console.tui.screens.bands import LARGE
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views.bgp import CHECKS, SESSIONS, Check, Session, announced_lines, checks, sessions
from console.views.blank import NO_PEER, NO_REAL, why_empty
from console.views.cells import rule
from console.views.targets import node_target_of, real_target
from console.views.view import View

SESSIONS_WIDTH = 84
"""Columns of the left pane where two stand side by side, as in console.tcss."""


class BgpScreen(LiveScreen):
    TOPICS = frozenset({"real"})
    TABLES = ("sessions", "checks")
    FOOTER = (
        "enter",
        "up",
        "pane",
        "fleet",
        "drain",
        "undrain",
        "route",
        "filter",
        "sort",
        "freeze",
    )

    def crumb(self) -> str:
        return f"BGP and health › {self.chosen}"

    def body(self) -> ComposeResult:
        with Container(classes="panes", id="routing"):
            with Vertical(classes="pane", id="left_sessions"):
                yield LineTable[Session](SESSIONS, empty="", id="sessions")
            with Vertical(classes="pane", id="right_announced"):
                yield Painted(id="announced_rule", classes="section")
                yield Painted(id="announced")
        yield Painted(id="checks_rule", classes="section")
        yield LineTable[Check](CHECKS, empty="", id="checks")

    def draw(self, view: View) -> None:
        none = why_empty(view.agents, view.now, lambda agent: agent.node, *NO_PEER)
        self.query_one("#sessions", LineTable).show(sessions(view.agents, view.now), none)
        none = why_empty(view.agents, view.now, lambda agent: agent.reals, *NO_REAL)
        self.query_one("#checks", LineTable).show(checks(view.agents, view.now), none)
        large = self.size.width >= LARGE
        width = self.size.width - SESSIONS_WIDTH if large else self.size.width
        self.pane(
            "announced_rule", [rule("announced where: ● yes  · no  w withdrawn  ? old", width)]
        )
        room = self.query_one("#announced", Painted).size.height
        self.pane("announced", announced_lines(view.agents, view.now, width, room))
        self.pane("checks_rule", [rule("checks of every real", self.size.width)])

    def target(self, view: View) -> Target | str:
        row: Session | Check | None = self.table.current
        return self.target_of(view, row) if row else "nothing under the cursor"

    def target_of(self, view: View, row: Session | Check) -> Target | str:
        if isinstance(row, Check):
            return real_target(view, row.real)
        return node_target_of(view, row.agent)

    def routed(self, view: View) -> Wish | str:
        """Of a session: what its peer is told; of a check: the VIP's."""
        row: Session | Check | None = self.table.current
        if not isinstance(row, Session):
            return super().routed(view)
        return routes.of_peer(view.store.agents[row.agent], row.peer, view.now)

    def vip_name(self) -> str:
        row: Session | Check | None = self.table.current
        return row.real.vip if isinstance(row, Check) else ""

    def node(self) -> str:
        row: Session | Check | None = self.table.current
        return row.agent if isinstance(row, Session) else ""

    def open(self) -> asks.Opened | None:
        row: Session | Check | None = self.table.current
        if isinstance(row, Check):
            return asks.Opened("vip", row.real.vip, row.real.key)
        return asks.Opened("node", row.agent) if row else None
