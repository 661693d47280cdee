# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench.dataplane [--json]`: what a packet, a ring and a snapshot cost here.

ns per packet by restorer.py, net of an empty program, on one CPU; the rest as the agent does it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from agent.core import maglev
from agent.dataplane import abi, loader
from agent.dataplane.jiffies import HZ
from agent.host import malloc
from agent.nouns import PLAIN, Address, Encap, Traced, Tracking
from agent.wire.trace_feed import Feed, Names
from shared.codec import telemetry_frames
from shared.model import RING_SLOTS
from tests.bench.failover import failover
from tests.bench.restorer import measure
from tests.bpf import frames
from tests.bpf.rig import DNS, DNS6, SETTINGS, WEB, WEB6, Rig
from tests.fabric import enclosure

FLOWS_PER_CPU = 262144
VIPS, REALS_PER_VIP = 64, 32


class Figure(NamedTuple):
    name: str
    value: float
    unit: str


def packets(rig: Rig) -> list[Figure]:
    """ns per packet; the floor (an empty program) is taken off."""
    rig.reset()
    rig.dataplane.configure(replace(SETTINGS, trace_all=False, event_rate=20, event_burst=40))
    web = rig.serve(WEB, {f"10.3.{n}.2": 100 for n in range(1, 33)})
    rig.serve(WEB6, {f"fd00:3:{n}::2": 100 for n in range(1, 33)})
    for key in (DNS, DNS6):
        rig.serve(key, {f"fd00:3:{n}::2": 100 for n in range(1, 33)}, Encap.GUE)
    known, opening = frames.tcp(flags="A", payload=bytes(64)), frames.tcp(flags="S")
    known6 = frames.tcp(to=frames.VIP6, flags="A", payload=bytes(64))
    stranger = frames.tcp(to="198.51.100.1", flags="A", payload=bytes(64))
    cases = [
        ("existing flow, 1 flow", known, 1),
        ("existing flow, 1,024 flows", known, 1024),
        ("existing flow, 65,536 flows", known, 65536),
        ("existing flow, 524,288 flows", known, 1 << 19),
        ("existing IPv6 flow, 6in6", known6, 1),
        ("existing UDP flow, GUE over IPv6", frames.udp(payload=bytes(64)), 1),
        ("existing IPv6 UDP flow, GUE over IPv6", frames.udp(to=frames.VIP6, payload=bytes(64)), 1),
        ("SYN, 1 flow", opening, 1),
        ("SYN, 65,536 flows", opening, 65536),
        ("new flow, 2^30 flows", opening, 1 << 30),
        ("not a VIP, pass", stranger, 1),
        ("fragment, drop", frames.fragment(), 1),
        ("802.1Q tag, existing flow", known[:12] + b"\x81\0\0\7" + known[12:], 1),
    ]
    figures = _costs(rig, cases)
    rig.dataplane.set_placing(web.vip_num, PLAIN._replace(tracking=Tracking.CHANGED))
    stable = [(f"mode changed, {n:,} flows", known, n) for n in (1, 65536, 1 << 20)]
    return figures + _costs(rig, stable)


def traces(rig: Rig) -> list[Figure]:
    """ns per packet while a trace runs, and what the agent does with those that it sees."""
    known = frames.tcp(flags="A", payload=bytes(64))
    found = []
    for name, filter_ in (
        ("trace of others", Traced(destination_port=9)),
        ("trace of this, 100/s", Traced(destination_port=80)),
    ):
        rig.dataplane.start_trace(filter_)
        found += _costs(rig, [(f"existing flow, {name}", known, 1)])
    rig.dataplane.start_trace(Traced(rate=10**6))
    rig.drain()
    for _ in range(1000):
        rig.quick(known)
    records = rig.events.drain()
    assert records is not None
    assert len(records) == 2000
    names, head = Names({}, {}), {"node": "lb1", "boot": "b", "sequence": 1, "at": 1.0}

    def told() -> None:
        message = Feed("t", offset=0, matched=0).message(records, names, head, matched=0)
        assert message is not None
        telemetry_frames(message)

    rig.dataplane.stop_trace()
    return [*found, Figure("1,000 traced packets, to the wire", _milliseconds(told), "ms")]


def _costs(rig: Rig, cases: Sequence[tuple[str, bytes, int]]) -> list[Figure]:
    figures = []
    for name, frame, flows in cases:
        cost = measure(rig.program, frame, flows=flows)
        figures.append(Figure(f"{name}: quiet", round(cost.quiet, 1), "ns/packet"))
        figures.append(Figure(f"{name}: median", round(cost.median, 1), "ns/packet"))
    return figures


def rings(rig: Rig) -> list[Figure]:
    figures = []
    for count in (3, 100, 1000):
        chance = random.Random(count)
        members: dict[Address, int] = {
            IPv4Address(a): chance.randint(1, 100)
            for a in chance.sample(range(0x0A000000, 0x0BFFFFFF), count)
        }
        turns = maglev.turns(members, b"bench", RING_SLOTS)

        def build(turns: maglev.Turns = turns) -> object:
            maglev.forget_orders()  # nothing of an earlier ring helps
            return rig.dataplane.fill(turns, RING_SLOTS)

        def whole(members: dict[Address, int] = members) -> object:
            maglev.forget_orders()
            return maglev.ring(members, b"bench", fill=rig.dataplane.fill)

        figures += [
            Figure(f"ring of {count} reals, turns and fill", _milliseconds(build), "ms"),
            Figure(f"ring of {count} reals, with its hashes", _milliseconds(whole), "ms"),
        ]
    reference = _milliseconds(lambda: maglev.fill(turns, RING_SLOTS), times=5)
    figures.append(Figure("ring of 1000 reals, reference in Python", reference, "ms"))
    ring = maglev.ring(members, b"bench", fill=rig.dataplane.fill)
    numbers = np.arange(1, 1 + len(ring.addresses), dtype=np.uint32)
    rig.serve(WEB, {"10.3.1.2": 1})  # VIP number 1
    force = _milliseconds(lambda: rig.dataplane.rings.put(1, ring.slots, numbers))
    rows = rig.dataplane.rings
    before = rows.row(int(rows.in_force[1]))[:RING_SLOTS].copy()
    words = np.empty_like(before)
    write = _milliseconds(lambda: rows.write(words, before, ring.slots, numbers))
    services = rows.in_force

    def flip() -> None:
        services[1] = services[1]

    return [
        *figures,
        Figure("bring a ring into force", force, "ms"),
        Figure("  of it: its words, with what its slots were before", write, "ms"),
        Figure("  of it: the store after which it is in force", 1000 * _milliseconds(flip), "µs"),
    ]


def failovers(rig: Rig) -> list[Figure]:
    """511 VIPs of 8 reals; one, which they share, fails."""
    rig.reset()
    found = failover(rig.dataplane)
    return [
        Figure("511 VIPs, verdicts to all down flags", round(1000 * found.flags, 1), "ms"),
        Figure("511 VIPs, verdicts to all rings flipped", round(1000 * found.rings, 1), "ms"),
        Figure("511 VIPs, longest turn of the core", round(1000 * found.longest_turn, 1), "ms"),
    ]


def reads(rig: Rig) -> list[Figure]:
    """What a snapshot takes, with 64 VIPs of 32 reals and every place of the flow table in use."""
    rig.reset()
    for real_num in range(1, VIPS * REALS_PER_VIP + 1):
        vip_num = 1 + real_num % VIPS
        rig.put_real(real_num, vip_num, str(IPv4Address(0x0A030000 + real_num)))
    dataplane = rig.dataplane

    def counters() -> None:
        dataplane.counters.totals(), dataplane.counters.by_vip(), dataplane.counters.by_real()

    figures = [
        Figure("read all counters", round(1000 * _milliseconds(counters), 1), "µs"),
        Figure("count flows, empty table", _milliseconds(lambda: _census(rig)), "ms"),
    ]
    chance = np.random.default_rng(1)
    ways = rig.flows["way"].reshape(-1)
    for filled in (0.25, 1.0):
        used = chance.random(len(ways)) < filled
        ways["tag"] = chance.integers(0, 1 << 63, len(ways))
        ways["seen"] = np.where(
            used, rig.jiffies.now() - chance.integers(0, 500 * HZ, len(ways)), 0
        )
        ways["real_num"] = chance.integers(1, VIPS * REALS_PER_VIP + 1, len(ways))
        ways["generation"] = 1
        ways["state"] = abi.FLOW_OPEN
        figures.append(
            Figure(
                f"count flows, {rig.dataplane.cpus} x {FLOWS_PER_CPU} entries, {filled:.0%} in use",
                _milliseconds(lambda: _census(rig)),
                "ms",
            )
        )
    return figures


def _census(rig: Rig) -> object:
    return rig.live_flows(300.0)


def _milliseconds(act: Callable[[], Any], times: int = 21) -> float:
    """The median, after one that does not count."""
    act()
    took = []
    for _ in range(times):
        started = time.perf_counter()
        act()
        took.append(time.perf_counter() - started)
    return round(1000 * statistics.median(took), 4)


def figures() -> list[Figure]:
    place = enclosure.directory()
    assert place, "main() runs it in an enclosure"
    pins = loader.pins(place / "bpffs", "bench")
    started = time.perf_counter()
    loaded = loader.load(loader.Request(pins, loader.BALANCER, flows_per_cpu=FLOWS_PER_CPU))
    took = time.perf_counter() - started
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    malloc.configure()  # as the agent does
    rig = Rig(pins)
    found = [
        Figure("compile and load, whole child", round(1000 * took, 1), "ms"),
        Figure("lb", loaded.programs["lb"].instructions, "instructions"),
        *packets(rig),
        *traces(rig),
        *rings(rig),
        *failovers(rig),
        *reads(rig),
    ]
    rig.close()
    loader.detach(pins)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    if not enclosure.directory():
        return enclosure.run([sys.executable, "-m", "tests.bench.dataplane", *sys.argv[1:]])
    found = figures()
    if options.json:
        print(json.dumps({f"{name} ({unit})": value for name, value, unit in found}, indent=2))
    else:
        width = max(len(figure.name) for figure in found)
        for figure in found:
            print(f"{figure.name:{width}}  {figure.value:>10g} {figure.unit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
