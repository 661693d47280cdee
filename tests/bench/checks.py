# SPDX-License-Identifier: Apache-2.0
"""What health checks cost: a real agent with 2,000 reals, each asked by HTTP every two seconds.

`python -m tests.bench.checks --json` (root).  All reals are one other network namespace: their
addresses and the VIPs' are local there, and decap.c undoes the tunnel.  One in twenty VIPs' reals
hang (they accept and say nothing).  The kernel's part is in it, the way of each packet up to the
other's socket too: in a namespace that is done by whoever sends.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from multiprocessing import Process
from pathlib import Path

from agent.dataplane import bpf_syscall
from agent.dataplane.loader import Request, load
from tests.bench import node
from tests.fabric import enclosure, netns
from tests.fabric.waiting import until

VIPS, REALS = 20, 100
INTERVAL = 2.0
SECONDS = 20.0
HANGING_PORT = 81
"""Of the last VIP: there nobody answers."""


def figures() -> dict[str, float]:
    """Inside the enclosure."""
    place = enclosure.directory()
    assert place is not None
    _network(place)
    servers = [
        Process(target=_serve, args=(80, True)),
        Process(target=_serve, args=(HANGING_PORT, False)),
    ]
    for server in servers:
        server.start()
    found: dict[str, float] = {"reals": VIPS * REALS, "interval_s": INTERVAL}
    try:
        for via in ("direct", "tunnel", "both"):
            found |= _measure(place, via)
    finally:
        for server in servers:
            server.kill()
            server.join()
    return found


def _measure(place: Path, via: str) -> dict[str, float]:
    config = place / "agent.toml"
    config.write_text(_config(place, via))
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(place / "notify"))
    notify.settimeout(60)
    agent = subprocess.Popen(
        ["ip", "netns", "exec", "node", sys.executable, "-m", "agent", "run", "-c", str(config)],
        env={**os.environ, "NOTIFY_SOCKET": str(place / "notify")},
        stderr=(place / "log").open("w"),
    )
    try:
        assert notify.recv(64) == b"READY=1"
        up = (VIPS - 1) * REALS
        until(lambda: node.reals_up(place) == up, 60, f"{up} reals are up by {via}", every=0.5)
        before, began = node.cpu(agent.pid), time.monotonic()
        time.sleep(SECONDS)
        percent = (node.cpu(agent.pid) - before) / (time.monotonic() - began) * 100
        assert node.reals_up(place) == up, "some real is down"
        return {
            f"cpu_percent_{via}": round(percent, 1),
            f"rss_mib_{via}": round(node.rss(agent.pid), 1),
        }
    except AssertionError:
        sys.stderr.write((place / "log").read_text()[-2000:])
        raise
    finally:
        agent.terminate()
        agent.wait(20)
        notify.close()
        (place / "notify").unlink()


def _network(place: Path) -> None:
    for line in (
        "netns add node",
        "link add gw type veth peer name eth0 netns node",
        "addr add 10.2.1.1/24 dev gw",
        "link set gw up",
        "link set lo up",
        "-n node link set lo up",
        "-n node addr add 10.2.1.2/24 dev eth0",
        "-n node link set eth0 up",
        "-n node route add default via 10.2.1.1",
        "route add local 10.3.0.0/16 dev lo",
        "route add local 10.200.0.0/24 dev lo",
    ):
        subprocess.run(["ip", *line.split()], check=True)
    with netns.inside("node"):
        netns._transmit_checksum_off("eth0")
    pins = place / "bpffs" / "bench"
    load(Request(pins=pins, sources=("decap.c",)))
    program = bpf_syscall.obj_get(str(pins / "prog_decap"))
    link = bpf_syscall.link_xdp(program, socket.if_nametoindex("gw"), 4)
    bpf_syscall.obj_pin(link, str(pins / "link_gw"))


def _serve(port: int, answers: bool) -> None:  # a process's arguments
    """Answers in one write; a loop of its own, for the measured process shares the machine."""
    listener = socket.create_server(("0.0.0.0", port), backlog=4096)
    listener.setblocking(False)
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            try:
                if sock is listener:
                    waiting.register(sock.accept()[0], selectors.EVENT_READ)
                    continue
                if sock.recv(4096) and not answers:
                    continue
                sock.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: bench\r\n\r\nok")
            except OSError:
                pass
            if sock is not listener:
                waiting.unregister(sock)
                sock.close()


def _config(place: Path, via: str) -> str:
    vips = [
        f'[[vips]]\nname = "vip{v}"\naddress = "10.200.0.{v + 1}"\nport = 80\n[vips.check]\n'
        f'kind = "http"\nvia = "{via}"\ninterval = {INTERVAL}\n'
        + (f"port = {HANGING_PORT}\n" if v == VIPS - 1 else "")
        + "".join(f'[[vips.reals]]\naddress = "10.3.{v}.{r + 1}"\n' for r in range(REALS))
        for v in range(VIPS)
    ]
    return node.config(place) + "\n".join(vips)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    if enclosure.directory() is None:
        return enclosure.run([sys.executable, "-m", "tests.bench.checks", *sys.argv[1:]])
    found = figures()
    print(json.dumps(found) if options.json else "\n".join(f"{k:24}{v}" for k, v in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
