# SPDX-License-Identifier: Apache-2.0
"""ZeroMQ: telemetry out (PUB), commands in and answers out (ROUTER), both on ipc:// sockets.

Nothing from the wire raises: bytes that are no command get an answer that says so, and are counted.
A slow subscriber costs only itself: PUB drops for it past the high-water mark (K4).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

import zmq
import zmq.asyncio

from agent.boundary import Asked, EffectError
from shared.codec import (
    LARGEST_COMMAND,
    WireError,
    command_frames,
    command_of,
    telemetry_frames,
)
from shared.messages import Answer, Event, Snapshot
from shared.model import endpoints

log = logging.getLogger("remora.server")

HIGH_WATER = 100
"""Messages kept for one slow reader."""


class Server:
    """The node's two sockets.  Raises EffectError when they cannot be bound."""

    def __init__(self, node: str, run_dir: Path, ask: Callable[[Asked], None]) -> None:
        self._node = node
        self._ask = ask
        self.refused = 0
        """Messages on the command socket that were none."""
        self._context = zmq.asyncio.Context()
        telemetry, command = endpoints(str(run_dir))
        self._publisher = self._bind(zmq.PUB, telemetry, {zmq.SNDHWM: HIGH_WATER})
        self._router = self._bind(
            zmq.ROUTER,
            command,
            {zmq.MAXMSGSIZE: LARGEST_COMMAND, zmq.SNDHWM: HIGH_WATER, zmq.RCVHWM: HIGH_WATER},
        )
        self._listener = asyncio.create_task(self._listen())

    def _bind(self, kind: int, endpoint: str, options: dict[int, int]) -> zmq.asyncio.Socket:
        socket = self._context.socket(kind)
        for option, value in {zmq.LINGER: 200, **options}.items():
            socket.setsockopt(option, value)
        path = Path(endpoint.removeprefix("ipc://"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            socket.bind(endpoint)
            path.chmod(0o660)
        except (OSError, zmq.ZMQError) as error:
            raise EffectError(f"socket {path}: {error}") from error
        return socket

    async def publish(self, *messages: Snapshot | Event) -> None:
        for message in messages:
            await self._publisher.send_multipart(telemetry_frames(message))

    async def reply(self, sender: bytes, answer: Answer) -> None:
        # ROUTER drops silently what has no receiver any more.
        with contextlib.suppress(zmq.ZMQError):
            await self._router.send_multipart([sender, *command_frames(answer)])

    async def _listen(self) -> None:
        while True:
            sender, *frames = await self._router.recv_multipart()
            if frames and frames[0] == b"":
                frames = frames[1:]  # a REQ socket's delimiter
            try:
                self._ask(Asked(command_of(frames), sender))
            except WireError as error:
                self.refused += 1
                log.warning("command refused total=%d why=%s", self.refused, error)
                nothing = Answer(
                    id="", node=self._node, status="refused", revision=-1, error=str(error)
                )
                await self.reply(sender, nothing)

    async def close(self) -> None:
        self._listener.cancel()
        self._publisher.close()
        self._router.close()
        self._context.term()
