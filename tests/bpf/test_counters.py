# SPDX-License-Identifier: Apache-2.0
"""Totals and events: everything counted once, what is not written is counted too."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np
import pytest

from agent.dataplane import abi, bpf_syscall
from agent.dataplane.map_specs import EVENTS_BYTES
from shared import reasons
from tests.bpf import frames
from tests.bpf.rig import DNS, TX, WEB, Rig

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 100, "10.3.2.2": 50, "10.3.3.2": 0}


def test_c1_a_mixed_crowd_adds_up(rig: Rig) -> None:
    """Per VIP, per real and in total; packets, bytes and new flows."""
    chance = random.Random(5)
    services = [rig.serve(WEB, REALS), rig.serve(DNS, REALS)]
    strangers = list(frames.strangers().values())
    sent = {service.vip_num: [0, 0, 0, 0] for service in services}
    makes: list[Callable[[], bytes]] = [
        lambda: frames.tcp(port=chance.randrange(1024, 1400), flags=chance.choice("SAF")),
        lambda: frames.udp(port=chance.randrange(1024, 1400)),
        frames.fragment,
        lambda: frames.tcp(payload=bytes(1480), flags="A"),
        lambda: chance.choice(strangers),
    ]
    for _ in range(1500):
        frame = chance.choice(makes)()
        out = rig.run(frame)
        if out.event is None:
            continue
        row = sent.setdefault(int(out.event["vip_num"]), [0, 0, 0, 0])
        new = out.counted.get("flow_miss_syn", 0) + out.counted.get("flow_miss_udp", 0)
        if out.action == TX:
            row[:3] = row[0] + 1, row[1] + len(frame), row[2] + new
        else:
            row[3] += 1
    by_vip, by_real = rig.dataplane.counters.by_vip(), rig.dataplane.counters.by_real()
    for service in services:
        assert by_vip[service.vip_num].tolist() == sent[service.vip_num]
        numbers = list(service.reals.values())
        assert by_real[numbers, :3].sum(axis=0).tolist() == sent[service.vip_num][:3]
        assert by_real[numbers[2]].tolist() == [0, 0, 0, 0], "weight 0"
    totals = rig.dataplane.counters.totals()
    assert by_vip[:, 0].sum() == totals["tx_packets"].sum()
    assert totals["rx_packets"].sum() == 1500
    assert totals["drops"].sum() == totals["drop_packets"].sum() > 0
    misses = ("flow_miss_syn", "flow_miss_udp", "flow_miss_other")
    lookups = sum(int(totals[name].sum()) for name in ("flow_hits", *misses))
    too_big = totals["drops"][:, 5].sum()
    assert too_big > 0
    assert lookups == totals["tx_packets"].sum() + too_big, (
        "C3: one lookup for each that has a real"
    )


def test_c1_a_row_per_cpu(rig: Rig) -> None:
    """What runs on one CPU is counted in its row only; the sums are the rows' sums."""
    rig.serve(WEB, REALS)
    for port in range(2000, 2050):
        rig.run(frames.tcp(port=port))
    rows = rig.dataplane.counters.totals()["rx_packets"]
    assert sorted(rows.tolist(), reverse=True)[:2] == [50, 0][: len(rows)]


def test_c1_a_number_s_next_owner_begins_at_zero(rig: Rig) -> None:
    """C1: of a VIP and of a real; the sum over all VIPs, gone ones included, goes on."""
    service = rig.serve(WEB, {"10.3.1.2": 1})
    (number,) = service.reals.values()
    for port in range(2000, 2050):
        rig.run(frames.tcp(port=port))
    sums = rig.dataplane.counters.by_vip()[:, :3].sum(axis=0).tolist()
    assert rig.dataplane.counters.by_vip()[service.vip_num].tolist() == [50, 50 * 54, 50, 0]
    rig.dataplane.remove_vip(WEB)
    rig.dataplane.free_real(number)
    rig.dataplane.put_vip(DNS, service.vip_num)
    rig.put_real(number, service.vip_num, "10.3.2.2", generation=2)
    assert not rig.dataplane.counters.by_vip()[service.vip_num].any()
    assert not rig.dataplane.counters.by_real()[number].any()
    assert rig.dataplane.counters.by_vip()[:, :3].sum(axis=0).tolist() == sums


def test_c1_an_owner_that_is_written_again_counts_on(rig: Rig) -> None:
    """F5: so does a restarted agent, of every real and VIP."""
    service = rig.serve(WEB, {"10.3.1.2": 1})
    (number,) = service.reals.values()
    rig.run(frames.tcp())
    rig.put_real(number, service.vip_num, "10.3.1.2")
    rig.dataplane.put_vip(WEB, service.vip_num)
    assert rig.dataplane.counters.by_real()[number][0] == 1
    assert rig.dataplane.counters.by_vip()[service.vip_num][0] == 1


@pytest.mark.parametrize(("rate", "burst"), [(100, 10), (1, 1), (1000, 50)])
def test_c2_the_event_rate_holds_and_the_rest_is_counted(rig: Rig, rate: int, burst: int) -> None:
    rig.serve(WEB, REALS)
    rig.configure(trace_all=False, event_rate=rate, event_burst=burst)
    # One system call with repeats: a dropped frame stays as it is.
    started = time.monotonic()
    bpf_syscall.run_program(rig.program, frames.fragment(), 5000)
    elapsed = time.monotonic() - started
    totals = rig.dataplane.counters.totals()
    written, suppressed = int(totals["events"].sum()), int(totals["events_suppressed"].sum())
    assert written + suppressed == 5000
    assert burst <= written <= burst + 1 + rate * (elapsed + 0.01)
    assert len(rig.drain()) == written


def test_c2_reasons_do_not_starve_each_other(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    rig.configure(trace_all=False, event_rate=1, event_burst=2)
    bpf_syscall.run_program(rig.program, frames.fragment(), 1000)
    rig.drain()
    out = rig.run(frames.with_options())
    assert out.reason == "ip_options"
    assert out.event is not None


def test_c2_rate_0_writes_nothing_and_counts_all(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    rig.configure(trace_all=False, event_rate=0)
    out = rig.run(frames.fragment())
    assert out.event is None
    assert out.counted["events_suppressed"] == 1


def test_c2_sent_packets_have_no_event_unless_traced(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    assert rig.run(frames.tcp()).event is not None
    rig.configure(trace_all=False)
    out = rig.run(frames.tcp())
    assert out.event is None
    assert "events_suppressed" not in out.counted


def test_c2_a_full_ring_loses_exactly_what_is_counted(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    bpf_syscall.run_program(rig.program, frames.fragment(), 20000)
    totals = rig.dataplane.counters.totals()
    written, lost = int(totals["events"].sum()), int(totals["events_lost"].sum())
    assert written + lost == 20000
    # Records of 8 + 200 bytes.
    assert written in range(EVENTS_BYTES // 208 - 1, EVENTS_BYTES // 208 + 1)
    assert len(rig.drain()) == written
    assert rig.run(frames.fragment()).event is not None, "and it goes on afterwards"


def test_events_say_what_happened(rig: Rig) -> None:
    service = rig.serve(WEB, REALS)
    event = rig.run(frames.tcp()).event
    assert event["verdict"] == abi.SEND
    assert event["reason"] == 0
    assert event["vip_num"] == service.vip_num
    assert event["real_num"] == service.predicted(40000)
    assert event["flow_hit"] == 0
    assert event["length"] == len(frames.tcp())
    rig.place(service, {})
    dropped = rig.run(frames.tcp(port=1)).event
    assert reasons.name_of(int(dropped["reason"])) == "no_real"
    assert dropped["verdict"] == abi.DROP
    assert dropped["at"] > event["at"]


def test_events_wrap_around_the_ring(rig: Rig) -> None:
    """Many times round: every record arrives whole and in order."""
    rig.serve(WEB, REALS)
    previous = 0
    for _ in range(20):
        bpf_syscall.run_program(rig.program, frames.fragment(), 2000)
        drained = rig.drain()
        assert len(drained) == 2000
        at = np.array([event["at"] for event in drained], np.uint64)
        assert (np.diff(at.astype(np.int64)) >= 0).all()
        assert int(at[0]) >= previous
        previous = int(at[-1])
        assert {int(event["reason"]) for event in drained} == {1}
