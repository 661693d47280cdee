# SPDX-License-Identifier: Apache-2.0
"""What the wire costs: bytes, the agent's publish path, a client of 500 agents, a stopped reader.

`python -m tests.bench.wire --json`; no root.  Agents are simulated (wire/fleet.py) but for the
publish path, which is the real one with counters of 16 CPUs.  Three minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from agent.core.state import NodeState
from agent.dataplane import abi
from agent.wire.pace import EVERY
from agent.wire.server import Server
from agent.wire.snapshot import Origin, Reading, Snapshots
from console.model.store import Store
from console.wire.client import Client
from console.wire.trust import Trust
from shared import curve, recording
from shared.recording import Record
from tests.ports import free_port
from tests.unit.world import TOML, World, vip

VIPS, REALS, CPUS = 64, 32, 16
ORIGIN = Origin("b00t", "0.1.0", 1.0, "00ff")
MANY, KEYED = 500, 200
WARM, WATCH = 75.0, 60.0
"""Seconds: a console keeps a minute of history, then its memory must not grow."""
STOPPED = 600
"""Seconds of telemetry that a stopped subscriber does not take."""


def _seconds() -> Callable[[int], tuple[NodeState, Reading, dict[str, int]]]:
    """A second -> state, counters and sequence; every counter moves each second."""
    text = TOML + "".join(
        vip(f"vip{v}", f"10.200.{v}.1", 80, [f"10.3.{v}.{r + 1}" for r in range(REALS)])
        for v in range(VIPS)
    )
    world = World(text)
    world.start()
    world.all_up()
    rng = np.random.default_rng(7)

    def at(second: int) -> tuple[NodeState, Reading, dict[str, int]]:
        totals = np.zeros(CPUS, np.dtype(abi.Totals))
        for name in ("rx_packets", "rx_bytes", "tx_packets", "flow_hits"):
            totals[name] = 10**10 + rng.integers(0, 10**9, CPUS)
        reading = Reading(
            at=1000.0 + second, wall=1.79e9 + second, totals=totals,
            vips=rng.integers(0, 10**11, (abi.MAX_VIPS, 4), np.uint64),
            reals=rng.integers(0, 10**11, (abi.MAX_REALS, 4), np.uint64),
            capacity=1 << 20, occupied=9, live=7, cpu_seconds=0.5, rss_bytes=55 << 20,
        )  # fmt: skip
        return world.director.state, reading, dict.fromkeys(EVERY, second)

    return at


def publish_path() -> dict[str, object]:
    """From counters to bytes: while only counters move, and when a word in every row changed."""
    at, maker = _seconds(), Snapshots(ORIGIN)
    seconds = [at(n) for n in range(21)]
    published = _median_ms(lambda n: maker.published(*seconds[n], EVERY))
    first = _median_ms(lambda n: Snapshots(ORIGIN).published(*seconds[n], EVERY))
    frames = maker.published(*seconds[0], EVERY)
    records = [Record(1.79e9, "lb1", tuple(f)) for f in frames]
    keep = _median_ms(lambda n: recording.block(records))
    return {
        "snapshots_and_bytes_ms": round(published, 2),
        "all_rows_changed_ms": round(first, 2),
        "history_ms": round(keep, 2),
        "bytes": {f[0].decode(): sum(map(len, f)) for f in frames},
        "history_bytes": len(recording.block(records)),
    }


def _median_ms(work: Callable[[int], object]) -> float:
    times = []
    for n in range(21):
        start = time.process_time()
        work(n)
        times.append(1000 * (time.process_time() - start))
    return sorted(times)[10]


@contextmanager
def fleet(*words: str) -> Iterator[None]:
    command = [sys.executable, "-m", "agent", "simulate-fleet", *words]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def many(place: Path) -> dict[str, object]:
    """A client and its store, as a console has them: 500 agents of 64 VIPs at 1 Hz."""
    agents = [f"ipc://{place}/run/sim-{n:03d}" for n in range(MANY)]
    with fleet("-n", str(MANY), "--vips", str(VIPS), "--run-dir", f"{place}/run"):
        return _child("--watch", *agents)


def watch(agents: list[str]) -> dict[str, object]:
    client, store = Client(agents, "bench@here", topics={"node", "vip", "event"}), Store(agents)

    def run(seconds: float) -> float:
        start, cpu = time.monotonic(), time.process_time()
        while time.monotonic() - start < seconds:
            time.sleep(0.1)
            client.ask(store.take(client.take()))
        return 100 * (time.process_time() - cpu) / (time.monotonic() - start)

    run(WARM)
    before = _rss_mib()
    percent = run(WATCH)
    live = len(store.live(time.monotonic()))
    client.close()
    return {
        "agents_live": live,
        "client_cpu_percent": round(percent, 1),
        "rss_mib_after_75_s": round(before, 1),
        "rss_mib_after_135_s": round(_rss_mib(), 1),
    }


def keyed(place: Path) -> dict[str, object]:
    """200 agents over loopback TCP with CURVE: what of their sequence numbers never came."""
    own, node = curve.make(), curve.make()
    curve.write(place / "node.key", node)
    (place / "authorized_keys").write_text(f"viewer {own.public} bench\n")
    port = free_port()
    words = ["--secret-key", f"{place}/node.key", "--authorized-keys", f"{place}/authorized_keys"]
    agents = [f"tcp://127.0.0.1:{port + 2 * n}" for n in range(KEYED)]
    seen: dict[str, list[int]] = {address: [] for address in agents}

    def tap(record: Record) -> None:
        seen[record.address].append(_sequence(record))

    with fleet("-n", str(KEYED), "--vips", "8", "--listen", f"127.0.0.1:{port}", *words):
        trust = Trust(own, {"*": node.public})
        client = Client(agents, "bench@here", topics={"node"}, trust=trust, tap=tap)
        start = time.monotonic()
        while time.monotonic() - start < 40:
            time.sleep(0.2)
            client.take()
        client.close()
    missed = sum(n[-1] - n[0] + 1 - len(set(n)) for n in seen.values() if n)
    return {
        "agents_heard": sum(bool(numbers) for numbers in seen.values()),
        "messages": sum(map(len, seen.values())),
        "missed": missed,
    }


def _sequence(record: Record) -> int:
    from shared.codec import telemetry_of

    return telemetry_of(record.frames).sequence


def stopped(place: Path) -> dict[str, object]:
    """Ten minutes of telemetry while a subscriber stands still."""

    async def story() -> dict[str, object]:
        server = Server("lb1", place / "lb1", lambda asked: None)
        reader = _reading(f"ipc://{place}/lb1")
        at, maker = _seconds(), Snapshots(ORIGIN)
        await asyncio.sleep(2)
        reader.send_signal(signal.SIGSTOP)
        sizes = []
        for second in range(STOPPED):
            server.send(maker.published(*at(second), EVERY))
            await asyncio.sleep(0)
            if second % 100 == 99:
                sizes.append(round(_rss_mib(), 1))
        reader.kill()
        reader.wait()
        await server.close()
        return {"rss_mib_each_100_s": sizes}

    return asyncio.run(story())


_READER = (
    "import sys, zmq, time; from shared.model import endpoints; s = zmq.Context().socket(zmq.SUB); "
    "s.subscribe(b''); s.connect(endpoints(sys.argv[1])[0])\nwhile True: s.recv_multipart()"
)


def _reading(address: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _READER, address])


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def _child(*words: str) -> dict[str, object]:
    """In a process of its own: memory is to be the client's alone."""
    command = [sys.executable, "-m", "tests.bench.wire", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--watch", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--stopped", help=argparse.SUPPRESS)
    parser.add_argument(
        "--only", choices=("publish", "client", "curve", "stopped"), help="one of the four"
    )
    options = parser.parse_args()
    if options.watch:
        print(json.dumps(watch(options.watch)))
        return 0
    if options.stopped:
        print(json.dumps(stopped(Path(options.stopped))))
        return 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        parts: dict[str, tuple[str, Callable[[], dict[str, object]]]] = {
            "publish": (f"publish_{VIPS}x{REALS}x{CPUS}", publish_path),
            "client": (f"client_{MANY}", lambda: many(place)),
            "curve": (f"curve_{KEYED}", lambda: keyed(place)),
            "stopped": ("stopped_subscriber", lambda: _child("--stopped", name)),
        }
        wanted = [options.only] if options.only else list(parts)
        figures = {title: make() for title, make in map(parts.__getitem__, wanted)}
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
