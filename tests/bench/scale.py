# SPDX-License-Identifier: Apache-2.0
"""A config as large as the maps take, 511 VIPs with 4,088 reals: applied, and one real failing.

`python -m tests.bench.scale --json` (root).  A real agent; every real address is local, and this
process answers its checks.  A verdict's time is taken from outside: from the moment at which the
answer that decides (`fall = 1`, `rise = 1`) is written to the socket until the map shows it, so it
holds the network, the reading of the answer and whatever else the agent was doing, telemetry of all
reals at 1 Hz included.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from agent.dataplane import loader
from agent.dataplane.maps import DataPlane
from agent.nouns import OwnedReal
from tests.bench import node
from tests.bench.agent import _network
from tests.fabric import enclosure

VIPS, REALS = 511, 8
FLIPS = 40
DEADLINE = 1.0
VICTIM = "10.3.0.1"


class Site:
    """All reals: they answer 200, and the victim what it is told to."""

    def __init__(self) -> None:
        self.status = 200
        self.wrote: asyncio.Future[float] | None = None
        """When the victim's next answer left."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = writer.get_extra_info("sockname")[0] == VICTIM
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # it timed out
            await reader.readuntil(b"\r\n\r\n")
        status = self.status if mine else 200
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())
        if mine and self.wrote is not None and not self.wrote.done():
            self.wrote.set_result(time.perf_counter())
        writer.close()


async def figures() -> dict[str, object]:
    """Inside the enclosure."""
    place = enclosure.directory()
    assert place is not None
    _network()
    site = Site()
    server = await asyncio.start_server(site.serve, "0.0.0.0", 80, backlog=4096)
    config = place / "agent.toml"
    config.write_text(_config(place, 1))
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(place / "notify"))
    with (place / "log").open("w") as log:
        agent = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", "node", sys.executable, "-m", "agent"),
            *("run", "-c", str(config)),
            env={**os.environ, "NOTIFY_SOCKET": str(place / "notify")},
            stderr=log,
        )
    try:
        notify.setblocking(False)
        async with asyncio.timeout(60):
            await asyncio.get_running_loop().sock_recv(notify, 64)
        config.write_text(_config(place, VIPS))
        applied = await _reload(config)
        same = await _reload(config)
        dataplane = DataPlane(loader.pins(place / "bpffs", "node"))
        up = await _all_up(dataplane)
        down, back = await _flip(site, dataplane)
        return {
            "vips": VIPS,
            "reals": VIPS * REALS,
            "applied_s": round(applied, 2),
            "reload_without_a_difference_s": round(same, 2),
            "all_rings_after_first_checks_s": round(up, 2),
            "verdict_down_to_map_ms": down,
            "verdict_up_to_map_ms": back,
        }
    except (AssertionError, TimeoutError):
        sys.stderr.write((place / "log").read_text()[-3000:])
        raise
    finally:
        server.close()
        agent.terminate()
        await agent.wait()
        notify.close()


async def _reload(config: Path) -> float:
    """Seconds of `remora-agent reload`: read, planned, guarded, written, read back, answered."""
    started = time.monotonic()
    asked = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", "node", sys.executable, "-m", "agent"),
        *("reload", "-c", str(config)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, words = await asked.communicate()
    assert asked.returncode == 0, words.decode()
    return time.monotonic() - started


async def _all_up(dataplane: DataPlane) -> float:
    started = time.monotonic()
    async with asyncio.timeout(90):
        while True:
            vips = dataplane.owned().vips.values()
            if len(vips) == VIPS and all(dataplane.rings.current(n).all() for n in vips):
                return time.monotonic() - started
            await asyncio.sleep(0.2)


async def _flip(site: Site, dataplane: DataPlane) -> tuple[dict[str, float], dict[str, float]]:
    victim = next(real for real in dataplane.owned().reals if str(real.address) == VICTIM)
    taken: dict[int, list[float]] = {200: [], 500: []}
    for _ in range(FLIPS):
        for status in (500, 200):
            before = _shown(dataplane, victim)
            site.wrote = asyncio.get_running_loop().create_future()
            site.status = status
            wrote = await asyncio.wait_for(site.wrote, 5)
            taken[status].append(1e3 * (_seen(dataplane, victim, before) - wrote))
    return _summary(taken[500]), _summary(taken[200])


def _shown(dataplane: DataPlane, real: OwnedReal) -> tuple[int, int]:
    """(flags of the real, ring row of its VIP), as the program reads them."""
    flags, rows = dataplane._reals["flags"], dataplane.rings.in_force
    return int(flags[real.real_num]), int(rows[real.vip_num])


def _seen(dataplane: DataPlane, real: OwnedReal, before: tuple[int, int]) -> float:
    """When flag and ring are both others.  Looks all the time: nothing else runs here."""
    deadline = time.perf_counter() + DEADLINE
    while any(now == was for now, was in zip(_shown(dataplane, real), before, strict=True)):
        if time.perf_counter() > deadline:
            raise AssertionError(f"the map does not show it after {DEADLINE} s")
    return time.perf_counter()


def _summary(milliseconds: list[float]) -> dict[str, float]:
    ranked = sorted(milliseconds)
    return {
        "median": round(statistics.median(ranked), 2),
        "p95": round(ranked[int(0.95 * len(ranked))], 2),
        "most": round(ranked[-1], 2),
    }


def _config(place: Path, vips: int) -> str:
    return node.config(place) + "\n".join(_vip(v) for v in range(vips))


def _vip(v: int) -> str:
    pace = "interval = 0.2\ntimeout = 0.2\nfall = 1\nrise = 1\nhold = 0\n" if v == 0 else ""
    reals = (f'[[vips.reals]]\naddress = "10.3.{v // 16}.{v % 16 * REALS + r + 1}"\n'
             for r in range(REALS))  # fmt: skip
    return (
        f'[[vips]]\nname = "vip{v}"\naddress = "10.200.{v // 250}.{v % 250 + 1}"\nport = 80\n'
        f'[vips.check]\nkind = "http"\nvia = "direct"\n{pace or "interval = 20.0"}\n'
        + "".join(reals)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    if enclosure.directory() is None:
        return enclosure.run([sys.executable, "-m", "tests.bench.scale", *sys.argv[1:]])
    found = asyncio.run(figures())
    print(json.dumps(found) if options.json else "\n".join(f"{k:34}{v}" for k, v in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
