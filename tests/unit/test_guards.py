# SPDX-License-Identifier: Apache-2.0
"""Each guard by its name: what it refuses, what it lets pass, and how it is passed."""

from __future__ import annotations

import pytest

from agent.core import maglev
from shared.messages import Answer, Batch, Drain, Undrain, Weight
from tests.unit.world import REALS, TOML, World, vip

FOUR = (*REALS, "10.3.4.2")


def world(text: str = "", reals: tuple[str, ...] = FOUR, guards: str = "fresh = 0") -> World:
    listed = TOML.replace("fresh = 0\nblast_radius = 0", guards)
    made = World(listed + (text or vip("web", "10.200.0.1", 80, reals)), maglev.fill)
    made.all_up()
    return made


def drain(*reals: str) -> Batch:
    return Batch(tuple(Drain(real=real, vip="web") for real in reals))


def refused(answer: Answer) -> str:
    assert answer.status == "refused", answer
    return answer.guard


def test_k2_blast_radius_lets_one_of_two_go_and_not_three_of_four() -> None:
    assert world(reals=FOUR[:2]).ask(drain(FOUR[0])).status == "applied"
    four = world()
    answer = four.ask(drain(*FOUR[:3]), id="a")
    assert refused(answer) == "blast-radius"
    assert "75 % of its ring would change hands at once, at most 60 % may" in answer.error
    assert answer.changes, "the plan is shown all the same"
    assert four.ask(drain(*FOUR[:2]), id="b").status == "applied"


def test_k2_blast_radius_does_not_stand_in_the_way_of_a_repair() -> None:
    four = world()
    four.ask(drain(FOUR[0]), id="a")
    four.ask(drain(FOUR[1]), id="b")
    four.ask(drain(FOUR[2]), id="c")
    back = Batch(tuple(Undrain(real=real, vip="web") for real in FOUR[:3]))
    assert four.ask(back, id="d").status == "applied"


def test_k2_one_real_that_comes_back_lets_nothing_else_pass() -> None:
    """Of what moves only its own part is a repair; brought back alone it passes any limit."""
    ten = tuple(f"10.3.{i}.2" for i in range(1, 11))
    many = world(reals=ten)
    assert many.ask(drain(ten[9]), id="a").status == "applied"
    lighter = tuple(Weight(real=real, vip="web", weight=1) for real in ten[:8])
    assert refused(many.ask(Batch(lighter), id="b")) == "blast-radius"
    back = Undrain(real=ten[9], vip="web")
    assert refused(many.ask(Batch((*lighter, back)), id="c")) == "blast-radius"
    narrow = world(reals=ten, guards="fresh = 0\nblast_radius = 1")
    action = drain(ten[9])
    narrow.ask(action, id="d", allow=["blast-radius"], why="test")
    assert narrow.ask(Undrain(real=ten[9], vip="web"), id="e").status == "applied"


def test_k2_a_guard_is_passed_by_its_name_only() -> None:
    four = world()
    action = drain(*FOUR[:3])
    assert refused(four.ask(action, id="a", allow=["capacity"], why="fire")) == "blast-radius"
    assert four.ask(action, id="b", allow=["blast-radius"], why="fire").status == "applied"
    assert four.remembered[-1].command.allow == ("blast-radius",)


def test_k2_each_guard_has_its_own_say() -> None:
    """To pass the quorum's guard does not pass the blast radius's along with it."""
    web = vip("web", "10.200.0.1", 80, FOUR, quorum=3)
    action = drain(*FOUR[:3])
    assert refused(world(web).ask(action, id="a")) == "min-healthy"
    allowed = world(web).ask(action, id="b", allow=["min-healthy"], why="fire")
    assert refused(allowed) == "blast-radius"
    both = ["min-healthy", "blast-radius"]
    assert world(web).ask(action, id="c", allow=both, why="fire").status == "applied"


def test_k2_blast_radius_0_is_none() -> None:
    assert world(guards="fresh = 0\nblast_radius = 0").ask(drain(*FOUR[:3])).status == "applied"


def test_k2_capacity_is_about_the_present_rate() -> None:
    text = vip("web", "10.200.0.1", 80, FOUR).replace('.2"\n', '.2"\ncapacity = 300\n')
    four = world(text)
    four.count(packets=800)
    four.count(packets=800)
    assert four.ask(drain(FOUR[0]), id="a").status == "applied", "267 packets/s each"
    answer = four.ask(drain(FOUR[1]), id="b")
    assert refused(answer) == "capacity"
    assert "(400 packets/s, capacity 300)" in answer.error
    four.count(packets=100)
    assert four.ask(drain(FOUR[1]), id="c").status == "applied"
    four.count(packets=800)
    assert refused(four.ask(Weight(FOUR[2], 1000, vip="web"), id="d")) == "capacity"
    assert four.ask(Undrain(real=FOUR[0]), id="e").status == "applied", "it gets better"


def test_k2_fresh_wants_checks_that_go_on() -> None:
    four = world(guards="fresh = 30")
    four.now += 31
    four.probe(*FOUR[1:3], ok=True)
    answer = four.ask(drain(FOUR[0]), id="a")
    assert refused(answer) == "fresh"
    assert f"{FOUR[3]} would have to carry more" in answer.error
    four.probe(FOUR[3], ok=True)
    assert four.ask(drain(FOUR[0]), id="b").status == "applied", "its own check does not matter"


def test_k2_other_op_is_somebody_elses() -> None:
    four = world()
    four.ask(drain(FOUR[0]), id="a", who="ann@jump", expires=600)
    answer = four.ask(drain(FOUR[1]), id="b", who="bob@jump")
    assert refused(answer) == "other-op"
    assert "expire of ann@jump is not over yet" in answer.error
    assert four.ask(drain(FOUR[1]), id="c", who="ann@jump").status == "applied"


@pytest.mark.parametrize("who", ["SIGHUP", "bob@jump"])
def test_k2_other_op_holds_for_the_file_too(who: str) -> None:
    four = world()
    four.ask(drain(FOUR[0]), id="a", expires=600)
    text = four.file.replace(f'"{FOUR[2]}"\n', f'"{FOUR[2]}"\nweight = 90\n')
    four.file = text
    from shared.messages import Reload

    assert refused(four.ask(Reload(), id="r", who=who)) == "other-op"


def test_k2_going_back_by_itself_is_not_held_up() -> None:
    """It was decided long ago: neither radius nor freshness stand in its way."""
    four = world(guards="fresh = 30")
    four.ask(drain(FOUR[0]), id="a", expires=60)
    four.count(seconds=61)
    assert four.share(FOUR[0]) > 0
