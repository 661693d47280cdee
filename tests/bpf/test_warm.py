# SPDX-License-Identifier: Apache-2.0
"""Unknown flows while the flow table is new: counted as what they are, a restart's."""

from __future__ import annotations

import numpy as np
import pytest

from agent.dataplane import abi, mapped
from agent.dataplane.jiffies import HZ
from agent.nouns import PLAIN, Placing, Tracking, VipKey
from tests.bpf import frames
from tests.bpf.rig import DNS, WEB, Rig

pytestmark = pytest.mark.root


def set_warm_at(rig: Rig, jiffies: int) -> None:
    with rig._pin("control") as fd:
        mapped.view(fd, abi.Control, 1)["warm_at"][0] = np.uint64(jiffies)


def test_c3_a_new_table_s_unknown_flows_are_a_restart_s(rig: Rig) -> None:
    """Of the misses of unknown flows only, and only until every flow that lives was seen."""
    rig.serve(WEB, {"10.3.1.2": 1, "10.3.2.2": 1})
    set_warm_at(rig, rig.jiffies.now() + 100 * HZ)
    out = rig.run(frames.tcp(port=1, flags="A"))
    assert out.counted["flow_restart"] == out.counted["flow_miss_other"] == 1
    assert "flow_restart" not in rig.run(frames.tcp(port=1, flags="A")).counted, "known now"
    assert "flow_restart" not in rig.run(frames.tcp(port=2, flags="S")).counted, "new"
    set_warm_at(rig, rig.jiffies.now())
    assert "flow_restart" not in rig.run(frames.tcp(port=3, flags="A")).counted


def test_f5_the_time_is_the_maps_not_the_agent_s(rig: Rig) -> None:
    set_warm_at(rig, 0)
    rig.configure(flow_idle=300.0)
    with rig._pin("control") as fd:
        control = mapped.view(fd, abi.Control, 1)
        first = int(control["warm_at"][0])
        assert first > rig.jiffies.now()
        rig.configure(flow_idle=600.0)
        assert int(control["warm_at"][0]) == first


SPARSE = Placing(tracking=Tracking.CHANGED)


@pytest.mark.parametrize(
    ("key", "before", "after", "waits"),
    [
        (WEB, SPARSE, PLAIN, True),
        (WEB, Placing(tracking=Tracking.COMPUTE), PLAIN, True),
        (WEB, Placing(pressure=True), PLAIN, True),
        (WEB, SPARSE, Placing(tracking=Tracking.COMPUTE), False),
        (WEB, PLAIN, SPARSE, False),
        (WEB, PLAIN, PLAIN, False),
        (DNS, SPARSE, PLAIN, False),  # of UDP all were stored
        (DNS, Placing(pressure=True), PLAIN, True),
    ],
)
def test_f1_a_table_that_stores_all_from_now_on_does_not_know_all(
    rig: Rig, key: VipKey, before: Placing, after: Placing, *, waits: bool
) -> None:
    """F1: flows that are silent have no entry: as with a new table, and for as long."""
    rig.configure(flow_idle=300.0)
    service = rig.serve(key, {"10.3.1.2": 1}, placing=before)
    set_warm_at(rig, 1)
    assert rig.dataplane.warm_in() == 0.0
    rig.dataplane.put_vip(key, service.vip_num, after)
    assert rig.dataplane.warm_in() == pytest.approx(300.0 if waits else 0.0, abs=5)
    rig.reopen()
    rig.configure(flow_idle=300.0)
    rig.dataplane.put_vip(key, service.vip_num, after)
    waiting = rig.dataplane.warm_in()
    assert waiting == pytest.approx(300.0 if waits else 0.0, abs=5), "whoever adopts it"
    set_warm_at(rig, rig.jiffies.now() + 1_000_000)
    rig.dataplane.put_vip(key, service.vip_num, before)
    rig.dataplane.put_vip(key, service.vip_num, after)
    assert rig.dataplane.warm_in() > 600, "never sooner than it was"


def test_f1_a_number_s_next_vip_is_not_judged_by_the_one_before(rig: Rig) -> None:
    service = rig.serve(WEB, {"10.3.1.2": 1}, placing=SPARSE)
    set_warm_at(rig, 1)
    rig.dataplane.remove_vip(WEB)
    rig.dataplane.put_vip(WEB, service.vip_num, PLAIN)
    assert rig.dataplane.warm_in() == 0.0
