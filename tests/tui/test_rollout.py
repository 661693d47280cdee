# SPDX-License-Identifier: Apache-2.0
"""A change that comes to its nodes one after the other, by keys: canary, HELD, on and back.

Two fake agents on real ZeroMQ keep their parts as agents do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from console.planning import rollout
from console.tui.screens.plan import PlanDialog
from shared.messages import Command, Drain, Rollout, RolloutRow, Undrain
from shared.model import Admin, Health
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet
from tests.tui.test_plan import confirm, console, sees, shown, to_reals
from tests.tui.test_screens import painted

REAL = "real/10.3.1.2@web"
Pair = tuple[FakeAgent, FakeAgent]


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(rollout, "SETTLE", 0.1)
    one, other = (FakeAgent(tmp_path / name, Fleet(name)) for name in ("lb1", "lb2"))
    with one, other:
        yield one, other


async def goes_on(pilot: Pilot[None], two: Pair, fact: Callable[[], bool], what: str) -> None:
    """Telemetry is published until it is so."""
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline, f"never: {what}; on screen:\n{shown(pilot)}"
        for agent in two:
            agent.tick()
        await pilot.pause(0.05)


async def begin(pilot: Pilot[None], two: Pair, soak: str) -> None:
    """A drain with lb1 as its canary, from the key to the button."""
    app: Any = pilot.app
    await to_reals(pilot)
    await pilot.press("D")
    await sees(pilot, "ok on 2 nodes")
    dialog = app.screen
    assert isinstance(dialog, PlanDialog)
    for name, text in (("canary", "lb1"), ("soak", soak)):
        dialog.query_one(f"#{name}", Input).value = text
    await confirm(pilot)
    dialog.query_one("#go", Button).focus()
    await pilot.press("enter")
    await goes_on(pilot, two, lambda: "begun" in shown(pilot), "begun")
    await pilot.press("escape")


def drained(agent: FakeAgent) -> bool:
    return agent.fleet.admin.get(("web", "10.3.1.2")) is Admin.DRAINING


def turns(agent: FakeAgent) -> list[Command]:
    """What changed it."""
    return [c for c in agent.changes if not c.dry_run and not isinstance(c.action, Rollout)]


async def test_a_canary_then_the_others_and_the_ring_is_no_alarm(two: Pair) -> None:
    one, other = two
    async with console(*two) as (app, pilot):
        await begin(pilot, two, "5s")
        await goes_on(pilot, two, lambda: drained(one), "the canary")
        await pilot.press("1")
        await goes_on(pilot, two, lambda: "*" in painted(app, "LineTable"), "the mark")
        assert "ops 1" in painted(app, "#header")
        assert "alerts 0" in painted(app, "#header"), "two rings are what a canary is"
        assert not drained(other), "while it soaks"
        await goes_on(pilot, two, lambda: drained(other), "the other")
        await goes_on(pilot, two, lambda: one.fleet.rollouts == (), "over")
        await goes_on(pilot, two, lambda: "ops" not in painted(app, "#header"), "no operation")
    assert turns(one)[0].operation == turns(other)[0].operation
    said = [c.action.state for c in other.received if isinstance(c.action, Rollout)]
    assert said == ["running", "running", "over"]


async def test_a_real_that_fails_leaves_it_held_for_every_console(two: Pair) -> None:
    """Held by a stop condition; the console that began it goes; another one takes it back."""
    one, other = two
    async with console(*two) as (_, pilot):
        await begin(pilot, two, "60s")
        await goes_on(pilot, two, lambda: drained(one), "the canary")
        two[1].fleet.health["web", "10.3.2.2"] = Health.DOWN
        await goes_on(pilot, two, lambda: held(other), "held")
    async with console(*two) as (app, pilot):
        await goes_on(pilot, two, lambda: "ops 1 HELD" in painted(app, "#header"), "in the header")
        await pilot.press("9")
        await sees(pilot, "HELD 1/2", "went down on lb2", "R plans to go on")
        await pilot.press("K")
        await sees(pilot, "ok on 1 node")
        dialog: Any = app.screen
        assert dialog.proposal.wish.title == f"take back drain {REAL}"
        await confirm(pilot)
        app.screen.query_one("#go", Button).focus()
        await pilot.press("enter")
        await sees(pilot, "applied 1/1")
        await pilot.press("escape")
        await goes_on(pilot, two, lambda: one.fleet.rollouts == other.fleet.rollouts == (), "over")
    assert not drained(one)
    assert turns(one)[-1].action == Undrain("10.3.1.2", "web")
    assert turns(one)[-1].operation == f"{turns(one)[0].operation}/revert"
    assert turns(other) == []


def held(agent: FakeAgent) -> bool:
    return [row.state for row in agent.fleet.rollouts] == ["held"]


async def test_k_holds_it_at_once_and_r_goes_on_with_what_is_left(two: Pair) -> None:
    one, other = two
    async with console(*two) as (app, pilot):
        await begin(pilot, two, "60s")
        await goes_on(pilot, two, lambda: drained(one), "the canary")
        await pilot.press("9")
        await goes_on(pilot, two, lambda: "◐ 1/2" in painted(app, "LineTable"), "in the list")
        await pilot.press("K")
        await goes_on(pilot, two, lambda: held(one) and held(other), "held")
        await goes_on(pilot, two, lambda: "HELD 1/2" in painted(app, "LineTable"), "shown")
        await pilot.press("Z")
        assert "it is not over" in painted(app, "#message")
        await pilot.press("R")
        await sees(pilot, "ok on 1 node")
        await confirm(pilot)
        app.screen.query_one("#go", Button).focus()
        await pilot.press("enter")
        await goes_on(pilot, two, lambda: drained(other), "the other")
        await goes_on(pilot, two, lambda: one.fleet.rollouts == other.fleet.rollouts == (), "over")
    assert [c.action for c in turns(one)] == [Drain("10.3.1.2", "web")], "no second turn"
    assert len({c.operation for c in (*turns(one), *turns(other))}) == 1


async def test_a_node_that_does_not_take_the_word_to_hold_is_named(two: Pair) -> None:
    """An operator who pressed K must not believe that it is held where it goes on."""
    for agent in two:
        row = RolloutRow("op1", "ann@jump", (f"drain {REAL}",), "running", 0.0)
        agent.fleet.rollouts = (row,)
        agent.only_looks = True
    async with console(*two) as (_, pilot):
        await sees(pilot, "lb1")
        await pilot.press("9")
        await goes_on(pilot, two, lambda: "0/2" in shown(pilot), "in the list")
        await pilot.press("K")
        await sees(pilot, "did not take it: role")


async def test_the_command_bar_knows_the_same_words(two: Pair) -> None:
    async with console(*two) as (app, pilot):
        await sees(pilot, "lb1")
        line = f"drain {REAL} --canary lb2 --soak 45s --reason disk"
        await pilot.press("colon")
        app.screen.query_one("#command", Input).value = line
        await pilot.press("enter")
        await sees(pilot, "ok on 2 nodes")
        dialog: Any = app.screen
        assert dialog.query_one("#canary", Input).value == "lb2"
        assert dialog.query_one("#soak", Input).value == "45s"
        assert "--canary lb2 --soak 45s" in painted(app, "#cli")
        dialog.query_one("#canary", Input).value = "lb9"
        await confirm(pilot)
        dialog.query_one("#go", Button).focus()
        await pilot.press("enter")
        await sees(pilot, "canary lb9: must be one of lb1, lb2")
        assert turns(two[0]) == []
        await pilot.press("escape", "colon")
        app.screen.query_one("#command", Input).value = "op hold nonsense"
        await pilot.press("enter")
        await sees(pilot, "no operation of that name")
