# SPDX-License-Identifier: Apache-2.0
"""exec: a program of the operator's ends with 0.  No shell.

It runs beside the event loop, which only starts it (about a millisecond) and reads its pipe.  In
a session of its own: one that is not done in time is killed with all that it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from agent.checks.way import Said, Way, percent
from agent.config.check_table import Check

_MOST = 4096


async def ask(check: Check, way: Way) -> Said:
    names = {"real": way.address, "port": str(way.port), "vip": way.vip}
    command = [_filled(word, names) for word in check.command]
    environment = {"PATH": os.defpath} | {f"REMORA_{k.upper()}": v for k, v in names.items()}
    running = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    try:
        said = await _output(running)
        status = await running.wait()
    finally:
        await _end(running)
    line = said.decode(errors="replace").strip().partition("\n")[0][:80]
    how = f"exit {status}" if status >= 0 else f"ended by signal {-status}"
    return Said(status == 0, f"{how}: {line}" if line else how, percent(line))


async def _end(running: asyncio.subprocess.Process) -> None:
    """Kill its session, unless it has ended: then its number may be somebody else's."""
    if running.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        await running.wait()


async def _output(running: asyncio.subprocess.Process) -> bytes:
    """The first bytes; the rest is read away so that the program does not wait for us."""
    assert running.stdout is not None
    said = b""
    while more := await running.stdout.read(_MOST):
        said = (said + more)[:_MOST]
    return said


def _filled(word: str, names: dict[str, str]) -> str:
    """`{real}`, `{port}` and `{vip}` in a word of the command; other braces stay."""
    for name, value in names.items():
        word = word.replace(f"{{{name}}}", value)
    return word
