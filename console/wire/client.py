# SPDX-License-Identifier: Apache-2.0
"""ZeroMQ to many agents, in a thread of its own.  The only importer of zmq on this side.

What arrives is kept until `take`, of snapshots only the newest, so that a slow reader costs neither
memory nor the agents anything (K4).  Bytes that are no message become a `Fault`; nothing raises.
A command is sent again under the same id until it is answered or its time is over (K1); it is
never queued for an agent that is not there, so none takes effect after the console gave it up
while the agent was away.
"""

from __future__ import annotations

import itertools
import os
import queue
import resource
import struct
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import zmq

from console.model.store import Arrived, Fault, Inbox, Liveness, Missing, Reply, fault_of
from console.wire.trust import Trust
from shared import curve
from shared.codec import (
    LARGEST_TELEMETRY,
    WireError,
    answer_of,
    command_frames,
    telemetry_of,
    topic_of,
)
from shared.messages import Action, Command, Event, Look, Packets, Replay
from shared.model import endpoints
from shared.recording import Record

ANSWER_TIMEOUT = 5.0
"""Seconds until a command without an answer is given up."""
REPEAT_AFTER = 1.0
"""Seconds until an unanswered command is sent again (an agent that is away: sooner)."""
LATE = 5.0
"""Seconds past its time-out in which an agent may still carry a command out: clocks differ."""
EVENTS_WAITING = 5000
SOCKETS_EACH, FILES_EACH = 4, 12
"""Of one agent: telemetry, commands, the monitor and its other end."""
BREATH, LONGEST_BREATH = 0.0002, 0.1
"""Seconds per agent, and at most, between two looks at many sockets: each look asks them all."""
FEW = 20
"""Agents for which that does not matter."""
KNOCK_AFTER = 3.0
"""Seconds until an agent that refused our key is tried again: the key may be added any time."""
_TICK_MS = 100
NOBODY = Trust()
DENIED = Liveness.DENIED


class _Order(NamedTuple):
    """A command on its way."""

    address: str
    command: Command
    deadline: float


class _Link:
    """The sockets of one agent.  Used by the client's thread only."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        trust: Trust,
        *,
        relayed: bool,
    ) -> None:
        telemetry, command = endpoints(address)
        self.address = address
        self.subscriber = _socket(context, zmq.SUB)
        self.dealer = _socket(context, zmq.DEALER)
        key = trust.key_of(address)
        if key is not None and trust.own is not None:
            curve.call(self.subscriber, trust.own, key)
            curve.call(self.dealer, trust.own, key)
        self.monitor = self.dealer.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
        )
        self._places = [(self.dealer, command)]
        if not relayed:
            self._places.append((self.subscriber, telemetry))
        for socket, place in self._places:
            socket.connect(place)
        self.denied: float | None = None
        """When (monotonic) the agent last refused our key; ZeroMQ itself does not knock again."""
        self.topics: frozenset[str] = frozenset()

    def follow(self, topics: frozenset[str]) -> bool:
        """Subscribes to exactly these topics; True when some are new."""
        for topic in self.topics - topics:
            self.subscriber.unsubscribe(topic)
        for topic in topics - self.topics:
            self.subscriber.subscribe(topic)
        added = bool(topics - self.topics)
        self.topics = topics
        return added

    def knock_again(self) -> None:
        self.denied = None
        for socket, place in self._places:
            with suppress(zmq.ZMQError):
                socket.disconnect(place)
            socket.connect(place)

    def close(self) -> None:
        self.dealer.disable_monitor()
        self.monitor.close(linger=0)
        self.subscriber.close(linger=0)
        self.dealer.close(linger=0)


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    for option, value in {
        zmq.LINGER: 0,
        zmq.IMMEDIATE: 1,
        zmq.RECONNECT_IVL: 50,
        zmq.RECONNECT_IVL_MAX: 1000,
        zmq.MAXMSGSIZE: LARGEST_TELEMETRY,
        zmq.IPV6: 1,
        # A network that broke without a word: connect anew, do not wait for TCP to give up.
        zmq.CONNECT_TIMEOUT: 2000,
        zmq.HEARTBEAT_IVL: 2000,
        zmq.HEARTBEAT_TIMEOUT: 6000,
    }.items():
        socket.setsockopt(option, value)
    return socket


class Client:
    """Raises AddressError (shared.model) for an address that cannot be an agent's, TrustError for
    one that cannot be spoken to safely."""

    def __init__(
        self,
        addresses: Sequence[str],
        who: str,
        *,
        topics: Iterable[str] = (),
        trust: Trust = NOBODY,
        relay: str = "",
        tap: Callable[[Record], None] | None = None,
    ) -> None:
        """With a `relay` telemetry comes from there; commands always go to the agents themselves.
        `tap` is given every telemetry message as it came, in the client's thread."""
        for address in addresses:
            endpoints(address)
            trust.key_of(address)
        if relay:
            trust.key_of(relay)
        self._relay = relay
        self._trust = trust
        self._tap = tap
        self.addresses = tuple(dict.fromkeys(addresses))
        self.who = who
        self._on_reply: Callable[[], None] = lambda: None
        self._topics = frozenset(topics)
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._latest: dict[tuple[str, bytes], Arrived] = {}
        self._events: deque[Arrived] = deque(maxlen=EVENTS_WAITING)
        self._replies: list[Reply] = []
        self._faults: deque[Fault] = deque(maxlen=EVENTS_WAITING)
        self._prefix = uuid.uuid4().hex[:12]
        self._counted = itertools.count(1)
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name="remora-client", daemon=True)
        self._thread.start()

    # ---- the reader's side

    def take(self) -> Inbox:
        """All that came since the last call."""
        with self._changed:
            inbox = Inbox(
                (*self._latest.values(), *self._events), tuple(self._replies), tuple(self._faults)
            )
            self._latest.clear()
            self._events.clear()
            self._replies.clear()
            self._faults.clear()
        return inbox

    def wait(self, seconds: float) -> Inbox:
        """Like take, but waits until something is there or the time is over."""
        with self._changed:
            self._changed.wait_for(self._has_some, timeout=max(0.0, seconds))
        return self.take()

    def _has_some(self) -> bool:
        return bool(self._latest or self._events or self._replies or self._faults)

    def send(
        self,
        address: str,
        action: Action,
        *,
        why: str = "",
        dry_run: bool = False,
        expect_revision: int | None = None,
        operation: str = "",
        allow: tuple[str, ...] = (),
        expires: float = 0.0,
        confirm: float = 0.0,
        timeout: float = ANSWER_TIMEOUT,
    ) -> str:
        """Sends a command and returns its id; a Reply with that id always follows."""
        wall = time.time()
        command = Command(
            id=self._id(),
            who=self.who,
            action=action,
            why=why,
            dry_run=dry_run,
            expect_revision=expect_revision,
            operation=operation,
            allow=allow,
            expires=expires,
            confirm=confirm,
            sent=wall,
            deadline=wall + timeout + LATE,
        )
        self._orders.put(_Order(address, command, time.monotonic() + timeout))
        self._nudge()
        return command.id

    def when_replied(self, call: Callable[[], None]) -> None:
        """`call` is called in the client's thread whenever a reply can be taken."""
        self._on_reply = call

    def ask(self, missing: Iterable[Missing]) -> None:
        for address, sequence in missing:
            self.send(address, Replay(sequence))

    def follow(self, topics: Iterable[str]) -> None:
        """Subscribes to these topics; what is new comes at once, not at the next interval."""
        self._topics = frozenset(topics)
        self._nudge()

    def close(self) -> None:
        self._on_reply = lambda: None
        self._orders.put(None)
        self._nudge()
        self._thread.join(timeout=5)
        os.close(self._wake)
        os.close(self._woken)

    def _id(self) -> str:
        """From both threads: `next` of a count is atomic, of a generator it is not."""
        return f"{self._prefix}-{next(self._counted)}"

    def _nudge(self) -> None:
        os.write(self._wake, b"x")

    # ---- the thread's side

    def _run(self) -> None:
        with zmq.Context() as context:
            _make_room(context, len(self.addresses))
            relayed = bool(self._relay)
            links = {
                address: _Link(context, address, self._trust, relayed=relayed)
                for address in self.addresses
            }
            relay = _relay(context, self._relay, self._trust) if relayed else None
            try:
                _Traffic(self, links, relay).run()
            finally:
                for link in links.values():
                    link.close()
                if relay is not None:
                    relay.close(linger=0)


def _relay(
    context: zmq.Context[zmq.Socket[bytes]], address: str, trust: Trust
) -> zmq.Socket[bytes]:
    socket = _socket(context, zmq.SUB)
    key = trust.key_of(address)
    if key is not None and trust.own is not None:
        curve.call(socket, trust.own, key)
    socket.connect(endpoints(address)[0])
    return socket


def _make_room(context: zmq.Context[zmq.Socket[bytes]], agents: int) -> None:
    """Sockets and files for so many agents; what the system refuses shows as silent agents."""
    context.set(zmq.MAX_SOCKETS, max(1023, SOCKETS_EACH * agents + 64))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_EACH * agents + 256
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


class _Traffic:
    """The thread's loop: sockets -> the client's inbox, orders -> sockets."""

    def __init__(
        self, client: Client, links: dict[str, _Link], relay: zmq.Socket[bytes] | None
    ) -> None:
        self.relay = relay
        self.relayed: frozenset[str] = frozenset()
        self.client = client
        self.links = links
        self.open: dict[str, _Order] = {}
        self.due: dict[str, float] = {}
        self.poller = zmq.Poller()
        self.poller.register(client._woken, zmq.POLLIN)
        self.readers: dict[zmq.Socket[bytes], Callable[[], None]] = {}
        for link in links.values():
            self.readers[link.subscriber] = lambda link=link: self._telemetry(link)  # type: ignore[misc]
            self.readers[link.dealer] = lambda link=link: self._answers(link)  # type: ignore[misc]
            self.readers[link.monitor] = lambda link=link: self._connected(link)  # type: ignore[misc]
        if relay is not None:
            self.readers[relay] = self._from_relay
        for socket in self.readers:
            self.poller.register(socket, zmq.POLLIN)

    def run(self) -> None:
        while True:
            denied = any(link.denied is not None for link in self.links.values())
            for source, _ in self.poller.poll(_TICK_MS if self.open or denied else None):
                if isinstance(source, int):
                    os.read(source, 4096)
                else:
                    self.readers[source]()
            if not self._new_orders():
                return
            self._follow()
            self._push(time.monotonic())
            self._knock_again(time.monotonic())
            if len(self.links) > FEW:
                time.sleep(min(LONGEST_BREATH, BREATH * len(self.links)))

    def _knock_again(self, now: float) -> None:
        for link in self.links.values():
            if link.denied is not None and now - link.denied > KNOCK_AFTER:
                link.knock_again()

    def _new_orders(self) -> bool:
        """False when the client is being closed."""
        with suppress(queue.Empty):
            while True:
                order = self.client._orders.get_nowait()
                if order is None:
                    return False
                self.open[order.command.id] = order
                self.due[order.command.id] = 0.0
        return True

    def _follow(self) -> None:
        for link in self.links.values():
            if link.follow(self.client._topics):
                self._look(link)

        if self.relay is not None and self.relayed != self.client._topics:
            for topic in self.relayed - self.client._topics:
                self.relay.unsubscribe(topic)
            for topic in self.client._topics - self.relayed:
                self.relay.subscribe(topic)
            self.relayed = self.client._topics

    def _from_relay(self) -> None:
        """Four frames: the last is the agent's address, as the relay has it."""
        assert self.relay is not None
        for frames in _waiting(self.relay):
            link = self.links.get(frames[-1].decode("utf-8", "replace"))
            if link is not None and len(frames) == 4:
                self._take(link, frames[:3])

    def _look(self, link: _Link) -> None:
        """Asked of an agent that has just (re)appeared or whose new topics are wanted."""
        command = Command(
            id=self.client._id(), who=self.client.who, action=Look(), sent=time.time()
        )
        order = _Order(link.address, command, time.monotonic() + ANSWER_TIMEOUT)
        self.open[command.id], self.due[command.id] = order, 0.0

    def _push(self, now: float) -> None:
        for id_, order in list(self.open.items()):
            if now >= order.deadline:
                self._settle(Reply(order.address, id_, None, now))
            elif now >= self.due[id_] and self._transmit(order):
                self.due[id_] = now + REPEAT_AFTER

    def _transmit(self, order: _Order) -> bool:
        try:
            frames = command_frames(order.command)
            self.links[order.address].dealer.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False  # not connected: asked again at the next tick
        return True

    def _telemetry(self, link: _Link) -> None:
        for frames in _waiting(link.subscriber):
            self._take(link, frames)

    def _take(self, link: _Link, frames: list[bytes]) -> None:
        if self.client._tap is not None:
            self.client._tap(Record(time.time(), link.address, tuple(frames)))
        try:
            message = telemetry_of(frames)
        except WireError as error:
            self._fault(link, error)
            return
        arrived = Arrived(link.address, message, time.monotonic())
        with self.client._changed:
            if isinstance(message, Event | Packets):
                self.client._events.append(arrived)
            else:
                self.client._latest[link.address, topic_of(message)] = arrived
            self.client._changed.notify_all()

    def _answers(self, link: _Link) -> None:
        for frames in _waiting(link.dealer):
            try:
                answer = answer_of(frames)
            except WireError as error:
                self._fault(link, error)
                continue
            if answer.id in self.open:
                self._settle(Reply(link.address, answer.id, answer, time.monotonic()))

    def _settle(self, reply: Reply) -> None:
        del self.open[reply.id], self.due[reply.id]
        with self.client._changed:
            self.client._replies.append(reply)
            self.client._changed.notify_all()
        self.client._on_reply()

    def _connected(self, link: _Link) -> None:
        for frames in _waiting(link.monitor):
            if _monitored(frames) == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                link.denied = time.monotonic()
                self._tell(Fault(link.address, "this console's key is not authorised", DENIED))
            elif link.topics:
                self._look(link)

    def _fault(self, link: _Link, error: WireError) -> None:
        self._tell(fault_of(link.address, error))

    def _tell(self, fault: Fault) -> None:
        with self.client._changed:
            self.client._faults.append(fault)
            self.client._changed.notify_all()


def _monitored(frames: list[bytes]) -> int:
    """Which event: the first frame is its number and a value (zmq_socket_monitor(3)).

    pyzmq's own reader imports asyncio, a fifth of what a verb takes to its first word.
    """
    number, _ = struct.unpack("=hi", frames[0])
    return int(number)


def _waiting(socket: zmq.Socket[bytes]) -> Iterable[list[bytes]]:
    """What is there now, without waiting."""
    with suppress(zmq.Again):
        while True:
            yield socket.recv_multipart(zmq.NOBLOCK)
