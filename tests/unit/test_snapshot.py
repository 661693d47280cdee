# SPDX-License-Identifier: Apache-2.0
"""State and counters become telemetry, and packet heads become words."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.boundary import Counted, Probed
from agent.dataplane import abi
from agent.nouns import Target
from agent.wire.pace import EVERY
from agent.wire.snapshot import Origin, Reading, Snapshots, ring_digest, snapshots
from shared import messages as m
from shared.capture import Ends, ends
from shared.codec import telemetry_frames, telemetry_of
from shared.messages import Drain
from shared.model import Admin
from tests.unit.world import REALS, TOML, World, vip

ORIGIN = Origin("b00t", "0.1.0", 1.0, "00ff")


def reading(cpus: int = 2) -> Reading:
    totals = np.zeros(cpus, np.dtype(abi.Totals))
    totals["rx_packets"] = [100, 23]
    totals["drop_packets"] = [5, 2]
    totals["flow_miss_syn"] = [3, 4]
    totals["flow_miss_udp"] = [1, 0]
    totals["flow_miss_other"] = [0, 2]
    vips = np.arange(abi.MAX_VIPS * 4, dtype=np.uint64).reshape(-1, 4)
    vips[4:, 2] = 0
    totals["drops"][:, 1] = [5, 2]
    queues = np.zeros((cpus, abi.QUEUES), np.uint64)
    queues[:, 0] = [100, 23]
    return Reading(
        at=12.5, wall=1e9, totals=totals,
        vips=vips,
        reals=np.arange(abi.MAX_REALS * 4, dtype=np.uint64).reshape(-1, 4),
        capacity=1024, occupied=9, live=7, cpu_seconds=0.5, rss_bytes=1 << 20,
        queues=queues,
    )  # fmt: skip


def by_topic(world: World) -> dict[str, m.Snapshot]:
    made = snapshots(world.director.state, reading(), ORIGIN, 4)
    for message in made:
        assert telemetry_of(telemetry_frames(message)) == message
        assert (message.node, message.boot, message.sequence, message.at) == (
            "lb1",
            "b00t",
            4,
            12.5,
        )
    return {str(type(message).__struct_config__.tag): message for message in made}


def test_one_complete_snapshot_of_every_topic() -> None:
    world = World()
    world.all_up()
    world.ask(Drain(real=REALS[0]))
    world.tell()
    made = by_topic(world)
    assert set(made) == {"node", "vip", "real", "cpu", "flowtable", "drop"}
    node, vips, reals = made["node"], made["vip"], made["real"]
    assert isinstance(node, m.NodeSnapshot)
    assert (node.rx_packets, node.drop_packets, node.new_flows, node.flow_misses) == (
        123,
        7,
        32,
        10,
    )
    assert (node.reals, node.reals_up, node.vips_announced, node.revision) == (3, 2, 1, 1)
    assert isinstance(vips, m.VipSnapshot)
    assert vips.vips[0].packets == 4, "column 0 of vip_num 1"
    assert isinstance(reals, m.RealSnapshot)
    assert [r.admin for r in reals.reals] == [Admin.DRAINING, Admin.ENABLED, Admin.ENABLED]
    assert sum(r.slots for r in reals.reals) == 65537
    assert reals.reals[0].slots == 0


def test_c1_c3_sums_hold_on_the_wire() -> None:
    """C1, C3: reasons sum to the drops, causes to the misses, CPUs to the totals."""
    world = World()
    world.all_up()
    made = by_topic(world)
    node, cpu, table, drop = (made[t] for t in ("node", "cpu", "flowtable", "drop"))
    assert isinstance(node, m.NodeSnapshot)
    assert isinstance(cpu, m.CpuSnapshot)
    assert isinstance(table, m.FlowtableSnapshot)
    assert isinstance(drop, m.DropSnapshot)
    assert sum(cpu.rx_packets) == node.rx_packets
    assert sum(cpu.flow_misses) == node.flow_misses
    assert table.miss_syn + table.miss_udp + table.miss_other == node.flow_misses
    assert sum(row.packets for row in drop.drops) == node.drop_packets


def test_queues_up_to_the_last_that_had_a_packet() -> None:
    queues = np.zeros((2, abi.QUEUES), np.uint64)
    queues[0, 1], queues[1, 3] = 7, 8
    world = World()
    world.all_up()
    made = snapshots(world.director.state, replace(reading(), queues=queues), ORIGIN, 4)
    (cpu,) = [message for message in made if isinstance(message, m.CpuSnapshot)]
    assert [list(packets) for packets in cpu.queues] == [[0, 0], [7, 0], [0, 0], [0, 8]]
    assert telemetry_of(telemetry_frames(cpu)) == cpu


class Kept:
    """A world of two VIPs, and one maker of snapshots for all of them."""

    def __init__(self) -> None:
        self.world = World(
            TOML + vip("web", "10.200.0.1", 80, REALS) + vip("dns", "10.200.0.2", 53, REALS)
        )
        self.world.all_up()
        self.kept = Snapshots(ORIGIN)
        self.sequence = 0

    def same(self) -> tuple[m.Snapshot, ...]:
        """What the one maker says and one that remembers nothing: byte for byte alike."""
        self.sequence += 1
        state = self.world.director.state
        counted = replace(reading(), at=12.5 + self.sequence)
        counted.reals[:, :3] *= np.uint64(self.sequence)
        numbers = dict.fromkeys(EVERY, self.sequence)
        made = self.kept.published(state, counted, numbers, EVERY)
        assert made == Snapshots(ORIGIN).published(state, counted, numbers, EVERY)
        for real in (real for web in state.vips.values() for real in web.reals.values()):
            number = real.number.real_num
            assert state.live_flows[number] == real.live_flows
            assert state.check_ms[number] == real.check_ms
        return tuple(telemetry_of(frames) for frames in made)  # type: ignore[misc]


CHANGES: dict[str, Callable[[World], object]] = {
    "nothing": lambda world: None,
    "a check's time": lambda world: world.tell(
        Probed(Target("dns", ip_address(REALS[1])), True, "http 200", 2.5)
    ),
    "a check's words": lambda world: world.probe(REALS[1], ok=False),
    "down": lambda world: world.probe(REALS[1], ok=False, times=3),
    "up": lambda world: world.probe(REALS[1], ok=True, times=2),
    "drain": lambda world: world.ask(Drain(real=REALS[0]), id=str(world.now)),
    "undrain": lambda world: world.ask(m.Undrain(real=REALS[0]), id=str(world.now)),
    "weight": lambda world: world.ask(m.Weight(REALS[2], 7), id=str(world.now)),
    "flows": lambda world: world.tell(Counted(np.arange(abi.MAX_REALS, dtype=np.int64))),
    "no flows": lambda world: world.tell(Counted(np.zeros(abi.MAX_REALS, np.int64))),
    "a real more": lambda world: world.reload(
        TOML
        + vip("dns", "10.200.0.2", 53, [*REALS, "10.3.9.9"])
        + vip("web", "10.200.0.1", 80, REALS)
    ),
    "a real less": lambda world: world.reload(
        TOML + vip("dns", "10.200.0.2", 53, REALS[1:]) + vip("web", "10.200.0.1", 80, REALS)
    ),
}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(sorted(CHANGES)), max_size=8))
def test_what_is_kept_from_the_last_snapshot_is_never_stale(changes: list[str]) -> None:
    """Whatever changes in between, and in whatever order."""
    it = Kept()
    for change in changes:
        it.world.now += 1
        CHANGES[change](it.world)
        it.same()


def test_the_numbers_of_a_kept_row_are_of_now() -> None:
    it = Kept()
    it.same()
    it.world.tell(Counted(np.arange(abi.MAX_REALS, dtype=np.int64)))
    it.world.tell(Probed(Target("web", ip_address(REALS[0])), True, "http 200", 2.5))
    real = next(message for message in it.same() if isinstance(message, m.RealSnapshot))
    numbers = [
        r.number.real_num for v in it.world.director.state.vips.values() for r in v.reals.values()
    ]
    assert [(r.packets, r.bytes, r.new_flows, r.live_flows) for r in real.reals] == [
        (2 * 4 * n, 2 * (4 * n + 1), 2 * (4 * n + 2), n) for n in numbers
    ]
    assert (real.sequence, real.at) == (2, 14.5)
    assert [r.check_ms for r in real.reals][:2] == [2.5, 1.0]


@pytest.mark.parametrize("held", [1, 2, 10])
def test_what_was_published_never_changes_again(held: int) -> None:
    """It may still be in a queue, or in the history: payloads are sent by reference."""
    world, maker = Kept().world, Snapshots(ORIGIN)
    under_way: deque[tuple[list[bytes], list[bytes]]] = deque(maxlen=held)
    for n in range(30):
        sequences = dict.fromkeys(EVERY, n)
        for frames in maker.published(world.director.state, reading(), sequences, EVERY):
            under_way.append((frames, [bytes(frame) for frame in frames]))
            assert all(now == then for now, then in under_way)


def test_what_zeromq_has_not_sent_yet_never_changes_again(tmp_path: Path) -> None:
    """It sends without a copy, from a thread of its own, when the reader comes to it."""
    world, maker, sent = Kept().world, Snapshots(ORIGIN), list[int]()
    with (
        zmq.Context() as context,
        context.socket(zmq.PUSH) as push,
        context.socket(zmq.PULL) as pull,
    ):
        for end, option in ((push, zmq.SNDBUF), (pull, zmq.RCVBUF)):
            end.setsockopt(zmq.LINGER, 0)
            end.setsockopt(option, 4096)
        push.set_hwm(0)
        push.copy_threshold = 0  # pyzmq copies small ones in any case
        push.bind(f"ipc://{tmp_path}/push")
        pull.set_hwm(1)
        pull.setsockopt(zmq.RCVTIMEO, 10_000)
        pull.connect(f"ipc://{tmp_path}/push")
        for n in range(300):
            sequences = dict.fromkeys(EVERY, n)
            for frames in maker.published(world.director.state, reading(), sequences, EVERY):
                push.send_multipart(frames, copy=False)
                sent.append(n)
        assert [telemetry_of(pull.recv_multipart()).sequence for _ in sent] == sent


def test_ring_digest_tells_equal_rings_from_different_ones() -> None:
    """R1: nodes that number their reals differently have equal digests; a drain changes it."""
    one, two = (
        World(),
        World(TOML.replace("lb1", "lb2") + vip("web", "10.200.0.1", 80, REALS[::-1])),
    )
    for world in (one, two):
        world.all_up()
    assert ring_digest(one.director.state) == ring_digest(two.director.state)
    one.ask(Drain(real=REALS[0]))
    assert ring_digest(one.director.state) != ring_digest(two.director.state)


def frame(*, protocol: int = 6, ihl: int = 5, fragment: int = 0, ports: bytes = b"") -> bytes:
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | ihl, 0, 100, 0, fragment, 64, protocol, 0,
        socket.inet_aton("10.1.1.2"), socket.inet_aton("10.200.0.1"),
    )  # fmt: skip
    return bytes(12) + b"\x08\x00" + ip + bytes((ihl - 5) * 4) + ports


PORTS = struct.pack("!HH", 4000, 80)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (frame(ports=PORTS), Ends("10.1.1.2:4000", "10.200.0.1:80", "tcp")),
        (frame(protocol=17, ports=PORTS), Ends("10.1.1.2:4000", "10.200.0.1:80", "udp")),
        (frame(ihl=8, ports=PORTS), Ends("10.1.1.2:4000", "10.200.0.1:80", "tcp")),
        (frame(fragment=185, ports=PORTS), Ends("10.1.1.2", "10.200.0.1", "tcp")),
        (frame(fragment=0x2000, ports=PORTS), Ends("10.1.1.2:4000", "10.200.0.1:80", "tcp")),
        (frame(protocol=1), Ends("10.1.1.2", "10.200.0.1", "icmp")),
        (frame(protocol=132), Ends("10.1.1.2", "10.200.0.1", "ip-132")),
        (frame(), Ends("10.1.1.2", "10.200.0.1", "tcp")),
        (bytes(20), Ends("?", "?", "?")),
        (bytes(12) + b"\x86\xdd" + bytes(39), Ends("?", "?", "?")),
    ],
)
def test_heads_in_words(head: bytes, expected: Ends) -> None:
    assert ends(head) == expected


@given(st.binary(max_size=96))
def test_any_head_has_words(head: bytes) -> None:
    assert len(ends(head)) == 3
