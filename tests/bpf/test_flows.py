# SPDX-License-Identifier: Apache-2.0
"""Flows: found again, kept over drains, never delivered to a stranger."""

from __future__ import annotations

import random

import pytest

from agent.dataplane import abi, flowtable, mapped
from agent.dataplane.flowtable import HALF_CLOSED, RECEIVES
from agent.nouns import PLAIN
from tests.bpf import frames, oracle
from tests.bpf.conftest import FLOWS_PER_CPU
from tests.bpf.rig import DNS, DROP, KEY, TX, WEB, Rig, Service

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 100, "10.3.2.2": 100, "10.3.3.2": 100}


def real_of(rig: Rig, service: Service, port: int, flags: str) -> int | None:
    """The number of the real that a TCP packet was sent to; None: dropped."""
    out = rig.run(frames.tcp(port=port, flags=flags))
    if out.action == DROP:
        return None
    assert out.action == TX
    number = int(out.event["real_num"])
    address = ".".join(map(str, out.output[30:34]))
    assert address == service.address(number), "event and packet say the same"
    return number


def connect(rig: Rig, service: Service, port: int) -> int:
    real = real_of(rig, service, port, "S")
    assert real
    assert real_of(rig, service, port, "A") == real
    return real


def test_new_flows_go_where_the_oracle_says(rig: Rig) -> None:
    """Slot, real and address by an independent hash; 500 flows over two VIPs, weighted."""
    web = rig.serve(WEB, {"10.3.1.2": 100, "10.3.2.2": 7, "10.3.3.2": 1000})
    dns = rig.serve(DNS, REALS)
    for port in range(10000, 10250):
        out = rig.run(frames.tcp(port=port))
        hash_ = oracle.hashed(web.flow(port), KEY)
        assert out.event["slot"] == oracle.slot(hash_)
        assert out.event["real_num"] == web.predicted(port)
        out = rig.run(frames.udp(port=port))
        assert out.event["real_num"] == dns.predicted(port)
        assert out.event["vip_num"] == dns.vip_num


def test_f8_the_same_key_and_ring_mean_the_same_real_elsewhere(rig: Rig) -> None:
    """Another node has other numbers for the same reals: addresses are what agrees."""
    here = rig.serve(WEB, REALS)
    first = {p: here.address(connect(rig, here, p)) for p in range(4000, 4100)}
    rig.reset()
    rig.serve(DNS, {"10.3.7.7": 1, **REALS})  # these take the low numbers
    there = rig.serve(WEB, dict(reversed(REALS.items())))
    assert sorted(there.reals) == sorted(here.reals)
    assert set(there.reals.values()).isdisjoint(here.reals.values())
    assert {p: there.address(connect(rig, there, p)) for p in first} == first


def test_another_key_places_flows_elsewhere(rig: Rig) -> None:
    service = rig.serve(WEB, REALS)
    before = [connect(rig, service, p) for p in range(2000, 2100)]
    rig.reset()
    rig.configure(hash_key=bytes(16))
    rig.serve(WEB, REALS)
    after = [real_of(rig, service, p, "S") for p in range(2000, 2100)]
    assert sum(a == b for a, b in zip(before, after, strict=True)) < 70


def test_states_and_causes(rig: Rig) -> None:
    """C3: each packet of a connection's life is one hit or one miss with its cause."""
    service = rig.serve(WEB, REALS)
    life = [
        ("S", "flow_miss_syn", abi.FLOW_OPENING),
        ("S", "flow_hits", abi.FLOW_OPENING),
        ("A", "flow_hits", abi.FLOW_OPEN),
        ("PA", "flow_hits", abi.FLOW_OPEN),
        ("S", "flow_hits", abi.FLOW_OPEN),
        ("FA", "flow_hits", abi.FLOW_CLOSING),
        ("A", "flow_hits", abi.FLOW_CLOSING + 1),
        ("S", "flow_miss_syn", abi.FLOW_OPENING),
        ("R", "flow_hits", abi.FLOW_CLOSING),
    ]
    causes = {"flow_hits", "flow_miss_syn", "flow_miss_udp", "flow_miss_other"}
    for flags, cause, state in life:
        out = rig.run(frames.tcp(flags=flags))
        assert {k: v for k, v in out.counted.items() if k in causes} == {cause: 1}, flags
        assert out.event["flow_hit"] == (cause == "flow_hits")
        stored = rig.flow(service.flow(40000))
        assert stored is not None
        assert stored["state"] == state, flags


@pytest.mark.parametrize("flags", ["A", "PA", "SA"])
def test_a_connection_that_is_not_known_is_placed_by_the_ring(rig: Rig, flags: str) -> None:
    """Evicted, or from another node: stored, but not a new flow of the real."""
    service = rig.serve(WEB, REALS)
    out = rig.run(frames.tcp(flags=flags))
    assert out.counted["flow_miss_other"] == 1
    assert out.event["real_num"] == service.predicted(40000)
    assert rig.flow(service.flow(40000))["state"] == abi.FLOW_OPEN  # type: ignore[index]
    assert not rig.dataplane.counters.by_real()[:, 2].any()
    assert rig.run(frames.tcp(flags="A")).counted["flow_hits"] == 1


@pytest.mark.parametrize("flags", ["FA", "R", "RA"])
def test_an_unknown_flow_s_end_takes_no_entry(rig: Rig, flags: str) -> None:
    service = rig.serve(WEB, REALS)
    out = rig.run(frames.tcp(flags=flags))
    assert out.action == TX
    assert rig.flow(service.flow(40000)) is None


def test_udp_flows_are_kept(rig: Rig) -> None:
    service = rig.serve(DNS, REALS)
    assert rig.run(frames.udp()).counted["flow_miss_udp"] == 1
    for _ in range(3):
        assert rig.run(frames.udp()).counted["flow_hits"] == 1
    assert rig.flow(service.flow(40000)) is not None


@pytest.mark.parametrize("which", [0, 1, 2], ids=["first", "middle", "last"])
def test_f1_drain_keeps_flows_and_gets_no_new_one(rig: Rig, which: int) -> None:
    service = rig.serve(WEB, REALS)
    flows = {port: connect(rig, service, port) for port in range(3000, 3300)}
    drained = list(service.reals.values())[which]
    theirs = [port for port, real in flows.items() if real == drained]
    assert len(theirs) > 50
    new_before = rig.dataplane.counters.by_real()[drained, 2]
    rig.drain_real(service, drained)
    for port, real in flows.items():
        assert real_of(rig, service, port, "PA") == real
    fresh = [connect(rig, service, port) for port in range(30000, 30300)]
    assert drained not in fresh
    assert rig.dataplane.counters.by_real()[drained, 2] == new_before
    assert rig.live_flows(300.0)[drained] == len(theirs)
    for port in theirs:
        assert real_of(rig, service, port, "FA") == drained
    assert real_of(rig, service, theirs[0], "S") != drained, "closed, then reused: a new flow"


def test_f1_udp_flows_stay_on_a_draining_real(rig: Rig) -> None:
    service = rig.serve(DNS, REALS)
    flows = {port: int(rig.run(frames.udp(port=port)).event["real_num"]) for port in range(500)}
    drained = next(iter(service.reals.values()))
    rig.drain_real(service, drained)
    for port, real in flows.items():
        assert rig.run(frames.udp(port=port)).event["real_num"] == real
    fresh = {int(rig.run(frames.udp(port=port)).event["real_num"]) for port in range(1000, 1300)}
    assert drained not in fresh


def test_f2_a_repeated_syn_stays(rig: Rig) -> None:
    """While opening, while open, over a ring change and over a drain; not when the real is down."""
    service = rig.serve(WEB, REALS)
    real = real_of(rig, service, 40000, "S")
    assert real
    rig.drain_real(service, real)
    assert real_of(rig, service, 40000, "S") == real
    assert real_of(rig, service, 40000, "A") == real
    assert real_of(rig, service, 40000, "S") == real, "a late copy of an open flow's SYN"
    rig.dataplane.set_flags(real, abi.REAL_DOWN)
    assert real_of(rig, service, 40000, "S") not in (real, None)


def test_f2_after_a_minute_too_where_nothing_drains(rig: Rig) -> None:
    """A client that keeps its connection open in silence and repeats a SYN: same real, new ring."""
    service = rig.serve(WEB, REALS)
    real = connect(rig, service, 40000)
    rig.place(service, {a: int(n != real) for a, n in service.reals.items()})
    rig.age(service.flow(40000), seconds=200)
    assert real_of(rig, service, 40000, "S") == real


def test_f1_f2_a_refused_syn_binds_nobody_to_a_draining_real(rig: Rig) -> None:
    """A copy of the SYN stays; a minute later it is a new connection, and those go elsewhere."""
    service = rig.serve(WEB, REALS)
    real = real_of(rig, service, 40000, "S")
    assert real
    rig.drain_real(service, real)
    rig.age(service.flow(40000), seconds=50)
    assert real_of(rig, service, 40000, "S") == real
    rig.age(service.flow(40000), seconds=62)
    assert real_of(rig, service, 40000, "S") not in (real, None)


def test_f2_a_port_reused_after_a_minute_leaves_the_draining_real(rig: Rig) -> None:
    service = rig.serve(WEB, REALS)
    real = connect(rig, service, 40000)
    rig.drain_real(service, real)
    rig.age(service.flow(40000), seconds=50)
    assert real_of(rig, service, 40000, "S") == real
    rig.age(service.flow(40000), seconds=62)
    assert real_of(rig, service, 40000, "A") == real, "a packet that is no SYN is the old flow's"
    rig.age(service.flow(40000), seconds=62)
    assert real_of(rig, service, 40000, "S") != real


def test_f4_down_the_very_next_packet_goes_elsewhere(rig: Rig) -> None:
    """By the slots that the hash names next, before any new ring; no flow remains on it."""
    service = rig.serve(WEB, REALS)
    flows = {port: connect(rig, service, port) for port in range(3000, 3200)}
    down = next(iter(service.reals.values()))
    rig.dataplane.set_flags(down, abi.REAL_DOWN)
    for port, real in flows.items():
        now = real_of(rig, service, port, "A")
        assert now == (service.predicted(port, frozenset({down})) if real == down else real)
    # One in 243 finds this real five times over: dropped (no_real) until the new ring is there.
    stuck = [
        port for port, real in flows.items() if service.predicted(port, frozenset({down})) is None
    ]
    assert len(stuck) < 5
    assert rig.live_flows(300.0)[down] == len(stuck)
    rig.place(service, {a: int(n != down) for a, n in service.reals.items()})
    for port in flows:
        assert real_of(rig, service, port, "A") not in (down, None)
    assert rig.live_flows(300.0)[down] == 0
    moved = {port: real_of(rig, service, port, "A") for port in flows}
    rig.dataplane.set_flags(down, 0)
    after = {port: real_of(rig, service, port, "A") for port in flows}
    assert after == moved, "flows do not jump back"


def test_f4_all_down_is_no_real(rig: Rig) -> None:
    service = rig.serve(WEB, REALS)
    connect(rig, service, 40000)
    for number in service.reals.values():
        rig.dataplane.set_flags(number, abi.REAL_DOWN)
    out = rig.run(frames.tcp(flags="A"))
    assert (out.action, out.reason) == (DROP, "no_real")
    assert out.counted["flow_stale"] == 1


def test_f3_a_recycled_number_gets_no_old_flow(rig: Rig) -> None:
    """Same number, same VIP, another machine: the generation tells the flows apart."""
    service = rig.serve(WEB, REALS)
    number = service.predicted(40000)
    assert number
    connect(rig, service, 40000)
    rig.dataplane.free_real(number)
    assert real_of(rig, service, 40000, "A") != number, "freed: another real of the ring"
    rig.reset()
    service = rig.serve(WEB, REALS)
    connect(rig, service, 40000)
    rig.put_real(number, service.vip_num, "10.3.8.8", generation=2)
    out = rig.run(frames.tcp(flags="A"))
    assert out.counted["flow_stale"] == out.counted["flow_miss_other"] == 1


def test_f3_any_sequence_of_changes(rig: Rig) -> None:
    """300 random changes: no packet leaves for an address that is not the VIP's at that time, and
    no flow moves while the real that it was stored with lives."""
    chance = random.Random(3)
    addresses = [f"10.3.{n}.2" for n in range(1, 9)]
    service = rig.serve(WEB, dict.fromkeys(addresses[:4], 1))
    rig.serve(DNS, {"10.3.99.1": 1, "10.3.99.2": 1})
    alive = dict(service.reals)
    flows: dict[int, str] = {}
    generations: dict[int, int] = {}
    for step in range(300):
        act = chance.choice(["add", "remove", "drain", "undrain", "none"])
        listed = sorted(alive)
        if act == "add" and len(alive) < 8:
            chosen = next(a for a in addresses if a not in map(str, alive))
            number = next(n for n in range(10, 40) if n not in alive.values())
            generations[number] = generations.get(number, 0) + 1
            rig.put_real(number, service.vip_num, chosen, generations[number])
            alive |= dict.fromkeys([rig.address(chosen)], number)
        elif act == "remove" and len(alive) > 1:
            gone = chance.choice(listed)
            number = alive.pop(gone)
            flows = {port: real for port, real in flows.items() if real != str(gone)}
            service = service._replace(reals=dict(alive))
            rig.place(service, dict.fromkeys(alive, 1))
            rig.dataplane.free_real(number)
        elif act == "drain" and len(alive) > 1:
            rig.dataplane.set_flags(alive[chance.choice(listed)], abi.REAL_DRAINING)
        elif act == "undrain":
            rig.dataplane.set_flags(alive[chance.choice(listed)], 0)
        if alive != service.reals:
            service = service._replace(reals=dict(alive))
            rig.place(service, dict.fromkeys(alive, 1))
        for _ in range(5):
            port = 1024 + chance.randrange(300)
            out = rig.run(frames.tcp(port=port, flags="A" if port in flows else "S"))
            address = ".".join(map(str, out.output[30:34]))
            assert address in map(str, alive), step
            assert flows.setdefault(port, address) == address, step


def test_a_full_set_gives_up_closing_flows_first_then_the_oldest(rig: Rig) -> None:
    """Five flows of one set of four ways; which one goes."""
    service = rig.serve(WEB, REALS)
    sets = FLOWS_PER_CPU // abi.FLOW_WAYS
    chosen = oracle.hashed(service.flow(1024), KEY) % sets
    same = (p for p in range(1024, 65536) if oracle.hashed(service.flow(p), KEY) % sets == chosen)
    ports = [next(same) for _ in range(6)]
    for age, port in zip((40, 30, 20, 10), ports, strict=False):
        connect(rig, service, port)
        rig.age(service.flow(port), seconds=age)
    real_of(rig, service, ports[3], "F")
    assert "flow_evictions" not in rig.run(frames.tcp(port=ports[4])).counted
    assert rig.flow(service.flow(ports[3])) is None, "the closing one, though it was seen last"
    assert rig.run(frames.tcp(port=ports[5])).counted["flow_evictions"] == 1
    assert rig.flow(service.flow(ports[0])) is None, "then the one silent for longest"
    for port in (ports[1], ports[2], ports[4], ports[5]):
        assert rig.flow(service.flow(port)) is not None


def test_the_tag_is_exact_for_one_vip(rig: Rig) -> None:
    """Flows of one VIP never share a hash: 200,000 in the oracle, which the program equals."""
    flow = rig.serve(WEB, REALS).flow(0)
    tags = {
        oracle.hashed(flow._replace(source=f"198.51.100.{host}", port=port), KEY)
        for host in range(4)
        for port in range(50000)
    }
    assert len(tags) == 200000


def test_a_count_looks_at_no_empty_table_for_packets_that_store_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F9 the cheap way: the checks' own answers are packets too, and the host's."""
    looked_at: list[int] = []

    def window(fd: int, offset: int, size: int) -> object:
        looked_at.append(offset)
        return mapped.window(fd, offset, size)

    monkeypatch.setattr(flowtable, "window", window)
    service, flows = rig.serve(WEB, REALS), rig.dataplane.flows
    assert flows.occupancy(60.0)[1] == 0
    looked_at.clear()
    assert "pass_packets" in rig.run(frames.tcp(to="203.0.113.9")).counted
    assert (flows.occupancy(61.0)[1], looked_at) == (0, [])
    connect(rig, service, 3000)
    assert (flows.occupancy(62.0)[1], bool(looked_at)) == (1, True)


def test_live_flows_and_occupancy(rig: Rig) -> None:
    """By real: seen within the idle time and not closing; F9: reading changes nothing."""
    service = rig.serve(WEB, REALS)
    flows = {port: connect(rig, service, port) for port in range(3000, 3090)}
    table = rig.flows.copy()
    for number in service.reals.values():
        expected = sum(real == number for real in flows.values())
        assert rig.dataplane.flows.live(61.0)[number] == expected
    capacity, occupied, live = rig.dataplane.flows.occupancy(61.0)
    received = [packets > 0 for packets in rig.dataplane.counters.totals()["rx_packets"]]
    assert (capacity, occupied, live) == (FLOWS_PER_CPU * sum(received), 90, 90)
    assert sum(received) == 1, "the others' tables hold none of these: a machine may have many"
    assert (table == rig.flows).all()
    ports = list(flows)
    real_of(rig, service, ports[0], "F")
    rig.age(service.flow(ports[1]), seconds=70)
    assert rig.dataplane.flows.occupancy(59.0) == (capacity, 90, 88)


def test_the_silence_of_a_drained_real_s_flows(rig: Rig) -> None:
    """What a drain says of the flows that are left: heard of last, and silent for longest."""
    service = rig.serve(WEB, REALS)
    flows = {port: connect(rig, service, port) for port in range(3000, 3030)}
    number = flows[3000]
    mine = [port for port, real in flows.items() if real == number]
    assert rig.dataplane.flows.silence(300.0) == {}, "nobody asked"
    rig.dataplane.flows.watch([number])
    assert rig.dataplane.flows.silence(300.0)[number] == pytest.approx((0, 0), abs=1)
    for age, port in enumerate(mine):
        rig.age(service.flow(port), seconds=20 + 10 * age)
    rig.dataplane.flows.watch([])
    rig.dataplane.flows.watch([number])
    least, most = rig.dataplane.flows.silence(300.0)[number]
    assert least == pytest.approx(20, abs=2)
    assert most == pytest.approx(20 + 10 * (len(mine) - 1), abs=2)
    assert set(rig.dataplane.flows.silence(300.0)) == {number}


def test_f1_a_half_closed_flow_is_live_while_it_receives(rig: Rig) -> None:
    """F1: the client ended its half and receives on; a drain is not over while it acknowledges."""
    service = rig.serve(WEB, REALS)
    number = connect(rig, service, 3000)
    assert real_of(rig, service, 3000, "FA") == number
    for _ in range(5):
        assert real_of(rig, service, 3000, "A") == number
        assert rig.live_flows(300.0)[number] == 0, "so far it may be what follows an end"
    for _ in range(50):
        assert real_of(rig, service, 3000, "A") == number
        assert rig.live_flows(300.0)[number] == 1
    assert int(rig.flow(service.flow(3000))["state"]) == HALF_CLOSED  # type: ignore[index]
    rig.age(service.flow(3000), seconds=RECEIVES + 2)
    assert rig.live_flows(300.0)[number] == 0
    assert real_of(rig, service, 3000, "A") == number
    assert real_of(rig, service, 3000, "S") == number, "the ring's: another connection"
    assert int(rig.flow(service.flow(3000))["state"]) == abi.FLOW_OPENING  # type: ignore[index]


def test_silent_udp_flows_are_over_when_the_vip_says_so(rig: Rig) -> None:
    """So that a drain of UDP ends: the table counts by the time after which they are new ones."""
    service = rig.serve(DNS, REALS)
    rig.dataplane.set_placing(service.vip_num, PLAIN._replace(udp_idle=10.0))
    for port in (2000, 2001):
        rig.run(frames.udp(port=port))
    rig.age(service.flow(2000), seconds=12)
    assert rig.live_flows(300.0).sum() == 1
    rig.dataplane.set_placing(service.vip_num, PLAIN)
    assert rig.live_flows(300.0).sum() == 2
