# SPDX-License-Identifier: Apache-2.0
"""`make picture`: docs/*.svg, taken from the console on the running fabric.

Real agents, real requests, and the console itself without a terminal: what the README shows is what
a person would see after these keys.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path

from textual.pilot import Pilot

from console.tui.app import RemoraApp
from console.wire.client import Client
from tests.fabric import enclosure
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric, stopwatch

DOCS = Path(__file__).parents[2] / "docs"
SIZE = (112, 28)


async def _session(fabric: Fabric) -> None:
    client = Client([agent.address for agent in fabric.agents.values()], "ann@jump")
    app = RemoraApp(client, "demo")
    try:
        async with app.run_test(size=SIZE) as pilot:
            await _watch(pilot, 30)
            _save(app, "fleet")
            await _drain(app, pilot)
            await _a_canary_is_held(app, pilot, fabric)
            await _a_real_dies(app, pilot, fabric)
            await _a_ring_differs(app, pilot, fabric)
            await _drops_appear(app, pilot)
    finally:
        client.close()


async def _drain(app: RemoraApp, pilot: Pilot[None]) -> None:
    await pilot.press("3")
    await _watch(pilot, 2)
    await pilot.press("enter")
    await _watch(pilot, 15)
    await pilot.press("A", *"INC-7", "tab", "tab", "enter")
    await _watch(pilot, 1)
    await pilot.press("D")
    await _watch(pilot, 2)
    await _confirm(app, pilot, "plan")
    await _watch(pilot, 10)
    _save(app, "console")
    await pilot.press("U")
    await _watch(pilot, 2)
    await _confirm(app, pilot)


async def _confirm(app: RemoraApp, pilot: Pilot[None], picture: str = "") -> None:
    await pilot.press("shift+tab", *app.screen.proposal.wanted)  # type: ignore[attr-defined]
    await _watch(pilot, 0.5)
    if picture:
        _save(app, picture)
    await pilot.press("tab", "tab", "enter")
    await _watch(pilot, 2)
    await pilot.press("escape")


async def _a_canary_is_held(app: RemoraApp, pilot: Pilot[None], fabric: Fabric) -> None:
    """A real of its VIP fails while it soaks; then it is taken back."""
    real = t.real("r1").address
    command = f"drain real/{real}@web --canary lb1 --soak 60s"
    await pilot.press("1", "colon", *command, "enter")
    await _watch(pilot, 3)
    await _confirm(app, pilot)
    await _watch(pilot, 6)
    _save(app, "canary")
    fabric.stop_service("r3")
    await pilot.press("9")
    await _watch(pilot, 10)
    _save(app, "held")
    fabric.start_service("r3")
    await _watch(pilot, 6)
    await pilot.press("K")
    await _watch(pilot, 3)
    await _confirm(app, pilot)
    await _watch(pilot, 4)


async def _a_real_dies(app: RemoraApp, pilot: Pilot[None], fabric: Fabric) -> None:
    fabric.stop_service("r2")
    await pilot.press("8")
    await _watch(pilot, 8)
    _save(app, "incident-real")
    fabric.start_service("r2")
    await _watch(pilot, 5)


async def _a_ring_differs(app: RemoraApp, pilot: Pilot[None], fabric: Fabric) -> None:
    real = f"real/{t.real('r3').address}@web"
    words = ("drain", real, "--node", "lb2", "--yes", "--reason", "forgot the other node")
    await asyncio.to_thread(fabric.cli, *words)
    await _watch(pilot, 7)
    _save(app, "incident-ring")
    await pilot.press("3")
    await _watch(pilot, 1)
    await pilot.press("slash", *"web", "enter", "d")
    await _watch(pilot, 6)
    _save(app, "ring")
    await pilot.press("9")
    await _watch(pilot, 2)
    await pilot.press("Z")
    await _watch(pilot, 2)
    _save(app, "undo")
    await _confirm(app, pilot)


async def _drops_appear(app: RemoraApp, pilot: Pilot[None]) -> None:
    large = ["ip", "netns", "exec", "client", "ping", "-i", "0.2", "-c", "40", "-s", "3000", t.WEB]
    ping = await asyncio.create_subprocess_exec(*large, stdout=asyncio.subprocess.DEVNULL)
    await pilot.press("4")
    await _watch(pilot, 6)
    _save(app, "incident-drops")
    await pilot.press("enter", "enter")
    await _watch(pilot, 1)
    _save(app, "packet")
    await ping.wait()


async def _watch(pilot: Pilot[None], seconds: float) -> None:
    """Let time pass: the sparklines need some."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await pilot.pause(0.1)


def _save(app: RemoraApp, name: str) -> None:
    svg = app.export_screenshot(title="remora")
    # The web font that Rich names would be fetched by whoever looks at the picture.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")
    (DOCS / f"{name}.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


def main() -> int:
    place = enclosure.directory()
    if place is None:
        return enclosure.run([sys.executable, "-m", "tests.fabric.picture"])
    fabric = Fabric(place)
    fabric.build(stopwatch(lambda text: print(text, file=sys.stderr, flush=True)))
    with fabric.load(rate=150, downloads=2, datagrams=100, record=False):
        asyncio.run(_session(fabric))
    return 0


if __name__ == "__main__":
    sys.exit(main())
