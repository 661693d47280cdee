# SPDX-License-Identifier: Apache-2.0
"""K1: accepted, applied, verified: each step is said, said again when asked, and true."""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np
import pytest

from agent import boundary as b
from agent.core import maglev
from agent.core.readback import AGAIN, WITHIN
from shared.messages import (
    Answer,
    Batch,
    ChangeEvent,
    Command,
    Confirm,
    Drain,
    Trace,
    Undrain,
    Weight,
)
from tests.unit.world import REALS, TOML, World, vip

TWO_VIPS = TOML + vip("web", "10.200.0.1", 80, REALS) + vip("dns", "10.200.0.2", 53, REALS)


@pytest.fixture
def world() -> World:
    world = World(TWO_VIPS)
    world.all_up()
    world.answered.clear()
    return world


def test_applied_then_verified(world: World) -> None:
    first = world.ask(Drain(real=REALS[0], vip="web"), steps=True)
    assert (first.status, first.more) == ("applied", True)
    (look,) = world.looks
    web = world.director.state.vips["web"]
    assert set(look.rings) == {web.vip_num}, "only what the command changes is built again"
    assert ip_address(REALS[0]) not in look.rings[web.vip_num], "as it is after the command"
    world.held()
    last = world.answers[-1]
    assert (last.status, last.more, last.error, last.changes) == (
        "verified", False, "", first.changes,
    )  # fmt: skip


def test_who_did_not_ask_for_steps_gets_one_answer(world: World) -> None:
    """An older console takes the first answer for the last."""
    assert world.ask(Drain(real=REALS[0])).more is False
    assert world.looks == []


@pytest.mark.parametrize("action", [Trace(), Confirm(), Drain(real="10.9.9.9")])
def test_what_changes_nothing_that_stays_is_answered_once(world: World, action: object) -> None:
    assert world.ask(action, steps=True).more is False  # type: ignore[arg-type]
    assert world.looks == []


def test_a_plan_is_answered_once(world: World) -> None:
    assert world.ask(Drain(real=REALS[0]), steps=True, dry_run=True).more is False


def held_otherwise(world: World) -> dict[str, dict[str, object]]:
    state = world.director.state.vips["web"]
    real = state.reals[ip_address(REALS[0])].number
    others = tuple(r for r in world.reals.values() if r.real_num != real.real_num)
    return {
        "map of VIPs: web": {"vips": {}},
        "map of reals: 10.3.1.2@web": {"reals": others},
        "map of reals: 10.3.1.2@web is": {"reals": (*others, real._replace(flags=64))},
        "ring of web: digest": {"rings": {state.vip_num: "c0ffee"}},
        "routes: ExaBGP is not there": {"routes": "routes: ExaBGP is not there"},
        "cannot be read": {"error": "tables of VIPs: cannot be read"},
    }


@pytest.mark.parametrize(
    "says",
    [
        "map of VIPs: web",
        "map of reals: 10.3.1.2@web",
        "map of reals: 10.3.1.2@web is",
        "ring of web: digest",
        "routes: ExaBGP is not there",
        "cannot be read",
    ],
)
def test_what_is_held_otherwise_is_looked_at_again_and_then_said(world: World, says: str) -> None:
    world.ask(Drain(real=REALS[0], vip="web"), steps=True)
    began = world.now
    world.history.clear()
    wrong = held_otherwise(world)[says]
    while world.looks:
        world.held(**wrong)
    last = world.answers[-1]
    assert (last.status, last.more) == ("unverified", False)
    assert says in last.error
    assert WITHIN <= world.now - began <= WITHIN + AGAIN
    told = [e for e in world.events if isinstance(e, ChangeEvent) and e.what == "read back"]
    assert [event.result for event in told] == [last.error]
    assert {"PutVip", "PutReal", "SetRing"} <= set(world.history), "all of it is written anew"


def test_a_route_that_takes_a_moment_is_waited_for(world: World) -> None:
    world.ask(Drain(node=True), steps=True)
    world.held(routes="routes: ExaBGP has not answered yet")
    assert [status for _, status in world.answered] == ["applied"]
    world.held()
    assert [status for _, status in world.answered] == ["applied", "verified"]


def test_a_check_that_fails_meanwhile_is_no_contradiction(world: World) -> None:
    """What is desired is what the state says when the maps are read."""
    world.ask(Drain(real=REALS[0], vip="web"), steps=True)
    world.probe(REALS[1], ok=False, times=3)
    while world.looks:
        world.held()
    assert [status for _, status in world.answered] == ["applied", "verified"]


def test_changed_again_by_another_command_is_not_verified(world: World) -> None:
    world.ask(Drain(real=REALS[0], vip="web"), id="a", steps=True)
    world.ask(Undrain(real=REALS[0], vip="web"), id="b", who="bob@jump")
    while world.looks:
        world.held()
    assert world.answers[-1].status == "unverified"
    assert "changed again" in world.answers[-1].error


# ---- K1 at each step


def test_k1_a_lost_applied_is_said_again_and_the_rest_goes_where_it_was_asked(
    world: World,
) -> None:
    drain = Drain(real=REALS[0])
    world.ask(drain, id="a", steps=True)
    revision = world.director.state.revision
    world.ask(drain, id="a", steps=True, sender=b"reconnected")
    assert world.director.state.revision == revision, "applied once"
    world.held()
    assert world.answered == [
        (b"console", "applied"), (b"reconnected", "applied"), (b"reconnected", "verified"),
    ]  # fmt: skip
    assert world.looks == []


def test_k1_a_lost_verified_is_said_again(world: World) -> None:
    drain = Drain(real=REALS[0])
    world.ask(drain, id="a", steps=True)
    world.held()
    last = world.answers[-1]
    assert world.ask(drain, id="a", steps=True, sender=b"later") == last
    assert world.answered[-1] == (b"later", "verified")


def test_k1_a_command_of_the_agent_before_is_read_back(world: World) -> None:
    """It was applied and the agent died: the next one says applied, and looks."""
    world.ask(Drain(real=REALS[0]), id="a", steps=True)
    world.looks.clear()
    world.restart()
    for target in sorted(world.targets):
        world.tell(b.Probed(target, True, "http 200", 1.0))
    before = Answer(id="a", node="lb1", status="applied", revision=1)
    command = world.remembered[-1].command
    world.tell(b.Asked(command, b"console", before))
    assert world.answers[-1].status == "applied"
    assert set(world.looks[0].rings) == set(world.rings), "of any VIP: it is not known which"
    world.held()
    assert (world.answers[-1].status, world.answers[-1].revision) == ("verified", 1)
    assert world.director.state.revision == 1


def test_k5_a_command_that_failed_is_not_read_back(world: World) -> None:
    world.refuse = lambda effect: isinstance(effect, b.SetRing)
    answer = world.ask(Drain(real=REALS[0]), steps=True)
    assert (answer.status, answer.more) == ("failed", False)
    assert world.looks == []


def test_k5_of_two_commands_in_a_batch_the_one_that_failed_is_taken_back(world: World) -> None:
    """The journal refuses the second; the first was answered, and stays: it is read back all the
    same, though its look was dropped with what failed."""
    world.refuse = lambda effect: isinstance(effect, b.Remember) and effect.command.id == "b"
    world.tell(
        *(
            b.Asked(Command(id=id_, who="ann@jump", action=Drain(real=real), steps=True), b"c")
            for id_, real in (("a", REALS[0]), ("b", REALS[1]))
        )
    )
    while world.looks:
        world.held()
    ends = {answer.id: answer for answer in world.answers if not answer.more}
    assert ends["b"].status == "failed"
    assert ends["a"].status == "verified"
    assert (world.share(REALS[0]), world.share(REALS[1]) > 0) == (0, True)


def test_a_batch_is_verified_as_one(world: World) -> None:
    world.ask(Batch((Drain(real=REALS[0], vip="web"), Weight(REALS[1], 50, "dns"))), steps=True)
    assert len(world.looks[0].rings) == 2
    world.held()
    assert world.answers[-1].status == "verified"


# ---- digests


def test_the_digest_of_a_map_is_the_rings_own(world: World) -> None:
    addresses = {ip_address(a): n for a, n in (("10.3.1.2", 7), ("fd00::2", 3), ("10.3.3.2", 9))}
    ring = maglev.ring(dict.fromkeys(addresses, 100), b"seed")
    held = ring.real_nums(addresses)
    assert maglev.digest_of(held, addresses) == ring.digest
    held[5] = 11  # somebody else's
    assert maglev.digest_of(held, addresses) != ring.digest
    nobody = maglev.ring({}, b"seed")
    assert maglev.digest_of(np.zeros(65537, np.uint32), {}) == nobody.digest
