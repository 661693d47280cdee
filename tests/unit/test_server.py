# SPDX-License-Identifier: Apache-2.0
"""The command socket takes commands, and survives everything else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import zmq
import zmq.asyncio

from agent.boundary import Asked
from agent.server import Server
from shared.codec import answer_of, command_frames
from shared.messages import Answer, Command, Drain
from shared.model import endpoints

COMMAND = Command(id="7", who="ann@jump", action=Drain(real="10.3.1.2"))
Inbox = asyncio.Queue[Asked]
Story = Callable[[Server, zmq.asyncio.Socket, Inbox], Awaitable[None]]


def _run(directory: Path, story: Story) -> None:
    async def with_server() -> None:
        inbox: Inbox = asyncio.Queue()
        server = Server("lb1", directory, inbox.put_nowait)
        context = zmq.asyncio.Context()
        console = context.socket(zmq.DEALER)
        console.setsockopt(zmq.LINGER, 0)
        console.connect(endpoints(str(directory))[1])
        try:
            await asyncio.wait_for(story(server, console, inbox), 30)
        finally:
            console.close()
            context.term()
            await server.close()

    asyncio.run(with_server())


def test_command_and_answer(tmp_path: Path) -> None:
    async def story(server: Server, console: zmq.asyncio.Socket, inbox: Inbox) -> None:
        await console.send_multipart(command_frames(COMMAND))
        asked = await inbox.get()
        assert asked.command == COMMAND
        answer = Answer(id="7", node="lb1", status="applied", revision=1)
        await server.reply(asked.sender, answer)
        assert answer_of(await console.recv_multipart()) == answer

    _run(tmp_path, story)


def test_garbage_is_answered_counted_and_harmless(tmp_path: Path) -> None:
    """2,000 frames of noise and damaged commands: each is refused or a command, none is fatal."""
    noise = random.Random(7)
    last = Command(id="last", who="ann@jump", action=Drain(real="10.3.1.2"))

    def garbage() -> list[bytes]:
        version, payload = command_frames(COMMAND)
        damaged = bytearray(payload)
        for _ in range(noise.randint(1, 8)):
            damaged[noise.randrange(len(damaged))] = noise.randrange(256)
        kinds = [[version, bytes(damaged)], [noise.randbytes(20)], [version], [version, b"", b"x"]]
        return noise.choice(kinds)

    async def story(server: Server, console: zmq.asyncio.Socket, inbox: Inbox) -> None:
        for _ in range(2000):
            await console.send_multipart(garbage())
        await console.send_multipart(command_frames(last))
        commands = 1
        while (await inbox.get()).command != last:
            commands += 1
        assert commands + server.refused == 2001
        assert server.refused > 1500
        answer = answer_of(await console.recv_multipart())
        assert (answer.status, answer.id) == ("refused", "")

    _run(tmp_path, story)
