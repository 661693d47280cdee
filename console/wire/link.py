# SPDX-License-Identifier: Apache-2.0
"""The console's sockets: those of one agent, that of a relay, and room for many of them."""

from __future__ import annotations

import resource
import struct
from collections.abc import Iterable
from contextlib import suppress

import zmq

from console.wire.trust import Trust
from shared import curve
from shared.codec import LARGEST_TELEMETRY
from shared.model import endpoints

SOCKETS_EACH, FILES_EACH = 4, 12
"""Of one agent: telemetry, commands, the monitor and its other end."""
NOW = int(zmq.NOBLOCK)
"""A plain number: pyzmq's flags are worth microseconds each."""
Context = zmq.Context[zmq.Socket[bytes]]


class Link:
    """The sockets of one agent.  Used by the client's thread only."""

    def __init__(self, context: Context, address: str, trust: Trust, *, relayed: bool) -> None:
        telemetry, command = endpoints(address)
        self.address = address
        self.subscriber = _socket(context, zmq.SUB)
        self.dealer = _socket(context, zmq.DEALER)
        for socket in (self.subscriber, self.dealer):
            _present_key(socket, address, trust)
        self.monitor = self.dealer.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
        )
        self._places = [(self.dealer, command)]
        if not relayed:
            self._places.append((self.subscriber, telemetry))
        for socket, place in self._places:
            _connect(socket, place)
        self.denied: float | None = None
        """When (monotonic) the agent last refused our key; ZeroMQ itself does not knock again."""
        self.topics: frozenset[str] = frozenset()

    def follow(self, topics: frozenset[str]) -> bool:
        """Subscribes to exactly these topics; True when some are new."""
        added = bool(topics - self.topics)
        subscribe(self.subscriber, self.topics, topics)
        self.topics = topics
        return added

    def knock_again(self) -> None:
        self.denied = None
        for socket, place in self._places:
            with suppress(zmq.ZMQError):
                socket.disconnect(place)
            socket.connect(place)

    def refusals(self) -> Iterable[bool]:
        """Of each connection that came about or did not: whether our key was refused."""
        for frames in waiting(self.monitor):
            yield _monitored(frames) == zmq.EVENT_HANDSHAKE_FAILED_AUTH

    def close(self) -> None:
        self.dealer.disable_monitor()
        self.monitor.close(linger=0)
        self.subscriber.close(linger=0)
        self.dealer.close(linger=0)


def relay_socket(context: Context, address: str, trust: Trust) -> zmq.Socket[bytes]:
    socket = _socket(context, zmq.SUB)
    _present_key(socket, address, trust)
    _connect(socket, endpoints(address)[0])
    return socket


def subscribe(socket: zmq.Socket[bytes], present: frozenset[str], wanted: frozenset[str]) -> None:
    for topic in present - wanted:
        socket.unsubscribe(topic)
    for topic in wanted - present:
        socket.subscribe(topic)


def waiting(socket: zmq.Socket[bytes]) -> Iterable[list[bytes]]:
    """What is there now, without waiting.

    Frame by frame: a frame knows whether more follow, `recv_multipart` has to ask the socket.
    """
    with suppress(zmq.Again):
        while True:
            frame = socket.recv(NOW, copy=False)
            frames = [frame.bytes]
            while frame.more:
                frame = socket.recv(NOW, copy=False)
                frames.append(frame.bytes)
            yield frames


def make_room(context: Context, agents: int) -> None:
    """Sockets and files for so many agents; what the system refuses shows as silent agents."""
    context.set(zmq.MAX_SOCKETS, max(1023, SOCKETS_EACH * agents + 64))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_EACH * agents + 256
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


def _present_key(socket: zmq.Socket[bytes], address: str, trust: Trust) -> None:
    key = trust.key_of(address)
    if key is not None and trust.own is not None:
        curve.call(socket, trust.own, key)


def _socket(context: Context, kind: int) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    for option, value in {
        zmq.LINGER: 0,
        zmq.IMMEDIATE: 1,
        zmq.RECONNECT_IVL: 50,
        zmq.RECONNECT_IVL_MAX: 1000,
        zmq.MAXMSGSIZE: LARGEST_TELEMETRY,
        zmq.IPV6: 1,
    }.items():
        socket.setsockopt(option, value)
    return socket


def _connect(socket: zmq.Socket[bytes], place: str) -> None:
    if not place.startswith("ipc://"):
        # A network that broke without a word: connect anew, do not wait for TCP to give up.
        socket.setsockopt(zmq.CONNECT_TIMEOUT, 2000)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 2000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 6000)
    socket.connect(place)


def _monitored(frames: list[bytes]) -> int:
    """Which event: the first frame is its number and a value (zmq_socket_monitor(3)).

    pyzmq's own reader imports asyncio, a fifth of what a verb takes to its first word.
    """
    number, _ = struct.unpack("=hi", frames[0])
    return int(number)
