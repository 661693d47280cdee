# SPDX-License-Identifier: Apache-2.0
"""The drain key to the command that leaves the socket, against fake agents on real ZeroMQ."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from console.model.store import Store
from console.planning.arming import Arming
from console.tui.app import RemoraApp
from console.tui.screens.plan import PlanDialog
from console.wire.client import Client
from shared.messages import Drain, Weight, Withdraw
from shared.model import Admin
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet
from tests.tui.test_key_order import burst

KEY = ("web", "10.3.1.2")
PATIENCE = 60.0
"""Seconds.  Fake agents speak when a test says so: however slow the machine is, they stay live."""


@asynccontextmanager
async def console(*agents: FakeAgent) -> AsyncIterator[tuple[RemoraApp, Pilot[None]]]:
    client = Client([agent.address for agent in agents], "test@here")
    app = RemoraApp(client, "lab", frame_every=0.05)
    app.store = Store(client.addresses, PATIENCE)
    app.arming = Arming(time.monotonic() + 900)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            yield app, pilot
    finally:
        client.close()


async def until(pilot: Pilot[None], fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline, f"never: {what}; on screen:\n{shown(pilot)}"
        await pilot.pause(0.02)


def shown(pilot: Pilot[None]) -> str:
    widgets: list[Any] = list(pilot.app.screen.query("Painted, LineTable"))
    return "\n".join(widget.text for widget in widgets)


async def go(pilot: Pilot[None]) -> None:
    """From Cancel to the button, once the plan allows it and what it wants is typed."""
    await confirm(pilot)
    pilot.app.screen.query_one("#cancel", Button).focus()
    await pilot.press("tab", "enter")


async def confirm(pilot: Pilot[None]) -> None:
    dialog: Any = pilot.app.screen
    button = dialog.query_one("#go", Button)
    await until(pilot, lambda: dialog.proposal.ready, "the plan can be sent")
    dialog.query_one("#confirm", Input).value = dialog.proposal.wanted
    await until(pilot, lambda: not button.disabled, "the button can be pressed")


async def replan(pilot: Pilot[None]) -> None:
    """The Plan button; Textual passes over a press while the one before still shows."""
    button = pilot.app.screen.query_one("#replan", Button)
    button.focus()
    await until(pilot, lambda: not button.has_class("-active"), "the button is up again")
    await pilot.press("enter")


async def sees(pilot: Pilot[None], *texts: str) -> None:
    await until(pilot, lambda: all(text in shown(pilot) for text in texts), str(texts))


@pytest.fixture
def one(tmp_path: Path) -> FakeAgent:
    return FakeAgent(tmp_path / "lb1", Fleet("lb1"))


@pytest.fixture
def other(tmp_path: Path) -> FakeAgent:
    return FakeAgent(tmp_path / "lb2", Fleet("lb2", pps_factor=2))


async def to_reals(pilot: Pilot[None]) -> None:
    await sees(pilot, "lb1")
    await pilot.press("3")
    await sees(pilot, "web")
    await pilot.press("enter")
    await sees(pilot, "10.3.1.2", "per node")


async def test_a_name_and_the_button_that_come_as_one_drain(
    one: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a slow link: Tab does not pass over a button that what was typed is about to enable."""
    with one:
        async with console(one) as (app, pilot):
            copied: list[str] = []
            monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
            await to_reals(pilot)
            await pilot.press("D")
            dialog: Any = app.screen
            await until(pilot, lambda: dialog.proposal.ready, "the plan can be sent")
            dialog.query_one("#confirm", Input).focus()
            burst(app, f"{dialog.proposal.wanted}\t\t\r")
            await sees(pilot, "applied 1/1, verified 1/1")
            assert not copied


async def test_drain_key_to_the_socket(one: FakeAgent, other: FakeAgent) -> None:
    with one, other:
        async with console(one, other) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "40.2% of the ring moves", "240 live", "ok on 2 nodes")
            assert [c.dry_run for c in one.changes] == [True], "a plan changes nothing"
            assert app.focused is not None
            assert app.focused.id == "cancel"
            await go(pilot)
            await sees(pilot, "applied 2/2, verified 2/2", "lb1  verified, revision 8")
            await pilot.press("enter")
            for agent in (one, other):
                first, second = agent.changes
                assert first.action == second.action == Drain(real="10.3.1.2", vip="web")
                assert (first.dry_run, second.dry_run) == (True, False)
                assert second.expect_revision == 7
            assert "● up" in shown(pilot), "no optimistic display"
            one.tick()
            other.tick()
            await sees(pilot, "◐ drain")
            one.fleet.flows[KEY] = other.fleet.flows[KEY] = 0
            one.tick()
            other.tick()
            await sees(pilot, "○ drained")


async def test_cancel_and_escape_send_nothing(one: FakeAgent) -> None:
    with one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            for key in ("enter", "escape"):
                await pilot.press("D")
                await sees(pilot, "ok on 1 node")
                await pilot.press(key)
                await until(pilot, lambda: not isinstance(app.screen, PlanDialog), "closed")
        assert [c.dry_run for c in one.changes] == [True, True]


async def test_enter_in_the_reason_does_nothing(one: FakeAgent) -> None:
    with one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "ok on 1 node")
            app.screen.query_one("#why").focus()
            await pilot.press("D", "i", "s", "k", "enter")
            await sees(pilot, "--reason Disk")
            assert isinstance(app.screen, PlanDialog)
            await confirm(pilot)
            app.screen.query_one("#go").focus()
            await pilot.press("enter")
            await sees(pilot, "applied 1/1")
        assert [c.why for c in one.changes] == ["", "Disk"]


async def test_the_target_is_the_one_under_the_cursor_when_the_key_was_pressed(
    one: FakeAgent,
) -> None:
    """Telemetry that re-orders the table behind the dialog changes nothing in it."""
    with one:
        async with console(one) as (_, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "ok on 1 node")
            one.fleet.admin["web", "10.3.3.2"] = Admin.DRAINING
            one.tick()
            one.tick()
            await pilot.pause(0.2)
            await go(pilot)
            await sees(pilot, "applied 1/1")
        assert one.changes[-1].action == Drain(real="10.3.1.2", vip="web")


async def test_a_guard_disables_the_button(one: FakeAgent, other: FakeAgent) -> None:
    other.guard = "last-healthy"
    with one, other:
        async with console(one, other) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "✕ last-healthy on lb2", "refused: nothing was sent")
            assert app.screen.query_one("#go", Button).disabled
            await pilot.press("tab", "enter")
        assert all(c.dry_run for c in [*one.changes, *other.changes])


async def test_k2_who_left_while_the_plan_was_on_show_does_not_count(
    one: FakeAgent, other: FakeAgent
) -> None:
    with one, other:
        async with console(one, other) as (app, pilot):
            await sees(pilot, "lb1", "lb2")
            await pilot.press("2", "B")
            await sees(pilot, "ok on 1 node")
            other.fleet.away = frozenset({"web"})
            other.tick()
            there = app.store.agents[other.address]
            await until(
                pilot,
                lambda: bool(there.vips and not there.vips.vips[0].announced),
                "the console knows",
            )
            await go(pilot)
            await sees(pilot, "applied 1/1")
        asked = [command.action for command in one.changes]
        assert asked == [Withdraw(vip="web", elsewhere={"web": count}) for count in (1, 0)]


async def test_somebody_was_faster(one: FakeAgent) -> None:
    """K1: what was planned is what happens, or nothing."""
    one.interfere = lambda: setattr(one.fleet, "revision", 8)
    with one:
        async with console(one) as (_, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "ok on 1 node")
            await go(pilot)
            await sees(pilot, "refused revision", "applied 0/1")
        assert KEY not in one.fleet.admin


async def test_weight_is_planned_before_it_can_be_sent(one: FakeAgent) -> None:
    with one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("W")
            await sees(pilot, "say the weight")
            field: Any = app.screen.query_one("#weight")
            field.focus()
            field.value = "0"
            await replan(pilot)
            await sees(pilot, "must be 1 to 1000")
            field.value = "50"
            await replan(pilot)
            await sees(pilot, "weight 100 -> enabled, weight 50")
            button = app.screen.query_one("#go", Button)
            await confirm(pilot)
            field.value = "60"
            await until(pilot, lambda: button.disabled, "the plan on show is not what is typed")
            await replan(pilot)
            await sees(pilot, "enabled, weight 60")
            await confirm(pilot)
            button.focus()
            await pilot.press("enter")
            await sees(pilot, "applied 1/1")
        assert one.changes[-1].action == Weight(real="10.3.1.2", weight=60, vip="web")
        assert [c.dry_run for c in one.changes] == [True, True, False]


async def test_drain_a_node_and_what_is_so_already(one: FakeAgent) -> None:
    with one:
        async with console(one) as (_, pilot):
            await sees(pilot, "lb1", "● up")
            await pilot.press("U")
            await sees(pilot, "it is so already")
            await pilot.press("escape")
            await pilot.press("D")
            await sees(pilot, "enabled -> draining")
            await go(pilot)
            await sees(pilot, "applied 1/1")
        assert one.changes[-1].action == Drain(node=True)


async def test_an_agent_that_comes_back_is_looked_at_at_once(tmp_path: Path) -> None:
    first = FakeAgent(tmp_path / "lb1", Fleet("lb1"))
    async with console(first) as (_, pilot):
        await sees(pilot, "? no answer")
        with first:
            await sees(pilot, "● up")
        again = FakeAgent(tmp_path / "lb1", Fleet("lb1", revision=9))
        again.second = 60.0
        with again:
            await until(pilot, lambda: again.looks > 0, "a look after the reconnect")


async def test_steps_are_shown_and_what_was_not_found_again(one: FakeAgent) -> None:
    """Nothing is shown as done that was not read back."""
    one.unverified = "ring of web: digest c0ffee, expected 5bd3f1"
    with one:
        async with console(one) as (_, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "ok on 1 node")
            await go(pilot)
            await sees(pilot, "applied 0/1", "lb1  unverified", "ring of web: digest c0ffee")


async def test_a_step_that_is_known_is_on_show_while_the_next_is_waited_for(
    one: FakeAgent,
) -> None:
    one.lost = {"verified"}
    with one:
        async with console(one) as (_, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "ok on 1 node")
            await go(pilot)
            await sees(pilot, "applied 1/1", "lb1  applied, revision 8")
            await sees(pilot, "verified 1/1")


async def test_the_name_may_be_typed_right_away(one: FakeAgent) -> None:
    """On Cancel, where the cursor is at first: nothing else there takes a letter."""
    with one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "ok on 1 node")
            go = app.screen.query_one("#go", Button)
            burst(app, "10.3.1.2\r")
            await until(pilot, lambda: not go.disabled, "the button can be pressed")
            assert [c.dry_run for c in one.changes] == [True], "Enter in a field does nothing"
            await pilot.press("tab", "tab", "enter")
            await sees(pilot, "applied 1/1")
        assert one.changes[-1].action == Drain(real="10.3.1.2", vip="web")


async def test_once_sent_there_is_nothing_to_type_and_the_rows_live(one: FakeAgent) -> None:
    with one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "ok on 1 node")
            behind: Any = app.screen_stack[-2]
            await until(pilot, lambda: behind.view.held is not None, "what was planned is held")
            await go(pilot)
            await sees(pilot, "applied 1/1")
            assert not any(field.is_on_screen for field in app.screen.query(Input))
            assert app.focused is app.screen.query_one("#cancel")
            one.tick()
            await until(pilot, lambda: "◐ drain" in behind.table.text, "the row says so")


async def test_an_old_plan_is_made_anew_by_its_button(
    one: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            monkeypatch.setattr("console.tui.screens.plan.VALID", 0.2)
            await pilot.press("D")
            await sees(pilot, "press Plan for one of now")
            assert app.screen.query_one("#go", Button).disabled
            monkeypatch.setattr("console.tui.screens.plan.VALID", 60.0)
            await replan(pilot)
            await go(pilot)
            await sees(pilot, "applied 1/1")


async def test_the_commands_go_to_the_clipboard(one: FakeAgent) -> None:
    with one:
        async with console(one) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("D")
            await sees(pilot, "ok on 1 node")
            app.screen.query_one("#why", Input).value = "disk swap"
            app.screen.query_one("#copy", Button).focus()
            await pilot.press("enter")
            await sees(pilot, "to the clipboard")
            assert app.clipboard == "remora drain real/10.3.1.2@web --reason 'disk swap'"
        assert [c.dry_run for c in one.changes] == [True]
