# SPDX-License-Identifier: Apache-2.0
"""Health checks: one task per target, results as facts.  Judging them is the core's work.

HTTP is written by hand: a check reads one status line, and the HTTP clients of the ecosystem cost
more memory (15 MB and up) than the rest of the agent's checks together.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import zlib
from collections.abc import Callable, Mapping

from agent.boundary import Probed, Target
from agent.config import Check, Vip

LONGEST_STATUS_LINE = 4096
FIRST_ROUND = 0.2
"""Seconds over which the first checks of a few targets are spread."""
STARTS_PER_SECOND = 500
"""First checks of many targets."""


class Prober:
    """Runs the checks of a declared set of targets."""

    def __init__(self, tell: Callable[[Probed], None]) -> None:
        self._vips: Mapping[str, Vip] = {}
        self._tell = tell
        self._tasks: dict[Target, asyncio.Task[None]] = {}

    def declare(self, targets: frozenset[Target], vips: Mapping[str, Vip]) -> None:
        """Probe these and no others; those already probed as `vips` says go on undisturbed."""
        asked, self._vips = self._vips, vips
        changed = {
            name for name, vip in vips.items() if _question(asked.get(name)) != _question(vip)
        }
        for target in list(self._tasks):
            if target not in targets or target.vip in changed:
                self._tasks.pop(target).cancel()
        new = targets - self._tasks.keys()
        window = max(FIRST_ROUND, len(new) / STARTS_PER_SECOND)
        for target in new:
            self._tasks[target] = asyncio.create_task(self._watch(target, window))

    def close(self) -> None:
        self.declare(frozenset(), {})

    async def _watch(self, target: Target, window: float) -> None:
        vip = self._vips[target.vip]
        check = vip.check
        # Spread by name, so that reals do not beat in step.  The first round is short, so that a
        # fresh node serves soon, but not so short that checks wait for each other.
        phase = zlib.crc32(str(target).encode()) / 2**32
        await asyncio.sleep(phase * min(check.interval, window))
        due = time.monotonic()
        while True:
            self._tell(await probe(target, check, check.port or vip.port))
            due = max(due + check.interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())


def _question(vip: Vip | None) -> object:
    """What is asked of a VIP's reals."""
    return (vip.address, vip.port, vip.protocol, vip.check) if vip else None


async def probe(target: Target, check: Check, port: int) -> Probed:
    """One check.  Never raises: what goes wrong is the result."""
    started = time.monotonic()
    ask = _http if check.kind == "http" else _tcp
    try:
        async with asyncio.timeout(check.timeout):
            ok, detail = await ask(str(target.real), port, check)
    except TimeoutError:
        ok, detail = False, f"no answer within {check.timeout:g} s"
    except OSError as error:
        # asyncio puts its own words into strerror
        ok, detail = False, os.strerror(error.errno).lower() if error.errno else str(error)
    return Probed(target, ok, detail, (time.monotonic() - started) * 1000)


async def _tcp(address: str, port: int, _check: Check) -> tuple[bool, str]:
    _, writer = await asyncio.open_connection(address, port)
    await _close(writer)
    return True, "tcp connected"


async def _http(address: str, port: int, check: Check) -> tuple[bool, str]:
    """GET; 200 to 399 is healthy (RFC 9110 section 15)."""
    reader, writer = await asyncio.open_connection(address, port, limit=LONGEST_STATUS_LINE)
    try:
        host = f"[{address}]" if ":" in address else address  # RFC 3986 section 3.2.2
        host = host if port == 80 else f"{host}:{port}"
        head = f"GET {check.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: remora\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode("ascii"))
        line = (await reader.readline()).decode("latin-1").strip()
    except ValueError:
        return False, "not HTTP: no end of the first line"
    finally:
        await _close(writer)
    version, _, rest = line.partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit()):
        return False, f"not HTTP: {line[:40]!r}" if line else "connection closed without an answer"
    return 200 <= int(code) < 400, f"http {code}"


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
