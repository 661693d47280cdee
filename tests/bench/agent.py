# SPDX-License-Identifier: Apache-2.0
"""What the agent costs: a real one, idle, with 64 VIPs of 32 reals each, publishing at 1 Hz.

`python -m tests.bench.agent --json` (root).  Every real address is local, so that the checks (one
per real and minute) succeed; nothing sends traffic.  The floor is a Python process of the same
interpreter that has imported the same libraries and sleeps.
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
from pathlib import Path

from tests.fabric import enclosure
from tests.fabric.waiting import until

VIPS, REALS = 64, 32
SECONDS = 10.0
TICK = os.sysconf("SC_CLK_TCK")
FLOOR = (
    "import asyncio, numpy, msgspec.msgpack, zmq.asyncio, time; "
    "print(1, flush=True); time.sleep(60)"
)


def figures() -> dict[str, float]:
    """Inside the enclosure: seconds, percent of a core, MiB."""
    place = enclosure.directory()
    assert place is not None
    _network()
    listener = socket.create_server(("0.0.0.0", 80), backlog=4096)
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    config = place / "agent.toml"
    config.write_text(_config(place))
    floor = subprocess.Popen([sys.executable, "-c", FLOOR], stdout=subprocess.PIPE)
    assert floor.stdout is not None
    floor.stdout.readline()
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(place / "notify"))
    notify.settimeout(60)
    started = time.monotonic()
    agent = subprocess.Popen(
        ["ip", "netns", "exec", "node", sys.executable, "-m", "agent", "run", "-c", str(config)],
        env={**os.environ, "NOTIFY_SOCKET": str(place / "notify")},
        stderr=(place / "log").open("w"),
    )
    try:
        assert notify.recv(64) == b"READY=1"
        ready = time.monotonic() - started
        until(lambda: _announced(place), 60, "every real is up")
        settled = time.monotonic() - started
        before = _cpu(agent.pid)
        time.sleep(SECONDS)
        percent = (_cpu(agent.pid) - before) / SECONDS * 100
        return {
            "vips": VIPS,
            "reals": VIPS * REALS,
            "ready_s": round(ready, 2),
            "all_rings_settled_s": round(settled, 2),
            "cpu_percent_1hz": round(percent, 2),
            "rss_mib": round(_rss(agent.pid), 1),
            "rss_mib_floor": round(_rss(floor.pid), 1),
            "rss_ratio": round(_rss(agent.pid) / _rss(floor.pid), 2),
        }
    except AssertionError:
        sys.stderr.write((place / "log").read_text()[-2000:])
        raise
    finally:
        agent.terminate()
        agent.wait(20)
        floor.kill()
        floor.communicate()
        notify.close()


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


def _config(place: Path) -> str:
    head = f"""
[node]
name = "node"
interface = "eth0"
hash_key = "00112233445566778899aabbccddeeff"
bpffs = "{place}/bpffs"
run_dir = "{place}/run"
state_dir = "{place}/state"
"""
    vips = [
        f'[[vips]]\nname = "vip{v}"\naddress = "10.200.0.{v + 1}"\nport = 80\n'
        '[vips.check]\nvia = "direct"\ninterval = 60.0\n'
        + "".join(f'[[vips.reals]]\naddress = "10.3.{v}.{r + 1}"\n' for r in range(REALS))
        for v in range(VIPS)
    ]
    return head + "\n".join(vips)


def _announced(place: Path) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "console", "-a", f"{place}/run", "get", "node", "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return False
    (node,) = json.loads(done.stdout)["items"]
    return bool(node["reals_up"] == VIPS * REALS)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _rss(pid: int) -> float:
    return (
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
    )


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
