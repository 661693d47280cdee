# SPDX-License-Identifier: Apache-2.0
"""The console: places, plans and commands on top of the frame clock."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual import on

from console.exits import Exit, VerbError
from console.model import objects
from console.model.underway import Underway
from console.planning import arming
from console.planning.plan import Answered
from console.planning.rollout import Start
from console.planning.staging import Staging, of_terms
from console.planning.wish import Target, Wish, as_told, wish
from console.settings import Settings
from console.tui import command, crash
from console.tui.appearance import Appearance
from console.tui.files import written_to
from console.tui.frames import ALWAYS, FrameApp, Source
from console.tui.screens.alerts import AlertsScreen
from console.tui.screens.arm import ArmDialog
from console.tui.screens.bgp import BgpScreen
from console.tui.screens.choose import ColumnsDialog, ExportDialog
from console.tui.screens.drops import DropsScreen
from console.tui.screens.fleet import FleetScreen
from console.tui.screens.heat import HeatScreen
from console.tui.screens.help import HelpScreen
from console.tui.screens.live import LiveScreen
from console.tui.screens.node import NodeScreen
from console.tui.screens.operations import OperationsScreen
from console.tui.screens.packet import PacketScreen
from console.tui.screens.palette import Lines
from console.tui.screens.plan import PlanDialog
from console.tui.screens.real import RealScreen
from console.tui.screens.ring import RingScreen
from console.tui.screens.vip import VipScreen
from console.tui.screens.vips import VipsScreen
from console.tui.screens.whatif import WhatIfScreen
from console.tui.steering import going_on, taking_back
from console.tui.trail import START, Place, Trail
from console.tui.trail import Path as Way
from console.tui.widgets.table import LineTable
from console.tui.widgets.terminal import Render
from console.tui.widgets.themes import NAMES, THEMES
from console.views.export import Format, export
from console.views.targets import named_target
from console.wire.client import Client
from shared.messages import Replay

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


class RemoraApp(FrameApp):
    CSS_PATH = Path(__file__).with_name("console.tcss")
    COMMANDS: ClassVar = {Lines}
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar = []

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # FrameApp's
        super().__init__(*arguments, **options)
        self._history = command.History()
        self._trail = Trail()
        self.appearance = Appearance()
        self.ascii_only = False
        self._columns: dict[tuple[str, str], frozenset[str]] = {}
        """(place, table) -> the columns that were chosen there."""

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        # Any other theme would still send greys as RGB.
        no_color = bool(os.environ.get("NO_COLOR"))
        self.theme = NAMES["ansi" if no_color else self.appearance.theme]
        self.ascii_only = self.appearance.ascii_only(os.environ)
        self.set_class(self.ascii_only, "-ascii")
        self.set_class(bool(self.appearance.colour) and not no_color, self._band())
        self.set_keymap(dict(self.appearance.moved))
        self.push_screen(FleetScreen())
        self._follow(FleetScreen.TOPICS)
        for address in self.source.addresses:
            self.source.send(address, Replay(0))
        self.start_frames()

    def _band(self) -> str:
        return f"-band-{self.appearance.colour or 'none'}"

    # ---- places

    @on(LiveScreen.Opened)
    def _open(self, message: LiveScreen.Opened) -> None:
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

    @on(LiveScreen.Walked)
    def _walk(self, message: LiveScreen.Walked) -> None:
        self._stand_on(self._trail.step(message.by) if message.by else self._trail.toggle())

    @on(LiveScreen.Left)
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
        self.source.follow(ALWAYS | topics)

    def _say(self, text: str, tone: str = "warn") -> None:
        if isinstance(self.screen, LiveScreen):
            self.screen.say(text, tone)

    # ---- plans

    @on(LiveScreen.Planned)
    def _plan(self, message: LiveScreen.Planned) -> None:
        self._plan_for(message.verb, message.targets)

    def _plan_for(
        self, verb: objects.Verb, targets: list[Target], *, weight: int = 0, why: str = ""
    ) -> None:
        def make(weight: int) -> Wish:
            return wish(verb, targets, weight)

        usual = weight or targets[0].weight if verb == "weight" else None
        self._open_plan(make, weight=usual, why=why, at_once=bool(weight) or verb != "weight")

    @on(LiveScreen.UndoWanted)
    def _undo(self, message: LiveScreen.UndoWanted) -> None:
        """A plan too: what the nodes said that takes the change back."""
        try:
            made = as_told(message.undo, message.title)
        except VerbError as error:
            self._say(str(error), "bad")
            return
        self._open_plan(lambda _: made)

    def _open_plan(
        self,
        make: Callable[[int], Wish],
        *,
        weight: int | None = None,
        why: str = "",
        at_once: bool = True,
        operation: str = "",
        staged: bool = True,
        how: Staging | None = None,
        seats: tuple[str, ...] = (),
        go_on: bool = False,
        finished: Callable[[list[Answered]], None] = lambda answered: None,
    ) -> None:
        dialog = PlanDialog(
            self.source,
            make,
            weight=weight,
            why=why or self.arming.reason,
            at_once=at_once,
            armed=lambda: self.arming.armed(self._clock()),
            operation=operation,
            begin=self._begin if staged else None,
            how=how,
            seats=seats,
            go_on=go_on,
            finished=finished,
        )
        if isinstance(self.screen, LiveScreen):
            self.screen.planned = self.screen.view
        self.push_screen(dialog, lambda _: self._redraw_soon())

    def _begin(self, start: Start) -> None:
        self.steering.start(start, self._clock())

    @on(LiveScreen.Steer)
    def _steer(self, message: LiveScreen.Steer) -> None:
        each = message.each
        try:
            if message.order == "hold":
                self.steering.hold(each, f"held by {self.source.who}")
            elif message.order == "resume":
                self._go_on_with(each)
            else:
                self._take_back(each)
        except VerbError as error:
            self._say(str(error), "bad")

    def _go_on_with(self, each: Underway) -> None:
        made, how = going_on(each), of_terms(each.terms) or Staging("1")
        self._open_plan(
            lambda _: made,
            why=each.why,
            operation=each.operation,
            how=how,
            seats=tuple(seat.address for seat in each.seats),
            go_on=bool(each.done),
        )

    def _take_back(self, each: Underway) -> None:
        made = taking_back(each)
        if made is None:
            self.steering.over(each)
            self._say(f"op {each.operation[:8]} is over: no node had anything to take back", "ok")
            return
        self._open_plan(
            lambda _: made,
            why=each.why,
            operation=f"{each.operation}/revert",
            staged=False,
            finished=lambda answered: self.steering.over_if_taken_back(each, answered),
        )

    def _redraw_soon(self) -> None:
        self.call_after_refresh(self.draw)

    @on(LiveScreen.ArmWanted)
    def _arm(self) -> None:
        if self.arming.armed(self._clock()):
            self.arming = self.arming.disarmed()
            self._say("disarmed: nothing can be changed")
            self.draw()
        elif self.arming.never:
            self._say(self.arming.refusal())
        else:
            self.push_screen(ArmDialog(self._arm_for), lambda _: self._redraw_soon())

    def _arm_for(self, minutes: int, reason: str) -> None:
        """Raises ArmingError."""
        self.arming = self.arming.for_minutes(minutes, reason, self._clock())

    # ---- tables

    @on(LiveScreen.ColumnsWanted)
    def _choose_columns(self) -> None:
        screen = self.screen
        if not isinstance(screen, LiveScreen):
            return
        table, place = screen.table, screen.place.place

        def chosen(titles: frozenset[str] | None) -> None:
            if titles:
                self._columns[place, table.id or ""] = titles
                table.choose(titles)

        self.push_screen(ColumnsDialog(table.titles, [c.title for c in table.columns]), chosen)

    @on(LiveScreen.ExportWanted)
    def _export(self) -> None:
        screen = self.screen
        if not isinstance(screen, LiveScreen):
            return
        table, place = screen.table, screen.place.place

        def chosen(kind: Format | None) -> None:
            if kind is not None:
                text = export(table.rows, table.columns, kind)
                screen.say(written_to(text, f"remora-{place}", kind, self._wall()))

        self.push_screen(ExportDialog(), chosen)

    # ---- command bar

    @on(LiveScreen.CommandWanted)
    def _command(self) -> None:
        if isinstance(self.screen, LiveScreen):
            # Reals are named there, whatever the screen shows.
            self._follow(self.screen.TOPICS | {"real"})
            self.screen.open_command(self._history)

    @on(LiveScreen.Commanded)
    def _commanded(self, message: LiveScreen.Commanded) -> None:
        """A line that cannot be done stays in the bar, to be mended."""
        screen = self.screen
        if not isinstance(screen, LiveScreen):
            return
        wrong = self._do(screen, message.text) if message.text else ""
        self._history.add(message.text)
        if wrong:
            screen.say(wrong, "bad")
            return
        screen.close_command()
        self._follow(screen.TOPICS)

    def do(self, text: str) -> None:
        """A line of the palette: as if it was typed."""
        if isinstance(self.screen, LiveScreen):
            wrong = self._do(self.screen, text)
            if wrong:
                self._say(wrong, "bad")

    def _do(self, screen: LiveScreen, text: str) -> str:
        """Does it, or returns why not."""
        view = screen.view
        if view is None:
            return "nothing is known yet"
        try:
            order = command.parse(text, view.agents)
            match order:
                case command.Plan():
                    return self._do_plan(screen, order)
                case command.Arm(minutes, reason):
                    self._arm_for(minutes, reason)
                case command.Go("disarm"):
                    self.arming = self.arming.disarmed()
                case command.Go("theme", name):
                    self.theme = NAMES[name]
                case command.Go("quit"):
                    self.exit()
                case command.Go(place, name):
                    node = next((a.address for a in view.agents if a.name == name), "")
                    self._open(LiveScreen.Opened(place, node if place == "node" else name))
        except VerbError as error:
            return str(error)
        return ""

    def _do_plan(self, screen: LiveScreen, order: command.Plan) -> str:
        refusal = screen.refusal()
        if refusal:
            return refusal
        assert screen.view is not None
        target = named_target(screen.view, order.target)
        if isinstance(target, str):
            return target
        self._plan_for(order.verb, [target], weight=order.weight or 0, why=order.reason)
        return ""

    @on(LiveScreen.Repaint)
    def _repaint(self) -> None:
        self.repaint()

    @on(LiveScreen.Freeze)
    def _freeze(self) -> None:
        self.freeze()


def run(settings: Settings, who: str, render: Render = "diff") -> int:
    """The console on a terminal until the operator leaves; returns the exit code."""
    client = Client(settings.agents, who, trust=settings.trust, relay=settings.relay)
    app = RemoraApp(client, settings.cluster, render=render)
    app.arming = arming.Arming(never=settings.view_only)
    app.appearance = settings.appearance
    try:
        app.run(mouse=settings.appearance.with_mouse(os.environ))
    finally:
        client.close()
    return crash.tell(app.failure) if app.failure else app.return_code or Exit.DONE
