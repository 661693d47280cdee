# SPDX-License-Identifier: Apache-2.0
"""Nothing is changed by accident: VIEW and ARMED, marks, bulk plans, deaf dialogs, the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from console.planning.arming import Arming
from console.settings import Settings
from console.tui.app import RemoraApp
from console.tui.screens.arm import ArmDialog
from console.tui.screens.plan import PlanDialog
from console.tui.widgets.table import LineTable
from shared.messages import Batch, Disable, Drain
from shared.model import Admin, Health
from tests.tui.fake_agent import FakeAgent
from tests.tui.playback import recorded
from tests.tui.recorded import LB1, LB2, Fleet
from tests.tui.test_plan import confirm, console, sees, to_reals, until
from tests.tui.test_screens import keys, line_with, lost, mixed, painted, plain, ready
from tests.tui.test_tables import files_in


def planned(app: RemoraApp) -> list[Any]:
    source: Any = app.source
    return [action for _, action, dry_run in source.sent if dry_run]


async def test_view_is_the_default_and_opens_no_plan() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("D")(pilot)
        assert "VIEW" in painted(app, "#header")
        assert "A arms" in painted(app, "#message")
        await keys("colon", *"drain lb1", "enter")(pilot)
        assert "A arms" in painted(app, "#message")
        assert planned(app) == []


async def test_in_a_browser_nothing_is_written_on_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks has no name there: no plan, no recording, no export, no other context."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    app = plain()
    app.arming = Arming(never=True, served=True)
    app.switch = lambda name: Settings((), name)
    async with app.run_test(size=(80, 24)) as pilot:
        for pressed in (["A"], ["D"], ["r"], ["e"], ["colon", *"context prod", "enter"]):
            await keys(*pressed)(pilot)
            assert "in a browser the console only looks" in painted(app, "#message"), pressed
            await keys("escape")(pilot)
            app._say("")
        assert app.next is None
        assert app.recorder is None
        await keys("3", "c")(pilot)
        assert app.clipboard.startswith("web"), "that is the browser's own"
        assert "the clipboard" in painted(app, "#message")
    assert files_in(tmp_path) == []


async def test_arming_wants_a_reason_counts_down_and_ends() -> None:
    app = plain()
    now = app._clock()
    app._clock = lambda: now
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("A")(pilot)
        dialog: Any = app.screen
        assert isinstance(dialog, ArmDialog)
        await pilot.press("tab", "tab", "enter")
        assert "say why" in painted(app, "#arm_about")
        dialog.query_one("#why", Input).value = "INC-7"
        button = dialog.query_one("#go", Button)
        await until(pilot, lambda: not button.has_class("-active"), "the button is up again")
        await keys("enter")(pilot)
        assert "ARMED 15:00" in painted(app, "#header")
        await keys("D")(pilot)
        assert isinstance(app.screen, PlanDialog)
        assert app.screen.query_one("#why", Input).value == "INC-7"
        await keys("escape")(pilot)
        now += 900
        await keys("D")(pilot)
        assert "VIEW" in painted(app, "#header")
        assert "A arms" in painted(app, "#message")
        assert len(planned(app)) == 1


async def test_arm_and_disarm_by_command_and_key() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("colon", *"arm 5m", "enter")(pilot)
        assert "say why" in painted(app, "#message")
        await keys(*" INC-7", "enter")(pilot)
        assert "ARMED 05:00" in painted(app, "#header")
        await keys("A")(pilot)
        assert "VIEW" in painted(app, "#header")
        assert "disarmed" in painted(app, "#message")
        await keys("A", *"INC-8", "enter")(pilot)
        assert "ARMED 15:00" in painted(app, "#header")
        await keys("A")(pilot)
        app.arming = Arming(never=True)
        await keys("A")(pilot)
        assert "VIEW only" in painted(app, "#message")


async def test_arming_that_ends_while_a_plan_is_open_sends_nothing(tmp_path: Path) -> None:
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await confirm(pilot)
            app.arming = Arming()
            app.screen.query_one("#go").focus()
            await pilot.press("enter")
            await sees(pilot, "no longer armed")
        assert [c.dry_run for c in one.changes] == [True]


async def test_marks_are_bound_to_rows_and_counted() -> None:
    app = ready()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("3", "enter", "space", "space")(pilot)
        assert line_with(app, "10.3.1.2").startswith(" 10.3.1.2       *")
        assert "2 marked" in painted(app, "#crumb")
        await keys("o", "O")(pilot)
        assert line_with(app, "10.3.1.2").startswith(" 10.3.1.2       *"), "goes with its row"
        await keys("slash", *"10.3.2", "enter")(pilot)
        assert "2 marked, 1 hidden" in painted(app, "#crumb")
        await keys("D")(pilot)
        assert planned(app) == [Drain("10.3.2.2", "web")] * 2, "what is hidden is left out"
        await keys("escape", "escape", "slash", *"10.3.3", "enter", "D")(pilot)
        assert "all hidden" in painted(app, "#message")
        await keys("escape", "asterisk")(pilot)
        assert "3 marked" in painted(app, "#crumb")
        await keys("backslash")(pilot)
        assert "marked" not in painted(app, "#crumb")


async def test_a_bulk_plan_lists_every_object_and_wants_their_number(tmp_path: Path) -> None:
    agents = [FakeAgent(tmp_path / name, Fleet(name)) for name in ("lb1", "lb2")]
    one, other = agents
    with one, other:
        async with console(*agents) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("space", "space", "D")
            await sees(pilot, "10.3.1.2 enabled", "10.3.2.2 enabled", "these 2 reals")
            dialog: Any = app.screen
            go = dialog.query_one("#go", Button)
            await until(pilot, lambda: dialog.proposal.ready, "planned")
            assert dialog.proposal.wanted == "2"
            assert go.disabled
            assert app.focused is not None
            assert app.focused.id == "cancel"
            await pilot.press("shift+tab", "2", "tab", "tab", "enter")
            await sees(pilot, "applied 2/2")
        both = Batch((Drain("10.3.1.2", "web"), Drain("10.3.2.2", "web")))
        assert [c.action for c in one.changes] == [both, both]
        operations = {agent.changes[-1].operation for agent in agents}
        assert len(operations) == 1, "one operation on all nodes"
        assert operations != {""}
        assert one.fleet.admin["web", "10.3.2.2"] is Admin.DRAINING


async def test_a_plan_of_marked_alerts_is_of_those_that_are_marked() -> None:
    """Not of the one under the cursor, which went on; what two of them are about is in it once."""
    app = mixed(armed=True)
    async with app.run_test(size=(140, 40)) as pilot:
        await keys("8", "slash", *"real/", "enter")(pilot)
        await mark_alert(app, pilot, "not up on 1 of 2")
        assert line_with(app, "drained on 1 of 2").startswith(">"), "the cursor went on"
        await keys("D")(pilot)
        assert planned(app) == [Drain("10.3.2.2", "web")] * 2
        await keys("escape")(pilot)
        await mark_alert(app, pilot, "drained on 1 of 2")
        await keys("D")(pilot)
        found = {part for action in planned(app)[2:] for part in action.actions}
        assert found == {Drain("10.3.1.2", "web"), Drain("10.3.2.2", "web")}
        await keys("escape", "backslash")(pilot)
        app.screen.query_one(LineTable).filter("node/lb2")
        await keys("asterisk")(pilot)
        assert "2 marked" in painted(app, "#crumb")
        await keys("D")(pilot)
        assert planned(app)[-1] == Drain(node=True), "one node, whatever is wrong there"


async def mark_alert(app: RemoraApp, pilot: Pilot[None], text: str) -> None:
    await keys("g")(pilot)
    while not line_with(app, text).startswith(">"):
        await keys("j")(pilot)
    await keys("space")(pilot)


async def test_an_alert_of_two_agents_of_one_name_plans_and_opens_neither() -> None:
    """One fell silent: its alert must not lead to the other, which lives."""
    nodes = {LB1: Fleet("lb1"), LB2: Fleet("lb1")}
    app = recorded(nodes, silent_from={LB2: 10}, armed=True)
    async with app.run_test(size=(140, 40)) as pilot:
        await keys("8", "slash", *"telemetry", "enter", "D")(pilot)
        assert "node/lb1: 2 agents call themselves so" in painted(app, "#message")
        assert planned(app) == []
        await keys("enter")(pilot)
        assert "more than one agent calls itself so" in painted(app, "#message")
        assert "Alerts" in painted(app, "#crumb")


async def test_stale_rows_cannot_be_marked_into_a_plan() -> None:
    """K4: one old row among the marked, and there is no plan."""
    app = lost(armed=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("asterisk", "D")(pilot)
        assert "no action on values that are not live" in painted(app, "#message")
        assert planned(app) == []


async def test_keys_that_were_meant_for_elsewhere_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held keys and pastes that reach a dialog as it opens; Esc works at once."""
    monkeypatch.setattr(PlanDialog, "DEAF", 30.0)
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "ok on 1 node")
            await pilot.press("enter", "tab", "enter", "1", "enter")
            assert isinstance(app.screen, PlanDialog), "not even Cancel"
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, PlanDialog), "closed")
        assert [c.dry_run for c in one.changes] == [True]


async def test_the_way_back_and_forth() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("3", "enter", "5")(pilot)
        await keys("left_square_bracket")(pilot)
        assert "web › reals" in painted(app, "#crumb")
        await keys("right_square_bracket")(pilot)
        assert "Heat" in painted(app, "#crumb")
        await keys("minus")(pilot)
        assert "web › reals" in painted(app, "#crumb")
        await keys("minus", "2")(pilot)
        assert "Fleet › lb" in painted(app, "#crumb")
        await keys("q")(pilot)
        assert "Heat" in painted(app, "#crumb"), "one level up"
        await keys("q")(pilot)
        assert painted(app, "#crumb").startswith(" Fleet ")
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running


async def test_a_guard_is_passed_by_name_only_and_a_change_may_end_by_itself(
    tmp_path: Path,
) -> None:
    """K2: the agents judge again, with the name; what the button sends is what was planned."""
    with FakeAgent(tmp_path / "lb1", Fleet("lb1"), guard="min-healthy") as one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "min-healthy", "passed by its name")
            dialog: Any = app.screen
            dialog.query_one("#allow", Input).value = "min-healthy"
            dialog.query_one("#for", Input).value = "soon"
            dialog.query_one("#replan", Button).focus()
            await pilot.press("enter")
            await sees(pilot, "must be a time like")
            dialog.query_one("#for", Input).value = "30m"
            button = dialog.query_one("#replan", Button)
            await until(pilot, lambda: not button.has_class("-active"), "the button is up")
            await pilot.press("enter")
            await sees(pilot, "--allow min-healthy --for 1800s", "ok on 1 node")
            await confirm(pilot)
            dialog.query_one("#for", Input).value = "1h"
            go = dialog.query_one("#go", Button)
            await until(pilot, lambda: go.disabled, "what is typed was not planned")
            await until(pilot, lambda: not button.has_class("-active"), "the button is up")
            button.focus()
            await pilot.press("enter")
            await confirm(pilot)
            go.focus()
            await pilot.press("enter")
            await sees(pilot, "applied 1/1")
        last = one.changes[-1]
        assert (last.allow, last.expires, last.dry_run) == (("min-healthy",), 3600.0, False)


async def test_a_row_that_goes_away_leaves_the_keys_without_a_target(tmp_path: Path) -> None:
    """K2: it went the moment before D was pressed; a plan for the first row would be another's."""
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("slash", "u", "p", "enter", "j")
            await until(pilot, lambda: ">10.3.2.2" in painted(app, "LineTable"), "the cursor")
            one.fleet.health["web", "10.3.2.2"] = Health.DOWN
            one.tick()
            await until(pilot, lambda: "10.3.2.2" not in painted(app, "LineTable"), "it is gone")
            assert ">" not in painted(app, "LineTable")
            await pilot.press("D")
            await pilot.pause()
            assert not isinstance(app.screen, PlanDialog)
            assert "under the cursor" in painted(app, "#message")
            one.fleet.health["web", "10.3.2.2"] = Health.UP
            one.tick()
            await until(pilot, lambda: ">10.3.2.2" in painted(app, "LineTable"), "it is back")
            one.fleet.health["web", "10.3.2.2"] = Health.DOWN
            one.tick()
            await until(pilot, lambda: "10.3.2.2" not in painted(app, "LineTable"), "it is gone")
            await pilot.press("j")
            await until(pilot, lambda: ">10.3.3.2" in painted(app, "LineTable"), "on from there")
        assert one.changes == []


async def test_a_plan_says_which_nodes_it_does_not_reach(tmp_path: Path) -> None:
    """K2: a node that is not live still serves, and keeps the real that the others drain."""
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one:
        gone = FakeAgent(tmp_path / "lb2", Fleet("lb2"))  # never started
        async with console(one, gone) as (_, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "ok on 1 node", "lb2: left out, nothing changes there")


async def test_terms_typed_while_the_nodes_are_asked_are_not_passed_over(tmp_path: Path) -> None:
    """K2: an operator who typed `for 30m` must not send a drain without an end."""
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            one.deaf = True
            await pilot.press("D")
            dialog: Any = app.screen
            await until(pilot, lambda: len(one.changes) == 1, "the node is asked")
            dialog.query_one("#for", Input).value = "30m"
            await pilot.pause()
            one.deaf = False
            await until(pilot, lambda: dialog.proposal.ready, "the node has answered")
            dialog.query_one("#confirm", Input).value = dialog.proposal.wanted
            go, replan = (dialog.query_one(f"#{name}", Button) for name in ("go", "replan"))
            await pilot.pause()
            assert go.disabled, "the plan on show has no end, the field has one"
            replan.focus()
            await pilot.press("enter")
            await confirm(pilot)
            go.focus()
            await pilot.press("enter")
            await sees(pilot, "applied 1/1")
        assert one.changes[-1].expires == 1800.0


async def test_a_vip_is_drained_and_a_real_disabled_by_plans() -> None:
    app = ready()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("3", "D")(pilot)
        assert planned(app) == [Drain(vip="web")] * 2
        await keys("escape", "M")(pilot)
        assert "maint is for reals" in painted(app, "#message")
        await keys("enter", "M")(pilot)
        assert planned(app)[2:] == [Disable("10.3.1.2", "web")] * 2
        await keys("escape", "colon", *"drain vip/dns", "enter")(pilot)
        assert planned(app)[4:] == [Drain(vip="dns")] * 2
