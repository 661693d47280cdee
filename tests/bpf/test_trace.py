# SPDX-License-Identifier: Apache-2.0
"""Trace: the filter takes exactly what it says, entry and exit show what came and what left, and
nothing is done while it is off."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from scapy.layers.l2 import Dot1Q, Ether

from agent.dataplane import abi, bpf_syscall
from agent.dataplane.map_specs import EVENTS_BYTES
from agent.nouns import Traced
from tests.bpf import frames, icmp_frames
from tests.bpf.rig import DNS, PASS, TX, WEB, WEB6, Rig, Service

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 100, "10.3.2.2": 100}
REALS6 = {"fd00:3:1::2": 100}
FAST = 1_000_000
"""Packets per second that no test reaches."""


@pytest.fixture
def web(rig: Rig) -> Service:
    """Three VIPs; drop events are off, so that all events are the trace's."""
    rig.configure(trace_all=False, event_rate=0)
    service = rig.serve(WEB, REALS)
    rig.serve(DNS, REALS)
    rig.serve(WEB6, REALS6)
    return service


def start(rig: Rig, **filter_: Any) -> None:  # noqa: ANN401  # Traced's fields
    rig.dataplane.start_trace(Traced(**{"rate": FAST, **filter_}))


def is_traced(rig: Rig, frame: bytes) -> bool:
    """Whether it is; entry and exit come together or not at all, and are counted."""
    out, events = rig.run_traced(frame)
    kinds = [int(event["kind"]) for event in events]
    assert kinds in ([], [abi.EVENT_ENTRY, abi.EVENT_EXIT])
    assert out.counted.get("traced", 0) == bool(kinds)
    assert not {"events", "events_lost"} & set(out.counted), "of drops only"
    return bool(kinds)


def head(event: Any) -> bytes:  # noqa: ANN401  # struct lb_event
    return bytes(event["head"])[: int(event["captured"])]


TCP4, UDP4 = frames.tcp(), frames.udp()
TCP6 = frames.tcp(to=frames.VIP6)
HOST = frames.framed(frames.network("", "198.51.100.1") / b"nothing to a VIP")


@pytest.mark.parametrize(
    ("filter_", "taken", "passed_over"),
    [
        ({"source": ip_network("192.0.2.7")}, TCP4, frames.tcp(source="192.0.2.8")),
        ({"source": ip_network("192.0.2.0/28")}, TCP4, frames.tcp(source="192.0.2.16")),
        ({"source": ip_network("2001:db8:c::/48")}, TCP6, TCP4),
        ({"source": ip_network("0.0.0.0/0")}, TCP4, TCP6),
        ({"destination": ip_network(frames.VIP)}, TCP4, TCP6),
        ({"destination": ip_network("::/0")}, TCP6, TCP4),
        ({"source_port": 40000}, TCP4, frames.tcp(port=40001)),
        ({"source_port": 40000}, UDP4, frames.udp(port=80)),
        ({"destination_port": 80}, TCP4, UDP4),
        ({"destination_port": 53, "source_port": 40000}, UDP4, frames.udp(port=53)),
        ({"protocol": 6}, TCP6, UDP4),
        ({"protocol": 17}, UDP4, TCP4),
        ({"version": 4}, UDP4, TCP6),
        ({"version": 6}, TCP6, TCP4),
        ({"vip_num": 1}, TCP4, UDP4),
        ({"vip_num": 3}, TCP6, TCP4),
        ({"real_num": 5}, TCP6, TCP4),
        ({"vip_num": 2, "version": 4, "protocol": 17}, UDP4, HOST),
        ({}, HOST, b""),
        ({}, frames.fragment(), b""),
    ],
    ids=str,
)
def test_each_part_of_the_filter(
    rig: Rig, web: Service, filter_: dict[str, Any], taken: bytes, passed_over: bytes
) -> None:
    start(rig, **filter_)
    assert is_traced(rig, taken)
    assert not passed_over or not is_traced(rig, passed_over)


@pytest.mark.parametrize("six", [False, True])
def test_prefixes_of_every_length(rig: Rig, web: Service, six: bool) -> None:
    """The standard library says what is within."""
    chance = random.Random(3)
    bits = 128 if six else 32
    client = int(ip_address(frames.CLIENT6 if six else frames.CLIENT))
    for length in range(bits + 1):
        source = ip_address(client ^ 1 << chance.randrange(bits))
        within = ip_network((client, length), strict=False)
        start(rig, source=within)
        frame = frames.tcp(source=str(source), to=frames.VIP6 if six else frames.VIP)
        assert is_traced(rig, frame) == (source in within), (source, within)


def test_each_real(rig: Rig, web: Service) -> None:
    """A flow is traced with the filter for its own real, and with no other's."""
    for port in range(41000, 41020):
        for number in web.reals.values():
            start(rig, real_num=number)
            assert is_traced(rig, frames.tcp(port=port)) == (web.predicted(port) == number)


def test_entry_is_what_came_and_exit_what_left(rig: Rig, web: Service) -> None:
    start(rig)
    before = time.monotonic_ns()
    out, (entry, exit_) = rig.run_traced(TCP4)
    assert out.action == TX
    assert head(entry) == TCP4
    assert head(exit_) == out.output[: abi.CAPTURE]
    assert (int(entry["length"]), int(exit_["length"])) == (len(TCP4), len(out.output))
    assert entry["packet"] == exit_["packet"]
    assert entry["cpu"] == exit_["cpu"]
    assert before < int(entry["at"]) <= int(exit_["at"]) < time.monotonic_ns()
    for event in (entry, exit_):
        assert int(event["vip_num"]) == web.vip_num
        assert int(event["real_num"]) == web.predicted(40000)
        assert not event["flow_hit"]
    assert exit_["verdict"] == abi.SEND
    _, (_, again) = rig.run_traced(frames.tcp(flags="A"))
    assert again["flow_hit"]
    assert again["packet"] != exit_["packet"]


def test_the_exit_of_a_drop_says_why_and_of_the_hosts_packet_pass(rig: Rig, web: Service) -> None:
    start(rig)
    out, (_, exit_) = rig.run_traced(frames.fragment())
    assert out.reason == "fragment"
    assert exit_["verdict"] == abi.DROP
    assert exit_["reason"] == 1
    out, (entry, exit_) = rig.run_traced(HOST)
    assert out.action == PASS
    assert exit_["verdict"] == abi.PASS
    assert head(entry) == head(exit_) == HOST


def test_a_tagged_frame_leaves_with_its_tag(rig: Rig, web: Service) -> None:
    tagged = bytes(Ether(TCP4[:12] + b"\x81\x00\x00\x07" + TCP4[12:]))
    assert Ether(tagged)[Dot1Q].vlan == 7
    start(rig, destination_port=80)
    out, (entry, exit_) = rig.run_traced(tagged)
    assert head(entry) == TCP4, "the program looks behind the tag"
    assert head(exit_) == out.output[: abi.CAPTURE]
    assert out.counted["tagged"] == 1


def test_an_icmp_error_goes_by_the_flow_that_it_quotes(rig: Rig, web: Service) -> None:
    """P3: the filter of a flow shows the errors about it too."""
    start(rig, source=ip_network(frames.CLIENT), source_port=40000)
    quoted = icmp_frames.answer(web.flow(40000))
    for kind in icmp_frames.ERRORS4.values():
        assert is_traced(rig, icmp_frames.error(kind, quoted))
        assert not is_traced(rig, icmp_frames.error(kind, icmp_frames.answer(web.flow(40001))))


def test_one_in_n_is_by_chance(rig: Rig, web: Service) -> None:
    runs, one_in = 20_000, 10
    start(rig, one_in=one_in)
    before = rig.dataplane.counters.traced
    bpf_syscall.run_program(rig.program, frames.fragment(), runs)
    taken = rig.dataplane.counters.traced - before
    spread = (runs * (1 / one_in) * (1 - 1 / one_in)) ** 0.5
    assert abs(taken - runs / one_in) < 6 * spread


@pytest.mark.parametrize("rate", [1, 100, 1000])
def test_the_rate_holds_and_what_it_keeps_back_is_counted(
    rig: Rig, web: Service, rate: int
) -> None:
    """C2: what matched and is in no event was over the rate, as long as the ring has room."""
    start(rig, rate=rate)
    before, started = rig.dataplane.counters.traced, time.monotonic()
    bpf_syscall.run_program(rig.program, frames.fragment(), 5000)
    elapsed = time.monotonic() - started
    events = rig.drain()
    entries = sum(int(event["kind"]) == abi.EVENT_ENTRY for event in events)
    assert rig.dataplane.counters.traced - before == 5000
    assert len(events) == 2 * entries
    assert rate <= entries <= rate + 1 + rate * (elapsed + 0.01)


def test_a_trace_begins_with_its_own_rate(rig: Rig, web: Service) -> None:
    """What the one before it used up does not hold it back."""
    start(rig, rate=2)
    bpf_syscall.run_program(rig.program, frames.fragment(), 100)
    rig.drain()
    start(rig, rate=2)
    assert is_traced(rig, TCP4)


def test_c2_a_full_ring_loses_what_the_difference_says(rig: Rig, web: Service) -> None:
    start(rig)
    before = rig.dataplane.counters.totals()
    bpf_syscall.run_program(rig.program, frames.fragment(), 5000)
    events = rig.drain()
    assert len(events) in range(EVENTS_BYTES // 208 - 1, EVENTS_BYTES // 208 + 1)
    after = rig.dataplane.counters.totals()
    assert int(after["traced"].sum() - before["traced"].sum()) == 5000
    assert int(after["events_lost"].sum()) == 0, "of drop events"
    assert is_traced(rig, TCP4), "and it goes on afterwards"


def test_it_ends_at_its_time_whether_the_agent_lives_or_not(rig: Rig, web: Service) -> None:
    start(rig, seconds=0)
    assert not is_traced(rig, TCP4)
    start(rig, seconds=30)
    assert is_traced(rig, TCP4)


def test_stopped_is_stopped_and_settings_leave_it_alone(rig: Rig, web: Service) -> None:
    start(rig)
    rig.configure(trace_all=False, event_rate=0, underlay_mtu=1400)
    assert is_traced(rig, TCP4)
    rig.dataplane.stop_trace()
    assert not is_traced(rig, TCP4)


def test_off_costs_nothing(rig: Rig, web: Service) -> None:
    """Without the flag nothing is tail-called: with nothing to jump to, a packet is sent all the
    same."""
    with without_rare(rig):
        assert rig.run(TCP4).action == TX
        start(rig)
        assert rig.run(TCP4).reason == "internal", "with it every packet jumps"
        rig.dataplane.stop_trace()
        assert rig.run(TCP4).action == TX


@contextmanager
def without_rare(rig: Rig) -> Iterator[None]:
    slot = abi.JUMP_RARE.to_bytes(4, "little")
    jumps = bpf_syscall.obj_get(str(rig.pins / "jumps"))
    rare = bpf_syscall.obj_get(str(rig.pins / "prog_rare"))
    try:
        bpf_syscall.map_delete(jumps, slot)
        yield
    finally:
        bpf_syscall.map_update(jumps, slot, rare.to_bytes(4, "little"))
        os.close(jumps)
        os.close(rare)
