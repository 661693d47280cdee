# SPDX-License-Identifier: Apache-2.0
"""Health checks: one task per target, results as facts.  Judging them is the core's work.

What is asked, and how, is in agent/checks; here is when, and by which way: to the real's own
address, or to the VIP through the tunnel, as a client's packet goes.  No check waits for another:
each has its own task and time-out, and only programs (exec) take turns, before their time begins
to count.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext

from agent import abi, health
from agent.boundary import Asking, Probed
from agent.check_table import Check, Kind
from agent.checks import dns, file, http, program, tcp, tls, udp
from agent.checks.way import Said, Way
from agent.tunnel import Tunnel

FIRST_ROUND = 0.2
"""Seconds over which the first checks of a few targets are spread."""
STARTS_PER_SECOND = 500
"""First checks of many targets."""
PROGRAMS_AT_ONCE = 64
LOCAL: tuple[Kind, ...] = ("exec", "file")
"""Kinds that send nothing themselves."""

Ask = Callable[[Check, Way], Awaitable[Said]]
KINDS: Mapping[Kind, Ask] = {
    "tcp": tcp.ask,
    "http": http.ask,
    "https": http.ask,
    "tls": tls.ask,
    "dns": dns.ask,
    "udp": udp.ask,
    "exec": program.ask,
    "file": file.ask,
}


class Prober:
    """Runs a declared set of checks."""

    def __init__(self, tell: Callable[[Probed], None], tunnel: Tunnel | None = None) -> None:
        self._tell = tell
        self._tunnel = tunnel
        self._tasks: dict[Asking, asyncio.Task[None]] = {}
        self._programs = asyncio.Semaphore(PROGRAMS_AT_ONCE)

    def declare(self, checks: frozenset[Asking]) -> None:
        """Run these and no others; those that run already go on undisturbed."""
        for asking in self._tasks.keys() - checks:
            self._tasks.pop(asking).cancel()
        new = checks - self._tasks.keys()
        window = max(FIRST_ROUND, len(new) / STARTS_PER_SECOND)
        for asking in new:
            self._tasks[asking] = asyncio.create_task(self._watch(asking, window))

    def close(self) -> None:
        self.declare(frozenset())

    async def _watch(self, asking: Asking, window: float) -> None:
        check = asking.check
        # Spread by name, so that reals do not beat in step.  The first round is short, so that a
        # fresh node serves soon, but not so short that checks wait for each other.
        phase = zlib.crc32(str(asking.target).encode()) / 2**32
        await asyncio.sleep(phase * min(check.interval, window))
        due = time.monotonic()
        streak = health.Streak()
        while True:
            async with self._turn(check):
                result = await probe(asking, self._tunnel)
            self._tell(result)
            streak = streak.after(ok=result.ok)
            pause = check.quick if streak.deciding(check.rise, check.fall) else check.interval
            pause *= 1 + check.jitter * random.uniform(-1, 1)
            due = max(due + pause, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def _turn(self, check: Check) -> AbstractAsyncContextManager[object]:
        return self._programs if check.kind == "exec" else nullcontext()


async def probe(asking: Asking, tunnel: Tunnel | None) -> Probed:
    """One check.  Never raises: what goes wrong is the result.  Without a tunnel it is direct."""
    started = time.monotonic()
    check = asking.check
    if tunnel is None or check.via == "direct" or check.kind in LOCAL:
        said = await _said(check, _direct(asking))
    elif check.via == "tunnel":
        said = await _through(asking, tunnel)
    else:
        said = both(*await asyncio.gather(_through(asking, tunnel), _said(check, _direct(asking))))
    ms = (time.monotonic() - started) * 1000
    return Probed(asking.target, said.ok, said.detail, ms, _bounded(asking.check, said.weight))


def both(tunnel: Said, direct: Said) -> Said:
    """Traffic goes through the tunnel, so its answer counts; a difference says what is wrong."""
    if tunnel.ok == direct.ok:
        return tunnel
    if tunnel.ok:
        return tunnel._replace(detail=f"{tunnel.detail}; not at its own address: {direct.detail}")
    return Said(
        False,
        f"the application answers ({direct.detail}), the tunnel path does not ({tunnel.detail}): "
        "decap, VIP on lo, rp_filter or MTU",
    )


async def _through(asking: Asking, tunnel: Tunnel) -> Said:
    """To the VIP, encapsulated to the real."""
    check, to = asking.check, asking.check.address or asking.key.address
    way = Way(
        str(to),
        check.port or asking.key.port,
        _source(check, to.version),
        asking.target.vip,
        abi.probe_mark(asking.real_num, asking.generation),
        tunnel.interface,
        tunnel.segment(to.version),
    )
    before = tunnel.counts()
    said = await _said(check, way)
    missing = tunnel.why_not(before)
    # An answer to what we did not send is somebody else's
    return Said(False, f"{said.detail}: {missing}") if missing else said


async def _said(check: Check, way: Way) -> Said:
    try:
        async with asyncio.timeout(check.timeout):
            return await KINDS[check.kind](check, way)
    except TimeoutError:
        return Said(False, f"no answer within {check.timeout:g} s")
    except OSError as error:
        # asyncio puts its own words into strerror
        detail = os.strerror(error.errno).lower() if error.errno else str(error)
        return Said(False, detail)


def _direct(asking: Asking) -> Way:
    """To the real's own address."""
    check, to = asking.check, asking.target.real
    source = _source(check, to.version)
    return Way(str(to), check.port or asking.key.port, source, asking.target.vip)


def _source(check: Check, version: int) -> str:
    """Our own address, if the configured one is of the family."""
    return str(check.source) if check.source and check.source.version == version else ""


def _bounded(check: Check, weight: int | None) -> int | None:
    return None if weight is None else min(max(weight, check.weight_least), check.weight_most)
