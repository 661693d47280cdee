# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench.console --json`: what the console costs its terminal and its machine.

The console runs under a pty of 140x40 against two agents on real sockets (64 VIPs x 32 reals each,
1 Hz, every rate changing).  The parent counts the bytes written to the terminal and the console's
own processor time; the agents' work is in the parent and not counted.  Both outputs are measured:
differences, and Textual's own.  At the end the terminal is not read for half a minute: how long
did the console's event loop, and with it keys and answers, stand still?
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from console.tui.app import RemoraApp
from console.tui.widgets.terminal import Render
from console.wire.client import Client
from shared.messages import RealSnapshot, Snapshot, VipRow, VipSnapshot
from shared.model import RING_SLOTS, Protocol
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

VIPS, REALS = 64, 32
COLUMNS, LINES = 140, 40
FLEET, KEYS = 500, 100
VIPS_EACH, REALS_EACH = 2, 5
"""Of each agent of the fleet: 5,000 rows in all."""
SETTLE, MEASURE, STALLED = 3.0, 8.0, 30.0
RENDERS: tuple[Render, ...] = ("diff", "stock")
PARTS = ("verbs", "two", "stalled", "many")
TICKS = os.sysconf("SC_CLK_TCK")


class Large(Fleet):
    """64 VIPs of 32 reals; no two seconds have the same rates."""

    def at(self, second: float) -> tuple[Snapshot, ...]:
        node, _, reals, *others = super().at(second)
        assert isinstance(reals, RealSnapshot)
        head = {k: getattr(node, k) for k in ("node", "boot", "sequence", "at")}
        template = reals.reals[0]
        counted = {
            (v, r): int(second * 1000 + (second * (v + 3) * (r + 7)) % 991)
            for v in range(VIPS)
            for r in range(REALS)
        }
        vips = VipSnapshot(vips=tuple(self._row(v, counted) for v in range(VIPS)), **head)
        rows = tuple(
            type(template)(
                **{
                    **{f: getattr(template, f) for f in template.__struct_fields__},
                    "vip": f"vip{v:02}",
                    "address": f"10.3.{v}.{r + 1}",
                    "slots": RING_SLOTS // REALS,
                    "packets": packets,
                    "bytes": packets * 500,
                    "new_flows": packets // 9,
                    "live_flows": packets % 977,
                }
            )
            for (v, r), packets in counted.items()
        )
        return (node, vips, RealSnapshot(reals=rows, **head), *others)

    def _row(self, number: int, counted: dict[tuple[int, int], int]) -> VipRow:
        packets = sum(counted[number, r] for r in range(REALS))
        return VipRow(
            name=f"vip{number:02}",
            address=f"10.200.0.{number + 1}",
            port=443,
            protocol=Protocol.TCP,
            packets=packets,
            bytes=packets * 500,
            new_flows=packets // 9,
            drops=packets // 999,
            reals=REALS,
            reals_up=REALS,
            quorum=1,
            announced=True,
            ring_digest="a91f3c000000",
            ring_changes=1,
        )


class Terminal:
    """The console on a pty; `read` is what a terminal does."""

    def __init__(self, *words: str) -> None:
        self.started = time.monotonic()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.execv(sys.executable, [sys.executable, "-m", *words])
        size = struct.pack("HHHH", LINES, COLUMNS, 0, 0)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, size)

    def read(self, seconds: float, *, until: bytes = b"") -> bytes:
        """Everything written in that time, or until a text appears."""
        deadline, seen = time.monotonic() + seconds, b""
        while (left := deadline - time.monotonic()) > 0 and (not until or until not in seen):
            if select.select([self.fd], [], [], left)[0]:
                try:
                    seen += os.read(self.fd, 65536)
                except OSError:
                    break
        return seen

    def press(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def cpu(self) -> float:
        """Seconds of processor time."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        # Its goodbye is read, or it would wait for that.
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            self.read(0.1)
        os.close(self.fd)


def measure(terminal: Terminal) -> dict[str, float]:
    terminal.read(SETTLE)
    cpu, start = terminal.cpu(), time.monotonic()
    written = len(terminal.read(MEASURE))
    seconds = time.monotonic() - start
    return {
        "bytes_per_s": round(written / seconds),
        "cpu_percent": round(100 * (terminal.cpu() - cpu) / seconds, 1),
        "rss_mb": round(terminal.rss_mb(), 1),
    }


def console(addresses: list[str], render: Render) -> dict[str, object]:
    words = [w for address in addresses for w in ("-a", address)]
    terminal = Terminal("console", *words, "--render", render)
    try:
        seen = terminal.read(20, until=b"NODE")
        if b"NODE" not in seen:
            raise SystemExit(f"the console painted nothing: {seen[-400:]!r}")
        first = round(1000 * (time.monotonic() - terminal.started))
        figures: dict[str, object] = {"first_paint_ms": first, "fleet": measure(terminal)}
        terminal.press(b"3")
        figures["vips"] = measure(terminal)
        terminal.press(b"\r")
        figures["reals"] = measure(terminal)
        return figures
    finally:
        terminal.close()


def stalled(addresses: list[str], render: Render) -> dict[str, object]:
    """The terminal stops reading for STALLED seconds."""
    with tempfile.TemporaryDirectory() as place:
        lag = Path(place) / "lag"
        terminal = Terminal("tests.bench.console", "--probe", str(lag), render, *addresses)
        try:
            terminal.read(20, until=b"NODE")
            terminal.press(b"3\r")
            terminal.read(SETTLE)
            before = float(lag.read_text())
            time.sleep(STALLED)
            terminal.read(SETTLE)
            return {"lag_ms_before": before, "lag_ms_stalled": float(lag.read_text())}
        finally:
            terminal.close()


def many(render: Render = "diff") -> dict[str, object]:
    """FLEET agents at 1 Hz, each with VIPs and reals of its own: what the screen of all costs."""
    with tempfile.TemporaryDirectory() as place:
        words = ["-n", str(FLEET), "--vips", str(VIPS_EACH), "--reals", str(REALS_EACH)]
        words += ["--run-dir", place]
        agents = subprocess.Popen(
            [sys.executable, "-m", "agent", "simulate-fleet", *words], stderr=subprocess.DEVNULL
        )
        addresses = [f"ipc://{place}/sim-{number:03}" for number in range(FLEET)]
        file = Path(place) / "config.toml"
        file.write_text(f"cluster = 'bench'\nagents = {json.dumps(addresses)}\n")
        _there(agents, Path(place) / f"sim-{FLEET - 1:03}")
        terminal = Terminal("console", "--config", str(file), "console", "--render", render)
        try:
            terminal.read(30, until=b"NODE")
            first = round(1000 * (time.monotonic() - terminal.started))
            terminal.read(3 * SETTLE)
            figures: dict[str, object] = {
                "agents": FLEET,
                "rows": FLEET * VIPS_EACH * REALS_EACH,
                "first_paint_ms": first,
                "fleet": measure(terminal),
                **latency(terminal),
            }
            terminal.press(b"3")
            figures["vips"] = measure(terminal)
            terminal.press(b"\r")
            return {**figures, "reals": measure(terminal)}
        finally:
            terminal.close()
            agents.terminate()
            agents.wait()


def _there(agents: subprocess.Popen[bytes], last: Path) -> None:
    """Their own start is over: it is no console's."""
    deadline = time.monotonic() + 30
    while not (last / "command.sock").exists():
        if agents.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the simulated agents did not start")
        time.sleep(0.1)


def latency(terminal: Terminal) -> dict[str, float]:
    """From a cursor key to the first byte that it changes on the terminal."""
    times = []
    for number in range(KEYS):
        terminal.read(0.05)
        start = time.monotonic()
        terminal.press(b"j" if number % 20 < 10 else b"k")
        if select.select([terminal.fd], [], [], 2)[0]:
            times.append(1000 * (time.monotonic() - start))
    times.sort()
    return {"key_p50_ms": round(times[len(times) // 2], 1), "key_p99_ms": round(times[-2], 1)}


class Probed(RemoraApp):
    """Writes down the longest time for which its event loop stood still."""

    def on_ready(self) -> None:
        self.probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        worst = 0.0
        while True:
            start = time.monotonic()
            await asyncio.sleep(0.01)
            late = 1000 * (time.monotonic() - start - 0.01)
            # Start-up is not what is asked for.
            if late > worst and self._clock() - self.born > 2:
                worst = late
            # Replaced whole, as it is read at any time.
            self.file.with_suffix(".new").write_text(f"{worst:.0f}")
            self.file.with_suffix(".new").replace(self.file)

    born = time.monotonic()
    file: Path


def probe(file: str, render: Render, *addresses: str) -> None:
    client = Client(addresses, "bench@here")
    app = Probed(client, "bench", render=render)
    app.file = Path(file)
    app.run()
    client.close()
    if app.failure:
        raise SystemExit(app.failure)


def cli(*words: str) -> tuple[int, int]:
    """Median of five runs after one that is not counted, ms: until something is said, until the
    shell has its prompt again."""
    times: list[tuple[float, float]] = []
    for _ in range(6):
        start = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "console", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as verb:
            assert verb.stdout is not None
            verb.stdout.read(1)
            first = time.monotonic() - start
            verb.stdout.read()
        times.append((first, time.monotonic() - start))
    said, over = (statistics.median(each) for each in zip(*times[1:], strict=True))
    return round(1000 * said), round(1000 * over)


def verbs(words: list[str]) -> dict[str, object]:
    """[until something is said, until the shell has its prompt again], ms."""
    return {
        "python_ms": bare(),
        "version_ms": cli("version"),
        "help_ms": cli("--help"),
        "complete_ms": cli("complete", "--", "drain", ""),
        "status_ms": cli(*words, "status", "--short"),
        "get_ms": cli(*words, "get", "vip"),
    }


def two(parts: Sequence[str]) -> dict[str, object]:
    """Against two large agents in this process."""
    with tempfile.TemporaryDirectory() as place:
        one = FakeAgent(Path(place) / "lb1", Large("lb1"))
        other = FakeAgent(Path(place) / "lb2", Large("lb2"))
        over = threading.Event()

        def tick() -> None:
            while not over.wait(1.0):
                one.tick()
                other.tick()

        with one, other:
            ticking = threading.Thread(target=tick)
            ticking.start()
            try:
                addresses = [one.address, other.address]
                words = [w for address in addresses for w in ("-a", address)]
                found: dict[str, object] = verbs(words) if "verbs" in parts else {}
                for render in RENDERS:
                    if "two" in parts:
                        found[f"render_{render}"] = console(addresses, render)
                    if "stalled" in parts:
                        found[f"stalled_{render}"] = stalled(addresses, render)
                return found
            finally:
                over.set()
                ticking.join()


def as_installed() -> None:
    """Children find bytecode, as in an installed wheel, whatever this shell says of writing it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in ("agent", "console", "shared"):
        compileall.compile_dir(name, quiet=1)


def figures(parts: Sequence[str]) -> dict[str, object]:
    as_installed()
    found = two(parts) if set(parts) - {"many"} else {}
    return {**found, "many": many()} if "many" in parts else found


def bare() -> int:
    """The floor: an interpreter that does nothing."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return round(1000 * (time.monotonic() - start))


def main() -> int:
    # An installed wheel has its bytecode: children keep theirs, and a first run is not counted.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--probe", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}: else all")
    options = parser.parse_args()
    if options.probe:
        probe(*options.probe)
        return 0
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    print(json.dumps(figures(options.parts or PARTS), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
