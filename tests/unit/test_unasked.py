# SPDX-License-Identifier: Apache-2.0
"""Reals that are not checked, and those of which no check said anything yet."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from agent import boundary as b
from agent.core import overrides
from agent.core.state import RealState
from agent.nouns import Override, Target
from shared.messages import Batch, Disable, Drain, Undrain, Weight
from shared.model import Admin, Health
from tests.unit.world import ONE_VIP, REALS, SLOTS, TOML, World, vip

FIRST = Target("web", ip_address(REALS[0]))


def of(world: World, real: str = REALS[0]) -> RealState:
    return world.director.state.vips["web"].reals[ip_address(real)]


def a_reload(world: World) -> None:
    text = ONE_VIP.replace("blast_radius = 0", "blast_radius = 0\n[telemetry]\nhz = 2")
    assert world.reload(text).status == "applied"


@pytest.mark.parametrize(
    "between", [lambda world: None, a_reload, World.restart], ids=["nothing", "reload", "restart"]
)
def test_f4_a_real_that_was_disabled_is_checked_again(between: Callable[[World], None]) -> None:
    """F4: its last verdict is as old as its service: no packet before a check succeeded."""
    world = World()
    world.all_up()
    world.ask(Disable(real=REALS[0], vip="web"), id="a")
    assert FIRST not in world.targets
    between(world)
    assert FIRST not in world.targets
    world.ask(Undrain(real=REALS[0], vip="web"), id="b")
    assert FIRST in world.targets
    assert (of(world).verdict.health, of(world).check) == (Health.UNKNOWN, "not checked yet")
    assert world.share(REALS[0]) == 0
    assert world.announced, "the others serve meanwhile"
    world.probe(REALS[0], ok=True)
    assert world.share(REALS[0]) == pytest.approx(SLOTS / 3, abs=1)


def test_h4_a_disable_that_fails_leaves_verdict_and_drain_as_they_were() -> None:
    """H4: a command that is not journalled changed nothing, not even what is shown of it."""
    world = World()
    world.all_up()
    world.count(flows={REALS[0]: 5})
    world.ask(Drain(real=REALS[0], vip="web"), id="a")
    world.count(flows={REALS[0]: 5})
    before = shown(world)
    for number, action in enumerate((Undrain, Disable)):
        world.refuse = lambda effect: isinstance(effect, b.Remember)
        world.now += 1
        refused = world.ask(action(real=REALS[0], vip="web"), id=f"x{number}", allow=["live-flows"])
        assert refused.status == "failed"
        assert (of(world).admin, shown(world)) == (Admin.DRAINING, before)
        world.refuse = lambda effect: False
        world.count(flows={REALS[0]: 5}, seconds=5)


def test_f4_a_command_that_is_taken_back_does_not_bring_a_dead_real_back() -> None:
    """F4: the disk refuses seconds later; the checks went on meanwhile."""
    world = World()
    world.all_up()
    undo = overrides.apply(
        world.director.state, [Override("web", REALS[0], Admin.DRAINING, None)], world.now
    )
    world.probe(REALS[0], ok=False, times=3)
    overrides.revert(world.director.state, undo)
    assert (of(world).admin, of(world).verdict.health) == (Admin.ENABLED, Health.DOWN)


def test_k2_a_real_that_was_disabled_is_nobody_to_a_plan_and_to_guards() -> None:
    """K2, K3: the usual swap, of a real whose machine may be off: its last verdict is none."""
    text = vip("web", "10.200.0.1", 80, REALS)
    world = World(TOML + text)
    world.all_up()
    world.ask(Disable(real=REALS[0], vip="web"), id="a")
    back = Undrain(real=REALS[0], vip="web")
    planned = world.ask(back, id="b", dry_run=True)
    (change,) = planned.changes
    assert (change.slots_after, change.reals_left) == (0, 2)
    assert change.now == "enabled, weight 100, from its first good check on"
    world.probe(REALS[1], ok=False, times=3)
    swap = Batch((back, Drain(real=REALS[2], vip="web")))
    refused = world.ask(swap, id="c")
    assert (refused.status, refused.guard) == ("refused", "last-healthy")
    assert world.ask(back, id="d").status == "applied"
    world.probe(REALS[0], ok=True)
    assert world.ask(Drain(real=REALS[2], vip="web"), id="e").status == "applied"


def shown(world: World) -> object:
    real = of(world)
    assert real.emptying is not None
    return real.changed, real.emptying.since, real.emptying.at_start, real.verdict, real.check


def test_h4_an_operators_word_does_not_wait_for_a_first_verdict() -> None:
    """H4: a real that a reload added is not judged yet; a drain of another takes effect now."""
    world = World()
    world.all_up()
    world.reload(ONE_VIP + '[[vips.reals]]\naddress = "10.3.4.2"\n')
    assert of(world, "10.3.4.2").verdict.health is Health.UNKNOWN
    answer = world.ask(Drain(real=REALS[0], vip="web"), id="d", steps=True)
    assert [(c.slots_before > 0, c.slots_after) for c in answer.changes] == [(True, 0)]
    assert world.share(REALS[0]) == 0
    world.held()
    assert world.answers[-1].status == "verified"
    world.ask(Weight(real=REALS[1], vip="web", weight=300), id="w")
    assert world.share(REALS[1]) == pytest.approx(SLOTS * 3 / 4, abs=1)
    rings = world.history.count("SetRing")
    world.probe("10.3.4.2", ok=True)
    assert world.history.count("SetRing") == rings + 1


def test_h4_first_verdicts_of_many_make_one_ring() -> None:
    world = World()
    world.all_up()
    more = [f"10.3.9.{n}" for n in range(1, 9)]
    world.reload(ONE_VIP + "".join(f'[[vips.reals]]\naddress = "{real}"\n' for real in more))
    rings = world.history.count("SetRing")
    world.probe(*more, ok=True)
    assert world.history.count("SetRing") == rings + 1


def test_h3_no_vip_waits_for_a_real_that_was_disabled() -> None:
    """H3, F4: its check may hang; the others' rings and the route go their way."""
    world = World()
    world.all_up()
    world.ask(Disable(real=REALS[0], vip="web"), id="a")
    world.ask(Undrain(real=REALS[0], vip="web"), id="b")
    assert world.director.state.vips["web"].warm
    world.probe(REALS[1], ok=False, times=3)
    assert world.share(REALS[2]) == SLOTS
    world.probe(REALS[2], ok=False, times=3)
    assert not world.announced
    world.probe(REALS[2], ok=True, times=2)
    assert world.announced


def test_h3_fail_open_does_not_begin_for_a_real_that_is_not_judged_yet() -> None:
    text = vip("web", "10.200.0.1", 80, REALS).replace(
        "[vips.check]", 'all_down = "fail-open"\npanic = 50\n[vips.check]'
    )
    world = World(TOML + text)
    world.all_up()
    world.ask(Disable(real=REALS[0], vip="web"), id="a")
    world.probe(REALS[1], ok=False, times=3)
    assert not world.director.state.vips["web"].fails_open, "one of two is half"
    world.ask(Undrain(real=REALS[0], vip="web"), id="b")
    assert not world.director.state.vips["web"].fails_open
    world.probe(REALS[0], ok=False)
    assert world.director.state.vips["web"].fails_open, "one of three"


def test_h3_fail_open_does_not_end_while_a_real_is_not_judged_yet() -> None:
    """H3: of three reals two are down and one is disabled; that one comes back unchecked."""
    text = vip("web", "10.200.0.1", 80, REALS).replace(
        "[vips.check]", 'all_down = "fail-open"\n[vips.check]'
    )
    world = World(TOML + text)
    world.all_up()
    world.ask(Disable(real=REALS[0], vip="web"), id="a")
    world.probe(*REALS[1:], ok=False, times=3)
    assert world.director.state.vips["web"].fails_open
    assert world.share(REALS[1]) > 0
    world.ask(Undrain(real=REALS[0], vip="web"), id="b")
    assert world.director.state.vips["web"].fails_open
    assert not of(world, REALS[1]).written
    for _ in range(60):
        world.count()
        world.probe(REALS[0], ok=True)
    assert not world.director.state.vips["web"].fails_open
