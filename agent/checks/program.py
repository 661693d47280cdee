# SPDX-License-Identifier: Apache-2.0
"""exec: a program of the operator's ends with 0.  No shell.

It runs beside the event loop, which only starts it (about a millisecond) and reads its pipe.  In
a session of its own: one that is not done in time is killed with all that it started.  What it left
running (a daemon) may hold its pipe for ever: its own end is what counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from agent.checks.way import Said, Way, percent
from agent.config.check_table import Check

_MOST = 4096
_LAST_WORDS = 0.1
"""Seconds for what it wrote before it ended to be read."""
_KILLED = 1.0
"""Seconds for a killed one to be gone; one that waits for a disk may take for ever."""


async def ask(check: Check, way: Way) -> Said:
    names = {"real": way.address, "port": str(way.port), "vip": way.vip}
    command = [_filled(word, names) for word in check.command]
    environment = {"PATH": os.defpath} | {f"REMORA_{k.upper()}": v for k, v in names.items()}
    transport, running = await asyncio.get_running_loop().subprocess_exec(
        _Running,
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    try:
        await running.ended.wait()
        await _at_most(running.closed, _LAST_WORDS)
    finally:
        await _end(transport, running)
    status = transport.get_returncode() or 0
    line = running.said.decode(errors="replace").strip().partition("\n")[0][:80]
    how = f"exit {status}" if status >= 0 else f"ended by signal {-status}"
    return Said(status == 0, f"{how}: {line}" if line else how, percent(line))


class _Running(asyncio.SubprocessProtocol):
    """Its first bytes; the rest is read away so that it does not wait for us."""

    def __init__(self) -> None:
        self.said = b""
        self.ended, self.closed = asyncio.Event(), asyncio.Event()
        """The program; its pipe."""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        del fd
        self.said = (self.said + data)[:_MOST]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del fd, exc
        self.closed.set()

    def process_exited(self) -> None:
        self.ended.set()


async def _end(transport: asyncio.SubprocessTransport, running: _Running) -> None:
    """Kill its session, unless it has ended: then its number may be somebody else's."""
    if transport.get_returncode() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(transport.get_pid(), signal.SIGKILL)
        await _at_most(running.ended, _KILLED)
    transport.close()


async def _at_most(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _filled(word: str, names: dict[str, str]) -> str:
    """`{real}`, `{port}` and `{vip}` in a word of the command; other braces stay."""
    for name, value in names.items():
        word = word.replace(f"{{{name}}}", value)
    return word
