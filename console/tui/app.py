# SPDX-License-Identifier: Apache-2.0
"""The console: places, plans and commands on top of the frame clock."""

from __future__ import annotations

import os
from collections.abc import Callable
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
from console.tui.files import written_to
from console.tui.places import PlacesApp
from console.tui.screens import asks
from console.tui.screens.arm import ArmDialog
from console.tui.screens.choose import ColumnsDialog, ExportDialog
from console.tui.screens.fleet import FleetScreen
from console.tui.screens.live import LiveScreen
from console.tui.screens.palette import Lines
from console.tui.screens.plan import PlanDialog
from console.tui.steering import going_on, taking_back
from console.tui.widgets.terminal import Render
from console.tui.widgets.themes import NAMES, THEMES
from console.views.export import Format, export
from console.views.targets import named_target
from console.wire.client import Client
from shared.messages import Replay


class RemoraApp(PlacesApp):
    CSS_PATH = Path(__file__).with_name("console.tcss")
    COMMANDS: ClassVar = {Lines}
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar = []

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # PlacesApp's
        super().__init__(*arguments, **options)
        self._history = command.History()
        self.ascii_only = False

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

    # ---- plans

    @on(asks.Planned)
    def _plan(self, message: asks.Planned) -> None:
        self._plan_for(message.verb, message.targets)

    def _plan_for(
        self, verb: objects.Verb, targets: list[Target], *, weight: int = 0, why: str = ""
    ) -> None:
        def make(weight: int) -> Wish:
            return wish(verb, targets, weight)

        usual = weight or targets[0].weight if verb == "weight" else None
        self._open_plan(make, weight=usual, why=why, at_once=bool(weight) or verb != "weight")

    @on(asks.UndoWanted)
    def _undo(self, message: asks.UndoWanted) -> None:
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

    @on(asks.Steer)
    def _steer(self, message: asks.Steer) -> None:
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

    @on(asks.ArmWanted)
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

    @on(asks.ColumnsWanted)
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

    @on(asks.ExportWanted)
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

    @on(asks.CommandWanted)
    def _command(self) -> None:
        if isinstance(self.screen, LiveScreen):
            # Reals are named there, whatever the screen shows.
            self._follow(self.screen.TOPICS | {"real"})
            self.screen.open_command(self._history)

    @on(asks.Commanded)
    def _commanded(self, message: asks.Commanded) -> None:
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
                    self._open(asks.Opened(place, node if place == "node" else name))
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

    @on(asks.Repaint)
    def _repaint(self) -> None:
        self.repaint()

    @on(asks.Freeze)
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
