# SPDX-License-Identifier: Apache-2.0
"""The console: one store, one frame clock, a stack of screens.

The clock reads what the client's thread has gathered and hands the top screen a view; nothing is
drawn because a message came.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol

# Read once, when Textual is imported.
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
os.environ.setdefault("TEXTUAL_FPS", "10")

from textual import on
from textual.message import Message
from textual.screen import Screen

from console import crash
from console.client import Client
from console.exits import Exit
from console.pace import FRAME, Pace
from console.problems import problems
from console.screens.drops import DropsScreen
from console.screens.fleet import FleetScreen
from console.screens.help import HelpScreen
from console.screens.live import LiveScreen
from console.screens.node import NodeScreen
from console.screens.plan import PlanDialog, Sender
from console.screens.vip import VipScreen
from console.screens.vips import VipsScreen
from console.settings import Settings
from console.store import Inbox, Missing, Store
from console.view import View
from console.widgets.terminal import Render, TerminalApp
from shared.messages import Replay

ALWAYS = frozenset({"node", "vip", "event"})
"""Topics that the header's totals and alerts need on every screen."""


class Source(Sender, Protocol):
    """Where messages come from: the client, or a recording."""

    addresses: tuple[str, ...]

    def when_replied(self, call: Callable[[], None]) -> None: ...

    def take(self) -> Inbox: ...

    def ask(self, missing: Iterable[Missing]) -> None: ...

    def follow(self, topics: Iterable[str]) -> None: ...


class RemoraApp(TerminalApp):
    CSS_PATH = "console.tcss"
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
        return View(self.store, now, self._wall(), self.cluster, found, slow=self._pace.slow)

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
                self.push_screen(VipScreen(message.name))
            case place:
                self._top()
                if place != "fleet":
                    self.push_screen({"vips": VipsScreen, "drops": DropsScreen}[place]())
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
        if isinstance(self.screen, LiveScreen):
            self.screen.planned = self.screen.view
        self.push_screen(PlanDialog(self.source, message.verb, message.target), self._dialog_closed)

    def _dialog_closed(self, _: None) -> None:
        self.call_after_refresh(self.draw)

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
    return _told(app.failure) if app.failure else app.return_code or Exit.DONE


def _told(failure: str) -> int:
    """One line, on the terminal as it was before; all else is in a file."""
    last = failure.rstrip().rpartition("\n")[2]
    try:
        where = f"report: {crash.write(failure)}"
    except OSError as error:
        where = f"no report could be written: {error.strerror}"
    print(f"remora: the console failed, the nodes did not: {last}; {where}", file=sys.stderr)
    return Exit.FAILED
