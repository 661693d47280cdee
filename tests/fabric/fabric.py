# SPDX-License-Identifier: Apache-2.0
"""The whole fabric, for the demo and the tests: builds it, looks at it, breaks parts of it.

Runs inside an enclosure (enclosure.py), which is also what takes it down.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.dataplane import abi, bpf_syscall, loader, mapped
from tests.fabric import bird, load, netns, wire, xdp
from tests.fabric import topology as t
from tests.fabric.agents import REMORA_AGENT, Agent
from tests.fabric.waiting import until

REMORA = (sys.executable, "-m", "console")
BUILD = 60.0
PATIENCE = 20.0
"""Seconds for what takes a fraction of one where nothing else runs."""


class Load:
    """A load generator at work (load.py)."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path) -> None:
        self._process = process
        self._path = path

    def records(self) -> list[load.Record]:
        """What is known so far."""
        return load.read(self._path)

    def stop(self) -> list[load.Record]:
        """Let it answer for what is under way; all records."""
        if self._process.poll() is None:
            self._process.terminate()
        status = self._process.wait(PATIENCE)
        assert status == 0, f"the load generator failed ({status}): see load.log"
        return self.records()


class Fabric:
    """Client, router with BGP, nodes with agents, reals with services."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.agents = {name: Agent(name, place) for name in t.NODES}
        self._services: dict[str, subprocess.Popen[bytes]] = {}
        self._loads = 0

    @property
    def pins(self) -> Path:
        """Of the programs that are not the nodes'."""
        return self.place / "bpffs" / "fabric"

    # ---- building

    def build(self, say: Callable[[str], None]) -> None:
        """Everything up to the first request that can be answered."""
        netns.build()
        self.router = bird.start(self.place)
        for name in t.REALS:
            self.start_service(name)
        say("network, router and reals")
        xdp.install(self.pins)
        say("decapsulation on the reals")
        for agent in self.agents.values():
            agent.launch()
        for agent in self.agents.values():
            agent.await_ready()
        say("agents")
        self.await_routes()
        say("routes at the router")

    def await_routes(self, nodes: Sequence[str] = t.NODES, seconds: float = BUILD) -> None:
        """Until exactly these nodes attract both VIPs' packets."""
        wanted = dict.fromkeys((t.WEB, t.ECHO), frozenset(nodes))
        until(
            lambda: {vip: self.routes(vip) for vip in wanted} == wanted, seconds, f"routes {wanted}"
        )

    # ---- traffic

    def request(self, source_port: int = 0, seconds: float = PATIENCE, *, vip: str = t.WEB) -> str:
        """One HTTP request to a VIP's port 80 from the client: the real that answered."""
        family, source = socket.AF_INET, t.CLIENT_ADDRESS
        if ":" in vip:
            family, source = socket.AF_INET6, t.CLIENT_ADDRESS6
        with netns.inside(t.CLIENT):
            connection = socket.socket(family, socket.SOCK_STREAM)
        with connection:
            connection.settimeout(seconds)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.bind((source, source_port))
            connection.connect((vip, t.WEB_PORT))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        return answer.partition(b"\r\n\r\n")[2].split()[0].decode()

    @contextmanager
    def load(
        self, *, rate: float = 0, downloads: int = 0, datagrams: float = 0, record: bool = True
    ) -> Iterator[Load]:
        """Steady load from the client until the block ends; what is what: load.py."""
        self._loads += 1
        records = self.place / f"load{self._loads}.records" if record else Path("/dev/null")
        amounts = {"rate": rate, "downloads": downloads, "datagrams": datagrams}
        options = [word for name, n in amounts.items() for word in (f"--{name}", f"{n:g}")]
        command = [sys.executable, "-m", "tests.fabric.load", *options, "--records", str(records)]
        with (self.place / "load.log").open("ab") as log:
            process = netns.spawn(t.CLIENT, command, log=log)
        running = Load(process, records)
        try:
            yield running
        finally:
            if process.poll() is None:
                running.stop()

    @contextmanager
    def only_via(self, node: str) -> Iterator[None]:
        """The router sends both VIPs' packets to this node alone: a route better than BGP's."""
        routes = [f"{vip}/32 via {t.node(node).address} metric 1" for vip in (t.WEB, t.ECHO)]
        netns.ip(*(f"route add {route}" for route in routes), netns=t.ROUTER)
        try:
            yield
        finally:
            netns.ip(*(f"route del {route}" for route in routes), netns=t.ROUTER)

    @contextmanager
    def capture(self, namespace: str, interface: str, *expression: str) -> Iterator[Path]:
        """tcpdump while the block runs; the file is complete after it."""
        path = self.place / f"{namespace}-{interface}.pcap"
        # In immediate mode every slot of the kernel buffer is as long as a packet may be: with the
        # default length it has eight slots, and a busy machine loses packets.
        command = ["tcpdump", "-i", interface, "-U", "-w", str(path), "--immediate-mode", "-s256"]
        process = netns.spawn(
            namespace, [*command, *expression], log=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert process.stderr is not None
        with process.stderr:
            while b"listening on" not in process.stderr.readline():
                assert process.poll() is None, "tcpdump ended"
            try:
                yield path
            finally:
                process.terminate()
                process.wait(PATIENCE)

    # ---- looking

    def look(self, node: str) -> wire.Look:
        """Every snapshot of a node, asked for on its command socket."""
        return wire.look(self.agents[node].address)

    def is_tracing(self, node: str) -> bool:
        """What the node's program reads."""
        pins = loader.pins(self.place / "bpffs", node)
        control = bpf_syscall.obj_get(str(pins / "control"))
        try:
            return bool(int(mapped.view(control, abi.Control, 1)["flags"][0]) & abi.TRACING)
        finally:
            os.close(control)

    def routes(self, vip: str = t.WEB) -> frozenset[str]:
        """The nodes that the router's kernel sends a VIP address's packets to."""
        return bird.routes(vip)

    def sessions(self) -> dict[str, str]:
        return dict(bird.sessions(self.place))

    def cli(self, *words: str, seconds: float = 90) -> subprocess.CompletedProcess[str]:
        """`remora -a LB1 -a LB2 WORDS`, without a terminal."""
        addresses = [word for agent in self.agents.values() for word in ("-a", agent.address)]
        return subprocess.run(
            [*REMORA, *addresses, "--connect-timeout", "10s", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """`remora get KIND -o json`: its items.  Raises AssertionError with the CLI's words."""
        answer = self.cli("get", kind, "-o", "json")
        assert answer.returncode == 0, f"get {kind}: {answer.returncode}: {answer.stderr}"
        items: list[dict[str, Any]] = json.loads(answer.stdout)["items"]
        return items

    def simulate(self, node: str, frames: Sequence[bytes]) -> list[dict[str, Any]]:
        """`remora-agent simulate` on a node: one result per frame."""
        command = [*REMORA_AGENT, "simulate", "-c", str(self.agents[node].config)]
        answer = subprocess.run(
            ["ip", "netns", "exec", node, *command, "--json", "--hex", "-"],
            input="\n".join(frame.hex() for frame in frames),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert answer.returncode == 0, f"simulate: {answer.returncode}: {answer.stderr}"
        results: list[dict[str, Any]] = json.loads(answer.stdout)
        return results

    # ---- breaking and mending

    def start_service(self, real: str) -> None:
        """The real's HTTP server and UDP echo; returns when it answers."""
        with (self.place / f"{real}.log").open("ab") as log:
            command = [sys.executable, "-m", "tests.fabric.service", real]
            self._services[real] = netns.spawn(real, command, log=log)
        until(lambda: _listens(real), PATIENCE, f"{real} listening on port {t.WEB_PORT}")

    @contextmanager
    def hanging(self, real: str) -> Iterator[None]:
        """SIGSTOP while the block runs: the kernel accepts connections, nobody answers."""
        service = self._services[real]
        service.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            service.send_signal(signal.SIGCONT)

    def stop_service(self, real: str) -> None:
        """SIGKILL: connections are reset, new ones refused."""
        self._services[real].kill()
        self._services[real].wait(PATIENCE)

    def close(self) -> None:
        """Ends what `build` started; the rest goes with the enclosure."""
        for agent in self.agents.values():
            if agent.alive:
                agent.kill()
        for process in (*self._services.values(), self.router):
            process.kill()
            process.wait(PATIENCE)

    def logs(self, lines: int = 30) -> str:
        """The ends of all logs, for whoever has to find out."""
        parts = [
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
            for path in sorted(self.place.glob("**/*.log"))
            if path.stat().st_size
        ]
        return "\n".join(parts)

    def shell(self) -> None:
        """A shell inside, on the terminal, until it is left."""
        print(f"\nfabric in {self.place}; `ip netns` lists it, `exit` goes on", file=sys.stderr)
        with Path(os.ctermid()).open("r+b", buffering=0) as terminal:
            subprocess.run(
                [os.environ.get("SHELL", "/bin/bash")],
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                check=False,
            )


def syn(source_port: int, vip: str = t.WEB, port: int = t.WEB_PORT) -> bytes:
    """The frame of a new connection as a node sees it: the router has taken one hop off."""
    total = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0x4000, 63, socket.IPPROTO_TCP, 0)
    addresses = socket.inet_aton(t.CLIENT_ADDRESS) + socket.inet_aton(vip)
    checksum = _checksum(total + addresses)
    network = total[:10] + struct.pack("!H", checksum) + addresses
    segment = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 0x50, 0x02, 64240, 0, 0)
    return bytes(12) + b"\x08\x00" + network + segment


def _checksum(header: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _listens(real: str) -> bool:
    with netns.inside(real), socket.socket() as probe:
        return bool(probe.connect_ex((t.real(real).address, t.WEB_PORT)) == 0)


def stopwatch(out: Callable[[str], None]) -> Callable[[str], None]:
    """A `say` that puts the seconds since now in front."""
    began = time.monotonic()
    return lambda text: out(f"{time.monotonic() - began:6.1f} s  {text}")
