# SPDX-License-Identifier: Apache-2.0
"""Screens in what their keys and the fleet bring about; test_states.py has every screen's states.

`pytest tests/tui --snapshot-update` after a wanted change; look at the pictures before committing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from console.tui.app import RemoraApp
from console.tui.screens.plan import PlanDialog
from shared.messages import Drain, RolloutRow, Weight
from shared.model import Admin, Health
from tests.tui.fake_agent import FakeAgent
from tests.tui.playback import SECONDS, recorded
from tests.tui.recorded import LB1, LB2, Fleet

SIZES = [(80, 24), (140, 40)]
WEB1 = ("web", "10.3.1.2")
Compare = Callable[..., bool]
Before = Callable[[Pilot[None]], Awaitable[None]]


def keys(*pressed: str) -> Before:
    async def before(pilot: Pilot[None]) -> None:
        await settle(pilot)
        for key in pressed:
            await pilot.press(key)
            await settle(pilot)

    return before


async def settle(pilot: Pilot[None]) -> None:
    """One frame, drawn."""
    await pilot.pause()
    app = pilot.app
    assert isinstance(app, RemoraApp)
    app.frame()
    await pilot.pause()


def plain() -> RemoraApp:
    return recorded({LB1: Fleet("lb1"), LB2: Fleet("lb2", pps_factor=2)})


def ready() -> RemoraApp:
    """Plans can be opened."""
    return recorded({LB1: Fleet("lb1"), LB2: Fleet("lb2", pps_factor=2)}, armed=True)


def lost(*, armed: bool = False) -> RemoraApp:
    """lb2 fell silent ten seconds ago, a third never answered."""
    nodes = {LB1: Fleet("lb1"), LB2: Fleet("lb2", pps_factor=2)}
    third = "ipc:///run/remora/lb3"
    return recorded(nodes, silent_from={LB2: 20}, never=(third,), armed=armed)


def nobody() -> RemoraApp:
    return recorded({}, never=(LB1, LB2))


def empty() -> RemoraApp:
    return recorded({LB1: Fleet("lb1", empty=True)})


def skewed(cpus: int = 8) -> RemoraApp:
    """lb2 has one CPU with far more than its share, and one that never took a packet."""
    even, uneven = (4,) * cpus, (3, 0, 2, 20, *(3 + n % 5 for n in range(cpus - 4)))
    return recorded({LB1: Fleet("lb1", cpus=even), LB2: Fleet("lb2", cpus=uneven)})


def mixed(*, armed: bool = False) -> RemoraApp:
    """Drained on one node only, another down, one at half its weight on one node."""
    one = Fleet("lb1", admin={WEB1: Admin.DRAINING}, health={("web", "10.3.2.2"): Health.DOWN})
    other = Fleet("lb2", weight={("web", "10.3.3.2"): 25}, peers_up=False)
    return recorded({LB1: one, LB2: other}, armed=armed)


def drained() -> RemoraApp:
    done = {WEB1: Admin.DRAINING, ("web", "10.3.2.2"): Admin.DRAINING}
    return recorded(
        {
            LB1: Fleet("lb1", admin=dict(done), flows={WEB1: 0}),
            LB2: Fleet("lb2", admin=dict(done), flows={WEB1: 0}, node_admin=Admin.DRAINING),
        }
    )


def canary(held: str = "") -> RemoraApp:
    """Drained on lb1, which is the canary; held or still soaking."""
    nodes = {
        address: Fleet(address[-3:], rollouts=(_part(held=held, done=address == LB1),))
        for address in (LB1, LB2)
    }
    nodes[LB1].admin[WEB1] = Admin.DRAINING
    return recorded(nodes, armed=True)


def _part(*, held: str, done: bool) -> RolloutRow:
    real = "real/10.3.1.2@web"
    return RolloutRow(
        operation="4182c0ffee00",
        who="ak@jump01",
        lines=(f"drain {real}",),
        state="held" if held else "running",
        since=5000.0 + SECONDS - 11,
        until=0.0 if held else 5000.0 + SECONDS + 30,
        done=done,
        undo=(f"undrain {real}",) if done else (),
        why="INC-2290 kernel",
        terms="--canary lb1 --soak 30s --batch 1 --stop-on drops=+50/s,hc,ack=5s",
        said=held,
    )


def held() -> RemoraApp:
    return canary("drops +81/s (limit +50/s)")


STATES: dict[str, tuple[Callable[[], RemoraApp], tuple[str, ...]]] = {
    "heat": (skewed, ("5", "j")),
    "heat_share": (skewed, ("5", "m")),
    "heat_misses": (skewed, ("5", "m", "m", "m")),
    "heat_many": (lambda: skewed(64), ("5", "j")),
    "heat_folded": (lambda: skewed(256), ("5", "j")),
    "bgp_mixed": (mixed, ("6",)),
    "bgp_checks": (mixed, ("6", "tab")),
    "alerts_mixed": (mixed, ("8", "j", "j")),
    "ring": (mixed, ("3", "d")),
    "operations_canary": (canary, ("9",)),
    "operations_held": (held, ("9",)),
    "fleet_canary": (canary, ()),
    "fleet_held": (held, ()),
    "alerts_held": (held, ("8",)),
    "vip_canary": (canary, ("3", "enter")),
    "heat_softirq": (skewed, ("5", "m", "m")),
    "columns": (plain, ("3", "a")),
    "export": (plain, ("e",)),
    "command": (plain, ("colon", *"drain node/lb", "tab")),
    "command_wrong": (plain, ("colon", *"drian lb1", "enter")),
    "help": (plain, ("question_mark",)),
    "filter": (plain, ("slash", "l", "b", "2")),
    "sorted": (plain, ("o", "o", "O")),
    "frozen": (plain, ("p",)),
    "plan": (ready, ("3", "enter", "j", "D")),
    "plan_several": (ready, ("3", "enter", "space", "space", "D")),
    "weight": (ready, ("3", "enter", "W")),
    "armed": (ready, ("3", "enter", "space", "space")),
    "arm": (plain, ("A",)),
    "fleet_mixed": (mixed, ()),
    "vip_mixed": (mixed, ("3", "enter")),
    "vip_drained": (drained, ("3", "enter")),
    "real_mixed": (mixed, ("3", "enter", "enter")),
}


SMALL_ONLY = (
    "filter",
    "real_mixed",
    "columns",
    "export",
    "arm",
    "sorted",
    "frozen",
    "heat_share",
    "heat_misses",
    "heat_softirq",
    "alerts_held",
    "vip_canary",
    "bgp_checks",
    "command",
    "command_wrong",
)
"""Nothing in them depends on the layout beyond what the other pictures show."""
PICTURES = [(s, size) for s in STATES for size in SIZES if size == SIZES[0] or s not in SMALL_ONLY]


@pytest.mark.parametrize(
    ("state", "size"), PICTURES, ids=[f"{s}-{size[0]}x{size[1]}" for s, size in PICTURES]
)
def test_screen(snap_compare: Compare, state: str, size: tuple[int, int]) -> None:
    app, pressed = STATES[state]
    assert snap_compare(app(), terminal_size=size, run_before=keys(*pressed))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("guard", ["", "last-healthy"], ids=["ready", "refused"])
def test_plan(snap_compare: Compare, tmp_path: Path, guard: str, size: tuple[int, int]) -> None:
    """As the nodes answered: what would happen, or which guard says no where."""
    fleets = {LB1: Fleet("lb1"), LB2: Fleet("lb2", pps_factor=2)}
    agents = {a: FakeAgent(tmp_path / f.name, f, guard=guard) for a, f in fleets.items()}
    app = recorded(fleets, armed=True)
    source: Any = app.source

    async def before(pilot: Pilot[None]) -> None:
        await keys("3", "enter", "D")(pilot)
        source.answer_with(agents, SECONDS - 0.9)
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)


def test_no_color(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR: not even greys as RGB; glyphs and words say it all."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(mixed(), terminal_size=(80, 24), run_before=keys("3", "enter"))


# ---- what a picture does not show


def painted(app: RemoraApp, name: str) -> str:
    widget: Any = app.screen.query_one(name)
    return str(widget.text)


async def test_the_cursor_stays_on_its_row_when_the_order_changes() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("3", "enter", "j")(pilot)
        assert ">10.3.2.2" in painted(app, "LineTable")
        await keys("o", "O")(pilot)
        lines = painted(app, "LineTable").splitlines()
        assert lines[2].startswith(">10.3.2.2")
        assert lines[1].startswith(" 10.3.3.2"), "now sorted from the largest address down"


async def test_topics_follow_the_screen() -> None:
    app = plain()
    source: Any = app.source
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert source.topics == {"node", "vip", "event", "label"}
        await keys("3", "enter")(pilot)
        assert source.topics == {"node", "vip", "event", "label", "real"}
        await keys("4")(pilot)
        assert source.topics == {"node", "vip", "event", "label", "drop"}
        await keys("escape", "escape", "escape")(pilot)
        assert source.topics == {"node", "vip", "event", "label"}
        assert "Fleet" in painted(app, "#crumb")


async def test_every_screen_counts_the_same_alerts() -> None:
    """What a screen follows beside the others changes nothing in the header."""
    app = mixed()
    async with app.run_test(size=(140, 40)) as pilot:
        seen = set()
        for key in ("1", "3", "4", "5", "6", "8"):
            await keys(key)(pilot)
            seen.add(painted(app, "#header").partition("alerts")[2].split()[0])
        assert len(seen) == 1, seen
        assert seen != {"0"}


async def test_stale_rows_cannot_be_targets() -> None:
    """K4: no plan on values that are not live."""
    app = lost(armed=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("g")(pilot)
        while ">lb2" not in painted(app, "LineTable"):
            await keys("j")(pilot)
        await keys("D")(pilot)
        assert "no action on values that are not live" in painted(app, "#message")
        source: Any = app.source
        assert [sent for sent in source.sent if sent[2]] == []


async def test_a_held_display_opens_no_plan_and_changes_nothing() -> None:
    app = ready()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("p")(pilot)
        before = painted(app, "LineTable")
        assert "FROZEN" in painted(app, "#header")
        source: Any = app.source
        source.waiting = 312
        await settle(pilot)
        assert "FROZEN 0s +312" in painted(app, "#header"), "what came meanwhile is counted"
        await keys("D")(pilot)
        assert "display is held" in painted(app, "#message")
        assert painted(app, "LineTable") == before
        await keys("p")(pilot)
        assert "LIVE" in painted(app, "#header")


async def test_heat_shows_every_metric_and_what_is_hot() -> None:
    app = skewed()
    async with app.run_test(size=(140, 40)) as pilot:
        await keys("5", "j")(pilot)
        seen = []
        for _ in range(6):
            seen.append(painted(app, "#crumb").split("sort")[0].strip())
            if "softirq" not in seen[-1]:
                assert "· " in painted(app, "LineTable"), "the CPU that takes nothing"
            await keys("m")(pilot)
        assert seen[0] == seen[5] == "Heat › packets/s"
        assert len(set(seen)) == 5
        lines = painted(app, "#cpus").splitlines()
        assert lines[0].startswith(" cpu3"), "the busiest first"
        assert "1 took no packet" in lines[-1]


async def test_a_cpu_that_goes_idle_and_a_node_with_fewer_are_not_guessed() -> None:
    app = recorded({LB1: Fleet("lb1", cpus=(1, 1)), LB2: Fleet("lb2", cpus=(1, 1, 1))}, seconds=1)
    async with app.run_test(size=(140, 40)) as pilot:
        await keys("5")(pilot)
        one, two = painted(app, "LineTable").splitlines()[1:3]
        assert one.count("-") >= 4, "one sample: no rate is known"
        assert two.count("-") == one.count("-") + 1


async def test_tab_moves_the_keys_to_the_other_table() -> None:
    """D is about the row that the keys move, never about the table that they left."""
    app = ready()
    source: Any = app.source
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("6", "j")(pilot)
        assert ">lb2" in painted(app, "#sessions")
        assert ">" not in painted(app, "#checks").replace("->", "")
        await keys("tab", "j")(pilot)
        assert ">" not in painted(app, "#sessions")
        assert ">10.3.2.2" in painted(app, "#checks")
        await keys("D")(pilot)
        planned = [action for _, action, dry_run in source.sent if dry_run]
        assert planned == [Drain(real="10.3.2.2", vip="web")] * 2
        await keys("escape", "enter")(pilot)
        assert "web › reals" in painted(app, "#crumb")
        assert ">10.3.2.2" in painted(app, "LineTable")


async def test_an_alert_leads_to_its_row() -> None:
    app = mixed()
    async with app.run_test(size=(140, 40)) as pilot:
        await keys("8")(pilot)
        while ">" not in (row := line_with(app, "not up on 1 of 2"))[:1]:
            await keys("j")(pilot)
        assert "15m+" in row, "since the last change that the agents tell of"
        assert "next" in painted(app, "#detail")
        await keys("enter")(pilot)
        assert ">10.3.2.2" in painted(app, "LineTable")
        await keys("escape")(pilot)
        while not line_with(app, "BGP to 10.2.1.1").startswith(">"):
            await keys("k")(pilot)
        await keys("enter")(pilot)
        assert "Fleet › lb2" in painted(app, "#crumb")


def line_with(app: RemoraApp, text: str) -> str:
    return next(one for one in painted(app, "LineTable").splitlines() if text in one)


async def test_the_command_bar_goes_to_places_and_keeps_what_was_wrong() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("colon", *"vip we", "tab", "enter")(pilot)
        assert "web › reals" in painted(app, "#crumb")
        await keys("colon", *"node lb2", "enter")(pilot)
        assert "Fleet › lb2" in painted(app, "#crumb")
        await keys("colon", *"alert", "enter")(pilot)
        assert "no such command" in painted(app, "#message")
        await keys("s", "enter")(pilot)
        assert painted(app, "#crumb").startswith(" Alerts")
        await keys("colon", "up", "up", "up", "down", "enter")(pilot)
        assert "no such command" in painted(app, "#message"), "what was wrong is remembered too"
        await keys("escape")(pilot)
        assert painted(app, "#crumb").startswith(" Alerts"), "only the bar was closed"
        assert painted(app, "#message") == ""
        await keys("1")(pilot)
        assert painted(app, "#crumb").startswith(" Fleet"), "keys are keys again"


async def test_a_command_opens_the_plan_and_sends_nothing_more() -> None:
    """Upper-case keys and commands lead to the same dialog; only its button sends."""
    app = ready()
    source: Any = app.source
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("colon")(pilot)
        assert "real" in source.topics, "names of reals are wanted on any screen"
        await keys(*"weight real/10.3.1.2@web 50 --reason disk", "enter")(pilot)
        assert isinstance(app.screen, PlanDialog)
        assert app.focused is not None
        assert app.focused.id == "cancel"
        cli = painted(app, "#cli")
        assert "remora weight real/10.3.1.2@web 50 --reason disk" in cli
        asked = [action for _, action, dry_run in source.sent if dry_run]
        assert asked == [Weight(real="10.3.1.2", weight=50, vip="web")] * 2
        await keys("escape")(pilot)
        assert "real" not in source.topics
        await keys("colon", *"drain 10.3.1.2", "enter")(pilot)
        assert [a for _, a, dry_run in source.sent if dry_run][2:] == [Drain(real="10.3.1.2")] * 2
    changing = (Drain, Weight)
    assert all(dry for _, action, dry in source.sent if isinstance(action, changing))


async def test_a_command_on_old_values_or_a_held_display_opens_no_plan() -> None:
    """K4: as the keys."""
    app = lost(armed=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("colon", *"drain lb2", "enter")(pilot)
        assert "no action on values that are not live" in painted(app, "#message")
        await keys("escape", "p", "colon", *"drain lb1", "enter")(pilot)
        assert "display is held" in painted(app, "#message")
        assert not isinstance(app.screen, PlanDialog)


async def test_resize_there_and_back() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        small = painted(app, "LineTable")
        await pilot.resize_terminal(160, 45)
        await settle(pilot)
        assert "AGENT" in painted(app, "LineTable")
        await pilot.resize_terminal(30, 8)
        await settle(pilot)
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert painted(app, "LineTable") == small


async def test_lower_case_never_sends() -> None:
    """Only Replay (a question) leaves the console without an upper-case key and a button."""
    app = plain()
    source: Any = app.source
    async with app.run_test(size=(80, 24)) as pilot:
        await keys(*"jkgomp1345689d2", "tab", "enter", "escape", "slash", "d", "u", "w", "enter")(
            pilot
        )
    assert {type(action).__name__ for _, action, _ in source.sent} == {"Replay"}
