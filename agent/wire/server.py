# SPDX-License-Identifier: Apache-2.0
"""Telemetry out, commands in, answers out: by the node's own door, and by one on TCP if listed.

Nothing from the wire raises: bytes that are no command get an answer that says so, and are counted.
A slow subscriber costs only itself: it loses messages past the high-water mark (K4).  What may pass
is the gate's decision, what was answered goes into the audit before it goes out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zmq

from agent.boundary import Asked
from agent.config.tree import Wire
from agent.records.audit import Audit, Given
from agent.wire import doors
from agent.wire.gate import Gate, Refusal
from agent.wire.remote_door import RemoteDoor
from shared.codec import WireError, command_frames, command_of, telemetry_frames
from shared.grants import ANYBODY, LOCAL, Grant
from shared.messages import Answer, Command, Question, Telemetry

log = logging.getLogger("remora.server")


class Server:
    """The node's sockets.  Raises EffectError when they cannot be bound or keys not be read."""

    def __init__(
        self,
        node: str,
        run_dir: Path,
        ask: Callable[[Asked], None],
        *,
        audit: Audit | None = None,
        wire: Wire | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._ask = ask
        self._clock, self._wall = clock, wall
        self._audit = audit
        self._gate = Gate(audit.settled(wall()) if audit else None)
        self.refused = 0
        """Messages on the command sockets that did not pass the gate, or were none."""
        self._overruns = 0
        """Of doors that are shut."""
        self._given: dict[str, Given] = {}
        """Commands that are not answered yet."""
        self._tasks: dict[doors.Door, asyncio.Task[None]] = {}
        self._context = doors.Context()
        self._open(doors.local(self._context, run_dir))
        self._remote = RemoteDoor(self._context, self._open, self._shut)
        if wire is not None:
            self._remote.open(wire)
        self.listen = self._remote.listen
        self._watch = _running(self._remote.watch_keys(), "keys")

    # ---- doors

    def _open(self, door: doors.Door) -> None:
        self._tasks[door] = _running(self._listen(door), "commands")
        door.follow()

    def _shut(self, door: doors.Door) -> None:
        task = self._tasks.pop(door, None)
        if task is not None:  # else shut by close() meanwhile
            task.cancel()
            self._overruns += door.overruns
        door.close()

    @property
    def strangers(self) -> int:
        """Connections that were turned away for their key."""
        return self._remote.strangers

    # ---- out

    @property
    def overruns(self) -> int:
        """Times that a subscriber did not keep up, and began to lose messages."""
        return self._overruns + sum(door.overruns for door in self._tasks)

    @property
    def wanted(self) -> frozenset[str]:
        """Topics that somebody subscribed to since the start."""
        return frozenset().union(*(door.wanted for door in self._tasks))

    def publish(self, *messages: Telemetry) -> list[list[bytes]]:
        """Returns what was sent: the frames of each message."""
        sent = [telemetry_frames(message) for message in messages]
        self.send(sent)
        return sent

    def send(self, messages: Sequence[list[bytes]]) -> None:
        """Publish what is encoded already: the frames of each message."""
        for door in self._tasks:
            door.publish(messages)

    async def reply(self, sender: bytes, answer: Answer) -> None:
        """`sender` as in Asked.  Written down first; nobody waits for an answer any more: fine."""
        given = self._given.get(answer.id)
        if not answer.more:
            self._given.pop(answer.id, None)
        if given is not None and self._audit is not None:
            self._audit.answered(given, answer, self._wall())
            await self._audit.durable()
        for door in tuple(self._tasks):
            if door.name == sender[:1]:
                await self._send(door, sender[1:], answer)

    def waits_for(self, id_: str) -> bool:
        """Somebody is to be answered, and the answer written down."""
        return id_ in self._given

    async def _send(self, door: doors.Door, identity: bytes, answer: Answer) -> None:
        # ROUTER drops silently what has no receiver any more.
        with contextlib.suppress(zmq.ZMQError):
            await door.router.send_multipart([identity, *command_frames(answer)])

    # ---- in

    async def _listen(self, door: doors.Door) -> None:
        while True:
            first, *rest = await door.router.recv_multipart(copy=False)
            grant = door.who(rest[0] if rest else first)
            frames = [frame.bytes for frame in rest]
            if frames and frames[0] == b"":
                frames = frames[1:]  # a REQ socket's delimiter
            await self._take(door, first.bytes, grant, frames)

    async def _take(
        self, door: doors.Door, identity: bytes, grant: Grant | None, frames: list[bytes]
    ) -> None:
        if grant is None:
            await self._refuse(door, identity, "?", Refusal("key", "this key was taken away"))
            return
        if not self._gate.within_rate(grant.name, self._clock()):
            await self._over_rate(door, identity, grant, frames)
            return
        try:
            command = command_of(frames)
        except WireError as error:
            await self._refuse(door, identity, grant.name, Refusal("malformed", str(error)))
            return
        await self._pass(door, identity, grant, command, frames[-1])

    async def _pass(
        self, door: doors.Door, identity: bytes, grant: Grant, command: Command, payload: bytes
    ) -> None:
        now = self._clock()
        no = self._gate.refusal(command, payload, grant, wall=self._wall(), now=now)
        if no is not None:
            await self._refuse(door, identity, grant.name, no, command)
            return
        settled = self._gate.settled(command)
        answered = None
        if settled is not None:
            answered = Answer(id=command.id, node=self._node, **settled._asdict())
            if not command.steps or answered.status != "applied":
                await self._send(door, identity, answered)
                return
        elif not isinstance(command.action, Question) and not self._gate.repeated(command, now):
            self._given[command.id] = Given(command, grant)
            if command.steps and not command.dry_run:
                await self._send(door, identity, self._accepted(command))
        self._ask(Asked(_signed(command, grant), door.name + identity, answered))

    def _accepted(self, command: Command) -> Answer:
        return Answer(id=command.id, node=self._node, status="accepted", revision=-1, more=True)

    async def _over_rate(
        self, door: doors.Door, identity: bytes, grant: Grant, frames: list[bytes]
    ) -> None:
        """Counted; a command that can be read also gets an answer, noise does not."""
        no = Refusal("rate", "too many commands; wait a second")
        try:
            command = command_of(frames)
        except WireError:
            self._count(grant.name, no)
            return
        await self._refuse(door, identity, grant.name, no, command)

    async def _refuse(
        self,
        door: doors.Door,
        identity: bytes,
        key: str,
        no: Refusal,
        command: Command | None = None,
    ) -> None:
        self._count(key, no, command)
        answer = Answer(
            id=command.id if command else "",
            node=self._node,
            status="refused",
            revision=-1,
            guard=no.guard,
            error=no.why,
        )
        await self._send(door, identity, answer)

    def _count(self, key: str, no: Refusal, command: Command | None = None) -> None:
        self.refused += 1
        if self._audit is not None:
            self._audit.refused(key, no, command, wall=self._wall(), now=self._clock())

    async def close(self) -> None:
        self._watch.cancel()
        self._remote.close()
        for door in tuple(self._tasks):
            self._shut(door)
        self._context.term()


def _signed(command: Command, grant: Grant) -> Command:
    """With the name of a proven key beside what the sender calls itself."""
    if grant in (LOCAL, ANYBODY) or command.who == grant.name:
        return command
    return msgspec.structs.replace(command, who=f"{command.who} (key {grant.name})")


def _running(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    task = asyncio.create_task(work, name=f"server-{name}")
    task.add_done_callback(_end_of)
    return task


def _end_of(task: asyncio.Task[None]) -> None:
    """A task that ends by itself is our mistake: an agent that is deaf must not look well."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("task=%s ended", task.get_name(), exc_info=task.exception())
        raise SystemExit(1)  # packets go on; the supervisor starts us again
