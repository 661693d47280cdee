# SPDX-License-Identifier: Apache-2.0
"""The agent's ZeroMQ sockets, in pairs: one on ipc:// for the node itself, one on TCP with CURVE.

A door is a telemetry socket (XPUB), a command socket (ROUTER) and whom a message on it came from.
Subscriptions are taken for known topics only (ZMQ_XPUB_MANUAL), so that no subscriber can make the
agent remember things for it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

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
        self.wanted: frozenset[str] = frozenset()
        """Topics that somebody subscribed to since the start; none is ever taken back."""
        telemetry, command = endpoints(address)
        self.publisher = _socket(context, zmq.XPUB, LARGEST_SUBSCRIPTION, own)
        self.publisher.setsockopt(zmq.XPUB_MANUAL, 1)
        self.router = _socket(context, zmq.ROUTER, LARGEST_MESSAGE, own)
        try:
            _bind(self.publisher, telemetry)
            _bind(self.router, command)
        except (OSError, zmq.ZMQError) as error:
            self.close()
            raise EffectError(f"socket {address}: {error}") from error

    async def take_subscriptions(self) -> None:
        while True:
            frame = await self.publisher.recv(copy=False)
            asked = frame.bytes
            comes = asked[:1] == b"\x01"
            # Of a connection that ended only its unsubscriptions come, and nobody is named in them.
            topics = readable(asked[1:], self.who(frame) if comes else LOCAL)
            if comes:
                self.wanted |= {topic.decode() for topic in topics}
            for topic in sorted(topics):
                with suppress(zmq.ZMQError):  # it left meanwhile
                    self.publisher.setsockopt(zmq.SUBSCRIBE if comes else zmq.UNSUBSCRIBE, topic)

    def close(self) -> None:
        self.publisher.close()
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


def _socket(
    context: Context, kind: int, largest: int, own: curve.Pair | None
) -> zmq.asyncio.Socket:
    socket = context.socket(kind)
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
    return socket


def _bind(socket: zmq.asyncio.Socket, endpoint: str) -> None:
    socket.bind(endpoint)
    if endpoint.startswith("ipc://"):
        Path(endpoint.removeprefix("ipc://")).chmod(0o660)
