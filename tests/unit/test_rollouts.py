# SPDX-License-Identifier: Apache-2.0
"""An operation that comes to its nodes one after the other, as one node has it."""

from __future__ import annotations

import pytest

from agent.core import rollouts
from agent.host.softirq import by_cpu
from shared.messages import Answer, Drain, Reload, Rollout, Undrain
from tests.unit.world import World

DRAIN = Drain(real="10.3.1.2", vip="web")
WHAT = ("drain real/10.3.1.2@web",)


@pytest.fixture
def world() -> World:
    made = World()
    made.all_up()
    return made


def begun(world: World, *, within: float = 40.0) -> Answer:
    told = Rollout("running", DRAIN, terms="--canary lb1", within=within)
    return world.ask(told, id="t1", operation="op1", why="INC-7")


def test_a_node_remembers_what_it_was_told_until_it_is_over(world: World) -> None:
    revision = world.director.state.revision
    assert begun(world).status == "applied"
    (part,) = world.director.state.rollouts
    assert (part.operation, part.who, part.lines) == ("op1", "ann@jump", WHAT)
    assert (part.vips, part.why, part.terms) == (("web",), "INC-7", "--canary lb1")
    assert not part.held
    assert world.director.state.revision == revision, "nothing that is planned by has changed"
    assert world.ask(Rollout("held", said="drops"), id="t2", operation="op1").status == "applied"
    assert world.director.state.rollouts[0].said == "drops"
    assert world.director.state.rollouts[0].lines == WHAT, "as told before"
    assert world.ask(Rollout("over"), id="t3", operation="op1").status == "applied"
    assert world.ask(Rollout("over"), id="t4", operation="op1").status == "unchanged"
    assert world.director.state.rollouts == ()


def test_it_remembers_the_deadlines_of_its_drains(world: World) -> None:
    """Who goes on with it sends what was meant, not a drain without an end."""
    told = Rollout("running", Drain("10.3.1.2", "web", deadline=600.0, then="kill"))
    assert world.ask(told, id="t1", operation="op1").status == "applied"
    (part,) = world.director.state.rollouts
    assert part.lines == ("drain real/10.3.1.2@web --deadline 600s --then kill",)


def test_its_turn_comes_with_the_change_and_goes_with_the_way_back(world: World) -> None:
    begun(world)
    assert world.ask(DRAIN, id="c1", operation="op1").status == "applied"
    (part,) = world.director.state.rollouts
    assert part.done
    assert part.undo == ("undrain real/10.3.1.2@web",)
    back = Undrain(real="10.3.1.2", vip="web")
    assert world.ask(back, id="c2", operation="op1/revert").status == "applied"
    (part,) = world.director.state.rollouts
    assert (part.done, part.undo) == (False, ())


def test_others_keep_off_its_vips(world: World) -> None:
    """K2: the guard is the agent's; the operation's own commands pass."""
    begun(world)
    other = Drain(real="10.3.2.2", vip="web")
    answer = world.ask(other, id="c1", dry_run=True)
    assert (answer.status, answer.guard) == ("refused", "other-op")
    assert "op1 of ann@jump" in answer.error
    second = world.ask(Rollout("running", other), id="t2", operation="op2")
    assert (second.status, second.guard) == ("refused", "other-op")
    assert world.ask(DRAIN, id="c2", dry_run=True, operation="op1").status == "planned"
    passed = world.ask(other, id="c3", dry_run=True, allow=["other-op"], why="INC-8")
    assert passed.status == "planned"
    world.ask(Rollout("over"), id="t3", operation="op1")
    assert world.ask(other, id="c4", dry_run=True).status == "planned"


def test_one_console_steers_it_and_no_other(world: World) -> None:
    """Two that resume it at once would each change the nodes: the second is told who was first."""

    def resumed(id_: str, by: str, steers: str) -> Answer:
        told = Rollout("running", DRAIN, terms="--canary lb1", steers=steers)
        return world.ask(told, id=id_, operation="op1", who=by)

    assert resumed("t1", "ann@jump", "a1").status == "applied"
    assert resumed("t2", "ann@jump", "a1").status == "unchanged", "its own word again"
    answer = resumed("t3", "bob@jump", "b1")
    assert (answer.status, answer.guard) == ("refused", "steered")
    assert answer.error.startswith("already resumed by ann@jump")
    assert world.director.state.rollouts[0].steers == "a1"
    held = Rollout("held", said="held by bob@jump")
    assert world.ask(held, id="t4", operation="op1", who="bob@jump").status == "applied"
    assert resumed("t5", "bob@jump", "b1").status == "applied", "held, anybody may go on with it"
    assert world.director.state.rollouts[0].steered_by == "bob@jump"
    assert resumed("t6", "cat@jump", "").status == "applied", "an older console says no name"


def test_without_anybody_who_steers_it_is_held(world: World) -> None:
    begun(world, within=40.0)
    world.count(seconds=39)
    assert not world.director.state.rollouts[0].held
    world.count(seconds=1)
    (part,) = world.director.state.rollouts
    assert part.held
    assert part.said == rollouts.SILENT
    assert rollouts.row(part).state == "held"
    assert world.remembered[-1].rollouts == (part,), "in the journal as well"


def test_a_restarted_agent_knows_it_still(world: World) -> None:
    """F5: what every console sees outlives the agent; nobody tells again: then it is held."""
    begun(world)
    world.ask(DRAIN, id="c1", operation="op1")
    world.restart()
    (part,) = world.director.state.rollouts
    assert part.done
    assert part.lines == WHAT
    assert part.until == world.now + rollouts.REJOIN


@pytest.mark.parametrize(
    ("action", "operation", "why"),
    [
        (Rollout("running", DRAIN), "", "must name it"),
        (Rollout("running", DRAIN), "op1/x", "must name it"),
        (Rollout("running", DRAIN, within=0.0), "op1", "must be 1 to"),
        (Rollout("held"), "op1", "say its action"),
        (Rollout("running", Drain(real="10.9.9.9", vip="web")), "op1", "no real 10.9.9.9"),
    ],
)
def test_what_makes_no_sense_is_refused(
    world: World, action: Rollout, operation: str, why: str
) -> None:
    answer = world.ask(action, operation=operation)
    assert answer.status == "refused"
    assert why in answer.error
    assert world.director.state.rollouts == ()


def test_so_many_and_no_more(world: World) -> None:
    for n in range(rollouts.MOST):
        action = Rollout("held", DRAIN)
        assert world.ask(action, id=f"t{n}", operation=f"op{n}").status == "applied"
    answer = world.ask(Rollout("held", DRAIN), id="x", operation="opx")
    assert "end one of them first" in answer.error


def test_a_failed_write_takes_the_turn_back(world: World) -> None:
    """K5: the old state stays in force, that of the operation too."""
    begun(world)
    world.refuse = lambda effect: type(effect).__name__ == "SetRing"
    answer = world.ask(DRAIN, id="c1", operation="op1")
    assert answer.status == "failed"
    assert not world.director.state.rollouts[0].done


def test_a_dry_run_tells_nothing_and_a_reload_changes_nothing_of_it(world: World) -> None:
    action = Rollout("running", DRAIN)
    assert world.ask(action, operation="op1", dry_run=True).status == "planned"
    assert world.director.state.rollouts == ()
    begun(world)
    assert world.ask(Reload(), id="r").status == "unchanged"
    assert len(world.director.state.rollouts) == 1


STAT = b"""\
cpu  10 0 10 10 0 0 242 0 0 0
cpu0 29332 0 5111 65635 298 0 81 873 0 0
cpu2 38014 0 5924 54966 1443 0 161 852 0 0
intr 661100 0
"""


def test_softirq_by_cpu_in_hundredths_of_a_second() -> None:
    assert by_cpu(STAT, ticks=100) == (81, 0, 161)
    assert by_cpu(STAT, ticks=1000) == (8, 0, 16)
    assert by_cpu(b"", ticks=100) == ()
