# SPDX-License-Identifier: Apache-2.0
"""How long a problem has lasted, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import pytest

from console.model.recording import inbox
from console.model.store import Agent, Store
from console.views.alerts import (
    ACKNOWLEDGED,
    ALERTS,
    CRITICAL,
    NEXT,
    Acknowledged,
    Watch,
    alert_lines,
    in_short,
)
from console.views.columns import widths
from console.views.problems import Kind, Problem, problems
from shared.model import Admin, Health
from tests.tui.recorded import LB1, LB2, Fleet, records

RING = Problem(True, "node/lb1", "ring differs", "ring")
PEER = Problem(True, "node/lb1", "BGP to 10.2.1.1 is down", "peer", 120.0, with_whom="10.2.1.1")
HEALTH = Problem(False, "real/10.3.1.2@web", "not up", "health", 30.0, at_least=True)


def world() -> list[Agent]:
    one = Fleet(
        "lb1",
        admin={("web", "10.3.1.2"): Admin.DRAINING},
        health={("web", "10.3.2.2"): Health.DOWN},
        peers_up=False,
    )
    store = Store((LB1, LB2, "ipc:///run/remora/lb3"))
    store.take(inbox(records({LB1: one, LB2: Fleet("lb2")}, range(3))))
    return list(store.agents.values())


def test_every_kind_has_a_next_step() -> None:
    assert set(NEXT) == set(get_args(Kind))


def test_an_age_is_what_the_agents_say_or_since_it_was_first_seen() -> None:
    watch = Watch()
    watch.take([RING], 100.0)
    ring, peer, health = watch.take([RING, PEER, HEALTH], 104.0)
    assert (ring.age, ring.at_least) == (4.0, True)
    assert (peer.age, peer.at_least) == (120.0, False)
    assert (health.age, health.at_least) == (30.0, True)
    assert watch.take([HEALTH], 200.0)[0].age == 96.0, "longer than the agents can tell"


def test_one_that_went_away_and_came_back_is_new() -> None:
    watch = Watch()
    watch.take([RING], 100.0)
    watch.take([], 101.0)
    assert watch.take([RING], 110.0)[0].age == 0.0


def test_one_that_is_acknowledged_stands_last_while_it_lasts() -> None:
    watch, seen = Watch(), Acknowledged("ann@jump", 1.7e9, "INC-7")
    watch.take([RING, PEER], 100.0)
    watch.acknowledge([RING.key], seen)
    peer, ring = watch.take([RING, PEER], 101.0)
    assert (peer.seen, ring.seen) == (None, seen)
    assert ring.state == ACKNOWLEDGED
    assert ring.age == 1.0, "as old as it is"
    assert "ann@jump: INC-7" in "".join(cell.text for one in alert_lines(ring) for cell in one)
    watch.take([PEER], 102.0)
    assert all(alert.seen is None for alert in watch.take([RING, PEER], 103.0)), "it is new"


def test_one_that_got_worse_is_to_be_seen_again() -> None:
    """What was acknowledged is generic mode, not that no packet is balanced any more."""
    watch, seen = Watch(), Acknowledged("ann@jump", 1.7e9, "known")
    slow = Problem(False, "node/lb1", "XDP runs in generic mode", "xdp")
    gone = slow._replace(critical=True, text="no program is attached")
    assert gone.key == slow.key
    watch.take([slow], 100.0)
    watch.acknowledge([slow.key], seen)
    assert watch.take([slow], 101.0)[0].seen == seen
    (alert,) = watch.take([gone], 102.0)
    assert (alert.seen, alert.state) == (None, CRITICAL)
    watch.acknowledge([gone.key], seen)
    watch.take([slow], 103.0)
    assert watch.take([gone], 104.0)[0].seen == seen, "as bad as it was acknowledged"


class Mute(Fleet):
    def _announced(self, vip: str) -> bool:
        return False


DOWN = {("web", "10.3.2.2"): Health.DOWN}


@pytest.mark.parametrize(
    ("kind", "bad"), [("announce", Mute), ("health", partial(Fleet, health=DOWN))]
)
def test_on_all_nodes_is_worse_than_on_some(kind: Kind, bad: Callable[[str], Fleet]) -> None:
    watch, seen = Watch(), Acknowledged("ann@jump", 1.7e9, "")

    def found(one: Fleet, other: Fleet) -> Problem:
        store = Store((LB1, LB2))
        store.take(inbox(records({LB1: one, LB2: other}, range(3))))
        return next(p for p in problems(list(store.agents.values()), 2.5) if p.kind == kind)

    some, all_ = found(bad("lb1"), Fleet("lb2")), found(bad("lb1"), bad("lb2"))
    assert some.key == all_.key
    watch.take([some], 100.0)
    watch.acknowledge([some.key], seen)
    assert watch.take([some], 101.0)[0].seen == seen
    assert watch.take([all_], 102.0)[0].seen is None


def test_what_to_do_is_said_of_one_that_nobody_acknowledged() -> None:
    """Also where the one above it, of the same kind, was."""
    watch, other = Watch(), RING._replace(subject="node/lb2")
    watch.take([RING, other], 0.0)
    watch.acknowledge([RING.key], Acknowledged("ann@jump", 1.7e9, ""))
    found = in_short(watch.take([RING, other], 1.0), 9, 80)
    lines = ["".join(cell.text for cell in one) for one in found]
    assert "node/lb2" in lines[0]
    assert sum("next: " in one for one in lines) == 1
    assert lines[-1].startswith(" · ")


def test_keys_tell_all_problems_apart_and_stay() -> None:
    found = problems(world(), 2.5)
    assert {p.kind for p in found} == {"silent", "ring", "peer", "health", "mixed"}
    keys = [problem.key for problem in found]
    assert len(set(keys)) == len(keys)
    assert [problem.key for problem in problems(world(), 3.5)] == keys


def test_the_text_gets_the_room_that_is_left() -> None:
    alerts = Watch().take(problems(world(), 2.0), 2.0)
    texts = {c.title: max(len(c.cell(row).text) for row in alerts) for c in ALERTS}
    for width in (80, 140, 200):
        found = dict(zip(ALERTS, widths(ALERTS, width, texts), strict=True))
        assert 1 + sum(each + 1 for each in found.values()) <= width
        what = found[ALERTS[-1]]
        assert what == texts["WHAT"] or 1 + sum(each + 1 for each in found.values()) == width


def test_in_full() -> None:
    (alert,) = Watch().take([PEER], 1.0)
    text = "\n".join("".join(cell.text for cell in one) for one in alert_lines(alert))
    assert "node/lb1" in text
    assert "BGP to 10.2.1.1 is down" in text
    assert NEXT["peer"] in text
