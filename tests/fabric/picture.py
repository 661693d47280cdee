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

from console.app import RemoraApp
from console.client import Client
from tests.fabric import enclosure
from tests.fabric.fabric import Fabric, stopwatch

DOCS = Path(__file__).parents[2] / "docs"
SIZE = (112, 28)


async def _session(addresses: tuple[str, ...]) -> None:
    client = Client(addresses, "ann@jump")
    app = RemoraApp(client, "demo")
    try:
        async with app.run_test(size=SIZE) as pilot:
            await _watch(pilot, 30)
            _save(app, "fleet")
            await pilot.press("3")
            await _watch(pilot, 2)
            await pilot.press("enter")
            await _watch(pilot, 15)
            await pilot.press("A", *"INC-7", "tab", "tab", "enter")
            await pilot.press("D")
            await _watch(pilot, 2)
            await pilot.press("shift+tab", *app.screen.wanted)  # type: ignore[attr-defined]
            _save(app, "plan")
            await pilot.press("tab", "tab", "enter")
            await _watch(pilot, 3)
            await pilot.press("escape")
            await _watch(pilot, 10)
            _save(app, "console")
    finally:
        client.close()


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
        asyncio.run(_session(tuple(agent.address for agent in fabric.agents.values())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
