# SPDX-License-Identifier: Apache-2.0
"""The console: places, plans and commands on top of the frame clock."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual import on

from console.exits import Exit, VerbError
from console.model.store import Store
from console.planning import arming
from console.settings import Settings
from console.tui import command, crash
from console.tui.files import written_to
from console.tui.recording import RecordingApp
from console.tui.screens import asks
from console.tui.screens.ack import AckDialog
from console.tui.screens.choose import ColumnsDialog, ExportDialog
from console.tui.screens.fleet import FleetScreen
from console.tui.screens.live import LiveScreen
from console.tui.screens.palette import Lines
from console.tui.widgets.terminal import Render
from console.tui.widgets.themes import NAMES, THEMES
from console.views.alerts import Acknowledged
from console.views.export import Format, export, packets
from console.views.limits import Overrun, limits
from console.wire.client import Client
from shared.messages import Replay


class RemoraApp(RecordingApp):
    CSS_PATH = Path(__file__).with_name("console.tcss")
    COMMANDS: ClassVar = {Lines}
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar = []

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # FrameApp's
        super().__init__(*arguments, **options)
        self._history = command.History()
        self.ascii_only = False
        self.switch: Callable[[str], Settings] = _nowhere
        """Name of another context -> what the config says of it.  Raises VerbError."""
        self.next: Settings | None = None
        """Of the context to go on with, once this one has been left."""
        self.painted: Callable[[], None] = lambda: None
        """Called once, when the first screen has been shown."""

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        # Any other theme would still send greys as RGB.
        self.theme = NAMES["ansi" if self.without_colour else self.appearance.theme]
        self.ascii_only = self.appearance.ascii_only(os.environ)
        self.set_class(self.ascii_only, "-ascii")
        self.set_class(self.without_colour, "-no-colour")
        self.set_class(bool(self.appearance.colour) and not self.without_colour, self._band())
        self.set_keymap(dict(self.appearance.moved))
        for key, text in self.appearance.hotkeys.items():
            self.bind(key, f"do({text!r})", description=text, show=False)
        for name, titles in self.appearance.columns.items():
            place, _, table = name.partition(".")
            self._columns[place, table] = frozenset(titles)
        self.push_screen(FleetScreen())
        self._follow(FleetScreen.TOPICS)
        for address in self.source.addresses:
            self.source.send(address, Replay(0))
        if self._columns:
            self.call_after_refresh(self._arrived)
        self.start_frames()
        self.call_after_refresh(self.call_after_refresh, self.painted)

    def _band(self) -> str:
        return f"-band-{self.appearance.colour or 'none'}"

    # ---- alerts

    @on(asks.AckWanted)
    def _acknowledge(self, message: asks.AckWanted) -> None:
        def as_seen(why: str) -> None:
            self._watch.acknowledge(keys, Acknowledged(self.source.who, self._wall(), why))

        keys = message.keys
        if message.title:
            self.push_screen(AckDialog(message.title, as_seen), lambda _: self._redraw_soon())
        else:
            self._watch.acknowledge(keys, None)
            self.draw()

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
        if self.arming.served:
            screen.say(arming.ONLY_LOOKS)
            return
        table, place = screen.table, screen.place.place

        def chosen(kind: Format | None) -> None:
            if kind is not None:
                made = packets(table.rows) if kind == "pcapng" else None
                made = made or export(table.rows, table.columns, kind).encode()
                screen.say(written_to(made, f"remora-{place}", kind, self._wall()))

        self.push_screen(ExportDialog(packets=bool(packets(table.rows))), chosen)

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
        screen.say("")
        wrong = self._do(screen, message.text) if message.text else ""
        self._history.add(message.text)
        if wrong:
            screen.say(wrong, "bad")
            return
        screen.close_command()
        self._follow(screen.TOPICS)

    def action_do(self, text: str) -> None:
        """A hot key of the config."""
        self.do(text)

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
                case command.Mark(selector):
                    return screen.mark_labelled(selector)
                case command.Operate(wanted, name):
                    return self._operate(screen, wanted, name)
                case command.At(when):
                    self._to(when)
                case command.Arm(minutes, reason):
                    self._arm_for(minutes, reason)
                case command.Go("disarm"):
                    self.arming = self.arming.disarmed()
                case command.Go("theme", name):
                    self.theme = NAMES[name]
                case command.Go("context", name):
                    self._leave_for(name)
                case command.Go("quit"):
                    self.exit()
                case command.Go(place, name):
                    node = next((a.address for a in view.agents if a.name == name), "")
                    self._open(asks.Opened(place, node if place == "node" else name))
        except VerbError as error:
            return str(error)
        return ""

    def _leave_for(self, context: str) -> None:
        """Raises VerbError."""
        if self.arming.served:
            raise VerbError(arming.ONLY_LOOKS, Exit.NOT_ALLOWED)
        self.next = self.switch(context)
        self.exit()

    @on(asks.Repaint)
    def _repaint(self) -> None:
        self.repaint()

    @on(asks.Freeze)
    def _freeze(self) -> None:
        self.freeze()


def _nowhere(name: str) -> Settings:
    raise VerbError(f"context {name}: a recording has none")


def run(
    settings: Settings,
    who: str,
    render: Render = "diff",
    at: float | None = None,
    switch: Callable[[str], Settings] = _nowhere,
) -> int:
    """The console on a terminal until the operator leaves; returns the exit code.

    `at`: Unix time of the moment that is shown at first; None: now.  `switch`: as of the app.
    Another context is another console: nothing that was armed, marked or held here goes along.
    Raises LimitError.
    """
    wanted: Settings | None = settings
    code = int(Exit.DONE)
    while wanted is not None:
        code, wanted = _one(wanted, who, render, at, switch)
        at = None
    return code


def _one(
    settings: Settings,
    who: str,
    render: Render,
    at: float | None,
    switch: Callable[[str], Settings],
) -> tuple[int, Settings | None]:
    """(exit code, what to go on with)"""
    found = limits(settings.alerts)
    # Five hundred agents' sockets take a second: the screen is there before them.
    client = Client(settings.agents, who, trust=settings.trust, relay=settings.relay, at_once=False)
    app = RemoraApp(client, settings.cluster, render=render)
    app.arming = arming.Arming(never=settings.view_only, served=settings.served)
    app.store = Store(client.addresses, settings.max_age)
    app.appearance = settings.appearance
    app.overrun = Overrun(found)
    app.switch = switch
    app.painted = lambda: _shown(client)
    if at is not None:
        app.scrub.to(at)
    # What start-up makes stays: looking through it for rubbish, again and again, finds nothing.
    gc.disable()
    try:
        app.run(mouse=settings.appearance.with_mouse(os.environ))
    finally:
        client.close()
        if app.recorder is not None:
            app.recorder.close()
    if app.failure:
        return crash.tell(app.failure), None
    return app.return_code or Exit.DONE, app.next


SELDOM = (20_000, 20, 50)
"""Thresholds of Python's collector.  What comes from agents has no cycles, and one look through all
of five hundred agents' snapshots keeps a key waiting for a tenth of a second."""


def _shown(client: Client) -> None:
    """The first screen is there."""
    gc.freeze()
    gc.set_threshold(*SELDOM)
    gc.enable()
    client.start()
