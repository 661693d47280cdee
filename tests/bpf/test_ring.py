# SPDX-License-Identifier: Apache-2.0
"""bpf/ring.c against the reference, and how a ring comes into force."""

from __future__ import annotations

import random
import resource
import signal
import time
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np
import pytest

from agent.boundary import EffectError
from agent.core import maglev
from agent.dataplane import abi, loader, ring_fill
from agent.dataplane.maps import DataPlane
from agent.dataplane.ring_rows import QUARANTINE
from agent.nouns import Address
from shared.model import RING_SLOTS
from tests.bpf import frames
from tests.bpf.conftest import RING_ROWS
from tests.bpf.rig import DNS, TX, WEB, Rig
from tests.maglev_oracle import lookup_table

pytestmark = pytest.mark.root

THEMSELVES = np.arange(abi.MAX_REALS, dtype=np.uint32)
"""Real numbers of rings that name real numbers."""
SEED = b"10.200.0.1:80/tcp"


def crowd(count: int, heaviest: int, *, seed: int = 1) -> dict[Address, int]:
    chance = random.Random(f"{count}/{heaviest}/{seed}")
    return {
        IPv4Address(a): chance.randint(1, heaviest)
        for a in chance.sample(range(0x0A000000, 0x0BFFFFFF), count)
    }


@pytest.mark.parametrize("count", [1, 2, 3, 34, 100, 1000, maglev.MAX_MEMBERS])
@pytest.mark.parametrize("heaviest", [1, 100, 1000])
def test_r1_ring_c_gives_the_reference_s_bytes(rig: Rig, count: int, heaviest: int) -> None:
    turns = maglev.turns(crowd(count, heaviest), SEED, RING_SLOTS)
    filled = rig.dataplane.fill(turns, RING_SLOTS)
    assert filled.dtype == np.uint16
    assert np.array_equal(filled, maglev.fill(turns, RING_SLOTS))


def test_r1_ring_c_equals_the_paper(rig: Rig) -> None:
    members = crowd(34, 100)
    ring = maglev.ring(members, SEED, fill=rig.dataplane.fill)
    assert list(ring.counts().values()) == np.bincount(ring.slots).tolist()
    assert [ring.addresses[i] for i in ring.slots] == lookup_table(members, SEED, RING_SLOTS)


def test_r6_each_slot_has_a_place_of_its_own_wherever_a_walk_came_from() -> None:
    """A sum of fractions is one unit short per turn of the ring, of which a walk takes 65,536."""
    slots = np.arange(RING_SLOTS)
    exact = ring_fill.fractions(slots) + np.uint64(abi.FILL_BIAS)
    short = exact - np.uint64(RING_SLOTS)
    assert len(set(ring_fill.places(slots).tolist())) == RING_SLOTS
    assert np.array_equal(ring_fill.slots_at(ring_fill.places(slots)), slots)
    for fractions in (exact, short):
        assert np.array_equal(
            fractions >> np.uint64(64 - abi.FILL_PLACE_BITS), ring_fill.places(slots)
        )
        doubled = [(int(x) >> 32) * 2 * RING_SLOTS >> 32 for x in fractions]
        assert doubled == [2 * slot for slot in range(RING_SLOTS)]


def test_r1_fills_do_not_see_each_other(rig: Rig) -> None:
    """The workspace is one: a large crowd, then a small one, then the first again."""
    large, small = (maglev.turns(crowd(n, 100), SEED, RING_SLOTS) for n in (1000, 2))
    first = rig.dataplane.fill(large, RING_SLOTS)
    rig.dataplane.fill(small, RING_SLOTS)
    assert np.array_equal(first, rig.dataplane.fill(large, RING_SLOTS))


def test_r1_a_fill_that_signals_interrupt_is_the_same(rig: Rig) -> None:
    """A test run ends with EINTR when a signal comes; the program goes on where it was."""
    turns = maglev.turns(crowd(100, 100), SEED, RING_SLOTS)
    came: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: came.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        for _ in range(5):
            assert np.array_equal(
                rig.dataplane.fill(turns, RING_SLOTS), maglev.fill(turns, RING_SLOTS)
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(came) > 10


def test_r7_another_size_is_refused(rig: Rig) -> None:
    with pytest.raises(EffectError, match=r"ring\.c fills rings of 65537 slots, not 65539"):
        rig.dataplane.fill(maglev.turns(crowd(3, 1), SEED, 65539), 65539)


def test_a_ring_is_what_was_written(rig: Rig) -> None:
    service = rig.serve(WEB, {"10.3.1.2": 3, "10.3.2.2": 1})
    assert rig.dataplane.rings.current(service.vip_num).tolist() == service.ring
    assert not rig.dataplane.rings.current(service.vip_num + 1).any()


def test_f6_a_flip_never_writes_the_row_in_force(rig: Rig) -> None:
    """The old row stays whole for the quarantine: a packet that reads it is not misled."""
    service = rig.serve(WEB, {"10.3.1.2": 1, "10.3.2.2": 1})
    rows = rig.rows()
    for step in range(3 * RING_ROWS):
        before, row = service.ring.copy(), rig.row_in_force(service)
        started = time.monotonic()
        rig.place(service, {address: step % 5 + n for n, address in enumerate(service.reals, 1)})
        assert rig.row_in_force(service) not in (row, 0)
        if time.monotonic() - started < QUARANTINE:
            assert (rows[row, :RING_SLOTS] & abi.SLOT_REAL).tolist() == before


def test_f6_a_retired_row_rests_before_it_is_written(bpffs: Path) -> None:
    """With three rows for one VIP every flip but the first wants a row that was just in force."""
    pins = loader.pins(bpffs, "few-rows")
    loader.load(loader.Request(pins, loader.BALANCER, flows_per_cpu=1024, ring_rows=4))
    rig = Rig(pins)
    try:
        service = rig.serve(WEB, {"10.3.1.2": 1, "10.3.2.2": 1})
        row = np.array(service.ring, np.uint16)
        retired: dict[int, float] = {}
        for _ in range(8):
            before, started = rig.row_in_force(service), time.monotonic()
            rig.dataplane.rings.put(service.vip_num, row, THEMSELVES)
            written, used = time.monotonic(), rig.row_in_force(service)
            assert written - retired.get(used, 0.0) >= QUARANTINE
            retired[before] = started
        assert len(retired) == 3
    finally:
        rig.close()
        loader.detach(pins)


def test_a_row_that_could_not_be_written_is_not_lost(bpffs: Path) -> None:
    """What fails is tried again every second: with two rows left the third try would have none."""
    pins = loader.pins(bpffs, "few-rows")
    loader.load(loader.Request(pins, loader.BALANCER, flows_per_cpu=1024, ring_rows=4))
    rig = Rig(pins)
    try:
        service = rig.serve(WEB, {"10.3.1.2": 1, "10.3.2.2": 1})
        row = np.array(service.ring, np.uint16)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            for _ in range(4):
                with pytest.raises(EffectError, match="cannot be mapped: Too many open files"):
                    rig.dataplane.rings.put(service.vip_num, row, THEMSELVES)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        rig.dataplane.rings.put(service.vip_num, row, THEMSELVES)
    finally:
        rig.close()
        loader.detach(pins)


def test_f6_each_packet_sees_the_old_ring_or_the_new(rig: Rig) -> None:
    service = rig.serve(WEB, {"10.3.1.2": 1, "10.3.2.2": 1, "10.3.3.2": 1})
    for step in range(30):
        old = service.ring.copy()
        rig.place(service, {a: 1 for n, a in enumerate(service.reals) if n != step % 3})
        assert old != service.ring
        for port in range(2000 + step * 20, 2020 + step * 20):
            assert rig.run(frames.tcp(port=port)).event["real_num"] == service.predicted(port)


def test_vips_have_rings_of_their_own(rig: Rig) -> None:
    web, dns = rig.serve(WEB, {"10.3.1.2": 1}), rig.serve(DNS, {"10.3.2.2": 1})
    rig.place(web, {})
    assert rig.run(frames.tcp()).reason == "no_real"
    out = rig.run(frames.udp())
    assert out.action == TX
    assert out.event["real_num"] == dns.predicted(40000)


def test_an_adopter_does_not_write_rows_in_force(rig: Rig) -> None:
    """F5: a restarted agent finds the rings, and which rows are not free."""
    web, dns = rig.serve(WEB, {"10.3.1.2": 1}), rig.serve(DNS, {"10.3.2.2": 1})
    restarted = DataPlane(rig.pins)
    try:
        for _ in range(RING_ROWS):
            row = restarted.rings.current(web.vip_num).astype(np.uint16)
            restarted.rings.put(web.vip_num, row, THEMSELVES)
        assert restarted.rings.current(dns.vip_num).tolist() == dns.ring
        assert restarted.rings.current(web.vip_num).tolist() == web.ring
    finally:
        restarted.close()
    rig.reopen()
