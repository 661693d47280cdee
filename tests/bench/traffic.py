# SPDX-License-Identifier: Apache-2.0
"""Packets per second through a veth, as ratios to a program that only sends back.

`python -m tests.bench.traffic [--json]` (root).  A generator's end, the node's end, 64-byte
payloads of 1,024 flows to a VIP with 100 reals.  On the node's end runs the balancer, or for the
floor a program of two instructions that returns XDP_TX; on the other end one that counts nothing
and drops (without a program there, a veth loses what XDP_TX sends).

Two ways to get frames onto the wire: *injected*, by BPF_PROG_TEST_RUN with live frames and a
program that returns XDP_TX, which is as fast as XDP can be fed; and *forwarded*, the same with
XDP_PASS, so that the generator's kernel routes each packet as a router does.  A veth takes injected
frames only with a native program, so generic mode is measured with forwarded ones.  A veth's queue
and the CPU of its receiver are those of the sender: one generator for each CPU that is to work.
"""

from __future__ import annotations

import argparse
import ctypes as c
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from agent.dataplane import bpf_syscall as bpf
from agent.dataplane import loader
from agent.dataplane.attach import MODES
from tests.bench.restorer import instruction
from tests.bpf import frames
from tests.bpf.rig import SETTINGS, WEB, Rig
from tests.fabric import enclosure, netns

NODE, FAR = "node", "far"
FLOWS = 1024
SECONDS, ROUNDS = 0.6, 5
_CHUNK, _BATCH = 65536, 64
_XDP, _DROP, _PASS, _TX = 6, 1, 2, 3
_TEST_RUN, _LIVE_FRAMES = 10, 1 << 1
_RANDOM = 7  # bpf_get_prandom_u32
_TTL, _SOURCE_PORT = 22, 34


_ROUTES = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/eth0/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/eth0/send_redirects": "0",
}
"""Back out of the interface that a packet came from."""


def _returns(action: int) -> int:
    code = instruction(0xB7, 0, value=action) + instruction(0x95)
    return bpf.program_load(_XDP, f"returns_{action}", code)


def _generator(action: int, frame: bytes) -> int:
    """Another source port for each frame, then the action.

    The kernel uses the frames' memory again without restoring it: what a balancer wrote over the
    Ethernet header, and what a router did to TTL and checksum, is written again each time.
    """
    *mac, kind = struct.unpack("=iiih", frame[:14])
    (ttl,) = struct.unpack("=i", frame[_TTL : _TTL + 4])
    code = [
        instruction(0xBF, 6, 1),  # r6 = ctx
        instruction(0x85, value=_RANDOM),
        instruction(0x57, 0, value=FLOWS - 1),
        instruction(0x61, 2, 6, 0),  # r2 = data
        instruction(0x61, 3, 6, 4),  # r3 = data_end
        instruction(0xBF, 4, 2),
        instruction(0x07, 4, value=_SOURCE_PORT + 2),
        instruction(0x2D, 4, 3, 6),  # if (r4 > r3) skip the stores
        instruction(0x6B, 2, 0, _SOURCE_PORT),
        *(instruction(0x62, 2, offset=4 * i, value=word) for i, word in enumerate(mac)),
        instruction(0x6A, 2, offset=12, value=kind),
        instruction(0x62, 2, offset=_TTL, value=ttl),
        instruction(0xB7, 0, value=action),
        instruction(0x95),
    ]
    return bpf.program_load(_XDP, "generator", b"".join(code))


class _LiveRun(c.Structure):
    _fields_ = [
        ("program", c.c_uint32),
        ("result", c.c_uint32),
        ("size_in", c.c_uint32),
        ("size_out", c.c_uint32),
        ("data_in", c.c_uint64),
        ("data_out", c.c_uint64),
        ("repeat", c.c_uint32),
        ("duration", c.c_uint32),
        ("context_in", c.c_uint32),
        ("context_out", c.c_uint32),
        ("context", c.c_uint64),
        ("context_to", c.c_uint64),
        ("flags", c.c_uint32),
        ("cpu", c.c_uint32),
        ("batch", c.c_uint32),
        ("pad", c.c_uint32),
    ]


def _send(program: int, frame: bytes, ifindex: int, until: float) -> int:
    """Live frames, as if received on the interface, until then; how many."""
    held = c.create_string_buffer(frame, len(frame))
    context = c.create_string_buffer(struct.pack("=6I", 0, len(frame), 0, ifindex, 0, 0), 24)
    sent = 0
    while time.monotonic() < until:
        run = _LiveRun(program=program, size_in=len(frame), data_in=c.addressof(held))
        run.repeat, run.batch, run.flags = _CHUNK, _BATCH, _LIVE_FRAMES
        run.context, run.context_in = c.addressof(context), 24
        bpf._bpf(_TEST_RUN, run)
        sent += _CHUNK
    return sent


class Wire:
    """A veth between two namespaces: `far` with the generators, `node` with what is measured."""

    def __init__(self, queues: int) -> None:
        many = f"numrxqueues {queues} numtxqueues {queues}"
        netns.ip(
            f"netns add {NODE}",
            f"netns add {FAR}",
            f"link add eth0 {many} netns {FAR} type veth peer name eth0 {many} netns {NODE}",
        )
        for name, address in ((FAR, "10.2.1.1"), (NODE, "10.2.1.2")):
            netns.ip("link set lo up", "link set eth0 mtu 1600", f"addr add {address}/24 dev eth0",
                     "link set eth0 up", netns=name)  # fmt: skip
        macs = {name: self._mac(name) for name in (FAR, NODE)}
        netns.ip(
            f"neigh add 10.2.1.2 lladdr {macs[NODE]} dev eth0 nud permanent",
            f"route add {frames.VIP}/32 via 10.2.1.2",
            netns=FAR,
        )
        netns.ip(f"neigh add 10.2.1.1 lladdr {macs[FAR]} dev eth0 nud permanent", netns=NODE)
        with netns.inside(FAR):
            self.ifindex = socket.if_nametoindex("eth0")
        netns.sysctl(FAR, _ROUTES)
        self.injected = self._frame(macs[FAR], macs[NODE])
        self.forwarded = self._frame(macs[NODE], macs[FAR])
        self._sink = self._attach(FAR, _returns(_DROP), "native")

    def close(self) -> None:
        os.close(self._sink)
        netns.ip(f"netns del {NODE}", f"netns del {FAR}")

    @staticmethod
    def _mac(name: str) -> str:
        shown = subprocess.run(
            ["ip", "-n", name, "-j", "link", "show", "eth0"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return str(json.loads(shown.stdout)[0]["address"])

    @staticmethod
    def _frame(source: str, target: str) -> bytes:
        head = bytes.fromhex((target + source).replace(":", ""))
        return head + frames.tcp(flags="A", payload=bytes(64))[12:]

    @staticmethod
    def _attach(name: str, program: int, mode: str) -> int:
        with netns.inside(name):
            return bpf.link_xdp(program, socket.if_nametoindex("eth0"), MODES[mode])

    @contextmanager
    def running(self, program: int, mode: str) -> Iterator[None]:
        link = self._attach(NODE, program, mode)
        try:
            yield
        finally:
            bpf.link_detach(link)
            os.close(link)

    def received(self) -> int:
        """Packets that came back to the far end: what the node's end sent."""
        return self._count("rx")

    def _count(self, way: str) -> int:
        shown = subprocess.run(
            ["ip", "-n", FAR, "-s", "-j", "link", "show", "eth0"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return int(json.loads(shown.stdout)[0]["stats64"][way]["packets"])

    def rate(self, way: str, cpus: tuple[int, ...]) -> float:
        """Packets per second that came back, with one generator on each CPU."""
        frame = self.injected if way == "injected" else self.forwarded
        program = _generator(_TX if way == "injected" else _PASS, frame)
        began, before = time.monotonic(), self.received()
        children = [self._start(program, frame, cpu, began + SECONDS) for cpu in cpus]
        for child in children:
            if os.waitpid(child, 0)[1]:
                raise OSError("a generator failed")
        came, took = self.received() - before, time.monotonic() - began
        os.close(program)
        return came / took

    def _start(self, program: int, frame: bytes, cpu: int, until: float) -> int:
        child = os.fork()
        if child:
            return child
        try:
            os.sched_setaffinity(0, {cpu})
            with netns.inside(FAR):
                _send(program, frame, self.ifindex, until)
            os._exit(0)
        except BaseException as error:  # a fork has nobody above it
            print(error, file=sys.stderr)
            os._exit(1)


def figures(place: Path) -> dict[str, Any]:
    """Millions of packets per second and their ratio to the floor of the same round."""
    pins = loader.pins(place / "bpffs", "traffic")
    loader.load(loader.Request(pins, loader.BALANCER, flows_per_cpu=65536, ring_rows=16))
    rig = Rig(pins)
    rig.reset()
    rig.dataplane.configure(replace(SETTINGS, trace_all=False, event_rate=20, event_burst=40))
    rig.serve(WEB, {f"10.3.{n}.2": 100 for n in range(1, 101)})
    floor = _returns(_TX)
    every = tuple(sorted(os.sched_getaffinity(0)))[:2]
    found: dict[str, Any] = {}
    for queues in (1, 2):
        wire = Wire(queues)
        for way, mode in (
            ("injected", "native"),
            ("forwarded", "native"),
            ("forwarded", "generic"),
        ):
            for cpus in (every[:1], every):
                name = f"{way}, {mode}, {queues} queues, {len(cpus)} CPUs"
                found[name] = _compared(wire, rig.program, floor, way=way, mode=mode, cpus=cpus)
        wire.close()
    rig.close()
    loader.detach(pins)
    return found


def _compared(
    wire: Wire, balancer: int, floor: int, *, way: str, mode: str, cpus: tuple[int, ...]
) -> dict[str, float]:
    rates: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        with wire.running(floor, mode):
            lowest = wire.rate(way, cpus)
        with wire.running(balancer, mode):
            rates.append((wire.rate(way, cpus), lowest))
    return {
        "mpps": round(statistics.median(ours for ours, _ in rates) / 1e6, 3),
        "floor_mpps": round(statistics.median(lowest for _, lowest in rates) / 1e6, 3),
        "ratio": round(statistics.median(ours / lowest for ours, lowest in rates), 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    place = enclosure.directory()
    if place is None:
        return enclosure.run([sys.executable, "-m", "tests.bench.traffic", *sys.argv[1:]])
    found = figures(place)
    if options.json:
        print(json.dumps(found))
    else:
        for name, row in found.items():
            print(
                f"{name:44}{row['mpps']:>8.3f} Mpps, floor {row['floor_mpps']:.3f}, "
                f"ratio {row['ratio']:.3f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
