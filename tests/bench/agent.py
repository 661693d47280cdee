# SPDX-License-Identifier: Apache-2.0
"""What the agent costs: a real one with 64 VIPs of 32 reals each, that publishes at 1 and at 10 Hz.

`python -m tests.bench.agent --json` (root).  Every real address is local, so that the checks (one
per real and minute) succeed; nothing sends traffic.  At 10 Hz nobody reads, then a reader
subscribes to everything, and then the same with next to no checks (one an hour): what lies between
is theirs, the kernel's connect() on both ends of one machine included.  The floor is a Python
process of the same interpreter that has imported the same libraries and sleeps.  Resident memory is
given by kind of mapping for the floor, for a process that has imported what `remora-agent run`
does, and for the agent.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import node
from tests.fabric import enclosure
from tests.fabric.waiting import until

VIPS, REALS = 64, 32
SECONDS, WARM = 20.0, 5.0
INTERVAL, NEVER = 60.0, 3600.0
"""Seconds between two checks of a real.  After its first one each has its own place in the interval
(agent/checks/prober.py), so that any SECONDS see as many as any others."""
WAITING = "; import signal; print(1, flush=True); signal.pause()"
LEAN = "from agent.host import lean; lean.prepare(); "
"""As `remora-agent run` does."""
FLOOR = LEAN + "import asyncio, numpy, msgspec.msgpack, zmq.asyncio"
IMPORTED = LEAN + "import agent.cli.main, agent.runtime"


READER = (
    "import sys, zmq; s = zmq.Context().socket(zmq.SUB); s.connect(sys.argv[1]); s.subscribe(b'')\n"
    "while True: s.recv_multipart()"
)


def figures() -> dict[str, Any]:
    """Inside the enclosure: seconds, percent of a core, MiB."""
    place = enclosure.directory()
    assert place is not None
    _network()
    listener = socket.create_server(("0.0.0.0", 80), backlog=4096)
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    found: dict[str, Any] = {"vips": VIPS, "reals": VIPS * REALS}
    with _agent(place, hz=1) as (agent, ready, settled):
        found |= {"ready_s": ready, "all_rings_settled_s": settled}
        found["cpu_percent_1hz"] = _percent(agent)
        found["rss_mib"] = round(node.rss(agent), 1)
        found["rss_mib_of"] = node.memory(agent)
    with _agent(place, hz=10) as (agent, _, _):
        found["cpu_percent_10hz"] = _percent(agent)
        with _reader(place):
            found["cpu_percent_10hz_all_read"] = _percent(agent)
        found["rss_mib_10hz"] = round(node.rss(agent), 1)
    with _agent(place, hz=10, interval=NEVER) as (agent, _, _), _reader(place):
        found["cpu_percent_10hz_all_read_unchecked"] = _percent(agent)
    for name, imports in (("floor", FLOOR), ("imported", IMPORTED)):
        with _waiting(imports) as pid:
            found[f"rss_mib_{name}"] = round(node.rss(pid), 1)
            found[f"rss_mib_{name}_of"] = node.memory(pid)
    found["rss_ratio"] = round(found["rss_mib"] / found["rss_mib_floor"], 2)
    return found


@contextmanager
def _waiting(imports: str) -> Iterator[int]:
    """A process that has imported so much."""
    process = subprocess.Popen([sys.executable, "-c", imports + WAITING], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _agent(
    place: Path, hz: float, interval: float = INTERVAL
) -> Iterator[tuple[int, float, float]]:
    """An agent whose reals are all up: pid, seconds until it was ready, and until they were."""
    config = place / "agent.toml"
    config.write_text(_config(place, hz, interval))
    heard = place / "notify"
    heard.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(heard))
        notify.settimeout(60)
        started = time.monotonic()
        agent = subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                "node",
                sys.executable,
                "-m",
                "agent",
                "run",
                "-c",
                str(config),
            ],
            env={**os.environ, "NOTIFY_SOCKET": str(heard)},
            stderr=(place / "log").open("w"),
        )
        try:
            assert notify.recv(64) == b"READY=1"
            ready = time.monotonic() - started
            until(lambda: node.reals_up(place) == VIPS * REALS, 90, "every real is up")
            yield agent.pid, round(ready, 2), round(time.monotonic() - started, 2)
        except AssertionError:
            sys.stderr.write((place / "log").read_text()[-2000:])
            raise
        finally:
            agent.terminate()
            agent.wait(20)


@contextmanager
def _reader(place: Path) -> Iterator[None]:
    """Somebody who follows every topic."""
    command = [sys.executable, "-c", READER, f"ipc://{place}/run/telemetry.sock"]
    reader = subprocess.Popen(command)
    try:
        time.sleep(WARM)
        yield
    finally:
        reader.kill()
        reader.wait()


def _percent(pid: int) -> float:
    """Of a core, over SECONDS, after a moment."""
    time.sleep(WARM)
    before = node.cpu(pid)
    time.sleep(SECONDS)
    return round((node.cpu(pid) - before) / SECONDS * 100, 2)


def _network() -> None:
    for line in (
        "netns add node",
        "link add gw type veth peer name eth0 netns node",
        "addr add 10.2.1.1/24 dev gw",
        "link set gw up",
        "-n node link set lo up",
        "-n node addr add 10.2.1.2/24 dev eth0",
        "-n node link set eth0 up",
        "-n node route add default via 10.2.1.1",
        "route add local 10.3.0.0/16 dev lo",
    ):
        subprocess.run(["ip", *line.split()], check=True)


def _accept(listener: socket.socket) -> None:
    while True:
        listener.accept()[0].close()


def _config(place: Path, hz: float, interval: float) -> str:
    head = node.config(place) + f"[telemetry]\nhz = {hz}\n"
    vips = [
        f'[[vips]]\nname = "vip{v}"\naddress = "10.200.0.{v + 1}"\nport = 80\n'
        f'[vips.check]\nvia = "direct"\ninterval = {interval}\n'
        + "".join(f'[[vips.reals]]\naddress = "10.3.{v}.{r + 1}"\n' for r in range(REALS))
        for v in range(VIPS)
    ]
    return head + "\n".join(vips)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    if enclosure.directory() is None:
        return enclosure.run([sys.executable, "-m", "tests.bench.agent", *sys.argv[1:]])
    found = figures()
    print(json.dumps(found) if options.json else "\n".join(f"{k:24}{v}" for k, v in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
