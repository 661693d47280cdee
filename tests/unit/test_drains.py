# SPDX-License-Identifier: Apache-2.0
"""Drains of reals, VIPs and the node, and changes that end by themselves: stories with a clock."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import boundary as b
from agent.core import emptying
from agent.core.rib import GRACEFUL_SHUTDOWN
from agent.dataplane.abi import REAL_DISABLED, REAL_DOWN, REAL_DRAINING
from agent.nouns import Override, Pending
from agent.records import journal, recollection
from agent.records.journal import Journal
from shared.messages import (
    Action,
    Batch,
    ChangeEvent,
    Command,
    Confirm,
    Disable,
    Drain,
    RouteEvent,
    Undrain,
    Weight,
)
from shared.model import Admin
from tests.unit.world import ONE_VIP, REALS, TOML, VIP_ADDRESS, World, vip

TWO_VIPS = ONE_VIP + vip("mail", "10.200.0.2", 25, REALS[:2])
MAIL_ADDRESS = ip_address("10.200.0.2")


@pytest.fixture
def world() -> World:
    fresh = World(TWO_VIPS)
    fresh.all_up()
    fresh.count(packets=100)
    fresh.count(packets=100)
    return fresh


def said(world: World) -> list[tuple[str, str]]:
    """What the agent did by itself: (what, result)."""
    events = (e for e in world.events if isinstance(e, ChangeEvent) and e.who == "agent")
    return [(event.what, event.result) for event in events]


def phase(world: World) -> str:
    at = world.director.state.shutdown
    return at.phase if at else ""


# ---- the node


def test_h3_a_node_drain_goes_step_by_step(world: World) -> None:
    """H3: GRACEFUL_SHUTDOWN, then quiet, then withdrawn, then drained; rings stay."""
    rings = {n: ring.copy() for n, ring in world.rings.items()}
    assert world.ask(Drain(node=True)).status == "applied"
    route = world.routes[VIP_ADDRESS]
    assert (route.communities, route.local_preference) == ((GRACEFUL_SHUTDOWN,), 0)
    assert world.announced == {VIP_ADDRESS, MAIL_ADDRESS}
    for _ in range(10):
        world.count(packets=50)
    assert phase(world) == "shutting", "packets still come"
    world.count(packets=0)
    assert phase(world) == "withdrawn"
    assert world.announced == frozenset()
    world.count(packets=0, seconds=3)
    assert phase(world) == "drained"
    assert all((world.rings[n] == ring).all() for n, ring in rings.items())
    steps = [(entry.phase, entry.result) for entry in world.remembered if entry.phase]
    assert [step for step, _ in steps] == [("", "withdrawn"), ("", "drained")]
    assert ("drain node/lb1", "withdrawn: quiet, 0 packets/s") in said(world)


def test_h3_the_deadline_withdraws_what_will_not_go(world: World) -> None:
    world.ask(Drain(node=True))
    for _ in range(59):
        world.count(packets=50)
    assert phase(world) == "shutting"
    world.count(packets=50)
    assert phase(world) == "withdrawn"
    assert ("drain node/lb1", "withdrawn: deadline, 100 packets/s still arrive") in said(world)
    for _ in range(100):
        world.count(packets=50)
    assert phase(world) == "withdrawn", "it is not drained while packets come"


@pytest.mark.parametrize("quiet_counts", [0, 5, 12])
def test_h3_an_abort_at_each_step_is_back_in_service(world: World, quiet_counts: int) -> None:
    """H3: before the withdrawal no route is withdrawn; after it the route comes back."""
    plain = dict(world.routes)
    world.ask(Drain(node=True), id="a")
    for _ in range(quiet_counts):
        world.count(packets=0)
    reached = phase(world)
    withdrawn = not world.announced
    world.events.clear()
    assert world.ask(Undrain(node=True), id="b").status == "applied"
    assert world.routes == plain
    flapped = any(isinstance(event, RouteEvent) for event in world.events)
    assert flapped is withdrawn is (reached != "shutting")
    world.count(packets=100)
    assert phase(world) == ""


@pytest.mark.parametrize("quiet_counts", [0, 5, 12])
def test_h3_a_restart_goes_on_where_it_was(world: World, quiet_counts: int) -> None:
    """A route that was withdrawn is not announced again by a restart."""
    world.ask(Drain(node=True))
    for _ in range(quiet_counts):
        world.count(packets=0)
    before, announced = phase(world), world.announced
    world.restart()
    assert phase(world) == before
    assert world.announced == announced
    assert world.director.state.admin is Admin.DRAINING


def test_without_anything_to_tell_the_routers_it_withdraws_at_once() -> None:
    text = "[drain]\ngraceful_shutdown = false\n" + vip("web", "10.200.0.1", 80, REALS)
    world = World(TOML + text)
    world.all_up()
    world.ask(Drain(node=True))
    assert (phase(world), world.announced) == ("withdrawn", frozenset())


# ---- a VIP


def test_an_event_says_why_a_route_went(world: World) -> None:
    """An operator's own drain, or a VIP that was removed, is no loss of a quorum."""

    def last() -> tuple[str, bool, str]:
        event = [e for e in world.events if isinstance(e, RouteEvent)][-1]
        return event.address, event.announced, event.why

    world.ask(Drain(vip="mail"), id="a")
    for _ in range(4):
        world.count(packets=0)
    assert last() == (str(MAIL_ADDRESS), False, "VIP draining")
    world.ask(Undrain(vip="mail"), id="b")
    assert last() == (str(MAIL_ADDRESS), True, "quorum met")
    world.reload(ONE_VIP, id="c")
    assert last() == (str(MAIL_ADDRESS), False, "no VIP has it any more")
    for real in REALS:
        for _ in range(3):
            world.probe(real, ok=False)
    assert last() == (str(VIP_ADDRESS), False, "quorum lost")


def test_h3_a_vip_drain_is_about_its_route_only(world: World) -> None:
    world.ask(Drain(vip="mail"))
    assert GRACEFUL_SHUTDOWN in world.routes[MAIL_ADDRESS].communities
    assert world.routes[VIP_ADDRESS].communities == ()
    for _ in range(4):
        world.count(packets=0)
    assert world.announced == {VIP_ADDRESS}
    world.restart()
    assert world.announced == {VIP_ADDRESS}
    world.ask(Undrain(vip="mail"), id="u")
    assert world.announced == {VIP_ADDRESS, MAIL_ADDRESS}
    assert world.routes[MAIL_ADDRESS].communities == ()


def test_a_drained_vip_beside_another_on_its_address_does_not_take_it_along() -> None:
    world = World(ONE_VIP + vip("tls", "10.200.0.1", 443, REALS))
    world.all_up()
    world.ask(Drain(vip="tls"), id="a")
    assert world.routes[VIP_ADDRESS].communities == (), "web still wants packets"
    world.ask(Drain(vip="web"), id="b")
    assert world.routes[VIP_ADDRESS].communities == (GRACEFUL_SHUTDOWN,)


def test_a_vip_that_is_not_there_is_refused(world: World) -> None:
    assert "no VIP 'nope'" in world.ask(Drain(vip="nope")).error


# ---- a real, with proof


def test_f1_a_drain_is_watched_until_it_is_empty(world: World) -> None:
    world.count(flows={REALS[0]: 100})
    world.ask(Drain(real=REALS[0], vip="web"))
    started = world.now
    for n in range(1, 21):
        world.count(flows={REALS[0]: round(100 * 0.5 ** (n / 10))})
    watched = world.director.state.vips["web"].reals[ip_address(REALS[0])].emptying
    assert watched is not None
    assert watched.at_start == 100
    assert emptying.half_life(watched) == pytest.approx(10, rel=0.1)
    assert emptying.seconds_left(watched) == pytest.approx(56, rel=0.15)
    world.count(flows={})
    assert said(world)[-1] == (
        f"drain real/{REALS[0]}@web",
        f"empty after {world.now - started:.0f} s, 100 flows ended",
    )
    world.ask(Undrain(real=REALS[0], vip="web"), id="u")
    assert world.director.state.vips["web"].reals[ip_address(REALS[0])].emptying is None


@given(st.integers(1, 10_000), st.floats(1, 1000))
def test_the_estimate_is_right_for_a_steady_decay(flows: int, half: float) -> None:
    watched = emptying.begin(0.0, flows)
    for second in range(40):
        watched = emptying.counted(watched, round(flows * 0.5 ** (second / half)), float(second))
    left = watched.samples[-1][1]
    if left == 0:
        assert emptying.seconds_left(watched) == 0
    elif left == watched.samples[0][1]:
        assert emptying.seconds_left(watched) == math.inf, "nothing ends: no estimate"
    elif flows > 1000 and left > 100:
        assert emptying.half_life(watched) == pytest.approx(half, rel=0.2)


def test_a_drain_says_how_alive_the_last_flows_are(world: World) -> None:
    """F1: those that are left are older than the drain; one may be silent, another busy."""
    world.ask(Drain(real=REALS[0], vip="web"))
    assert len(world.director.state.emptying()) == 1
    number = world.director.state.emptying()[0]
    live = np.zeros(4096, np.int64)
    live[number] = 2
    world.tell(b.Counted(live, silence={number: (0.5, 250.0)}))
    watched = world.director.state.vips["web"].reals[ip_address(REALS[0])].emptying
    assert watched is not None
    assert watched.silence == (0.5, 250.0)
    world.tell(b.Counted(np.zeros(4096, np.int64)))
    watched = world.director.state.vips["web"].reals[ip_address(REALS[0])].emptying
    assert watched is not None
    assert watched.silence is None


@pytest.mark.parametrize("table", ["changed", "track"])
def test_f1_a_real_is_empty_when_no_flow_is_left_that_is_not_stored(table: str) -> None:
    """F1: with `changed`, a flow has no entry till its next packet: none counted is not none left.
    So is it under pressure, whatever the table is to hold."""
    world = World(ONE_VIP.replace("port = 80\n", f'port = 80\nflow_table = "{table}"\n'))
    world.all_up()
    web = world.director.state.vips["web"]
    web.pressure = web.pressure._replace(on=table == "track")
    world.count(flows={})
    world.ask(Drain(real=REALS[0], vip="web"))
    for flows in (0, 0, 3, 5, 0):  # silent ones are heard of, then they end
        world.count(flows={REALS[0]: flows})
    watched = web.reals[ip_address(REALS[0])].emptying
    assert watched is not None
    assert (watched.at_start, watched.empty_at) == (5, 0.0)
    assert emptying.seconds_left(watched) == math.inf
    assert not said(world)
    world.count(flows={}, seconds=world.config.node.flow_idle)
    assert said(world) == [(f"drain real/{REALS[0]}@web", "empty after 305 s, 5 flows ended")]


TRACKED, CHANGED, COMPUTED = (
    ONE_VIP.replace("port = 80\n", f'port = 80\nflow_table = "{table}"\n')
    for table in ("track", "changed", "compute")
)


def _new_table(world: World) -> None:
    world.warm_at = world.now + 100
    world.restart()


def _stored_from_now_on(world: World) -> None:
    world.restart(CHANGED)
    world.reload(TRACKED, id="r", allow=["live-flows"], why="test")


def _stored_and_restarted(world: World) -> None:
    _stored_from_now_on(world)
    world.count()
    world.restart(TRACKED)


def _stored_since_the_start(world: World) -> None:
    world.restart(CHANGED)
    world.restart(TRACKED)


def _too_many(world: World) -> None:
    world.unstored += 1


def _too_many_before(world: World) -> None:
    world.unstored += 1
    world.restart()


def _pressure_ended(world: World) -> None:
    web = world.director.state.vips["web"]
    web.pressure = web.pressure._replace(on=True)
    world.reload(TRACKED.replace("fresh = 0", "fresh = 9"), id="on")  # all is looked at
    web.pressure = web.pressure._replace(on=False)
    world.reload(TRACKED, id="off")


@pytest.mark.parametrize(
    ("happens", "seconds", "why"),
    [
        (_new_table, 100, "the flow table is new"),
        (_stored_from_now_on, 300, "holds all flows only since a change"),
        (_stored_and_restarted, 300, "holds all flows only since a change"),
        (_stored_since_the_start, 300, "holds all flows only since a change"),
        (_pressure_ended, 300, "holds all flows only since a change"),
        (_too_many, 300, "too fast to store them all"),
        (_too_many_before, 300, "too fast to store them all"),
    ],
)
def test_f1_a_flow_without_an_entry_may_live_for_flow_idle(
    happens: Callable[[World], None], seconds: float, why: str
) -> None:
    """F1, K2: until it is over, none counted is not none left, and a cut is refused."""
    world = World(TRACKED)
    world.all_up()
    world.count()
    happens(world)
    begun = world.now
    world.count()
    no = world.ask(Disable(real=REALS[0], vip="web"), id="a")
    assert (no.status, no.guard) == ("refused", "live-flows")
    assert why in no.error
    assert world.ask(Drain(real=REALS[0], vip="web"), id="b").status == "applied"
    for _ in range(2):
        world.count()
    watched = world.director.state.vips["web"].reals[ip_address(REALS[0])].emptying
    assert watched is not None
    assert watched.empty_at == 0.0
    assert watched.unsure.until == pytest.approx(begun + seconds, abs=2)
    assert why in watched.unsure.why
    world.count(seconds=begun + seconds + 2 - world.now)
    watched = world.director.state.vips["web"].reals[ip_address(REALS[0])].emptying
    assert watched is not None
    assert watched.empty_at == world.now
    assert not watched.unsure.why
    assert world.ask(Disable(real=REALS[0], vip="web"), id="c").status == "applied"


def test_f1_a_restart_of_the_agent_makes_the_table_forget_nothing() -> None:
    """The maps stayed: what was known is, and no drain waits for `flow_idle`."""
    world = World(TRACKED)
    world.all_up()
    world.count()
    world.restart()
    world.ask(Drain(real=REALS[0], vip="web"))
    for _ in range(2):
        world.count()
    assert said(world)[-1][1].startswith("empty after")


def test_f1_what_was_found_empty_stays_so_whatever_comes_too_fast() -> None:
    """New flows do not go to a real that drains: those without an entry are not its own."""
    world = World(TRACKED)
    world.all_up()
    world.ask(Drain(real=REALS[0], vip="web"))
    world.count()
    found = world.now
    world.unstored += 1000
    world.count()
    watched = world.director.state.vips["web"].reals[ip_address(REALS[0])].emptying
    assert watched is not None
    assert (watched.empty_at, watched.unsure.why) == (found, "")


def test_f1_a_drain_that_is_long_enough_knows_all_whatever_comes_too_fast() -> None:
    world = World(TRACKED)
    world.all_up()
    world.ask(Drain(real=REALS[0], vip="web"))
    for _ in range(299):
        world.unstored += 1000
        world.count()
    assert not said(world)
    for _ in range(3):
        world.unstored += 1000
        world.count()
    assert said(world)[-1][1].startswith("empty after 300 s")


def test_f1_with_compute_a_drain_leaves_no_flow() -> None:
    world = World(COMPUTED)
    world.warm_at = world.now + 100
    world.all_up()
    world.ask(Drain(real=REALS[0], vip="web"))
    world.count()
    assert said(world)[-1][1].startswith("empty after")


def test_k2_a_reload_that_stops_keeping_flows_asks_for_them() -> None:
    """K2: without the table they go where the ring says: those of a real that drains, at once."""
    world = World(TRACKED)
    world.all_up()
    world.ask(Drain(real=REALS[0], vip="web"), id="a")
    world.count(flows={REALS[0]: 1000, REALS[1]: 5})
    no = world.reload(COMPUTED, id="b")
    assert (no.status, no.guard) == ("refused", "live-flows")
    assert "1000 live flows would lose their real" in no.error
    both = COMPUTED.replace("port = 80\n", 'port = 80\nhash = "source"\n')
    assert "1005 live flows would lose their real" in world.reload(both, id="c").error
    world.count(flows={REALS[1]: 5})
    assert world.reload(COMPUTED, id="d").status == "applied"


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (TRACKED, "100 % of its ring would change hands"),
        (CHANGED, f"and {REALS[0]}, {REALS[1]}, {REALS[2]} may have some that are not counted"),
    ],
)
def test_k2_k3_another_hash_moves_the_whole_ring(table: str, error: str) -> None:
    """K3: the plan says it.  K2: flows that have no entry are asked for."""
    table = table.replace("blast_radius = 0", "blast_radius = 60")
    world = World(table)
    world.all_up()
    world.count(flows=dict.fromkeys(REALS, 10))
    no = world.reload(table.replace("port = 80\n", 'port = 80\nhash = "source"\n'))
    assert no.status == "refused"
    assert error in no.error


def test_k2_a_real_whose_flows_are_not_all_stored_is_drained_before_it_is_cut() -> None:
    """K2: none counted is not none there; once it was found empty it may go."""
    world = World(ONE_VIP.replace("port = 80\n", 'port = 80\nflow_table = "changed"\n'))
    world.all_up()
    world.count(flows={})
    no = world.ask(Disable(real=REALS[0], vip="web"), id="a")
    assert (no.status, no.guard) == ("refused", "live-flows")
    assert f"not all flows are stored (flow_table), and {REALS[0]} may have some" in no.error
    world.ask(Drain(real=REALS[0], vip="web"), id="b")
    for _ in range(2):
        world.count(flows={}, seconds=world.config.node.flow_idle)
    assert world.ask(Disable(real=REALS[0], vip="web"), id="c").status == "applied"


@pytest.mark.parametrize("options", ['real_down = "keep"', 'all_down = "fail-open"'])
def test_f4_a_disabled_real_gets_no_packet_whatever_the_vip_does_with_those_that_are_down(
    options: str,
) -> None:
    """The flag DOWN alone would leave it its flows there (bpf/place.h, bars_known)."""
    world = World(ONE_VIP.replace("port = 80\n", f"port = 80\n{options}\n"))
    world.all_up()
    assert world.ask(Disable(real=REALS[0], vip="web")).status == "applied"
    number = world.director.state.vips["web"].reals[ip_address(REALS[0])].number.real_num
    assert world.reals[number].flags & REAL_DISABLED
    world.restart()
    assert world.reals[number].flags & REAL_DISABLED
    world.ask(Undrain(real=REALS[0], vip="web"), id="2")
    assert not world.reals[number].flags & REAL_DISABLED


def test_k2_a_vip_without_stored_flows_that_is_busy_does_not_go_unnoticed() -> None:
    dns = vip("dns", "10.200.0.2", 53, REALS).replace(
        "port = 53", 'port = 53\nflow_table = "compute"'
    )
    world = World(ONE_VIP + dns)
    world.all_up()
    for packets in (100.0, 100.0):
        world.count(packets=packets)
    no = world.reload(ONE_VIP, id="a")
    assert (no.status, no.guard) == ("refused", "live-flows")
    assert "dns: not all flows are stored (flow_table), and 100 packets/s may" in no.error
    for _ in range(2):
        world.count(packets=0.0)
    assert world.reload(ONE_VIP, id="b").status == "applied"


def test_a_drain_that_grows_again_is_not_empty() -> None:
    watched = emptying.counted(emptying.begin(0.0, 1), 0, 1.0)
    assert watched.empty_at == 1.0
    assert emptying.counted(watched, 1, 2.0).empty_at == 0.0


@pytest.mark.parametrize(
    ("then", "flags"), [("wait", REAL_DRAINING), ("kill", REAL_DOWN | REAL_DISABLED)]
)
def test_a_deadline_waits_or_kills(world: World, then: str, flags: int) -> None:
    world.count(flows={REALS[0]: 7})
    world.ask(Drain(real=REALS[0], vip="web", deadline=10, then=then))  # type: ignore[arg-type]
    for _ in range(10):
        world.count(flows={REALS[0]: 7})
    assert world.flags(REALS[0]) == flags
    what, result = said(world)[-1]
    assert what == f"{then} real/{REALS[0]}@web"
    assert result.startswith("deadline passed, 7 flows")
    assert world.director.state.pending == []
    assert world.remembered[-1].settled
    world.restart()
    assert world.flags(REALS[0]) == flags


def test_an_empty_real_is_not_killed(world: World) -> None:
    world.ask(Drain(real=REALS[0], deadline=10, then="kill"))
    for _ in range(11):
        world.count(flows={})
    assert world.flags(REALS[0]) == REAL_DRAINING
    assert said(world)[-1][1] == "nothing left to do"


def test_a_deadline_is_that_of_the_address_however_it_is_written() -> None:
    toml = TOML.replace("[[bgp.peers]]", 'next_hop6 = "2001:db8::2"\n[[bgp.peers]]')
    world = World(toml + vip("six", "2001:db8:200::1", 80, ["2001:db8:3::a", "2001:db8:3::b"]))
    world.all_up()
    world.ask(Drain(real="2001:DB8:3:0::A", vip="six", deadline=10, then="kill"))
    (due,) = world.director.state.pending
    assert [override.real for override in due.pending.back] == ["2001:db8:3::a"]


def test_a_real_that_drains_already_can_be_given_a_deadline(world: World) -> None:
    """And another one, in place of the first; without one there is nothing to do."""
    world.ask(Drain(real=REALS[0], vip="web"), id="a")
    assert world.ask(Drain(real=REALS[0], vip="web"), id="b").status == "unchanged"
    world.count(flows={REALS[0]: 7})
    for id_, seconds in (("c", 100), ("d", 10)):
        answer = world.ask(Drain(real=REALS[0], vip="web", deadline=seconds, then="kill"), id=id_)
        assert answer.status == "applied"
        assert [due.at - world.now for due in world.director.state.pending] == [seconds]
    assert world.flags(REALS[0]) == REAL_DRAINING
    for _ in range(10):
        world.count(flows={REALS[0]: 7})
    assert world.flags(REALS[0]) == REAL_DOWN | REAL_DISABLED


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, 1e9])
def test_a_deadline_that_is_no_time_is_refused(world: World, seconds: float) -> None:
    """Not a number is never over, a negative one at once: flows would be killed, or never."""
    answer = world.ask(Drain(real=REALS[0], deadline=seconds, then="kill"))
    assert (answer.status, world.director.state.pending) == ("refused", [])
    assert answer.error == f"--deadline {seconds:g}: must be 1 second to 30 days"


def test_an_undrain_takes_the_deadline_away(world: World) -> None:
    world.ask(Drain(real=REALS[0], deadline=10, then="kill"), id="a")
    world.ask(Undrain(real=REALS[0]), id="b")
    assert world.director.state.pending == []
    for _ in range(20):
        world.count(flows={REALS[0]: 5})
    assert world.flags(REALS[0]) == 0


def test_k2_disable_needs_no_live_flows_or_a_reason(world: World) -> None:
    world.count(flows={REALS[0]: 7})
    refused = world.ask(Disable(real=REALS[0], vip="web"), id="a")
    assert (refused.status, refused.guard) == ("refused", "live-flows")
    done = world.ask(
        Disable(real=REALS[0], vip="web"), id="b", allow=["live-flows"], why="it is on fire"
    )
    assert done.status == "applied"
    assert world.flags(REALS[0]) == REAL_DOWN | REAL_DISABLED


# ---- what ends by itself


@pytest.mark.parametrize(
    ("action", "back"),
    [
        (Drain(real=REALS[0], vip="web"), "undrain"),
        (Weight(REALS[0], 300, vip="web"), "weight"),
        (Drain(node=True), "node"),
        (Batch((Drain(real=REALS[0], vip="web"), Weight(REALS[1], 5, vip="web"))), "both"),
    ],
    ids=["drain", "weight", "node", "batch"],
)
def test_a_change_for_a_while_goes_back_as_it_was(world: World, action: Action, back: str) -> None:
    def picture() -> object:
        return [world.share(real) for real in REALS], world.routes, phase(world)

    before = picture()
    world.ask(action, expires=1800)
    during = picture()
    assert during != before, back
    for _ in range(1799):
        world.now += 1
    world.tell(b.Tick())
    assert picture() == during or back == "node"
    world.now += 1
    world.tell(b.Tick())
    assert picture() == before
    assert said(world)[-1][1] == "time is over, back as before"
    world.restart()
    assert picture()[0] == before[0]  # type: ignore[index]


def test_what_is_not_confirmed_is_taken_back(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="a", confirm=60)
    world.count(seconds=59)
    assert world.share(REALS[0]) == 0
    world.count(seconds=1)
    assert world.share(REALS[0]) > 0
    assert said(world)[-1][1] == "not confirmed, taken back"


def test_what_is_confirmed_stays(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="a", confirm=60)
    assert world.ask(Confirm(), id="c", who="bob@jump").status == "unchanged", "not his"
    assert world.ask(Confirm(), id="d").status == "applied"
    world.count(seconds=100)
    assert world.share(REALS[0]) == 0
    world.restart()
    world.count(seconds=100)
    assert world.share(REALS[0]) == 0


def test_a_pending_change_outlives_the_agent(world: World) -> None:
    world.ask(Drain(real=REALS[0]), expires=100)
    world.restart()
    assert world.share(REALS[0]) == 0
    world.count(seconds=101)
    assert world.share(REALS[0]) > 0


def test_a_later_decision_is_not_taken_back_by_an_older_one(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="a", expires=100)
    world.ask(Weight(REALS[0], 50), id="b")
    world.count(seconds=200)
    real = world.director.state.vips["web"].reals[ip_address(REALS[0])]
    assert (real.admin, real.weight) == (Admin.DRAINING, 50)


def test_an_older_decision_stays_undone_over_a_restart(world: World) -> None:
    """Of two objects of one limit one was decided anew: the other still goes back."""
    world.ask(Drain(real=REALS[0]), id="a", expires=100)
    world.ask(Drain(real=REALS[0], vip="mail"), id="b")
    world.ask(Weight(REALS[0], 50, vip="mail"), id="c")
    pending = world.director.state.pending
    world.restart()
    assert world.director.state.pending == pending
    world.count(seconds=101)
    assert [world.share(REALS[0], name) > 0 for name in ("web", "mail")] == [True, False]


def test_k2_an_expiry_passes_no_guard(world: World) -> None:
    """Back to draining would take the last real away: it is kept in service, and it is said."""
    world.ask(Drain(real=REALS[0], vip="web"), id="a")
    world.ask(Undrain(real=REALS[0], vip="web"), id="b", expires=50)
    world.probe(*REALS[1:], ok=False, times=3)
    world.count(seconds=51)
    assert world.share(REALS[0]) > 0
    assert said(world)[-1][1].startswith("kept: last-healthy")


@pytest.mark.parametrize("expires", [0.5, 1e9])
def test_times_that_make_no_sense(world: World, expires: float) -> None:
    answer = world.ask(Drain(real=REALS[0]), expires=expires)
    assert (answer.status, "1 second to 30 days" in answer.error) == ("refused", True)


@pytest.mark.parametrize("victim", [b.SetRing, b.Remember])
def test_k5_a_failed_command_leaves_nothing_pending(world: World, victim: type) -> None:
    world.refuse = lambda effect: isinstance(effect, victim)
    assert world.ask(Drain(real=REALS[0]), expires=10).status == "failed"
    world.refuse = lambda effect: False
    assert world.director.state.pending == []
    state = world.director.state.vips["web"].reals[ip_address(REALS[0])]
    assert state.emptying is None


def test_what_the_agent_did_is_written_once_the_disk_takes_it(world: World) -> None:
    world.ask(Drain(real=REALS[0]), expires=10)
    world.refuse = lambda effect: isinstance(effect, b.Remember)
    world.count(seconds=11)
    world.refuse = lambda effect: False
    assert not world.remembered[-1].settled
    world.count(seconds=2)
    assert world.remembered[-1].settled
    assert world.share(REALS[0]) > 0


def test_a_disk_that_is_silent_costs_no_ring_and_delays_no_flag(world: World) -> None:
    """F4: an entry of the agent's own is tried every second; nothing else waits for it."""
    world.ask(Drain(real=REALS[0]), expires=10)
    world.refuse = lambda effect: isinstance(effect, b.Remember)
    world.count(seconds=11)
    world.history.clear()
    for _ in range(5):
        world.count()
    assert world.history == []
    world.probe(REALS[1], ok=False, times=3)
    assert world.flags(REALS[1]) == REAL_DOWN
    assert world.share(REALS[1]) == 0
    world.refuse = lambda effect: False
    world.count(seconds=2)
    assert world.remembered[-1].settled


def test_k5_a_command_that_is_taken_back_takes_nothing_along_that_time_did(world: World) -> None:
    """Its disk is slow, and meanwhile somebody's drain is over."""
    world.ask(Drain(real=REALS[0]), expires=10)
    command = Command(
        id="2", who="bob@jump", action=Drain(real=REALS[2]), allow=("other-op",), why="INC-7"
    )
    effects = world.director.take([b.Asked(command, b"bob")], world.now)
    (slow,) = [i for i, effect in enumerate(effects) if isinstance(effect, b.Remember)]
    entry = effects[slow]
    assert isinstance(entry, b.Remember)
    assert entry.result == "applied"
    world._perform(effects[:slow])
    world.count(seconds=11)
    failed = b.Failed(entry, "silent", tuple(effects[slow + 1 :]))
    world._perform(world.director.take([failed], world.now))
    world.count()
    assert world.answers[-1].status == "failed"
    assert [each.settled for each in world.remembered if each.settled] == [("1/expire",)]
    assert world.director.state.pending == []
    assert world.director.state.revision == world.remembered[-1].revision == 2
    assert world.share(REALS[0]) > 0
    assert world.share(REALS[2]) > 0


def test_k5_what_time_did_in_the_same_moment_is_done_once(world: World) -> None:
    """The command that came with it is refused by the disk; what was over before is over."""
    world.ask(Drain(real=REALS[0]), expires=10)
    world.now += 11
    world.refuse = lambda effect: isinstance(effect, b.Remember)
    assert world.ask(Weight(REALS[2], 50), id="2", why="INC-7").status == "failed"
    world.refuse = lambda effect: False
    assert world.director.state.pending == []
    world.count(seconds=2)
    assert [each.settled for each in world.remembered if each.settled] == [("1/expire",)]
    assert world.director.state.revision == world.remembered[-1].revision == 2
    assert world.share(REALS[0]) > 0
    assert world.director.state.vips["web"].reals[ip_address(REALS[2])].weight == 100


# ---- the journal


def test_k1_what_is_owed_to_the_journal_is_written_ahead_of_what_is_newer(world: World) -> None:
    """A restart believes what it reads last: a real's state, and the revision."""
    world.ask(Drain(real=REALS[0]), id="a", expires=10)
    world.refuse = lambda effect: isinstance(effect, b.Remember)
    world.count(seconds=11)
    world.refuse = lambda effect: False
    assert world.ask(Drain(real=REALS[0]), id="b").status == "applied", "before the next try"
    assert [entry.settled for entry in world.remembered] == [(), ("a/expire",), ()]
    assert [entry.revision for entry in world.remembered] == [1, 2, 3]
    world.restart()
    assert world.director.state.revision == 3
    assert world.share(REALS[0]) == 0


def test_k1_time_brings_nothing_new_while_what_it_brought_is_not_written(world: World) -> None:
    """It could be written between a failure and its next try, out of order."""
    world.ask(Drain(real=REALS[0]), id="a", expires=10)
    world.ask(Weight(REALS[1], 50), id="b", expires=11, allow=["other-op"], why="INC-7")

    def entries(*facts: b.Fact) -> list[b.Effect]:
        effects = world.director.take(facts, world.now)
        return [effect for effect in effects if isinstance(effect, b.Remember)]

    world.now += 10.5
    (first,) = entries(b.Tick())
    world.now += 1
    assert entries(b.Tick()) == [], "it is on its way"
    owed, newer = entries(b.Failed(first, "silent", ()))
    assert owed is first
    assert isinstance(newer, b.Remember)
    assert newer.settled == ("b/expire",)
    assert entries(b.Written()) == []


def test_a_plan_is_made_while_an_entry_waits_for_the_disk(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="a", expires=10)
    world.refuse = lambda effect: isinstance(effect, b.Remember)
    world.count(seconds=11)
    world.now += 1  # just when it is tried again
    assert world.ask(Drain(real=REALS[1]), id="b", dry_run=True).status == "planned"
    world.refuse = lambda effect: False
    world.count(seconds=2)
    assert world.remembered[-1].settled


def test_seconds_that_passed_without_an_agent_count() -> None:
    command = Command(id="7", who="ann", action=Drain(real=REALS[0]))
    back = (Override("web", REALS[0], Admin.ENABLED, None),)
    pending = Pending("7/expire", "expire", "ann", 100.0, back)
    entry = b.Remember(command, "applied", 1, (), pending=(pending,))
    line = journal.line_of(entry, 1000.0)
    assert recollection.recall([line], 1060.0).pending == (pending._replace(left=40.0),)
    assert recollection.recall([line], 9999.0).pending == (pending._replace(left=0.0),)
    done = b.Remember(command, "over", 2, back, settled=("7/expire",))
    assert recollection.recall([line, journal.line_of(done, 1100.0)], 1100.0).pending == ()


def test_a_large_journal_begins_anew_with_what_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LARGEST", 2000)
    drained = Override("web", REALS[0], Admin.DRAINING, None)
    command = Command(id="7", who="ann", action=Drain(real=REALS[0]), why="x" * 100)
    with closing(Journal(tmp_path / "journal.jsonl")) as written:
        written.write(
            b.Remember(command, "applied", 1, (drained,), 4, "abcd", phase=("", "drained"))
        )
        for n in range(2, 60):
            back = Override("web", REALS[1], Admin.ENABLED, None)
            written.write(b.Remember(command, "applied", n, (back,)))
        recalled = journal.recall(written.path)
    assert recalled.overrides == (drained, back)
    assert (recalled.revision, recalled.generation, recalled.instead_of) == (59, 4, "abcd")
    assert recalled.phases == {"": "drained"}
    assert recalled.damaged == ()
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["journal.jsonl", *(f"journal.jsonl.{n}" for n in range(1, journal.KEPT + 1))]
    assert all(path.stat().st_size < 2500 for path in tmp_path.iterdir())
    head = json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])
    assert head["result"] == "carried over from the older file"
    assert os.stat(tmp_path / "journal.jsonl.1").st_nlink == 1  # noqa: PTH116
