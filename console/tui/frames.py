# SPDX-License-Identifier: Apache-2.0
"""The app as far as time is concerned: what came is filed, the top screen is drawn.

The clock reads what the client's thread has gathered and hands the top screen a view; nothing is
drawn because a message came.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

# Read once, when Textual is imported.
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
os.environ.setdefault("TEXTUAL_FPS", "60")  # how soon a key shows; frames have a clock of their own

from textual import on
from textual.message import Message
from textual.screen import Screen

from console.model.store import Inbox, Missing, Store
from console.planning.arming import Arming
from console.planning.asking import Sender
from console.tui.key_order import KeyOrderApp
from console.tui.pace import FRAME, Pace
from console.tui.screens import asks
from console.tui.screens.live import LiveScreen
from console.tui.screens.plan import PlanDialog
from console.tui.scrub import Scrub
from console.tui.steering import Steering
from console.tui.widgets.terminal import Render
from console.views.alerts import Watch
from console.views.limits import Overrun
from console.views.problems import Problem, problems
from console.views.rings import wanted
from console.views.view import View
from console.wire.recorder import Recorder
from shared.messages import TOPICS, ChangeEvent, Event, RingOf
from shared.recording import Record

ALWAYS = frozenset({"node", "vip", "event", "label"})
"""Topics that the header's totals and alerts need on every screen."""
EVERY = frozenset(topic.decode() for topic in TOPICS)
"""Of a recording."""
JUDGE_EVERY = 0.9
"""Seconds for which the problems that were found stand: agents tell of themselves once a second."""
FEW, SLICES = 20, 5
"""Of more agents what came is filed several times a frame: a key waits for one part of it only."""
RINGS_AT_ONCE, RINGS_AGAIN = 8, 5.0
"""Rings asked for at a time, and seconds until the next: a ring is 128 KiB."""


class Source(Sender, Protocol):
    """Where messages come from: the client, or a recording."""

    addresses: tuple[str, ...]
    who: str
    """`user@host`: by this name the agents know this console."""
    waiting: int
    """Messages that came since the last `take`."""

    def when_replied(self, call: Callable[[], None]) -> None: ...

    def take(self) -> Inbox: ...

    def ask(self, missing: Iterable[Missing]) -> None: ...

    def follow(self, topics: Iterable[str]) -> None: ...

    def record(self, tap: Callable[[Record], None] | None) -> None: ...


class FrameApp(KeyOrderApp):
    mode = "LIVE"
    """What the header calls the data."""

    class Answered(Message):
        """A reply can be taken: a dialog need not wait for the next frame."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, FrameApp.Answered)

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
        self.arming = Arming()
        self._clock = clock
        self._wall = wall
        self._frame_every = frame_every
        self._frozen: View | None = None
        self._pace = Pace()
        self._watch = Watch()
        self._rings_due = 0.0
        self._found: tuple[Problem, ...] = ()
        self._judged = float("-inf")
        self.overrun = Overrun()
        self.totals = False
        """What tables show in the place of rates."""
        self.recorder: Recorder | None = None
        self.scrub = Scrub(source, wall)
        self.steering = Steering(source, lambda: self.store, self._tell)

    def start_frames(self) -> None:
        """To be called once, when the first screen is there."""
        self.source.when_replied(self._wake)
        if self._frame_every is not None:
            self.set_interval(self._frame_every, self._tick)
            if len(self.source.addresses) > FEW:
                self.set_interval(self._frame_every / SLICES, self._file)
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
        self.steering.tick(now)
        if self.screen_stack and isinstance(self.screen, LiveScreen) and self.screen.composed:
            self.screen.lapse(now)
        if self._pace.due(now) and not self.held_back:
            before = time.thread_time()
            self.draw()
            self._pace.drawn(time.thread_time() - before)

    def pressed(self) -> None:
        if self.screen_stack and isinstance(self.screen, LiveScreen) and self.screen.composed:
            self.screen.pressed(self._clock())

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
        if self.recorder is not None:
            self.recorder.late(inbox)
        self._tell_of_others(inbox)
        self._ask_for_rings()
        now = self._clock()
        for reply in inbox.replies:
            self.steering.take(reply, now)
            self.scrub.take(reply)
            self._judged = float("-inf")  # a ring, or what an agent had not told before
            self.replied(reply)

    def _tell_of_others(self, inbox: Inbox) -> None:
        """What another operator just did is said on whatever screen there is."""
        for arrived in inbox.arrived:
            event = arrived.message
            if isinstance(event, Event) and isinstance(event.body, ChangeEvent):
                body = event.body
                if body.who != self.source.who and isinstance(self.screen, LiveScreen):
                    text = f"{body.who}: {body.what}: {body.result} on {event.node}   9 has it"
                    self.screen.say(text, "hot")

    def _tell(self, text: str) -> None:
        """Of an operation that this console steers."""
        if self.screen_stack and isinstance(self.screen, LiveScreen) and self.screen.composed:
            self.screen.say(text, "hot")

    def _ask_for_rings(self) -> None:
        """Of VIPs whose rings differ, one of each digest: the alarm says from which slot on."""
        now = self._clock()
        if now < self._rings_due:
            return
        missing = wanted(list(self.store.agents.values()), now, self.store.rings)
        for address, vip in missing[:RINGS_AT_ONCE]:
            self.source.send(address, RingOf(vip))
        self._rings_due = now + (RINGS_AGAIN if missing else JUDGE_EVERY)

    def replied(self, reply: Any) -> None:  # noqa: ANN401  # a Reply
        """To whom it belongs: the dialog, or the screen that asked."""
        screen = self.screen
        if isinstance(screen, PlanDialog | LiveScreen):
            screen.take(reply)

    def _draw_behind(self, screen: Screen[Any]) -> None:
        """What a plan was made of stands still until it is sent."""
        if not isinstance(screen, LiveScreen) or not screen.composed:
            return
        if screen.planned is None:
            screen.frame(self._view())
        else:
            screen.hold(self._held_view(screen.planned))

    def draw(self) -> None:
        if not self.screen_stack:
            return
        screen = self.screen
        if isinstance(screen, PlanDialog) and self._frozen is None:
            self._draw_behind(self.screen_stack[-2])
        if not isinstance(screen, LiveScreen) or not screen.composed:
            return
        if self.scrub.wanted:
            screen.frame(self.scrub.view(self._view()))
        elif self._frozen is None:
            screen.frame(self._view())
        elif screen.view is None:
            screen.frame(self._frozen)
        else:
            screen.hold(self._held_view(self._frozen))

    def _view(self) -> View:
        now = self._clock()
        found = self._problems(now)
        return View(
            self.store,
            now,
            self._wall(),
            self.cluster,
            self.source.who,
            found,
            self._watch.take(found, now),
            slow=self._pace.slow,
            arming=self.arming,
            mode=self.mode,
            recording=self.recording,
            totals=self.totals,
        )

    @property
    def recording(self) -> tuple[str, int] | None:
        """File and bytes in it, while there is one."""
        made = self.recorder
        return None if made is None else (str(made.path), made.written.packed)

    @property
    def recorded(self) -> frozenset[str]:
        """Topics that are wanted whatever is on show."""
        return EVERY if self.recorder is not None else frozenset()

    def _problems(self, now: float) -> tuple[Problem, ...]:
        """Over the whole fleet, so not at every frame; a clock that goes back is a replay's."""
        if not 0 <= now - self._judged < JUDGE_EVERY:
            agents = list(self.store.agents.values())
            always = problems(agents, now, self.store.rings)
            self._found = (*always, *self.overrun.take(agents, now))
            self._judged = now
        return self._found

    def _held_view(self, frozen: View) -> View:
        return frozen._replace(
            held=self._clock() - frozen.now,
            waiting=self.source.waiting,
            arming=self.arming,
            recording=self.recording,
        )

    @on(asks.TotalsWanted)
    def _change_totals(self) -> None:
        """A held display shows what it held: its rates, or its totals, as it was."""
        if self._frozen is not None:
            self._tell("the display is held: p goes on, then z")
            return
        self.totals = not self.totals
        self.draw()

    def freeze(self) -> None:
        """Hold the display, or go on."""
        if self.scrub.wanted:
            self._tell("the past stands still already; t is now")
            return
        if self._frozen is None and self.steering.busy:
            self._tell(
                "this console steers an operation: its display stays live until that is over"
            )
            return
        self._frozen = self._held_view(self._view()) if self._frozen is None else None
        self.frame()
