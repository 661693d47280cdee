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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator

from console.exits import Exit, VerbError
from console.settings import Settings
from console.wire.client import Client
from console.wire.gaps import Gaps
from console.wire.outlet import Outlet
from console.wire.sieve import BACKLOG, Sieve
from shared import curve
from shared.codec import telemetry_frames
from shared.grants import ANYBODY, AccessError, Grant, readable
from shared.keyring import Keyring
from shared.messages import TOPICS
from shared.model import AddressError, host_and_port, is_loopback
from shared.recording import Record

if TYPE_CHECKING:
    from console.wire.relay_metrics import Counted, Exporter

log = logging.getLogger("remora.relay")

BREATH = 0.01
REREAD_KEYS = 1.0
TELL = 10.0
"""Seconds between two lines about what did not come or is not passed on."""


class Listen(NamedTuple):
    place: str
    """HOST:PORT."""
    secret_key: str
    authorized_keys: str
    insecure: bool
    metrics: str = ""
    """HOST:PORT; empty: none are served."""


def relay(settings: Settings, who: str, listen: Listen) -> int:
    """Until SIGTERM or SIGINT; exit 0.  Raises VerbError."""
    host, _ = _place("--listen", listen.place)
    metrics = _place("--metrics", listen.metrics) if listen.metrics else None
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
    asyncio.run(_Relay(settings, who, own, keyring).run(listen.place, metrics))
    return Exit.DONE


class _Relay:
    def __init__(
        self, settings: Settings, who: str, own: curve.Pair | None, keyring: Keyring | None
    ) -> None:
        self._sieve, self._gaps = Sieve(), Gaps()
        self._client = Client(
            settings.agents, who, topics={"node"}, trust=settings.trust, tap=self._came
        )
        self._own, self._keyring = own, keyring
        self._context = zmq.asyncio.Context()

    async def run(self, place: str, metrics: tuple[str, int] | None) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        if self._keyring is not None:
            zap = AsyncioAuthenticator(self._context)
            zap.start()
            zap.configure_curve_callback("*", self._keyring)
        self._outlet = Outlet(self._context, place, self._own)
        exporter = _exporter(*metrics, self._counted) if metrics else None
        log.info("relaying agents=%d listen=%s", len(self._client.addresses), place)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(work())
                for work in (self._subscriptions, self._forward, self._watch_keys, self._tell)
            ]
            await stopped.wait()
            for task in running:
                task.cancel()
        if exporter is not None:
            await asyncio.to_thread(exporter.close)
        self._client.close()
        self._context.destroy(linger=0)

    async def _subscriptions(self) -> None:
        wanted = {"node"}
        while True:
            frame = await self._outlet.socket.recv(copy=False)
            asked, topic = frame.bytes, frame.bytes[1:]
            if topic not in TOPICS & readable(topic, self._grant(frame)):
                continue
            if asked[:1] != b"\x01":
                with suppress(zmq.ZMQError):
                    self._outlet.socket.setsockopt(zmq.UNSUBSCRIBE, topic)
                continue
            with suppress(zmq.ZMQError):
                self._outlet.socket.setsockopt(zmq.SUBSCRIBE, topic)
            wanted.add(topic.decode())
            self._client.follow(wanted)
            for frames in self._sieve.newest(topic):
                await self._outlet.publish(frames)

    async def _forward(self) -> None:
        while True:
            await asyncio.sleep(BREATH)
            self._take_answers()
            for frames in self._sieve.take():
                await self._outlet.publish(frames)

    async def _tell(self) -> None:
        """Of what did not come, and what is not passed on: an agent that sends that is not well, or
        not an agent."""
        dropped: Counter[tuple[str, str]] = Counter()
        missed: Counter[tuple[str, str]] = Counter()
        overruns = 0
        while True:
            await asyncio.sleep(TELL)
            was, dropped = dropped, self._sieve.dropped()
            _tell_more("not passed on agent=%s why=%s messages=%d total=%d", was, dropped)
            was, missed = missed, self._gaps.missed()
            _tell_more("missed agent=%s topic=%s messages=%d total=%d", was, missed)
            before, overruns = overruns, self._outlet.overruns
            if overruns > before:
                log.warning("too slow console times=%d total=%d", overruns - before, overruns)

    def _came(self, record: Record) -> None:
        """In the client's thread."""
        if self._sieve.put(record) in ("", BACKLOG):
            self._gaps.take(record)

    def _counted(self) -> Counted:
        from console.wire.relay_metrics import Counted  # noqa: PLC0415  # with the HTTP server

        passed = self._sieve.passed()
        return Counted(
            {address: passed[address] for address in self._client.addresses},
            self._sieve.dropped(),
            self._gaps.missed(),
            self._outlet.overruns,
        )

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


def _place(flag: str, text: str) -> tuple[str, int]:
    """Raises VerbError."""
    try:
        return host_and_port(text)
    except AddressError as error:
        raise VerbError(f"{flag} {error}") from error


def _exporter(host: str, port: int, count: Callable[[], Counted]) -> Exporter:
    """Raises VerbError."""
    try:
        from console.wire.relay_metrics import Exporter  # noqa: PLC0415  # for who wants it
    except ImportError as error:
        raise VerbError(f"--metrics: {error}: install remora[console]", Exit.FAILED) from error
    try:
        return Exporter(host, port, count)
    except OSError as error:
        raise VerbError(f"--metrics {host}:{port}: {error.strerror}", Exit.FAILED) from error


def _tell_more(words: str, before: Counter[tuple[str, str]], now: Counter[tuple[str, str]]) -> None:
    """A line for each that grew."""
    for of, more in sorted((now - before).items()):
        log.warning(words, *of, more, now[of])
