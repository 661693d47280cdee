# SPDX-License-Identifier: Apache-2.0
"""The app as far as places are concerned: which screens there are, and the way between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from textual import on

from console.tui.appearance import Appearance
from console.tui.frames import ALWAYS, FrameApp, Source
from console.tui.screens import asks
from console.tui.screens.alerts import AlertsScreen
from console.tui.screens.bgp import BgpScreen
from console.tui.screens.drops import DropsScreen
from console.tui.screens.heat import HeatScreen
from console.tui.screens.help import HelpScreen
from console.tui.screens.live import LiveScreen
from console.tui.screens.node import NodeScreen
from console.tui.screens.operations import OperationsScreen
from console.tui.screens.packet import PacketScreen
from console.tui.screens.real import RealScreen
from console.tui.screens.ring import RingScreen
from console.tui.screens.vip import VipScreen
from console.tui.screens.vips import VipsScreen
from console.tui.screens.whatif import WhatIfScreen
from console.tui.trail import START, Place, Trail
from console.tui.trail import Path as Way
from console.tui.widgets.table import LineTable

SCREENS: Mapping[str, Callable[[Place, Source], LiveScreen]] = {
    "vips": lambda _, __: VipsScreen(),
    "drops": lambda _, __: DropsScreen(),
    "heat": lambda _, __: HeatScreen(),
    "bgp": lambda _, __: BgpScreen(),
    "what-if": lambda place, source: WhatIfScreen(source, place.name),
    "alerts": lambda _, __: AlertsScreen(),
    "operations": lambda _, __: OperationsScreen(),
    "node": lambda place, _: NodeScreen(place.name),
    "vip": lambda place, _: VipScreen(place.name, place.row),
    "real": lambda place, _: RealScreen(place.name),
    "packet": lambda place, _: PacketScreen(place.name),
    "ring": lambda place, _: RingScreen(place.name),
}
"""What stands above the fleet."""
DEEP = ("node", "vip", "real", "ring", "packet")
"""Reached from a row: one level down from where one is."""


class PlacesApp(FrameApp):
    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # FrameApp's
        super().__init__(*arguments, **options)
        self.appearance = Appearance()
        self._trail = Trail()
        self._columns: dict[tuple[str, str], frozenset[str]] = {}
        """(place, table) -> the columns that were chosen there."""

    @on(asks.Opened)
    def _open(self, message: asks.Opened) -> None:
        place = Place(message.place, message.name, message.row)
        match place.place:
            case "help":
                self.push_screen(HelpScreen(self.appearance.keys))
            case "up":
                self._stand_on(self._trail.up())
            case "node" if not place.name:
                self._say("no node under the cursor")
            case name if name in DEEP:
                self._stand_on(self._trail.into(place))
            case _:
                self._stand_on(self._trail.to(place))

    @on(asks.Walked)
    def _walk(self, message: asks.Walked) -> None:
        self._stand_on(self._trail.step(message.by) if message.by else self._trail.toggle())

    @on(asks.Left)
    def _leave(self) -> None:
        if self._trail.path == START:
            self.exit()
        else:
            self._stand_on(self._trail.up())

    def _stand_on(self, way: Way) -> None:
        """Only screens that are not there yet are made anew: the others keep filter and cursor."""
        shown = [screen.place for screen in self.screen_stack if isinstance(screen, LiveScreen)]
        same = 0
        while same < min(len(shown), len(way)) and shown[same] == way[same]:
            same += 1
        for _ in range(len(shown) - same):
            self.pop_screen()
        for place in way[same:]:
            screen = SCREENS[place.place](place, self.source)
            screen.place = place
            self.push_screen(screen)
        self.call_after_refresh(self._arrived)

    def _arrived(self) -> None:
        """A new screen: its topics from now on, and what is known at once."""
        screen = self.screen
        if isinstance(screen, LiveScreen) and screen.composed:
            self._follow(screen.TOPICS)
            for table in screen.query(LineTable):
                table.choose(self._columns.get((screen.place.place, table.id or "")))
            self.draw()

    def _follow(self, topics: frozenset[str]) -> None:
        self.source.follow(ALWAYS | topics | self.recorded)

    def _say(self, text: str, tone: str = "warn") -> None:
        if isinstance(self.screen, LiveScreen):
            self.screen.say(text, tone)
