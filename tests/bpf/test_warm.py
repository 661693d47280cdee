# SPDX-License-Identifier: Apache-2.0
"""Unknown flows while the flow table is new: counted as what they are, a restart's."""

from __future__ import annotations

import numpy as np
import pytest

from agent.dataplane import abi, mapped
from agent.dataplane.jiffies import HZ
from tests.bpf import frames
from tests.bpf.rig import WEB, Rig

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
