# SPDX-License-Identifier: Apache-2.0
"""Many simulated agents in one process, for development and load tests of consoles.

Each has doors of its own, as a real agent has, and publishes what agent/wire/invented.py makes up,
marked `simulated`.  Questions are answered; commands are refused: there is nothing to change.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import time
from pathlib import Path
from typing import NamedTuple

import zmq
from zmq.auth.asyncio import AsyncioAuthenticator

from agent.boundary import EffectError
from agent.wire import doors
from agent.wire.invented import Invented
from agent.wire.pace import LABELS_EVERY
from shared import curve
from shared.codec import WireError, command_frames, command_of, telemetry_frames
from shared.grants import AccessError
from shared.keyring import Keyring
from shared.messages import TOPICS, Answer, Command, Look, Replay, Snapshot
from shared.model import host_and_port, host_port

log = logging.getLogger("remora.fleet")

SOCKETS_EACH = 2
FILES_EACH = 16
TICK = 0.05


class Plan(NamedTuple):
    """What to simulate."""

    agents: int
    vips: int
    reals: int
    hz: float
    run_dir: str = ""
    """A directory: agents at ipc://run_dir/sim-000, ..."""
    listen: str = ""
    """Or HOST:PORT: two ports each from there on."""
    secret_key: str = ""
    authorized_keys: str = ""

    def address(self, number: int) -> str:
        if self.run_dir:
            return f"ipc://{self.run_dir}/sim-{number:03d}"
        host, port = host_and_port(self.listen)
        return f"tcp://{host_port(host, port + 2 * number)}"


class _Simulated:
    """One agent: its doors, and the topics that somebody wants."""

    def __init__(self, number: int, plan: Plan, door: doors.Door) -> None:
        self.invented = Invented(number, plan.vips, plan.reals)
        self.door = door
        self.sequence = 0
        self._labels_due = 0.0
        self._labelled = 0
        """Messages of topic `label`."""

    def publish(self, second: float) -> None:
        self.sequence += 1
        made = self._made(second, self.door.wanted)
        self.door.publish([telemetry_frames(message) for message in made])
        if self._labels_due <= second and "label" in self.door.wanted:
            self._labels_due = second + LABELS_EVERY
            self._labelled += 1
            labels = self.invented.labels(second, self._labelled)
            self.door.publish([telemetry_frames(labels)])

    def _made(self, second: float, topics: frozenset[str]) -> list[Snapshot]:
        return self.invented.snapshots(second, time.time(), self.sequence, topics)

    async def answer(self, started: float) -> None:
        while True:
            identity, *frames = await self.door.router.recv_multipart()
            try:
                command = command_of(frames)
            except WireError:
                continue
            answer = self._answer(command, time.monotonic() - started)
            await self.door.router.send_multipart([identity, *command_frames(answer)])

    def _answer(self, command: Command, second: float) -> Answer:
        name = self.invented.name
        if isinstance(command.action, Look | Replay):
            every = frozenset(topic.decode() for topic in TOPICS)
            made = self._made(second, every) if isinstance(command.action, Look) else ()
            labels = self.invented.labels(second, self.sequence)
            return Answer(id=command.id, node=name, status="ok", revision=1,
                          snapshots=tuple(made), labels=labels)  # fmt: skip
        return Answer(
            id=command.id,
            node=name,
            status="refused",
            revision=1,
            guard="simulated",
            error=f"{name} is simulated: there is nothing to change",
        )


async def run(plan: Plan) -> None:
    """Until SIGTERM or SIGINT.  Raises EffectError."""
    _make_room(plan.agents)
    context = doors.Context()
    context.set(zmq.MAX_SOCKETS, SOCKETS_EACH * plan.agents + 64)
    agents = _opened(plan, context)
    for agent in agents:
        agent.door.follow()
    log.warning("SIMULATED agents=%d first=%s", plan.agents, plan.address(0))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    started = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_publish(agents, plan.hz, started))]
        running += [tasks.create_task(a.answer(started)) for a in agents]
        await stopped.wait()
        for task in running:
            task.cancel()
    for agent in agents:
        agent.door.close()
    context.destroy(linger=0)


def _opened(plan: Plan, context: doors.Context) -> list[_Simulated]:
    own, keyring = None, None
    if plan.secret_key:
        try:
            own = curve.read(Path(plan.secret_key))
            keyring = Keyring(Path(plan.authorized_keys))
        except (curve.KeyFileError, AccessError) as error:
            raise EffectError(str(error)) from error
        zap = AsyncioAuthenticator(context)
        zap.start()
        zap.configure_curve_callback("*", keyring)
    made = []
    for number in range(plan.agents):
        if plan.run_dir:
            door = doors.local(context, Path(plan.address(number).removeprefix("ipc://")))
        elif own is not None and keyring is not None:
            door = doors.keyed(context, plan.address(number)[6:], own, keyring)
        else:
            door = doors.plain(context, plan.address(number)[6:])
        made.append(_Simulated(number, plan, door))
    return made


async def _publish(agents: list[_Simulated], hz: float, started: float) -> None:
    """Spread evenly over the interval, as agents that know nothing of each other are."""
    done = 0.0
    while True:
        await asyncio.sleep(TICK)
        now = time.monotonic() - started
        for n in range(int(done * hz * len(agents)), int(now * hz * len(agents))):
            agents[n % len(agents)].publish(now)
        done = now


def _make_room(agents: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_EACH * agents + 256
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise EffectError(f"{agents} agents need {wanted} open files, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
