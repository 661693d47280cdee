# SPDX-License-Identifier: Apache-2.0
"""CPUs: rates are differences, unknown is no number, everything fits at any size."""

from __future__ import annotations

import pytest

from console.model.recording import inbox
from console.model.store import Agent, Store
from console.views.columns import fitting
from console.views.heat import METRICS, SHADES, Metric, columns, cpu_lines, heat
from tests.tui.recorded import LB1, LB2, Fleet, records

PPS, SHARE, SOFTIRQ, MISS, DROP = METRICS


def agents(*nodes: Fleet, seconds: range = range(4)) -> list[Agent]:
    addresses = [f"ipc:///run/remora/{node.name}" for node in nodes]
    store = Store(addresses)
    store.take(inbox(records(dict(zip(addresses, nodes, strict=True)), seconds)))
    return list(store.agents.values())


def test_rates_shares_and_skew() -> None:
    (node,) = heat(agents(Fleet("lb1", cpus=(1, 3, 0, 0))), 3.1, PPS)
    assert [cpu.pps for cpu in node.cpus] == [600.0, 1800.0, 0.0, 0.0]
    assert [cpu.share for cpu in node.cpus] == [0.25, 0.75, 0.0, 0.0]
    assert [cpu.taking for cpu in node.cpus] == [True, True, False, False]
    assert node.pps == 2400.0
    assert node.skew == 1.5, "over the two that take packets"
    assert node.hottest is not None
    assert node.hottest.number == 1
    assert node.cpus[1].misses == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("metric", "shades"),
    [(PPS, "▓█·"), (SHARE, "▒▒·"), (SOFTIRQ, "░░░"), (MISS, "░▓·"), (DROP, "░█·")],
    ids=["packets", "share", "softirq", "misses", "drops"],
)
def test_shades(metric: Metric, shades: str) -> None:
    node = heat(agents(Fleet("lb1", cpus=(2, 3, 0))), 3.1, metric)[0]
    assert "".join(cell.text[0] for cell in node.cells) == shades


def test_one_sample_gives_no_number() -> None:
    (node,) = heat(agents(Fleet("lb1"), seconds=range(1)), 0.1, PPS)
    assert [cell.text for cell in node.cells] == ["-", "-"]
    assert (node.pps, node.skew, node.hottest) == (None, None, None)


def test_totals_that_began_again_give_no_number() -> None:
    """P: a restart is neither a spike nor a zero."""
    found = agents(Fleet("lb1"), seconds=range(4))
    store = Store([LB1])
    store.agents[LB1] = found[0]
    store.take(inbox(records({LB1: Fleet("lb1", boot="b2")}, range(4, 5))))
    assert [cell.text for cell in heat([found[0]], 4.1, PPS)[0].cells] == ["-", "-"]


def test_old_values_are_marked_and_no_scale_for_others() -> None:
    """K4: what a silent node last said colours nothing."""
    store = Store([LB1, LB2])
    nodes = {LB1: Fleet("lb1", cpus=(1, 1)), LB2: Fleet("lb2", cpus=(90, 90))}
    store.take(inbox(records(nodes, range(12), silent_from={LB2: 3})))
    one, two = heat(list(store.agents.values()), 11.5, PPS)
    assert [cell.text[0] for cell in one.cells] == ["█", "█"]
    assert [cell.text for cell in two.cells] == ["?", "?"]
    assert (two.skew, two.hottest) == (None, None)


@pytest.mark.parametrize("count", [1, 2, 8, 16, 33, 64, 128, 256, 512])
@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_every_cpu_has_its_place_at_any_width(count: int, width: int) -> None:
    """Where there is no room for each, a sign stands for the worst of several: none is left out."""
    nodes = heat(agents(Fleet("lb1", cpus=(1,) * (count - 1) + (9,))), 3.1, PPS)
    shown = fitting(columns(nodes, PPS, width), width)
    assert 1 + sum(column.width + 1 for column in shown) <= width
    cells = [c.cell(nodes[0]).text for c in shown if c.title.startswith("cpu")]
    signs = [text for cell in cells for text in cell if text in SHADES]
    assert signs[-1] == "█", "the hot one, which is the last"
    title = next(c.title for c in shown if c.title.startswith("cpu"))
    folded = int(title.rpartition(" ")[2]) if "worst of" in title else 1
    assert len(signs) == -(-count // folded)


def test_lines_say_how_many_they_leave_out() -> None:
    (node,) = heat(agents(Fleet("lb1", cpus=(0, *(1,) * 20, 5))), 3.1, PPS)
    lines = ["".join(cell.text for cell in one) for one in cpu_lines(node, 8, 140)]
    assert len(lines) == 8
    assert lines[0].startswith(" cpu21")
    assert lines[-1] == " 14 more that take less, 1 took no packet"
    assert len(cpu_lines(node, 30, 140)) == 22
