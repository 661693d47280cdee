# SPDX-License-Identifier: Apache-2.0
"""The agent's ZeroMQ sockets, in pairs: one on ipc:// for the node itself, one on TCP with CURVE.

A door is a telemetry socket (XPUB), a command socket (ROUTER) and whom a message on it came from.
Subscriptions are taken for known topics only (ZMQ_XPUB_MANUAL), so that no subscriber can make the
agent remember things for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import zmq
import zmq.asyncio

from agent.boundary import EffectError
from shared import curve
from shared.codec import LARGEST_COMMAND
from shared.grants import ANYBODY, LOCAL, Grant, readable
from shared.keyring import Keyring
from shared.model import endpoints

HIGH_WATER = 100
"""Messages kept for one slow reader."""
LARGEST_SUBSCRIPTION = 1024
"""Bytes; also what CURVE's handshake needs."""
LARGEST_MESSAGE = 2 * LARGEST_COMMAND
"""Bytes; longer than a command may be, so that such a one is counted; past it ZeroMQ hangs up."""
COMMANDS_WAITING = 8
"""Per connection."""
HANDSHAKE_MS = 5000
LARGE = 4096
"""Bytes of a frame that is sent by reference; a smaller one is copied sooner than referred to."""
_MORE, _LAST = int(zmq.SNDMORE | zmq.DONTWAIT), int(zmq.DONTWAIT)
Context = zmq.asyncio.Context
WhoSent = Callable[[zmq.Frame], Grant | None]
"""A frame of a message -> its sender's grant; None: the key was taken away."""


class Door:
    """A pair of sockets.  Raises EffectError when they cannot be bound."""

    def __init__(
        self,
        context: Context,
        name: bytes,
        address: str,
        who: WhoSent,
        own: curve.Pair | None = None,
    ) -> None:
        self.name = name
        """One byte."""
        self.who = who
        self.overruns = 0
        """Times that a reader did not keep up, and began to lose messages."""
        self.wanted: frozenset[str] = frozenset()
        """Topics that somebody subscribed to since the start; none is ever taken back."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where we follow subscriptions."""
        telemetry, command = endpoints(address)
        # A plain socket: XPUB never waits, and a future per message costs more than the message.
        plain: Any = context.socket(zmq.XPUB, cast("Any", zmq.Socket))
        self._publisher: zmq.Socket[bytes] = plain
        _set_up(self._publisher, LARGEST_SUBSCRIPTION, own)
        self._publisher.setsockopt(zmq.XPUB_MANUAL, 1)
        self._publisher.setsockopt(zmq.XPUB_NODROP, 1)
        self.router = context.socket(zmq.ROUTER)
        _set_up(self.router, LARGEST_MESSAGE, own)
        try:
            _bind(self._publisher, telemetry)
            _bind(self.router, command)
        except (OSError, zmq.ZMQError) as error:
            self.close()
            raise EffectError(f"socket {address}: {error}") from error

    def follow(self) -> None:
        """Take subscriptions until close(); in a running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._publisher.FD, self._take_subscriptions)
        self._take_subscriptions()

    def publish(self, messages: Iterable[list[bytes]]) -> None:
        """The frames of each.  Whoever does not keep up loses messages; nobody waits."""
        for frames in messages:
            try:
                self._send(frames)
            except zmq.Again:
                # A reader's queue became full, and nobody was sent anything.  Told to drop, ZeroMQ
                # does so for that reader only, without a word until there is room again.
                self.overruns += 1
                self._publisher.setsockopt(zmq.XPUB_NODROP, 0)
                self._send(frames)
                self._publisher.setsockopt(zmq.XPUB_NODROP, 1)
        self._take_subscriptions()  # sending takes the signal that there are some

    def _send(self, frames: Sequence[bytes]) -> None:
        *ahead, payload = frames
        for frame in ahead:
            self._publisher.send(frame, _MORE)
        # Without a copy: half a megabyte ten times a second is mostly page faults.
        self._publisher.send(payload, _LAST, copy=len(payload) < LARGE)

    def _take_subscriptions(self) -> None:
        while not self._publisher.closed and int(self._publisher.get(zmq.EVENTS)) & zmq.POLLIN:
            self._subscribe(self._publisher.recv(zmq.DONTWAIT, copy=False))

    def _subscribe(self, frame: zmq.Frame) -> None:
        asked = frame.bytes
        comes = asked[:1] == b"\x01"
        # Of a connection that ended only its unsubscriptions come, and nobody is named in them.
        topics = readable(asked[1:], self.who(frame) if comes else LOCAL)
        if comes:
            self.wanted |= {topic.decode() for topic in topics}
        for topic in sorted(topics):
            with suppress(zmq.ZMQError):  # it left meanwhile
                self._publisher.setsockopt(zmq.SUBSCRIBE if comes else zmq.UNSUBSCRIBE, topic)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._publisher.FD)
            self._loop = None
        self._publisher.close()
        self.router.close()


def local(context: Context, run_dir: Path) -> Door:
    """For whom the file permissions let in (0660)."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EffectError(f"run_dir {run_dir}: {error.strerror}") from error
    return Door(context, b"L", f"ipc://{run_dir}", lambda frame: LOCAL)


def keyed(context: Context, listen: str, own: curve.Pair, keyring: Keyring) -> Door:
    """For whom the authorised keys let in; a ZAP handler must run in the context (RFC 27)."""

    def who(frame: zmq.Frame) -> Grant | None:
        return keyring.grant(curve.user_id(frame))

    return Door(context, b"T", f"tcp://{listen}", who, own)


def plain(context: Context, listen: str) -> Door:
    """For everybody who reaches the port."""
    return Door(context, b"T", f"tcp://{listen}", lambda frame: ANYBODY)


def _set_up(
    socket: zmq.Socket[bytes] | zmq.asyncio.Socket, largest: int, own: curve.Pair | None
) -> None:
    options = {
        zmq.LINGER: 200,
        zmq.SNDHWM: HIGH_WATER,
        zmq.RCVHWM: COMMANDS_WAITING,
        zmq.MAXMSGSIZE: largest,
        zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
        zmq.IPV6: 1,
        # A reader whose network broke is noticed, not kept for hours.
        zmq.HEARTBEAT_IVL: 5000,
        zmq.HEARTBEAT_TIMEOUT: 15000,
    }
    for option, value in options.items():
        socket.setsockopt(option, value)
    if own is not None:
        curve.serve(socket, own)


def _bind(socket: zmq.Socket[bytes] | zmq.asyncio.Socket, endpoint: str) -> None:
    socket.bind(endpoint)
    if endpoint.startswith("ipc://"):
        Path(endpoint.removeprefix("ipc://")).chmod(0o660)
