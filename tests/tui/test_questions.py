# SPDX-License-Identifier: Apache-2.0
"""Screens that ask the agents: what if, rings, operations and the plan that takes one back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap
from textual.widgets import Input

from console.model.store import Arrived, Inbox
from console.planning.arming import ONLY_LOOKS
from console.tui.screens import asks as asks_
from console.tui.screens.plan import PlanDialog
from shared.flows import unpacked
from shared.messages import (
    ChangeEvent,
    Drain,
    FlowAfter,
    FlowOf,
    FlowPlace,
    FlowsOf,
    RingOf,
    Undrain,
)
from tests.tui.fake_agent import FakeAgent
from tests.tui.playback import SECONDS, recorded
from tests.tui.recorded import LB1, LB2, Fleet
from tests.tui.test_plan import confirm, console, sees, to_reals, until
from tests.tui.test_screens import keys, mixed, painted, plain, ready, settle
from tests.unit.test_console_flow import places


async def test_what_if_asks_every_node_and_sends_nothing(tmp_path: Path) -> None:
    agents = [FakeAgent(tmp_path / name, Fleet(name)) for name in ("lb1", "lb2")]
    agents[1].guard = "min-healthy"
    with agents[0] as one, agents[1] as other:
        async with console(*agents) as (app, pilot):
            await to_reals(pilot)
            await pilot.press("7")
            await sees(pilot, "if: drain real/10.3.1.2@web", "● would do it", "✕ refuses")
            await sees(pilot, "min-healthy", "40.2%", "refused: nothing was sent")
            field: Any = app.screen.query_one("#if", Input)
            await pilot.press("enter")
            await until(pilot, lambda: app.focused is field, "the question is typed")
            field.value = "weight 10.3.2.2@web 50"
            await pilot.press("enter")
            await sees(pilot, "if: weight 10.3.2.2@web 50")
            field.value = "weight nonsense"
            field.focus()
            await pilot.press("enter")
            await sees(pilot, "a number from 1 to 1000")
            await pilot.press("escape")
            await until(pilot, lambda: app.focused is not field, "left")
            other.guard = ""
            await pilot.press("U")
            await sees(pilot, "what was asked is weight, not undrain")
            await pilot.press("W")
            await until(pilot, lambda: isinstance(app.screen, PlanDialog), "the same as a plan")
            assert app.screen.query_one("#weight", Input).value == "50"
        assert all(c.dry_run for c in [*one.changes, *other.changes])


async def test_where_a_flow_goes_is_asked_of_nobody_where_no_node_is_live() -> None:
    """And it says so, rather than wait for ever."""
    app = recorded({LB1: Fleet("lb1")}, silent_from={LB1: 10})
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("7", "tab", *"1.2.3.4:5 vip/web", "enter")(pilot)
        assert "no node is live" in painted(app, "#message")
        assert "asking" not in painted(app, "#places")
        source: Any = app.source
        assert not [action for _, action, _ in source.sent if isinstance(action, FlowOf)]


async def test_where_a_flow_goes_now_and_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7: one flow, then many by chance; the nodes are asked, nothing is sent."""
    now = FlowPlace("web", "flow", "track", 7, "10.3.1.2", "10.3.1.2", "ring")
    after = FlowAfter(9, "10.3.2.2", "10.3.1.2", "slot")
    agents = [FakeAgent(tmp_path / name, Fleet(name)) for name in ("lb1", "lb2")]
    for agent in agents:
        agent.flow, agent.flows = now, places
    with agents[0] as one, agents[1] as other:
        async with console(*agents) as (app, pilot):

            async def asks(flow: str, *says: str) -> None:
                app.screen.query_one("#flow", Input).value = flow
                app.screen.query_one("#flow", Input).focus()
                await pilot.press("enter")
                await sees(pilot, *says)

            await to_reals(pilot)
            await pilot.press("7")
            await sees(pilot, "if: drain real/10.3.1.2@web", "● would do it")
            one.flow = other.flow = msgspec.structs.replace(now, after=after)
            await asks(
                "198.51.100.7:40000 vip/web",
                "198.51.100.7:40000 -> 10.200.0.1:80/tcp",
                "lb1, lb2: 10.3.1.2, slot 7",
                "10.3.2.2: a new one moves; one that began stays",
                "would do it",
            )
            await asks(
                "999 vip/web",
                "999 flows by chance to vip/web",
                "66.7% of new ones move",
                "66.7% ->   0.0%",
                "on lb1, lb2",
            )
            with monkeypatch.context() as patched:
                patched.setattr("console.views.flow_places.told", None)
                app.draw()  # counts none of them again
            await asks("5000 vip/web", "remora flow --sample takes more")
            await asks("x vip/web", "must be ADDRESS:PORT")
            fields: list[Any] = [app.screen.query_one(name, Input) for name in ("#if", "#flow")]
            await pilot.press("tab")
            await until(pilot, lambda: app.focused is fields[0], "Tab: the other field")
            await pilot.press("tab")
            await until(pilot, lambda: app.focused is fields[1], "and back")
            one.flows = lambda asked: None
            await asks("10 vip/web", "lb1: too old to say")
        flows = [c.action for c in one.received if isinstance(c.action, FlowOf | FlowsOf)]
        assert flows[0].change == Drain("10.3.1.2", "web")
        assert all(c.dry_run for c in [*one.changes, *other.changes] if isinstance(c.action, Drain))


async def test_where_the_flows_of_a_capture_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file on this machine: not for whoever sits at a browser; no pipe is waited for."""
    sent = [Ether() / IP(src=f"198.51.100.{n}", dst="10.200.0.1") / TCP(sport=1234, dport=80)
            for n in (1, 2, 3, 1)]  # fmt: skip
    wrpcap(str(tmp_path / "some.pcap"), sent)
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    agent = FakeAgent(tmp_path / "lb1", Fleet("lb1"))
    agent.flows = places
    with agent:
        async with console(agent) as (app, pilot):

            async def asks(flow: str, *says: str) -> None:
                app.screen.query_one("#flow", Input).value = flow
                app.screen.query_one("#flow", Input).focus()
                await pilot.press("enter")
                await sees(pilot, *says)

            await sees(pilot, "lb1")
            await pilot.press("7")
            await until(pilot, lambda: bool(app.screen.query("#flow")), "the question")
            await asks("pcap some.pcap", "some.pcap: 3 flows in 4 packets", "web")
            await asks("pcap nowhere.pcap", "nowhere.pcap: No such file")
            await asks("pcap pipe", "pipe: is no file")
            await asks("pcap ~nosuchuser/x.pcap", "~nosuchuser/x.pcap: Could not")
            await asks(f"pcap {'x' * 300}", "File name too long")
            app.arming = app.arming._replace(served=True)
            app.draw()
            await asks("pcap some.pcap", ONLY_LOOKS[:40])
        (asked,) = [c.action for c in agent.received if isinstance(c.action, FlowsOf)]
    assert len(list(unpacked(asked.flows))) == 3


async def test_the_flow_of_a_dropped_packet_is_asked_about() -> None:
    """7 on it begins with its addresses; `:flow` asks as the CLI does."""
    app = plain()
    async with app.run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        app._open(asks_.Opened("packet", f"{LB1} 0 3"))
        await settle(pilot)
        await keys("7")(pilot)
        flow = app.screen.query_one("#flow", Input).value
        assert flow.endswith(("/tcp", "/udp"))
        assert " 10.200.0." in flow
        await keys("colon")(pilot)
        app.screen.query_one(
            "#command", Input
        ).value = "remora flow 198.51.100.7:40000 vip/web --if 'drain real/10.3.1.2@web'"
        await keys("enter")(pilot)
        assert app.screen.query_one("#flow", Input).value == "198.51.100.7:40000 vip/web"
        assert app.screen.query_one("#if", Input).value == "drain real/10.3.1.2@web"


async def test_rings_that_differ_are_compared_slot_by_slot() -> None:
    app = mixed()
    source: Any = app.source
    async with app.run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        asked = [(a, action) for a, action, _ in source.sent if isinstance(action, RingOf)]
        assert (LB1, RingOf("web")) in asked
        assert (LB2, RingOf("web")) in asked
        source.answer_with({a: _Rings(app.store.agents[a]) for a in (LB1, LB2)}, SECONDS - 0.9)
        await keys("8")(pilot)
        assert "web from slot 5 on (10.3." in painted(app, "LineTable")
        await keys("3", "d")(pilot)
        assert "VIPs › web › ring" in painted(app, "#crumb")
        assert "✕ differs" in painted(app, "LineTable")
        assert "5: 10.3." in painted(app, "LineTable")


class _Rings:
    """Answers RingOf with a ring that differs from the other node's from slot 5 on."""

    def __init__(self, agent: Any) -> None:  # noqa: ANN401  # of the store
        self._agent = agent

    def answer(self, command: Any) -> Any:  # noqa: ANN401  # an Answer
        from shared.messages import Answer, Ring
        from shared.model import RING_SLOTS

        if not isinstance(command.action, RingOf):
            return Answer(id=command.id, node=self._agent.name, status="ok", revision=7)
        row = next(r for r in self._agent.vips.vips if r.name == command.action.vip)
        first = 5 if self._agent.name == "lb1" else 9
        slots = b"\0\0" * first + b"\1\0" * (RING_SLOTS - first)
        ring = Ring(row.name, row.ring_digest, ("10.3.1.2", "10.3.2.2"), slots)
        return Answer(id=command.id, node=self._agent.name, status="ok", revision=7, ring=ring)


async def test_others_actions_appear_live_and_are_listed() -> None:
    app = plain()
    source: Any = app.source
    async with app.run_test(size=(120, 30)) as pilot:
        await keys("5")(pilot)
        body = ChangeEvent("mo@jump", "drain real/10.3.1.2@web", "applied", 8, "INC-9", "op-1",
                           ("undrain real/10.3.1.2@web",))  # fmt: skip
        event = Fleet("lb1").event(6, SECONDS - 1, body)
        source.inbox = Inbox((Arrived(LB1, event, SECONDS - 0.9),))
        await settle(pilot)
        assert "mo@jump: drain real/10.3.1.2@web: applied on lb1" in painted(app, "#message")
        await keys("9")(pilot)
        first = painted(app, "LineTable").splitlines()[1]
        assert "mo@jump" in first
        assert "INC-9" in first
        assert "● ok 1/1" in first


async def test_undo_is_a_plan_too(tmp_path: Path) -> None:
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one:
        async with console(one) as (_, pilot):
            await to_reals(pilot)
            body = ChangeEvent("test@here", "drain real/10.3.1.2@web", "applied", 8, "", "op",
                               ("undrain real/10.3.1.2@web",))  # fmt: skip
            one.fleet.admin["web", "10.3.1.2"] = "draining"  # type: ignore[assignment]
            one.publish(one.fleet.event(0, one.second, body))
            await pilot.press("9")
            await sees(pilot, "drain real/10.3.1.2@web", "yes", "Z plans: undrain")
            await pilot.press("Z")
            await sees(pilot, "as CLI   remora undrain real/10.3.1.2@web", "ok on 1 node")
            assert one.changes[-1].dry_run
            await confirm(pilot)
            await pilot.press("tab", "enter")
            await sees(pilot, "applied 1/1")
        assert one.changes[-1].action == Undrain("10.3.1.2", "web")


async def test_undo_wants_an_armed_console_and_something_to_undo() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("9", "Z")(pilot)
        assert "A arms" in painted(app, "#message")
    app = ready()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("1", "Z")(pilot)
        assert "operations (9)" in painted(app, "#message")
        await keys("9", "Z")(pilot)
        assert "cannot be taken back" in painted(app, "#message")


async def test_a_real_on_every_node_and_the_way_there() -> None:
    app = ready()
    async with app.run_test(size=(140, 40)) as pilot:
        await keys("3", "enter", "j", "enter")(pilot)
        assert "10.3.2.2 of web on every node" in painted(app, "#crumb")
        rows = painted(app, "LineTable").splitlines()[1:]
        assert [row.split()[:2] for row in rows[:4]] == [
            [">lb1", "web"],
            ["lb1", "dns"],
            ["lb2", "web"],
            ["lb2", "dns"],
        ]
        await keys("D")(pilot)
        source: Any = app.source
        assert [a for _, a, dry_run in source.sent if dry_run]
        await keys("escape", "d")(pilot)
        assert "web › ring" in painted(app, "#crumb")
        await keys("escape", "colon", *"real 10.3.1.2@dns", "enter")(pilot)
        assert "10.3.1.2 of dns on every node" in painted(app, "#crumb")
        await keys("enter")(pilot)
        assert "Fleet › lb1" in painted(app, "#crumb")
