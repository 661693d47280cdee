# SPDX-License-Identifier: Apache-2.0
"""A node's flow table in words, its turnover time, queues of CPUs, and what XDP it runs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from console.model import cpus as cpu_model
from console.model.store import Agent, Arrived
from console.views import node as whole
from console.views import placing
from console.views.problems import problems
from shared.messages import Counters, CpuSnapshot, FlowtableSnapshot, NodeSnapshot, ProgramTotals
from tests.tui.recorded import Fleet

HEAD: dict[str, Any] = {"node": "lb1", "boot": "b", "sequence": 1}


def told(at: float, **totals: Any) -> FlowtableSnapshot:  # noqa: ANN401  # the message's fields
    plain: dict[str, Any] = dict.fromkeys(
        ("hits", "miss_syn", "miss_udp", "miss_other", "stale", "evictions"), 0
    )
    return FlowtableSnapshot(
        **HEAD, at=at, capacity=1000, occupied=250, live=9, **{**plain, **totals}
    )


def agent_with(*snapshots: Any) -> Agent:  # noqa: ANN401  # any snapshots
    agent = Agent("ipc:///run/lb1")
    for second, snapshot in enumerate(snapshots):
        agent.file(Arrived(agent.address, snapshot, float(second)))
    return agent


def test_turnover_is_entries_by_new_flows_per_second() -> None:
    agent = agent_with(told(10.0), told(11.0, hits=900, miss_syn=40, miss_udp=10, miss_other=50))
    table = placing.flow_table(agent, 1.0)
    assert table is not None
    assert table.turnover == pytest.approx(20.0), "1,000 entries, 50 new flows a second"
    assert table.hits == pytest.approx(0.9)
    assert table.used == 0.25
    text = "".join(cell.text for line in placing.lines(table) for cell in line)
    assert "250/1.00k 25.0%  turnover 20s  hit 90.0%" in text
    assert "miss/s   40 syn 10 udp 50 other" in text
    assert "special  none" in text


def test_what_cannot_be_known_is_not_shown_as_0() -> None:
    once = placing.flow_table(agent_with(told(10.0)), 0.0)
    assert once is not None
    assert (once.turnover, once.hits) == (None, None)
    idle = placing.flow_table(agent_with(told(10.0), told(11.0)), 1.0)
    assert idle is not None
    assert idle.turnover is None, "no new flow: it never turns over"
    old = placing.flow_table(agent_with(told(10.0), told(11.0, miss_syn=5)), 100.0)
    assert old is not None
    assert not old.fresh
    assert "?" in placing.lines(old)[0][0].text
    assert placing.flow_table(agent_with(), 0.0) is None


def test_special_packets_are_named() -> None:
    agent = agent_with(told(10.0, program=ProgramTotals(icmp_too_big=3, quic_unknown=1500)))
    table = placing.flow_table(agent, 0.0)
    assert "icmp too big 3" in placing.lines(table)[-1][0].text
    found = placing.item(table)
    assert found is not None
    assert found["program"]["quic_unknown"] == 1500
    assert found["turnover_s"] is None
    assert "boot" not in found


def cpus(at: float, *queues: tuple[int, int]) -> CpuSnapshot:
    totals = [sum(queue[cpu] for queue in queues) for cpu in range(2)]
    none = Counters([0, 0])
    return CpuSnapshot(
        **HEAD, at=at, rx_packets=Counters(totals), rx_bytes=none, tx_packets=none,
        pass_packets=none, drop_packets=none, flow_hits=none, flow_misses=none,
        queues=tuple(map(Counters, queues)),
    )  # fmt: skip


def test_queues_of_a_cpu() -> None:
    """Busiest first; a queue that is new since the last look counts from 0."""
    agent = agent_with(cpus(10.0, (5, 0)), cpus(11.0, (30, 0), (75, 10)))
    first, second = cpu_model.cpus(agent)
    assert first.queues == ((1, 0.75), (0, 0.25))
    assert second.queues == ((1, 1.0),)


def node(mode: str, attached: str) -> Agent:
    made = Fleet("lb1").at(1.0)[0]
    assert isinstance(made, NodeSnapshot)
    return agent_with(msgspec.structs.replace(made, xdp_mode=mode, xdp_attached=attached))


@pytest.mark.parametrize(
    ("mode", "attached", "critical", "said"),
    [
        ("native", "native", None, ""),
        ("generic", "generic", None, ""),
        ("native", "", None, ""),
        ("native", "offloaded", None, ""),
        ("native", "generic", False, "XDP runs in generic mode, native is configured"),
        ("native", "none", True, "no program is attached to eth0: no packet is balanced"),
        ("native", "foreign", True, "somebody else's program is attached to eth0"),
    ],
)
def test_what_the_kernel_runs_is_compared_with_the_config(
    mode: str, attached: str, critical: bool | None, said: str
) -> None:
    found = [p for p in problems([node(mode, attached)], 0.0) if p.kind == "xdp"]
    assert [p.critical for p in found] == ([] if critical is None else [critical])
    assert all(said in p.text for p in found)


def test_the_node_screen_says_what_runs() -> None:
    from console.model import rows

    for attached, tone in (("generic", "warn"), ("none", "bad"), ("native", ""), ("", "")):
        (row,) = rows.nodes([node("native", attached)], 0.0)
        cells = {cell.text: cell.tone for line in whole.lines(row, 0.0, 80) for cell in line}
        assert cells[f"XDP {attached or 'native'}"] == tone
