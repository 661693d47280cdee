# SPDX-License-Identifier: Apache-2.0
"""`remora relay`: many consoles on many agents, with one connection to each agent.

Telemetry of all agents comes in through one client and goes out on one XPUB socket, with the
agent's address as a fourth frame.  The newest snapshot of each agent and topic is kept and sent to
whoever subscribes: a console does not wait for the next second.  Commands do not pass here:
consoles give them to the agents themselves, who know their keys.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator

from console.exits import Exit, VerbError
from console.settings import Settings
from console.wire.client import Client
from console.wire.sieve import Sieve
from shared import curve
from shared.codec import telemetry_frames
from shared.grants import ANYBODY, AccessError, Grant, readable
from shared.keyring import Keyring
from shared.messages import TOPICS
from shared.model import AddressError, host_and_port, is_loopback
from shared.recording import Record

log = logging.getLogger("remora.relay")

HIGH_WATER = 10_000
"""Messages kept for one slow console: a second of 500 agents."""
BREATH = 0.01
REREAD_KEYS = 1.0
TELL = 10.0
"""Seconds between two lines about what is not passed on."""


class Listen(NamedTuple):
    place: str
    """HOST:PORT."""
    secret_key: str
    authorized_keys: str
    insecure: bool


def relay(settings: Settings, who: str, listen: Listen) -> int:
    """Until SIGTERM or SIGINT; exit 0.  Raises VerbError."""
    try:
        host, _ = host_and_port(listen.place)
    except AddressError as error:
        raise VerbError(f"--listen {error}") from error
    try:
        own = curve.read(Path(listen.secret_key)) if listen.secret_key else None
        keyring = Keyring(Path(listen.authorized_keys)) if listen.authorized_keys else None
    except (curve.KeyFileError, AccessError) as error:
        raise VerbError(str(error), Exit.FAILED) from error
    if (own is None) != (keyring is None):
        raise VerbError("--secret-key and --authorized-keys go together")
    if own is None and not listen.insecure and not is_loopback(host):
        raise VerbError(
            f"{listen.place} without keys would show everything to anybody: give --secret-key "
            "and --authorized-keys, or --insecure"
        )
    asyncio.run(_Relay(settings, who, own, keyring).run(listen.place))
    return Exit.DONE


class _Relay:
    def __init__(
        self, settings: Settings, who: str, own: curve.Pair | None, keyring: Keyring | None
    ) -> None:
        self._sieve = Sieve()
        self._client = Client(
            settings.agents, who, topics={"node"}, trust=settings.trust, tap=self._sieve.put
        )
        self._own, self._keyring = own, keyring
        self._context = zmq.asyncio.Context()
        self._publisher = self._context.socket(zmq.XPUB)

    async def run(self, place: str) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        if self._keyring is not None:
            zap = AsyncioAuthenticator(self._context)
            zap.start()
            zap.configure_curve_callback("*", self._keyring)
        self._bind(place)
        log.info("relaying agents=%d listen=%s", len(self._client.addresses), place)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(work())
                for work in (self._subscriptions, self._forward, self._watch_keys, self._tell)
            ]
            await stopped.wait()
            for task in running:
                task.cancel()
        self._client.close()
        self._context.destroy(linger=0)

    def _bind(self, place: str) -> None:
        for option, value in {
            zmq.LINGER: 0,
            zmq.SNDHWM: HIGH_WATER,
            zmq.XPUB_MANUAL: 1,
            zmq.MAXMSGSIZE: 1024,
            zmq.IPV6: 1,
            zmq.HEARTBEAT_IVL: 5000,
            zmq.HEARTBEAT_TIMEOUT: 15000,
        }.items():
            self._publisher.setsockopt(option, value)
        if self._own is not None:
            curve.serve(self._publisher, self._own)
        try:
            self._publisher.bind(f"tcp://{place}")
        except zmq.ZMQError as error:
            raise VerbError(f"{place}: {error.strerror}", Exit.FAILED) from error

    async def _subscriptions(self) -> None:
        wanted = {"node"}
        while True:
            frame = await self._publisher.recv(copy=False)
            asked, topic = frame.bytes, frame.bytes[1:]
            if topic not in TOPICS & readable(topic, self._grant(frame)):
                continue
            if asked[:1] != b"\x01":
                with suppress(zmq.ZMQError):
                    self._publisher.setsockopt(zmq.UNSUBSCRIBE, topic)
                continue
            with suppress(zmq.ZMQError):
                self._publisher.setsockopt(zmq.SUBSCRIBE, topic)
            wanted.add(topic.decode())
            self._client.follow(wanted)
            for frames in self._sieve.newest(topic):
                await self._publisher.send_multipart(frames)

    async def _forward(self) -> None:
        while True:
            await asyncio.sleep(BREATH)
            self._take_answers()
            for frames in self._sieve.take():
                await self._publisher.send_multipart(frames)

    async def _tell(self) -> None:
        """Of what is not passed on: an agent that sends it is not well, or not an agent."""
        told: Counter[tuple[str, str]] = Counter()
        while True:
            await asyncio.sleep(TELL)
            dropped = self._sieve.dropped()
            for address, why in sorted(dropped - told):
                log.warning(
                    "not passed on agent=%s why=%s messages=%d total=%d",
                    address,
                    why,
                    dropped[address, why] - told[address, why],
                    dropped[address, why],
                )
            told = dropped

    def _grant(self, frame: zmq.Frame) -> Grant | None:
        return self._keyring.grant(curve.user_id(frame)) if self._keyring else ANYBODY

    def _take_answers(self) -> None:
        """What agents answer when they (re)appear is telemetry, too."""
        for reply in self._client.take().replies:
            answer = reply.answer
            told = (*answer.snapshots, answer.labels) if answer is not None else ()
            for snapshot in told:
                if snapshot is not None:
                    frames = tuple(telemetry_frames(snapshot))
                    self._sieve.put(Record(time.time(), reply.address, frames))

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(REREAD_KEYS)
            if self._keyring is not None and self._keyring.reread():
                log.warning("a key was taken away: who is connected stays so until a restart")
