# SPDX-License-Identifier: Apache-2.0
"""One dropped packet: why, its headers with the inner ones, its bytes."""

from __future__ import annotations

from textual.app import ComposeResult

from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views.cells import line
from console.views.tail_rows import EventPlace, flow_of, packet_lines
from console.views.view import View
from shared.messages import Event


class PacketScreen(LiveScreen):
    AUTO_FOCUS = ""
    FOOTER = ("up", "fleet", "vips", "drops", "what-if", "freeze")

    def __init__(self, name: str) -> None:
        super().__init__()
        self._where = EventPlace.of(name)
        self._event: Event | None = None

    def crumb(self) -> str:
        return f"Drops and events › packet {self._where.sequence}"

    def body(self) -> ComposeResult:
        yield Painted(id="packet")
        yield LineTable[Event]((), empty="", id="none")

    def draw(self, view: View) -> None:
        """Kept when the log has let it go."""
        agent = view.store.agents.get(self._where.address)
        found = agent.log.event((self._where.run, self._where.sequence)) if agent else None
        self._event = found or self._event
        lines = packet_lines(self._event, self.size.width) if self._event else []
        self.pane("packet", lines or [line(" it is not kept any more", "dim")])

    def question(self) -> str:
        """Where its flow goes."""
        flow = flow_of(self._event.body) if self._event else ""
        return f"flow {flow}" if flow else ""

    def node(self) -> str:
        return self._where.address
