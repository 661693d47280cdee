# SPDX-License-Identifier: Apache-2.0
"""Where a VIP's options send a packet: what is hashed, what is stored, what a real's state does."""

from __future__ import annotations

import random

import numpy as np
import pytest

from agent.dataplane import abi
from agent.nouns import Address, Hashed, Placing, Tracking, VipKey, WhenDown
from shared.model import Protocol
from tests.bpf import frames, icmp_frames, oracle
from tests.bpf.rig import DNS, DNS6, DROP, KEY, OUTER, PASS, WEB, WEB6, Outcome, Rig, Service

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 100, "10.3.2.2": 100, "10.3.3.2": 100}
MODES = tuple(Tracking)
STORING = (Tracking.TRACK, Tracking.CHANGED)
ALL4 = VipKey(WEB.address, 0, Protocol.TCP)
ALL6 = VipKey(WEB6.address, 0, Protocol.UDP)


def packet(
    service: Service, port: int, flags: str = "A", *, source: str = "", to_port: int = 0
) -> bytes:
    """Of a client to the VIP, TCP or UDP as it is."""
    key = service.key
    to, to_port = str(key.address), to_port or key.port
    if key.protocol is Protocol.UDP:
        return frames.from_port(frames.udp(source=source, to=to, to_port=to_port), port)
    return frames.from_port(frames.tcp(source=source, to=to, to_port=to_port, flags=flags), port)


def send(rig: Rig, service: Service, port: int, flags: str = "A") -> int | None:
    """The real's number; None: dropped for want of one."""
    out = rig.run(packet(service, port, flags))
    if out.action == DROP:
        assert out.reason == "no_real"
        return None
    return service.sent_to(out)


def connect(rig: Rig, service: Service, port: int) -> int:
    real = send(rig, service, port, "S")
    assert real
    assert send(rig, service, port) == real
    return real


def without(rig: Rig, service: Service, real_num: int | None) -> None:
    """A ring without this real, as when it drains or is down; None: of all."""
    rig.place(service, {a: int(n != real_num) for a, n in service.reals.items()})


def port_on(service: Service, real_num: int, first: int = 20000) -> int:
    return service.ports_of(real_num, 1, first)[0]


def stored(rig: Rig, service: Service, port: int) -> bool:
    return rig.flow(service.flow(port)) is not None


# ---- what is hashed


@pytest.mark.parametrize("tracking", [Tracking.TRACK, Tracking.COMPUTE])
@pytest.mark.parametrize("hashed", Hashed)
@pytest.mark.parametrize("key", [WEB, WEB6, DNS, DNS6, ALL4, ALL6], ids=str)
def test_the_ring_is_asked_with_what_the_option_leaves(
    rig: Rig, key: VipKey, hashed: Hashed, tracking: Tracking
) -> None:
    """As the oracle says, for every kind; and ICMP errors go where their flow went (P3)."""
    service = rig.serve(key, REALS, placing=Placing(hashed, tracking))
    kinds = icmp_frames.ERRORS6 if key.address.version == 6 else icmp_frames.ERRORS4
    errors = list(kinds.values())
    chance = random.Random(f"{key} {hashed}")
    for n in range(60):
        source = f"2001:db8:c::{n % 7:x}" if key.address.version == 6 else f"192.0.2.{n % 7}"
        port, to_port = chance.randrange(1024, 65536), key.port or chance.choice((80, 443, 8080))
        flow = oracle.Flow(source, port, str(key.address), to_port, key.protocol.value)
        wanted = oracle.real_num(oracle.hashed(oracle.part(flow, hashed), KEY), service.ring)
        out = rig.run(packet(service, port, "S", source=source, to_port=to_port))
        assert service.sent_to(out) == wanted
        assert out.output[12:14] == b"\x08\x00"
        assert outer_source(out) == oracle.outer_source(oracle.hashed(flow, KEY), OUTER)
        error = icmp_frames.error(chance.choice(errors), icmp_frames.answer(flow), to=flow.to)
        assert service.sent_to(rig.run(error)) == wanted


def outer_source(out: Outcome) -> str:
    return ".".join(map(str, out.output[26:30]))


@pytest.mark.parametrize(
    ("hashed", "varied", "together"),
    [
        (Hashed.SOURCE, "port", True),
        (Hashed.SOURCE, "to_port", True),
        (Hashed.SOURCE, "source", False),
        (Hashed.SOURCE_PORT, "port", True),
        (Hashed.SOURCE_PORT, "to_port", False),
        (Hashed.SOURCE_PORT, "source", False),
        (Hashed.PORT, "port", True),
        (Hashed.PORT, "source", True),
        (Hashed.PORT, "to_port", False),
        (Hashed.FLOW, "port", False),
        (Hashed.FLOW, "source", False),
        (Hashed.FLOW, "to_port", False),
    ],
)
@pytest.mark.parametrize("key", [ALL4, ALL6], ids=str)
def test_what_is_left_out_keeps_together_and_what_is_not_spreads(
    rig: Rig, key: VipKey, hashed: Hashed, varied: str, *, together: bool
) -> None:
    """300 flows that differ in one thing: one real, or each real its third (within 3.5 sigma)."""
    service = rig.serve(key, REALS, placing=Placing(hashed, Tracking.COMPUTE))
    counts = dict.fromkeys(service.reals.values(), 0)
    six = key.address.version == 6
    for n in range(300):
        source = f"2001:db8:c::{n + 1:x}" if six else f"198.51.{n % 2}.{n // 2 + 1}"
        frame = packet(
            service,
            port=2000 + n if varied == "port" else 999,
            source=source if varied == "source" else "",
            to_port=1 + n if varied == "to_port" else 80,
        )
        counts[service.sent_to(rig.run(frame))] += 1
    if together:
        assert sorted(counts.values()) == [0, 0, 300]
    else:
        assert all(abs(count - 100) < 3.5 * (300 * 2 / 9) ** 0.5 for count in counts.values())


@pytest.mark.parametrize("hashed", [Hashed.SOURCE, Hashed.SOURCE_PORT])
def test_f1_a_sticky_client_s_flows_stay_when_it_moves(rig: Rig, hashed: Hashed) -> None:
    """Old flows on the draining real, new ones of the same client together on another."""
    service = rig.serve(WEB, REALS, placing=Placing(hashed))
    opened = [connect(rig, service, port) for port in range(3000, 3010)]
    assert len(set(opened)) == 1
    rig.drain_real(service, opened[0])
    assert [send(rig, service, port) for port in range(3000, 3010)] == opened
    fresh = {connect(rig, service, port) for port in range(4000, 4010)}
    assert len(fresh) == 1
    assert opened[0] not in fresh


# ---- what is stored


def test_track_stores_every_flow_and_compute_none(rig: Rig) -> None:
    service = rig.serve(WEB, REALS, placing=Placing(tracking=Tracking.COMPUTE))
    dns = rig.serve(DNS, REALS, placing=Placing(tracking=Tracking.COMPUTE))
    for port in range(3000, 3050):
        assert send(rig, service, port, "S") == service.predicted(port)
        assert send(rig, dns, port) == dns.predicted(port)
    assert not rig.flows["way"]["seen"].any()
    totals = rig.totals
    assert totals["flow_untracked"].sum() == 100
    rig.dataplane.set_placing(service.vip_num, Placing())
    for port in range(3000, 3050):
        assert send(rig, service, port) == service.predicted(port)
        assert stored(rig, service, port)


def test_changed_stores_only_what_the_ring_alone_would_misplace(rig: Rig) -> None:
    service = rig.serve(WEB, REALS, placing=Placing(tracking=Tracking.CHANGED))
    before = list(service.ring)
    opened = {port: connect(rig, service, port) for port in range(3000, 3200)}
    assert not rig.flows["way"]["seen"].any(), "while the ring is stable nothing is stored"
    assert rig.totals["flow_untracked"].sum() == 400
    without(rig, service, next(iter(service.reals.values())))
    changed = {p for p in opened if differs(service, before, p)}
    assert 30 < len(changed) < 170
    for port, real in opened.items():
        assert send(rig, service, port) == real
        assert stored(rig, service, port) == (port in changed)
    assert rig.totals["flow_previous"].sum() == len(changed)


def differs(service: Service, before: list[int], port: int) -> bool:
    slot = oracle.slot(oracle.hashed(service.flow(port), KEY))
    return before[slot] != service.ring[slot]


def test_changed_stores_udp_all_the_same(rig: Rig) -> None:
    """Its first packet looks like any other: without an entry nobody could tell old from new."""
    service = rig.serve(DNS, REALS, placing=Placing(tracking=Tracking.CHANGED))
    opened = {port: send(rig, service, port) for port in range(3000, 3060)}
    assert all(stored(rig, service, port) for port in opened)
    without(rig, service, next(iter(service.reals.values())))
    assert {port: send(rig, service, port) for port in opened} == opened


@pytest.mark.parametrize("tracking", STORING)
def test_f1_drain_in_every_mode_that_stores(rig: Rig, tracking: Tracking) -> None:
    """Established flows stay, new ones never come; each of the reals in turn."""
    for n in range(3):
        rig.reset()
        service = rig.serve(WEB, REALS, placing=Placing(tracking=tracking))
        opened = {port: connect(rig, service, port) for port in range(3000, 3150)}
        drained = list(service.reals.values())[n]
        rig.drain_real(service, drained)
        assert {port: send(rig, service, port) for port in opened} == opened
        assert drained not in {connect(rig, service, port) for port in range(5000, 5150)}
        rig.dataplane.rings.forget_previous(service.vip_num)
        assert {port: send(rig, service, port) for port in opened} == opened


def test_f1_compute_moves_exactly_the_flows_of_the_slots_that_changed(rig: Rig) -> None:
    """What it promises is less: that is its price."""
    service = rig.serve(WEB, REALS, placing=Placing(tracking=Tracking.COMPUTE))
    for port in range(3000, 3100):
        connect(rig, service, port)
    without(rig, service, next(iter(service.reals.values())))
    for port in range(3000, 3100):
        assert send(rig, service, port) == service.predicted(port)


@pytest.mark.parametrize("tracking", STORING)
def test_f2_a_copy_of_a_syn_stays_while_the_ring_does(rig: Rig, tracking: Tracking) -> None:
    service = rig.serve(WEB, REALS, placing=Placing(tracking=tracking))
    real = connect(rig, service, 40000)
    for flags in "SASPAS":
        assert send(rig, service, 40000, flags) == real


def test_f2_track_keeps_a_copy_of_a_syn_over_a_ring_change(rig: Rig) -> None:
    service = rig.serve(WEB, REALS)
    real = connect(rig, service, 40000)
    without(rig, service, real)
    assert send(rig, service, 40000, "S") == real
    assert send(rig, service, 40000) == real


def test_f2_what_changed_cannot_know(rig: Rig) -> None:
    """A copy of a SYN after the ring changed looks like a new flow, if the flow has no entry.

    It has one as soon as any other packet of it came after the change.
    """
    service = rig.serve(WEB, REALS, placing=Placing(tracking=Tracking.CHANGED))
    real = connect(rig, service, 40000)
    silent = port_on(service, real)
    connect(rig, service, silent)
    without(rig, service, real)
    assert send(rig, service, 40000) == real
    assert send(rig, service, 40000, "S") == real, "it has an entry by now"
    moved = send(rig, service, silent, "S")
    assert moved == service.predicted(silent) != real
    assert send(rig, service, silent) == moved


# ---- long-lived flows and a ring that changes and changes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_f3_a_flow_outlives_any_number_of_ring_changes(rig: Rig, key: VipKey, seed: int) -> None:
    """150 changes of weights, members, modes and pressure; what was before is forgotten at times.

    A flow with a packet at least between any two `forget_previous` stays where it began;
    whether it has an entry is the program's business (JET, CoNEXT 2020).
    """
    chance = random.Random(seed)
    service = rig.serve(key, {f"10.3.{n}.2": 1 for n in range(1, 7)})
    members = dict.fromkeys(service.reals, 1)
    flows: dict[int, int] = {}
    ports = iter(range(1024, 65536))
    for _ in range(150):
        act = chance.choice(["weight", "leave", "return", "mode", "forget", "same"])
        if act == "mode":
            mode = chance.choice(STORING)
            placing = Placing(tracking=mode, pressure=chance.random() < 0.5)
            rig.dataplane.set_placing(service.vip_num, placing)
        elif act == "forget":
            for port, real in flows.items():
                assert send(rig, service, port) == real
            rig.dataplane.rings.forget_previous(service.vip_num)
        else:
            change(chance, act, members)
            rig.place(service, members)
        for port, real in chance.sample(sorted(flows.items()), min(12, len(flows))):
            assert send(rig, service, port) == real
        for _ in range(2):
            port = next(ports)
            flows[port] = connect(rig, service, port)
            assert members[rig.address(service.address(flows[port]))] > 0
    for port, real in flows.items():
        assert send(rig, service, port) == real
    assert len(set(flows.values())) == 6


def change(chance: random.Random, act: str, members: dict[Address, int]) -> None:
    """Of weights, in place; somebody stays."""
    at_work = [address for address, weight in members.items() if weight]
    if act == "weight":
        members[chance.choice(at_work)] = chance.randrange(1, 20)
    elif act == "leave" and len(at_work) > 1:
        members[chance.choice(at_work)] = 0
    elif act == "return":
        members[chance.choice(sorted(members))] = chance.randrange(1, 20)


def test_udp_under_pressure_follows_what_was_before_the_change(rig: Rig) -> None:
    """Without entries nobody can tell an old UDP flow from a new one: all of the slot are old."""
    service = rig.serve(DNS, REALS, placing=Placing(pressure=True))
    opened = {port: send(rig, service, port) for port in range(3000, 3100)}
    assert not rig.flows["way"]["seen"].any()
    drained = service.predicted(3000)
    assert drained
    before = list(service.ring)
    rig.drain_real(service, drained)
    assert {port: send(rig, service, port) for port in opened} == opened
    fresh = next(p for p in range(6000, 7000) if before[slot_of(service, p)] == drained)
    assert send(rig, service, fresh) == drained
    rig.dataplane.rings.forget_previous(service.vip_num)
    assert {port: send(rig, service, port) for port in opened} == opened, "they have entries now"
    assert send(rig, service, fresh + 20000) != drained


def slot_of(service: Service, port: int) -> int:
    return oracle.slot(oracle.hashed(service.flow(port), KEY))


# ---- F8: a flow that another node began


@pytest.mark.parametrize("tracking", STORING)
def test_f8_a_flow_of_another_node_follows_the_previous_ring_where_it_differs(
    rig: Rig, tracking: Tracking
) -> None:
    """The ring changed, the flow is older (it is no SYN): it is where it was before."""
    service = rig.serve(WEB, REALS, placing=Placing(tracking=tracking))
    before = list(service.ring)
    leaving = next(iter(service.reals.values()))
    rig.drain_real(service, leaving)
    for port in range(3000, 3100):
        was, now = before[slot_of(service, port)], service.ring[slot_of(service, port)]
        out = rig.run(packet(service, port, "A"))
        assert service.sent_to(out) == was
        assert out.counted.get("flow_previous", 0) == (was != now)
        assert service.sent_to(rig.run(packet(service, port, "PA"))) == was
    for port in range(4000, 4100):
        assert send(rig, service, port, "S") == service.predicted(port), "a new one: the ring"


@pytest.mark.parametrize("flag", [abi.REAL_DOWN, abi.REAL_DISABLED])
def test_f8_not_to_a_real_that_takes_no_packets(rig: Rig, flag: int) -> None:
    service = rig.serve(WEB, REALS)
    gone = next(iter(service.reals.values()))
    ports = service.ports_of(gone, 20)
    rig.dataplane.set_flags(gone, flag)
    without(rig, service, gone)
    for port in ports:
        out = rig.run(packet(service, port))
        assert service.sent_to(out) == service.predicted(port)
        assert "flow_previous" not in out.counted


def test_f8_not_to_a_number_with_another_owner(rig: Rig) -> None:
    """The previous real is gone, its number belongs to another machine of the same VIP (F3)."""
    service = rig.serve(WEB, REALS)
    gone = next(iter(service.reals.values()))
    ports = service.ports_of(gone, 20)
    without(rig, service, gone)
    rig.dataplane.free_real(gone)
    rig.put_real(gone, service.vip_num, "10.3.8.8", generation=2)
    for port in ports:
        assert send(rig, service, port) == service.predicted(port)


def test_f8_forgotten_the_ring_in_force_decides(rig: Rig) -> None:
    service = rig.serve(WEB, REALS)
    leaving = next(iter(service.reals.values()))
    ports = service.ports_of(leaving, 20)
    rig.drain_real(service, leaving)
    rig.dataplane.rings.forget_previous(service.vip_num)
    for port in ports:
        out = rig.run(packet(service, port))
        assert service.sent_to(out) == service.predicted(port) != leaving
        assert "flow_previous" not in out.counted


@pytest.mark.parametrize("tracking", STORING)
def test_f8_an_evicted_flow_comes_back_to_its_real(rig: Rig, tracking: Tracking) -> None:
    service = rig.serve(WEB, REALS, placing=Placing(tracking=tracking))
    leaving = next(iter(service.reals.values()))
    ports = service.ports_of(leaving, 20)
    for port in ports:
        connect(rig, service, port)
    rig.drain_real(service, leaving)
    rig.flows.view(np.uint8)[:] = 0
    for port in ports:
        assert send(rig, service, port) == leaving


# ---- F7: a flood


def flood(rig: Rig, service: Service, count: int) -> None:
    """SYNs of flows that never come again."""
    frame = frames.tcp(source="198.18.0.1", to=str(service.key.address), flags="S")
    for n in range(count):
        rig.quick(frames.from_port(frame, 1024 + n))


@pytest.mark.parametrize("gate", ["rate", "pressure", "open"])
def test_f7_live_flows_survive_a_flood_behind_the_gate(rig: Rig, gate: str) -> None:
    """20,000 new flows on a table of 16,384 entries; without the gate it would be overrun.  By the
    rate too few are added to fill the set of a live one, also by a flood that takes a minute."""
    rate = 20
    service = rig.serve(WEB, REALS)
    opened = {port: connect(rig, service, port) for port in range(3000, 3200)}
    rig.configure(trace_all=False, flow_rate=rate if gate == "rate" else 0)
    if gate == "pressure":
        rig.dataplane.set_placing(service.vip_num, Placing(pressure=True))
    before = rig.dataplane.counters.totals()
    flood(rig, service, 20000)
    after = rig.dataplane.counters.totals()
    causes = ("flow_miss_syn", "flow_unstored", "flow_evictions", "flow_untracked")
    moved = {name: int((after[name] - before[name]).sum()) for name in causes}
    kept = sum(stored(rig, service, port) for port in opened)
    if gate == "open":
        assert moved["flow_unstored"] == 0
        assert moved["flow_evictions"] > 5000
        assert kept < 150
        return
    assert kept == len(opened)
    if gate == "pressure":
        assert list(moved.values()) == [0, 0, 0, 20000]
    else:
        assert moved["flow_miss_syn"] == 20000
        inserted = 20000 - moved["flow_unstored"]
        entries = int(np.count_nonzero(rig.flows["way"]["seen"]))
        assert inserted == entries - len(opened) + moved["flow_evictions"]
        assert inserted >= rate / 10, "a tenth of a second's at once"
    leaving = opened[3000]
    rig.drain_real(service, leaving)
    assert {port: send(rig, service, port) for port in opened} == opened


def test_f7_what_the_ring_would_misplace_is_stored_whatever_the_rate(rig: Rig) -> None:
    service = rig.serve(WEB, REALS)
    before = list(service.ring)
    leaving = next(iter(service.reals.values()))
    rig.configure(flow_rate=1)
    rig.drain_real(service, leaving)
    differing = [p for p in range(3000, 3200) if differs(service, before, p)]
    for port in differing:
        assert send(rig, service, port) == leaving
        assert stored(rig, service, port)
    assert not rig.totals["flow_unstored"].any()


def test_f7_flows_without_an_entry_follow_the_previous_ring(rig: Rig) -> None:
    service = rig.serve(WEB, REALS)
    rig.configure(flow_rate=1)
    opened = {port: connect(rig, service, port) for port in range(3000, 3100)}
    assert sum(stored(rig, service, port) for port in opened) < 5
    assert rig.totals["flow_unstored"].sum() > 150
    rig.drain_real(service, opened[3000])
    assert {port: send(rig, service, port) for port in opened} == opened


# ---- a real's state


@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
@pytest.mark.parametrize("tracking", MODES)
def test_f4_migrate(rig: Rig, key: VipKey, tracking: Tracking) -> None:
    """The next packet goes elsewhere, and where it went it stays when the real is back."""
    service = rig.serve(key, REALS, placing=Placing(tracking=tracking))
    opened = {port: connect(rig, service, port) for port in range(3000, 3100)}
    down = next(iter(service.reals.values()))
    rig.dataplane.set_flags(down, abi.REAL_DOWN)
    at_once = {port: send(rig, service, port) for port in opened}
    for port, real in opened.items():
        wanted = service.predicted(port, frozenset({down})) if real == down else real
        assert at_once[port] == wanted
    without(rig, service, down)
    later = {port: send(rig, service, port) for port in opened}
    assert down not in later.values()
    if tracking in STORING:
        assert later == at_once
    without(rig, service, None)
    rig.dataplane.set_flags(down, 0)
    after = {port: send(rig, service, port) for port in opened}
    assert after == (later if tracking in STORING else opened)
    assert down in {connect(rig, service, port) for port in range(6000, 6050)}


@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
@pytest.mark.parametrize("tracking", STORING)
def test_f4_keep(rig: Rig, key: VipKey, tracking: Tracking) -> None:
    """Flows stay on a real that is down, before and after the ring is rebuilt; new ones do not."""
    service = rig.serve(key, REALS, placing=Placing(tracking=tracking, when_down=WhenDown.KEEP))
    opened = {port: connect(rig, service, port) for port in range(3000, 3100)}
    down = next(iter(service.reals.values()))
    rig.dataplane.set_flags(down, abi.REAL_DOWN)
    assert {port: send(rig, service, port) for port in opened} == opened
    assert down not in {connect(rig, service, port) for port in range(5000, 5060)}
    without(rig, service, down)
    assert {port: send(rig, service, port) for port in opened} == opened
    assert down not in {connect(rig, service, port) for port in range(5100, 5160)}
    theirs = next(port for port, real in opened.items() if real == down)
    assert send(rig, service, theirs, "S") != down, (
        "a new connection, or a copy: not worth the risk"
    )
    rig.dataplane.set_flags(down, abi.REAL_DISABLED)
    assert down not in {send(rig, service, port) for port in opened}


@pytest.mark.parametrize("tracking", MODES)
@pytest.mark.parametrize("key", [WEB, DNS], ids=str)
def test_f4_fail_open(rig: Rig, key: VipKey, tracking: Tracking) -> None:
    """All are down: with fail-open the ring decides as if they were not, else all is dropped."""
    service = rig.serve(key, REALS, placing=Placing(tracking=tracking))
    opened = {port: send(rig, service, port, "S") for port in range(3000, 3060)}
    for real in service.reals.values():
        rig.dataplane.set_flags(real, abi.REAL_DOWN)
    assert {send(rig, service, port) for port in opened} == {None}
    rig.dataplane.set_placing(service.vip_num, Placing(tracking=tracking, fail_open=True))
    assert {port: send(rig, service, port) for port in opened} == opened
    for port in range(6000, 6030):
        assert send(rig, service, port, "S") == service.predicted(port)
    disabled = next(iter(service.reals.values()))
    rig.dataplane.set_flags(disabled, abi.REAL_DISABLED)
    assert disabled not in {send(rig, service, port) for port in opened}


@pytest.mark.parametrize("when_down", WhenDown)
@pytest.mark.parametrize("tracking", MODES)
@pytest.mark.parametrize("key", [WEB, DNS6], ids=str)
def test_disabled_takes_no_packet_whatever_else_is_set(
    rig: Rig, key: VipKey, tracking: Tracking, when_down: WhenDown
) -> None:
    placing = Placing(tracking=tracking, when_down=when_down, fail_open=True)
    service = rig.serve(key, REALS, placing=placing)
    opened = {port: send(rig, service, port, "S") for port in range(3000, 3060)}
    disabled = next(iter(service.reals.values()))
    rig.dataplane.set_flags(disabled, abi.REAL_DISABLED)
    sent = {send(rig, service, p, f) for p in [*opened, *range(5000, 5060)] for f in ("A", "S")}
    assert disabled not in sent
    assert len(sent) > 1


# ---- UDP


def test_udp_idle_a_silent_flow_is_a_new_one(rig: Rig) -> None:
    service = rig.serve(DNS, REALS, placing=Placing(udp_idle=30.0))
    real = send(rig, service, 40000)
    assert real
    rig.drain_real(service, real)
    rig.age(service.flow(40000), seconds=29)
    assert send(rig, service, 40000) == real
    rig.age(service.flow(40000), seconds=31)
    out = rig.run(packet(service, 40000))
    assert service.sent_to(out) == service.predicted(40000) != real
    assert out.counted["flow_stale"] == out.counted["flow_miss_udp"] == 1
    assert send(rig, service, 40000) == service.predicted(40000)


def test_udp_idle_is_in_force_at_once_and_0_is_never(rig: Rig) -> None:
    service = rig.serve(DNS, REALS)
    real = send(rig, service, 40000)
    assert real
    rig.drain_real(service, real)
    rig.age(service.flow(40000), seconds=100_000)
    assert send(rig, service, 40000) == real
    rig.dataplane.set_placing(service.vip_num, Placing(udp_idle=60.0))
    assert send(rig, service, 40000) == real
    rig.age(service.flow(40000), seconds=61)
    assert send(rig, service, 40000) != real


def test_udp_idle_says_nothing_of_tcp_or_of_icmp_errors(rig: Rig) -> None:
    web = rig.serve(WEB, REALS, placing=Placing(udp_idle=5.0))
    real = connect(rig, web, 40000)
    rig.drain_real(web, real)
    rig.age(web.flow(40000), seconds=1000)
    assert send(rig, web, 40000) == real
    dns = rig.serve(DNS, REALS, placing=Placing(udp_idle=5.0))
    theirs = send(rig, dns, 40000)
    assert theirs
    rig.drain_real(dns, theirs)
    rig.age(dns.flow(40000), seconds=10)
    error = icmp_frames.error(
        icmp_frames.ERRORS4["port-unreachable"], icmp_frames.answer(dns.flow(40000))
    )
    assert dns.sent_to(rig.run(error)) == theirs
    assert rig.run(packet(dns, 41000)).action != PASS


# ---- errors in every mode


@pytest.mark.parametrize("tracking", MODES)
@pytest.mark.parametrize("key", [WEB, WEB6, DNS], ids=str)
def test_p3_errors_find_flows_without_an_entry(rig: Rig, key: VipKey, tracking: Tracking) -> None:
    """Settled, after a change, and after it was forgotten; they count as no lookup (C3)."""
    service = rig.serve(key, REALS, placing=Placing(tracking=tracking))
    opened = {port: send(rig, service, port, "S") for port in range(3000, 3040)}
    errors = icmp_frames.ERRORS6 if key.address.version == 6 else icmp_frames.ERRORS4
    (kind, *_) = errors.values()

    def errors_agree() -> None:
        for port in opened:
            quoted = icmp_frames.answer(service.flow(port))
            out = rig.run(icmp_frames.error(kind, quoted, to=str(key.address)))
            assert service.sent_to(out) == send(rig, service, port)
            assert {k for k in out.counted if k.startswith("flow_")} == set()
            assert out.counted["icmp_forwarded"] == 1

    errors_agree()
    without(rig, service, next(iter(service.reals.values())))
    errors_agree()
    rig.dataplane.rings.forget_previous(service.vip_num)
    errors_agree()
