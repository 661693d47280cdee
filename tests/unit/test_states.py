# SPDX-License-Identifier: Apache-2.0
"""Health and policy as stories of the whole core: damping, slow start, panic, wishes, quorum."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from agent import boundary as b
from agent.core.health import Verdict
from agent.core.state import RealState
from agent.dataplane.abi import REAL_DOWN
from agent.nouns import Target
from shared.messages import ChangeEvent, Drain, Undrain
from shared.model import Health
from tests.unit.world import REALS, SLOTS, TOML, VIP_ADDRESS, World, vip


def world_of(keys: str, *, quorum: int = 1) -> World:
    text = vip("web", "10.200.0.1", 80, REALS, quorum=quorum)
    world = World(TOML + text.replace("[vips.check]", f"{keys}\n[vips.check]"))
    world.all_up()
    world.history.clear()
    return world


def fall(world: World, *reals: str) -> None:
    world.probe(*reals, ok=False, times=3)


def state(world: World, real: str) -> RealState:
    return world.director.state.vips["web"].reals[IPv4Address(real)]


def test_h1_results_that_say_nothing_new_write_nothing() -> None:
    world = world_of("")
    world.probe(*REALS, ok=True, times=100)
    world.probe(REALS[0], ok=False, times=2)
    world.probe(REALS[0], ok=True)
    assert world.history == []


def test_h1_a_flapping_real_is_held_down() -> None:
    """H1: with a period of ten seconds it changes the ring nine times in a minute, then hardly."""
    world = world_of("")
    rings = []
    for _ in range(60):
        for ok in (False, False, False, True, True):
            world.now += 2.0
            world.probe(REALS[0], ok=ok)
        rings.append(world.history.count("SetRing"))
    assert rings[5] <= 9, "the first minute"
    assert rings[-1] == rings[5], "it never answers for long enough again"
    assert "held" in state(world, REALS[0]).check
    assert world.share(REALS[0]) == 0
    for _ in range(61):
        world.now += 2.0
        world.probe(REALS[0], ok=True)
    assert world.share(REALS[0]) > 0, "and back when it does"


def test_h1_damping_never_costs_the_quorum() -> None:
    world = world_of("", quorum=2)
    fall(world, REALS[1])
    for _ in range(10):
        for ok in (False, False, False, True, True):
            world.now += 2.0
            world.probe(REALS[0], ok=ok)
        assert world.share(REALS[0]) > 0, "only two are left: it is needed as soon as it answers"
        assert world.announced == {VIP_ADDRESS}


def test_r4_a_real_that_comes_back_starts_slowly() -> None:
    """Five steps, the clock is the tick; others' facts move it as well."""
    world = world_of("ramp = 50.0")
    whole = world.share(REALS[0])
    fall(world, REALS[0])
    world.probe(REALS[0], ok=True, times=2)
    shares = [world.share(REALS[0])]
    world.history.clear()
    for _ in range(60):
        world.now += 1.0
        world.tell(b.Tick())
        shares.append(world.share(REALS[0]))
    assert world.history.count("SetRing") == 4
    assert shares == sorted(shares)
    assert shares[-1] == whole
    assert shares[0] == pytest.approx(SLOTS * 20 / 220, abs=3)


def test_a_ramp_ends_with_the_real() -> None:
    world = world_of("ramp = 50.0")
    fall(world, REALS[0])
    world.probe(REALS[0], ok=True, times=2)
    fall(world, REALS[0])
    assert world.share(REALS[0]) == 0
    world.history.clear()
    world.now += 60.0
    world.tell(b.Tick())
    assert world.history == []
    world.probe(REALS[0], ok=True, times=2)
    assert world.share(REALS[0]) == pytest.approx(SLOTS * 20 / 220, abs=3)


def test_a_node_that_starts_ramps_nobody() -> None:
    world = world_of("ramp = 50.0")
    assert [world.share(real) for real in REALS] == [pytest.approx(SLOTS / 3, abs=1)] * 3


def test_f5_a_restarted_agent_ramps_nobody() -> None:
    world = world_of("ramp = 50.0")
    world.restart()
    world.probe(*REALS, ok=True)
    assert "SetRing" not in world.history


def test_h5_fail_open_sends_to_all_and_stays() -> None:
    """H5, R5: the flags go with it, or the program would not send there; drained reals stay out."""
    world = world_of('all_down = "fail-open"')
    world.ask(Drain(real=REALS[2]))
    fall(world, REALS[0])
    assert world.flags(REALS[0]) == REAL_DOWN
    fall(world, REALS[1])
    assert world.announced == {VIP_ADDRESS}
    assert [world.share(real) for real in REALS] == [pytest.approx(SLOTS / 2, abs=1)] * 2 + [0]
    assert [world.flags(real) for real in REALS[:2]] == [0, 0]
    assert ChangeEvent("agent", "web: fail-open", "in force, 0 of 3 reals up", 1) in world.events
    world.probe(REALS[1], ok=True, times=2)
    assert world.share(REALS[0]) == pytest.approx(SLOTS / 2, abs=1), "it may be the next one"
    world.now += 1
    world.probe(REALS[0], ok=False)
    assert world.share(REALS[1]) == SLOTS
    assert world.flags(REALS[0]) == REAL_DOWN
    assert ChangeEvent("agent", "web: fail-open", "over, 1 of 3 reals up", 1) in world.events


def test_h5_a_fail_open_that_ends_places_no_flow_anew() -> None:
    """F4, H5: the check is mended for all reals, which are asked one after the other: none is down
    to the data plane at any moment, and no ring is written but at the end, with all of them."""
    world = world_of('all_down = "fail-open"')
    fall(world, *REALS)
    world.history.clear()
    for times in range(2):
        for real in REALS:
            world.now += 0.5
            world.probe(real, ok=True)
            assert [world.flags(each) for each in REALS] == [0, 0, 0], (times, real)
    assert "SetRing" not in world.history, "it is the same ring"
    assert ChangeEvent("agent", "web: fail-open", "over, 3 of 3 reals up", 0) in world.events


def test_h5_a_fail_open_waits_no_longer_than_some_rounds_for_a_real_that_comes_and_goes() -> None:
    world = world_of('all_down = "fail-open"')
    fall(world, *REALS)
    world.now += 1
    world.probe(REALS[0], ok=True, times=2)
    check = world.config.vips[0].check
    rounds = 0
    while world.share(REALS[1]):
        rounds += 1
        world.now += check.interval
        for real in REALS[1:]:
            world.probe(real, ok=rounds % 2 == 1)
        world.probe(REALS[0], ok=True)
    assert rounds == 2, "once each was seen to fail"
    assert world.share(REALS[0]) == SLOTS


def test_h5_a_fail_open_ends_when_nobody_answers_for_others() -> None:
    """Reals that are held down (they flap) may answer for minutes: `rise` rounds are enough."""
    world = world_of('all_down = "fail-open"')
    for _ in range(4):
        fall(world, *REALS)
        world.probe(*REALS, ok=True, times=2)
        world.now += 1
    fall(world, *REALS)
    began = world.now
    others = REALS[1:]
    world.director.state.vips["web"].reals[IPv4Address(REALS[0])].verdict = Verdict(
        Health.DOWN, since=world.now
    )
    world.probe(REALS[0], ok=True, times=2)
    while world.share(others[0]):
        world.now += 1
        world.probe(*REALS, ok=True)
        assert world.now - began < 20
    check = world.config.vips[0].check
    assert world.now - began >= (check.rise + 1) * (check.interval + check.timeout)


def test_h5_who_drains_what_is_left_ends_it() -> None:
    world = world_of('all_down = "fail-open"')
    fall(world, *REALS)
    world.now += 1
    world.probe(REALS[0], ok=True, times=2)
    for real in REALS[1:]:
        world.ask(Drain(real=real), id=real)
    world.now += 1
    world.probe(REALS[0], ok=True)
    assert world.share(REALS[0]) == SLOTS
    assert not world.director.state.vips["web"].panicked


def test_h5_a_fail_open_that_a_drain_ended_is_over() -> None:
    """What it waited for is forgotten with it: the first real that comes back serves alone."""
    world = world_of('all_down = "fail-open"')
    fall(world, *REALS)
    world.now += 1
    world.probe(REALS[0], ok=True, times=2)
    assert world.director.state.vips["web"].awaits_others
    for real in REALS:
        world.ask(Drain(real=real), id=real, allow=["last-healthy", "min-healthy"], why="x")
    assert not world.director.state.vips["web"].panicked
    world.now += 3600
    world.ask(Undrain(real=REALS[0]), id="back")
    assert not world.director.state.vips["web"].panicked
    assert world.share(REALS[0]) == SLOTS


def test_h5_fail_open_over_a_restart() -> None:
    """F5: nothing moves, no route goes."""
    world = world_of('all_down = "fail-open"')
    fall(world, *REALS)
    world.restart()
    world.probe(*REALS, ok=False)
    assert "SetRing" not in world.history
    assert world.announced == {VIP_ADDRESS}


def test_h5_drop_keeps_the_route_and_empties_the_ring() -> None:
    world = world_of('all_down = "drop"')
    fall(world, *REALS)
    assert world.announced == {VIP_ADDRESS}
    assert not world.rings[1].any()
    world.probe(REALS[0], ok=True, times=2)
    assert world.share(REALS[0]) == SLOTS


def test_h5_a_panic_begins_below_its_threshold_and_ends_above() -> None:
    world = world_of('all_down = "fail-open"\npanic = 60')
    fall(world, REALS[0])
    assert world.share(REALS[0]) == 0, "two of three are up: no panic"
    fall(world, REALS[1])
    assert world.share(REALS[0]) > 0, "one of three: all serve"
    world.probe(REALS[1], ok=True, times=2)
    world.now += 1
    world.probe(REALS[0], ok=False)
    assert world.share(REALS[0]) > 0, "two of three are less than 60 + 10 percent"
    world.probe(REALS[0], ok=True, times=2)
    fall(world, REALS[0])
    assert world.share(REALS[0]) == 0


def test_h5_below_the_threshold_the_route_goes_though_some_are_up() -> None:
    world = world_of("panic = 60")
    fall(world, *REALS[:2])
    assert world.announced == frozenset()
    assert world.share(REALS[2]) == SLOTS, "who still arrives is served"


def test_h5_quorum_has_hysteresis() -> None:
    world = world_of("announce_at = 3\nwithdraw_below = 2")
    fall(world, REALS[0])
    assert world.announced == {VIP_ADDRESS}
    fall(world, REALS[1])
    assert world.announced == frozenset()
    world.probe(REALS[1], ok=True, times=2)
    assert world.announced == frozenset(), "two are not yet three"
    world.probe(REALS[0], ok=True, times=2)
    assert world.announced == {VIP_ADDRESS}


def wish(world: World, real: str, percent: int | None) -> None:
    target = Target("web", IPv4Address(real))
    world.tell(b.Probed(target, True, "http 200", 1.0, percent))


def test_a_real_may_ask_for_less() -> None:
    """In steps of ten percent and not twice within ten seconds: each moves others' slots too."""
    world = world_of("")
    world.now += 20
    wish(world, REALS[0], 48)
    assert world.share(REALS[0]) == pytest.approx(SLOTS * 50 / 250, abs=3)
    rings = world.history.count("SetRing")
    world.now += 5
    wish(world, REALS[0], 90)
    world.now += 6
    wish(world, REALS[0], 53)
    assert world.history.count("SetRing") == rings
    wish(world, REALS[0], None)
    assert world.share(REALS[0]) == pytest.approx(SLOTS / 3, abs=3)


def test_a_first_verdict_waits_for_nobody() -> None:
    world = World()
    world.start()
    world.probe(REALS[0], ok=True)
    assert state(world, REALS[0]).verdict.health is Health.UP
