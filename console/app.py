# SPDX-License-Identifier: Apache-2.0
"""The console: one store, one frame clock, a stack of screens.

The clock reads what the client's thread has gathered and hands the top screen a view; nothing is
drawn because a message came.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

# Read once, when Textual is imported.
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
os.environ.setdefault("TEXTUAL_FPS", "10")

from textual import on
from textual.message import Message
from textual.screen import Screen

from console import command, crash
from console.alerts import Watch
from console.client import Client
from console.exits import Exit
from console.objects import ObjectError
from console.pace import FRAME, Pace
from console.problems import problems
from console.screens.alerts import AlertsScreen
from console.screens.bgp import BgpScreen
from console.screens.drops import DropsScreen
from console.screens.fleet import FleetScreen
from console.screens.heat import HeatScreen
from console.screens.help import HelpScreen
from console.screens.live import LiveScreen
from console.screens.node import NodeScreen
from console.screens.plan import PlanDialog, Sender
from console.screens.vip import VipScreen
from console.screens.vips import VipsScreen
from console.settings import Settings
from console.store import Inbox, Missing, Store
from console.view import View, named_target
from console.widgets.terminal import Render, TerminalApp
from shared.messages import Replay

ALWAYS = frozenset({"node", "vip", "event"})
"""Topics that the header's totals and alerts need on every screen."""


PLACES: Mapping[str, Callable[[], LiveScreen]] = {
    "vips": VipsScreen,
    "drops": DropsScreen,
    "heat": HeatScreen,
    "bgp": BgpScreen,
    "alerts": AlertsScreen,
}
"""What the digits lead to; the fleet is below them all."""


class Source(Sender, Protocol):
    """Where messages come from: the client, or a recording."""

    addresses: tuple[str, ...]

    def when_replied(self, call: Callable[[], None]) -> None: ...

    def take(self) -> Inbox: ...

    def ask(self, missing: Iterable[Missing]) -> None: ...

    def follow(self, topics: Iterable[str]) -> None: ...


class RemoraApp(TerminalApp):
    CSS_PATH = Path(__file__).with_name("console.tcss")
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = []

    class Answered(Message):
        """A reply can be taken: a dialog need not wait for the next frame."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, RemoraApp.Answered)

    def __init__(
        self,
        source: Source,
        cluster: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        frame_every: float | None = FRAME,
        render: Render = "diff",
    ) -> None:
        super().__init__(render=render)
        self.source = source
        self.cluster = cluster
        self.store = Store(source.addresses)
        self._clock = clock
        self._wall = wall
        self._frame_every = frame_every
        self._frozen: View | None = None
        self._pace = Pace()
        self._watch = Watch()
        self._history = command.History()

    def on_mount(self) -> None:
        if os.environ.get("NO_COLOR"):
            # The default theme would still send greys as RGB.
            self.theme = "ansi-dark"
        self.source.when_replied(self._wake)
        self.push_screen(FleetScreen())
        self._follow(FleetScreen.TOPICS)
        for address in self.source.addresses:
            self.source.send(address, Replay(0))
        if self._frame_every is not None:
            self.set_interval(self._frame_every, self._tick)
        self.watch_terminal()

    def _wake(self) -> None:
        """Called in the client's thread."""
        if self.is_running:
            self.post_message(self.Answered())

    def _tick(self) -> None:
        """What comes is filed at every tick, or rates would have holes; frames follow the pace."""
        now = self._clock()
        self._pace.sample(now, self.written, held=self.held_back)
        self._file()
        if self._pace.due(now) and not self.held_back:
            self.draw()

    @on(Answered)
    def frame(self) -> None:
        """Files what came and draws the top screen, now."""
        self._file()
        self.draw()

    def _file(self) -> None:
        """Takes what came; a held display leaves all with the client."""
        if not self.screen_stack or self._frozen is not None:
            return  # the first: a reply on the way out
        inbox = self.source.take()
        self.source.ask(self.store.take(inbox))
        if isinstance(self.screen, PlanDialog):
            # The table behind a dialog is held.
            for reply in inbox.replies:
                self.screen.take(reply)
            self._hold_behind(self.screen_stack[-2])

    def _hold_behind(self, screen: Screen[Any]) -> None:
        if isinstance(screen, LiveScreen) and screen.composed and screen.planned is not None:
            screen.hold(self._held_view(screen.planned))

    def draw(self) -> None:
        if not self.screen_stack:
            return
        screen = self.screen
        if not isinstance(screen, LiveScreen) or not screen.composed:
            return
        if self._frozen is None:
            screen.frame(self._view())
        elif screen.view is None:
            screen.frame(self._frozen)
        else:
            screen.hold(self._held_view(self._frozen))

    def _view(self) -> View:
        now = self._clock()
        found = tuple(problems(list(self.store.agents.values()), now))
        return View(
            self.store,
            now,
            self._wall(),
            self.cluster,
            found,
            self._watch.take(found, now),
            slow=self._pace.slow,
        )

    def _held_view(self, frozen: View) -> View:
        return frozen._replace(held=self._clock() - frozen.now)

    # ---- places

    @on(LiveScreen.Opened)
    def _open(self, message: LiveScreen.Opened) -> None:
        match message.place:
            case "up":
                if len(self.screen_stack) > 2:
                    self.pop_screen()
            case "help":
                self.push_screen(HelpScreen())
                return
            case "node":
                self.push_screen(NodeScreen(message.name))
            case "vip":
                self.push_screen(VipScreen(message.name, message.row))
            case place:
                self._top()
                if place != "fleet":
                    self.push_screen(PLACES[place]())
        self.call_after_refresh(self._arrived)

    def _top(self) -> None:
        while len(self.screen_stack) > 2:
            self.pop_screen()

    def _arrived(self) -> None:
        """A new screen: its topics from now on, and what is known at once."""
        if isinstance(self.screen, LiveScreen):
            self._follow(self.screen.TOPICS)
            self.draw()

    def _follow(self, topics: frozenset[str]) -> None:
        self.source.follow(ALWAYS | topics)

    # ---- keys

    @on(LiveScreen.Planned)
    def _plan(self, message: LiveScreen.Planned) -> None:
        self._open_plan(PlanDialog(self.source, message.verb, message.target))

    def _open_plan(self, dialog: PlanDialog) -> None:
        if isinstance(self.screen, LiveScreen):
            self.screen.planned = self.screen.view
        self.push_screen(dialog, self._dialog_closed)

    def _dialog_closed(self, _: None) -> None:
        self.call_after_refresh(self.draw)

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

    def _do(self, screen: LiveScreen, text: str) -> str:
        """Does it, or returns why not."""
        view = screen.view
        if view is None:
            return "nothing is known yet"
        try:
            order = command.parse(text, view.agents)
        except ObjectError as error:
            return str(error)
        if isinstance(order, command.Plan):
            return self._do_plan(view, order)
        if order.place == "quit":
            self.exit()
            return ""
        name = next((a.address for a in view.agents if a.name == order.name), order.name)
        self._open(LiveScreen.Opened(order.place, name if order.place == "node" else order.name))
        return ""

    def _do_plan(self, view: View, order: command.Plan) -> str:
        if view.held is not None:
            return "the display is held: p goes on, then plan"
        target = named_target(view, order.target)
        if isinstance(target, str):
            return target
        if order.weight is not None:
            target = target._replace(weight=order.weight)
        self._open_plan(PlanDialog(self.source, order.verb, target, why=order.reason, at_once=True))
        return ""

    @on(LiveScreen.Repaint)
    def _repaint(self) -> None:
        self.repaint()

    @on(LiveScreen.Freeze)
    def _freeze(self) -> None:
        self._frozen = self._held_view(self._view()) if self._frozen is None else None
        self.frame()


def run(settings: Settings, who: str, render: Render = "diff") -> int:
    """The console on a terminal until the operator leaves; returns the exit code."""
    client = Client(settings.agents, who)
    app = RemoraApp(client, settings.cluster, render=render)
    try:
        app.run()
    finally:
        client.close()
    return crash.tell(app.failure) if app.failure else app.return_code or Exit.DONE
