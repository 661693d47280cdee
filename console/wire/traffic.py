# SPDX-License-Identifier: Apache-2.0
"""The client's thread: sockets -> what came, what is wanted -> sockets.

A command is sent again under the same id until it is answered or its time is over (K1); it is
never queued for an agent that is not there, so none takes effect after the console gave it up
while the agent was away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import zmq

from console.model.store import Fault, Liveness, Reply, fault_of
from console.wire.intake import Intake, Order, Wanted
from console.wire.link import Link, subscribe, waiting
from console.wire.ready import Ready
from shared.codec import WireError, answer_of, command_frames
from shared.messages import Answer
from shared.recording import Record

REPEAT_AFTER = 1.0
"""Seconds until an unanswered command is sent again (an agent that is away: sooner)."""
NEXT_STEP = 7.0
"""Seconds that an agent has for each further step; it gives up reading back after five."""
LONGEST = 14.0
"""Seconds from the first sending on: later the agent would take a repetition for a replay."""
STEPS = ("", "accepted", "applied")
"""In this order, before the last answer."""
OF_REPETITIONS = ("rate", "too-old", "clock", "replay", "key")
"""Guards that may refuse a repetition of what was accepted already: no word on that."""
BREATH, LONGEST_BREATH = 0.0002, 0.1
"""Seconds per agent, and at most, between two looks at many sockets: what came is read at once."""
FEW = 20
"""Agents for which that does not matter."""
KNOCK_AFTER = 3.0
"""Seconds until an agent that refused our key is tried again: the key may be added any time."""
TICK = 0.1
"""Seconds between two attempts to send what could not be sent."""
Tap = Callable[[Record], None]


class Traffic:
    """`look` makes the order for a complete look at an agent that has just appeared."""

    def __init__(
        self,
        links: Mapping[str, Link],
        relay: zmq.Socket[bytes] | None,
        wanted: Wanted,
        intake: Intake,
        *,
        look: Callable[[str], Order],
        tap: Callable[[], Tap | None],
    ) -> None:
        self._links = links
        self._relay = relay
        self._wanted = wanted
        self._intake = intake
        self._look = look
        self._tap = tap
        self._open: dict[str, Order] = {}
        self._due: dict[str, float] = {}
        self._steps: dict[str, Answer] = {}
        """Command id -> how far it is, of those that are not at their end."""
        self._topics: frozenset[str] = frozenset()
        self._ready = Ready(wanted.woken)
        for link in links.values():
            self._ready.read(link.subscriber, partial(self._telemetry, link))
            self._ready.read(link.dealer, partial(self._answers, link))
            self._ready.read(link.monitor, partial(self._connected, link))
        if relay is not None:
            self._ready.read(relay, partial(self._from_relay, relay))

    def run(self) -> None:
        """Until the client is closed."""
        while True:
            denied = [link for link in self._links.values() if link.denied is not None]
            if self._ready.wait(TICK if self._open or denied else None):
                os.read(self._wanted.woken, 4096)
            orders, over = self._wanted.orders()
            if over:
                self._ready.close()
                return
            for order in orders:
                self._begin(order)
            self._follow()
            self._push(time.monotonic())
            self._knock_again(denied, time.monotonic())
            if len(self._links) > FEW:
                time.sleep(min(LONGEST_BREATH, BREATH * len(self._links)))

    # ---- out

    def _begin(self, order: Order) -> None:
        self._open[order.command.id] = order
        self._due[order.command.id] = 0.0

    def _push(self, now: float) -> None:
        for id_, order in list(self._open.items()):
            if now >= order.deadline:
                self._settle(Reply(order.address, id_, self._steps.get(id_), now))
            elif now >= self._due[id_] and self._transmit(order):
                self._due[id_] = now + REPEAT_AFTER

    def _transmit(self, order: Order) -> bool:
        dealer = self._links[order.address].dealer
        try:
            dealer.send_multipart(command_frames(order.command), zmq.NOBLOCK)
        except zmq.Again:
            self._ready.touch(dealer, soon=False)
            return False  # not connected: asked again at the next tick
        self._ready.touch(dealer)
        return True

    def _follow(self) -> None:
        topics = self._wanted.topics
        if topics == self._topics:
            return
        for link in self._links.values():
            if link.follow(topics):
                self._begin(self._look(link.address))
            self._ready.touch(link.subscriber)
        if self._relay is not None:
            subscribe(self._relay, self._topics, topics)
            self._ready.touch(self._relay)
        self._topics = topics

    def _knock_again(self, denied: Iterable[Link], now: float) -> None:
        for link in denied:
            if link.denied is not None and now - link.denied > KNOCK_AFTER:
                link.knock_again()
                for socket in (link.dealer, link.subscriber):
                    self._ready.touch(socket)

    # ---- in

    def _telemetry(self, link: Link) -> None:
        self._take([(link.address, frames) for frames in waiting(link.subscriber)])

    def _from_relay(self, relay: zmq.Socket[bytes]) -> None:
        """Four frames: the last is the agent's address, as the relay has it."""
        told = [(f[-1].decode("utf-8", "replace"), f[:3]) for f in waiting(relay) if len(f) == 4]
        self._take([(address, frames) for address, frames in told if address in self._links])

    def _take(self, told: Iterable[tuple[str, list[bytes]]]) -> None:
        """Telemetry of agents, by their addresses."""
        now = time.monotonic()
        records = [Record(now, address, tuple(frames)) for address, frames in told]
        self._intake.arrived(records)
        tap = self._tap()
        if tap is not None:
            wall = time.time()
            for record in records:
                tap(record._replace(at=wall))

    def _answers(self, link: Link) -> None:
        for frames in waiting(link.dealer):
            try:
                answer = answer_of(frames)
            except WireError as error:
                self._intake.wrong(fault_of(link.address, error))
                continue
            order = self._open.get(answer.id)
            if order is None or order.address != link.address:
                continue  # late; or another agent's to give: ids can be guessed from one's own
            if answer.more and answer.status in STEPS:
                self._step(link, answer, time.monotonic())
            elif answer.id not in self._steps or answer.guard not in OF_REPETITIONS:
                self._settle(Reply(link.address, answer.id, answer, time.monotonic()))

    def _step(self, link: Link, answer: Answer, now: float) -> None:
        """A step that was answered before is the answer to a repetition: nothing new."""
        known = self._steps.get(answer.id)
        if STEPS.index(answer.status) <= STEPS.index(known.status if known else ""):
            return
        self._steps[answer.id] = answer
        order = self._open[answer.id]
        longest = order.begun + LONGEST
        deadline = max(order.deadline, min(now + NEXT_STEP, longest))
        self._open[answer.id] = order._replace(deadline=deadline)
        self._due[answer.id] = now + REPEAT_AFTER
        self._intake.replied(Reply(link.address, answer.id, answer, now, last=False))

    def _settle(self, reply: Reply) -> None:
        del self._open[reply.id], self._due[reply.id]
        self._steps.pop(reply.id, None)
        self._intake.replied(reply)

    def _connected(self, link: Link) -> None:
        for refused in link.refusals():
            if refused:
                link.denied = time.monotonic()
                why = "this console's key is not authorised"
                self._intake.wrong(Fault(link.address, why, Liveness.DENIED))
            elif link.topics:
                self._begin(self._look(link.address))
