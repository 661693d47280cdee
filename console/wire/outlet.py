# SPDX-License-Identifier: Apache-2.0
"""The relay's socket: telemetry of all agents to whoever subscribed, and nobody is waited for."""

from __future__ import annotations

from collections.abc import Sequence

import zmq
import zmq.asyncio

from console.exits import Exit, VerbError
from shared import curve

HIGH_WATER = 10_000
"""Messages kept for one slow console: a second of 500 agents."""


class Outlet:
    """An XPUB.  Raises VerbError when it cannot be bound."""

    def __init__(
        self,
        context: zmq.asyncio.Context,
        place: str,
        own: curve.Pair | None = None,
        high_water: int = HIGH_WATER,
    ) -> None:
        """`place`: HOST:PORT."""
        self.overruns = 0
        """Times that a console did not keep up, and began to lose messages."""
        self.socket = context.socket(zmq.XPUB)
        for option, value in {
            zmq.LINGER: 0,
            zmq.SNDHWM: high_water,
            zmq.XPUB_MANUAL: 1,
            zmq.XPUB_NODROP: 1,
            zmq.MAXMSGSIZE: 1024,
            zmq.IPV6: 1,
            zmq.HEARTBEAT_IVL: 5000,
            zmq.HEARTBEAT_TIMEOUT: 15000,
        }.items():
            self.socket.setsockopt(option, value)
        if own is not None:
            curve.serve(self.socket, own)
        try:
            self.socket.bind(f"tcp://{place}")
        except zmq.ZMQError as error:
            raise VerbError(f"{place}: {error.strerror}", Exit.FAILED) from error

    async def publish(self, frames: Sequence[bytes]) -> None:
        """ZeroMQ says that a queue became full (ZMQ_XPUB_NODROP) and sends nothing to anybody; told
        to drop, it does so for that queue only, without a word until there is room again."""
        try:
            await self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            self.overruns += 1
            self.socket.setsockopt(zmq.XPUB_NODROP, 0)
            await self.socket.send_multipart(frames, zmq.NOBLOCK)
            self.socket.setsockopt(zmq.XPUB_NODROP, 1)
