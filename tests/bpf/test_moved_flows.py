# SPDX-License-Identifier: Apache-2.0
"""A flow whose packets come by another CPU (a new RSS table, a veth) stays the flow that it was."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from agent.dataplane import abi
from tests.bpf import frames
from tests.bpf.rig import DNS, WEB, Outcome, Rig

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 100, "10.3.2.2": 100, "10.3.3.2": 100}


@pytest.fixture
def cpus(rig: Rig) -> Iterator[list[int]]:
    """Two CPUs to run on; afterwards the rig is on its own again."""
    before = os.sched_getaffinity(0)
    online = [n for n in range(rig.dataplane.cpus) if _can_run_on(n)]
    if len(online) < 2:
        pytest.skip(f"needs two CPUs, {len(online)} is online")
    yield online[:2]
    os.sched_setaffinity(0, before)


def _can_run_on(cpu: int) -> bool:
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        return False
    return True


def on(cpu: int, rig: Rig, frame: bytes) -> Outcome:
    os.sched_setaffinity(0, {cpu})
    return rig.run(frame)


def test_f1_a_flow_that_changes_cpu_stays_on_a_draining_real(rig: Rig, cpus: list[int]) -> None:
    service = rig.serve(WEB, REALS)
    opened = {p: on(cpus[0], rig, frames.tcp(port=p, flags="S")) for p in range(2000, 2050)}
    draining = next(iter(service.reals.values()))
    rig.drain_real(service, draining)
    for port, before in opened.items():
        moved = on(cpus[1], rig, frames.tcp(port=port, flags="A"))
        assert moved.event["real_num"] == before.event["real_num"]
        assert moved.counted["flow_hits"] == moved.counted["flow_moved"] == 1
        again = on(cpus[1], rig, frames.tcp(port=port, flags="A"))
        assert "flow_moved" not in again.counted
    assert draining in {int(before.event["real_num"]) for before in opened.values()}


def test_a_flow_that_changed_cpu_is_one_flow_and_ends_once(rig: Rig, cpus: list[int]) -> None:
    """A copy left behind would look alive for minutes, and a drain would wait for it."""
    rig.serve(WEB, REALS)
    on(cpus[0], rig, frames.tcp(port=2000, flags="S"))
    for turn in range(6):
        on(cpus[turn % 2], rig, frames.tcp(port=2000, flags="A"))
        assert rig.live_flows(300.0).sum() == 1
    on(cpus[0], rig, frames.tcp(port=2000, flags="FA"))
    assert rig.live_flows(300.0).sum() == 0
    on(cpus[1], rig, frames.tcp(port=2000, flags="A"))
    assert rig.live_flows(300.0).sum() == 0, "a late packet does not revive it, on any CPU"


def test_f1_a_port_is_used_again_on_another_cpu_and_the_connection_comes_back(
    rig: Rig, cpus: list[int]
) -> None:
    """What the first connection left there is not mistaken for the second one, which another real
    has by now: its client would be reset."""
    service = rig.serve(WEB, REALS)
    first = on(cpus[0], rig, frames.tcp(port=2000, flags="S")).event["real_num"]
    on(cpus[0], rig, frames.tcp(port=2000, flags="FA"))
    rig.age(service.flow(2000), 5)
    rig.drain_real(service, int(first))
    second = on(cpus[1], rig, frames.tcp(port=2000, flags="S")).event["real_num"]
    assert second != first
    for cpu in (cpus[1], cpus[0], cpus[1]):
        assert on(cpu, rig, frames.tcp(port=2000, flags="A")).event["real_num"] == second
    assert rig.live_flows(300.0).sum() == 1


def test_f1_a_port_is_used_again_after_a_minute_of_silence(rig: Rig, cpus: list[int]) -> None:
    """The end of the first connection came by another node, or never."""
    service = rig.serve(WEB, REALS)
    old = int(on(cpus[0], rig, frames.tcp(port=2000, flags="S")).event["real_num"])
    rig.age(service.flow(2000), seconds=62)
    rig.drain_real(service, old)
    new = on(cpus[1], rig, frames.tcp(port=2000, flags="S")).event["real_num"]
    assert new != old
    for turn in range(4):
        assert on(cpus[turn % 2], rig, frames.tcp(port=2000, flags="A")).event["real_num"] == new
    assert rig.live_flows(300.0).sum() == 1


def test_c3_a_moved_flow_whose_real_is_down_is_a_stale_miss(rig: Rig, cpus: list[int]) -> None:
    service = rig.serve(DNS, REALS)
    first = on(cpus[0], rig, frames.udp(port=2000))
    rig.dataplane.set_flags(int(first.event["real_num"]), abi.REAL_DOWN)
    moved = on(cpus[1], rig, frames.udp(port=2000))
    assert moved.event["real_num"] in service.reals.values()
    assert moved.event["real_num"] != first.event["real_num"]
    counted = {k: v for k, v in moved.counted.items() if k.startswith("flow_")}
    assert counted == {"flow_miss_udp": 1, "flow_stale": 1, "flow_moved": 1}
    assert rig.live_flows(300.0).sum() == 1
