# SPDX-License-Identifier: Apache-2.0
"""Idempotency keys (K1): done once, whatever the command's id, and across a restart."""

from __future__ import annotations

import pytest

from agent.core import once
from agent.core.once import KEPT, LIFE, Once
from agent.records import recollection
from agent.records.journal import line_of
from shared.messages import Answer, Batch, Command, Drain, Undrain, Weight
from tests.unit.world import ONE_VIP, REALS, World


@pytest.fixture
def world() -> World:
    made = World(ONE_VIP)
    made.all_up()
    return made


def test_k1_the_same_key_is_done_once(world: World) -> None:
    first = world.ask(Weight(REALS[0], 110), id="a", key="k")
    assert (first.status, first.revision, first.keyed) == ("applied", 1, True)
    again = world.ask(Weight(REALS[0], 120), id="b", key="k")
    assert (again.status, again.revision, again.keyed) == ("applied", 1, True)
    assert "not again: was applied" in again.note
    share = world.share(REALS[0])
    assert world.ask(Weight(REALS[0], 110), id="c").status == "unchanged"
    assert world.share(REALS[0]) == share


def test_k1_not_done_again_after_somebody_took_it_back(world: World) -> None:
    """Unlike a repetition without a key: the thing was done, what followed is another matter."""
    world.ask(Drain(real=REALS[0]), id="a", key="k")
    world.ask(Undrain(real=REALS[0]), id="b")
    assert world.ask(Drain(real=REALS[0]), id="c", key="k").revision == 1
    assert world.share(REALS[0])


def test_a_plan_under_a_used_key_says_so_and_uses_none(world: World) -> None:
    assert world.ask(Drain(real=REALS[0]), id="p", key="k", dry_run=True).status == "planned"
    assert world.ask(Drain(real=REALS[0]), id="a", key="k").status == "applied"
    assert world.ask(Drain(real=REALS[0]), id="q", key="k", dry_run=True).status == "applied"


def test_another_change_under_the_same_key_is_refused(world: World) -> None:
    world.ask(Batch((Drain(real=REALS[0]), Weight(REALS[1], 50))), id="a", key="k")
    other = world.ask(Batch((Drain(real=REALS[1]), Weight(REALS[0], 50))), id="b", key="k")
    assert (other.status, other.guard) == ("refused", once.GUARD)
    assert "was used 0 s ago by ann@jump for drain real/" in other.error


def test_what_was_refused_can_be_tried_again(world: World) -> None:
    all_ = Batch(tuple(Drain(real=real) for real in REALS))
    assert world.ask(all_, id="a", key="k").status == "refused"
    assert world.ask(Drain(real=REALS[0]), id="b", key="k").status == "applied"


def test_k1_across_a_restart(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="a", key="k")
    world.ask(Undrain(real=REALS[0]), id="b")
    world.restart()
    again = world.ask(Drain(real=REALS[0]), id="c", key="k")
    assert (again.status, again.revision) == ("applied", 1)
    assert world.share(REALS[0])


def test_the_journal_keeps_keys_over_a_new_file_and_forgets_them_after_a_day(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="a", key="k")
    lines = [line_of(entry, 1000.0) for entry in world.remembered]
    carried = recollection.carried_over(recollection.recall(lines, 1100.0), 1100.0)
    (done,) = recollection.recall([carried], 1200.0).keyed
    assert (done.key, done.age, done.who) == ("k", 200.0, "ann@jump")
    assert recollection.recall([carried], 1000.0 + LIFE + 1).keyed == ()


def test_keys_are_bounded() -> None:
    kept = Once()
    answer = Answer(id="", node="lb1", status="applied", revision=1)
    for n in range(KEPT + 10):
        command = Command(id=f"{n}", who="a@b", action=Drain(node=True), idempotency_key=f"{n}")
        kept.kept(command, answer, float(n))

    def known(n: int) -> bool:
        command = Command(id="x", who="a@b", action=Drain(node=True), idempotency_key=f"{n}")
        return kept.answer(command, "lb1", float(KEPT + 10)) is not None

    assert [known(9), known(10), known(KEPT + 9)] == [False, True, True]
