# SPDX-License-Identifier: Apache-2.0
"""Labels on the screens: in details, in the filter, for marks and for plans by the command bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.widgets import Button

from console.tui.app import RemoraApp
from shared.messages import Batch, Drain
from shared.model import Admin
from tests.tui.fake_agent import FakeAgent
from tests.tui.playback import recorded
from tests.tui.recorded import LB1, LB2, Fleet
from tests.tui.test_plan import console, sees, to_reals, until
from tests.tui.test_safety import planned
from tests.tui.test_screens import keys, painted

RACKS = {"10.3.1.2": {"rack": "r2"}, "10.3.2.2": {"rack": "r1"}, "10.3.3.2": {"rack": "r2"}}


def node(name: str, rack: str) -> Fleet:
    vips = {"web": {"tier": "web"}}
    return Fleet(name, labels={"rack": rack}, vip_labels=vips, real_labels=RACKS)


def labelled() -> RemoraApp:
    return recorded({LB1: node("lb1", "r1"), LB2: node("lb2", "r2")}, armed=True)


async def test_details_have_a_line_of_labels() -> None:
    app = labelled()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("enter")(pilot)
        assert "labels   rack=r1" in painted(app, "#about")
        await keys("escape", "3")(pilot)
        assert "labels     tier=web" in painted(app, "#detail")
        await keys("enter")(pilot)
        assert "labels     rack=r2" in painted(app, "#detail")


async def test_the_filter_and_marks_know_labels() -> None:
    app = labelled()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("3", "enter", "slash", *"label:rack=r2", "enter")(pilot)
        assert "filter label:rack=r2  2 of 3 rows" in painted(app, "#crumb")
        await keys("escape", "slash", *"-l rack!=r2", "enter")(pilot)
        assert "1 of 3 rows" in painted(app, "#crumb")
        await keys("escape", "colon", *"mark -l rack=r2", "enter")(pilot)
        assert "2 marked" in painted(app, "#crumb")
        await keys("D")(pilot)
        wanted = Batch((Drain("10.3.1.2", "web"), Drain("10.3.3.2", "web")))
        assert planned(app) == [wanted, wanted]
        await keys("escape", "colon", *"mark -l rack=r7", "enter")(pilot)
        assert "nothing on show is labelled rack=r7" in painted(app, "#message")


async def test_the_filter_of_events_knows_what_they_are_about() -> None:
    """As `events -l`: an event has the labels of its node, and of the VIPs and reals it names."""
    app = labelled()
    async with app.run_test(size=(120, 40)) as pilot:
        await keys("4", "tab", "slash", *"label:rack=r1", "enter")(pilot)
        tail = painted(app, "#tail")
        assert "lb1" in tail, "the node's own"
        assert "lb2        change  ak@jump01: drain real/10.3.2.2@web" in tail, "that real's"
        assert "lb2        peer" not in tail
        await keys("escape", "slash", *"label:tier=web drop", "enter")(pilot)
        assert painted(app, "#tail").count("drop ") == 4, "of the VIP, on both nodes"
        await keys("escape", "slash", *"label:rack=r7", "enter")(pilot)
        assert "no row has 'label:rack=r7'" in painted(app, "#tail")


async def test_rows_of_a_node_have_its_labels_and_others_say_that_they_have_none() -> None:
    app = labelled()
    async with app.run_test(size=(120, 40)) as pilot:
        for place, table in (("5", "LineTable"), ("6", "#sessions")):
            await keys(place, "slash", *"label:rack=r2", "enter")(pilot)
            assert "1 of 2 rows" in painted(app, "#crumb"), place
            assert "lb2" in painted(app, table)
            assert "lb1" not in painted(app, table)
        await keys("4", "slash", *"label:rack=r2", "enter")(pilot)
        assert "these rows have no labels that could be meant" in painted(app, "#reasons")


async def test_a_rack_is_drained_by_a_command(tmp_path: Path) -> None:
    """Every object is listed in the plan, their number is typed, and the agents have it so."""
    agents = [FakeAgent(tmp_path / n, node(n, r)) for n, r in (("lb1", "r1"), ("lb2", "r3"))]
    one, other = agents
    with one, other:
        async with console(*agents) as (app, pilot):
            await to_reals(pilot)
            await keys("colon", *"drain real -l rack=r2", "enter")(pilot)
            await sees(pilot, "10.3.1.2 enabled", "10.3.3.2 enabled", "these 2 reals")
            dialog: Any = app.screen
            await until(pilot, lambda: dialog.proposal.ready, "planned")
            assert dialog.proposal.wanted == "4"
            assert dialog.query_one("#go", Button).disabled
            await pilot.press("shift+tab", "4", "tab", "tab", "enter")
            await sees(pilot, "applied 2/2")
        meant = [(vip, real) for vip in ("web", "dns") for real in ("10.3.1.2", "10.3.3.2")]
        for agent in agents:
            assert agent.fleet.admin == dict.fromkeys(meant, Admin.DRAINING)
