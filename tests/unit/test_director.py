# SPDX-License-Identifier: Apache-2.0
"""The director's stories: facts told to a fake world that asserts the contract."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import boundary as b
from agent.config import file as config
from agent.dataplane.abi import REAL_DOWN, REAL_DRAINING
from agent.nouns import Override, Target, VipKey
from shared.messages import (
    Batch,
    ChangeEvent,
    Command,
    Drain,
    HealthEvent,
    Reload,
    RouteEvent,
    Undrain,
    Weight,
)
from shared.model import Admin, Health
from tests.unit.world import ONE_VIP, REALS, SLOTS, TOML, VIP_ADDRESS, WEB, World, vip


@pytest.fixture
def world() -> World:
    fresh = World()
    fresh.all_up()
    return fresh


def test_h2_announces_only_after_ring_and_first_round() -> None:
    """H2: nothing is announced before every real was judged and the ring is written."""
    world = World()
    world.start()
    assert world.vips == {WEB: 1}
    assert not world.rings[1].any()
    world.probe(*REALS[:2], ok=True)
    assert world.announced == frozenset()
    world.probe(REALS[2], ok=False)
    assert world.announced == {VIP_ADDRESS}
    assert world.history[-1] == "SetRoutes"
    assert world.share(REALS[2]) == 0
    assert world.share(REALS[0]) + world.share(REALS[1]) == SLOTS


def test_failing_real_leaves_after_fall_results_and_returns_after_rise(world: World) -> None:
    """H1: consecutive results, and the down flag comes before the ring."""
    world.probe(REALS[0], ok=False, times=2)
    world.probe(REALS[0], ok=True)
    world.probe(REALS[0], ok=False, times=2)
    assert world.share(REALS[0]) > 0
    world.history.clear()
    world.probe(REALS[0], ok=False)
    assert world.history == ["SetFlags", "SetRing"]
    assert world.share(REALS[0]) == 0
    assert world.flags(REALS[0]) == REAL_DOWN
    world.probe(REALS[0], ok=True)
    assert world.share(REALS[0]) == 0
    world.probe(REALS[0], ok=True)
    assert world.share(REALS[0]) > 0
    assert world.flags(REALS[0]) == 0
    assert HealthEvent("web", REALS[0], Health.DOWN, Health.UP, "http 200") in world.events


def test_f4_h2_flags_at_once_and_withdraws_before_the_ring_empties(world: World) -> None:
    world.probe(*REALS[:2], ok=False, times=3)
    world.probe(REALS[2], ok=False, times=2)
    world.history.clear()
    world.probe(REALS[2], ok=False)
    assert world.history == ["SetFlags", "SetRoutes", "SetRing"]
    assert world.announced == frozenset()
    assert not world.rings[1].any(), "R5: an explicit empty ring, not a stale one"
    assert RouteEvent(str(VIP_ADDRESS), announced=False, why="quorum lost") in world.events
    world.probe(REALS[2], ok=True, times=2)
    assert world.announced == {VIP_ADDRESS}


def test_quorum_withdraws_while_reals_remain() -> None:
    world = World(TOML + vip("web", "10.200.0.1", 80, REALS, quorum=2))
    world.all_up()
    world.probe(REALS[0], ok=False, times=3)
    assert world.announced == {VIP_ADDRESS}
    world.probe(REALS[1], ok=False, times=3)
    assert world.announced == frozenset()
    assert world.share(REALS[2]) == SLOTS, "who still arrives is served"


def test_h1_simultaneous_changes_are_one_rebuild(world: World) -> None:
    targets = [Target("web", IPv4Address(real)) for real in REALS[:2]]
    world.history.clear()
    world.tell(*(b.Probed(t, False, "refused", 1.0) for t in targets for _ in range(3)))
    assert world.history.count("SetRing") == 1


def test_f1_drain_keeps_the_real_reachable_but_out_of_the_ring(world: World) -> None:
    answer = world.ask(Drain(real=REALS[1]))
    assert answer.status == "applied"
    (change,) = answer.changes
    assert change.slots_before > 0
    assert change.slots_after == 0
    assert change.reals_left == 2
    assert world.share(REALS[1]) == 0
    assert world.flags(REALS[1]) == REAL_DRAINING, "its flows stay: not DOWN"
    assert answer.revision == 1
    assert world.remembered[-1].overrides == (Override("web", REALS[1], Admin.DRAINING, None),)


def test_answered_means_written(world: World) -> None:
    """The answer leaves after the ring and the journal."""
    effects = world.director.take([b.Asked(_command(Drain(real=REALS[0])), b"x")], world.now)
    names = [type(effect).__name__ for effect in effects]
    assert names == ["SetFlags", "SetRing", "Remember", "Emit", "Reply"]


def test_k1_same_id_is_applied_once(world: World) -> None:
    first = world.ask(Drain(real=REALS[0]), id="a")
    world.ask(Undrain(real=REALS[0]), id="b")
    again = world.ask(Drain(real=REALS[0]), id="a")
    assert again == first
    assert world.share(REALS[0]) > 0, "the repeated command changed nothing"


def test_k1_stale_revision_is_refused(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="a")
    answer = world.ask(Drain(real=REALS[1]), id="b", expect=0)
    assert (answer.status, answer.guard) == ("refused", "revision")
    assert world.share(REALS[1]) > 0


def test_k3_plan_equals_what_happens(world: World) -> None:
    plan = world.ask(Weight(REALS[0], 50), id="p", dry_run=True)
    assert plan.status == "planned"
    assert world.share(REALS[0]) == plan.changes[0].slots_before, "a plan changes nothing"
    done = world.ask(Weight(REALS[0], 50), id="d")
    assert done.changes == plan.changes
    assert world.share(REALS[0]) == plan.changes[0].slots_after


def test_repeating_a_done_command_is_unchanged(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="a")
    world.history.clear()
    answer = world.ask(Drain(real=REALS[0]), id="b")
    assert answer.status == "unchanged"
    assert answer.revision == 1
    assert world.history == []


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Drain(real="10.9.9.9"), "no real 10.9.9.9"),
        (Drain(real="web1"), "not an IP address"),
        (Drain(real=REALS[0], vip="mail"), "no VIP 'mail'"),
        (Weight(REALS[0], 0), "drain it"),
        (Weight(REALS[0], 1001), "1 to 1000"),
    ],
)
def test_nonsense_is_refused_with_a_remedy(world: World, action: Drain, words: str) -> None:
    answer = world.ask(action)
    assert answer.status == "refused"
    assert words in answer.error
    assert world.director.state.revision == 0


def test_k2_guards_hold(world: World) -> None:
    """K2: the last real is never drained, whatever was drained before."""
    world.ask(Drain(real=REALS[0]), id="a")
    world.ask(Drain(real=REALS[1]), id="b")
    answer = world.ask(Drain(real=REALS[2]), id="c")
    assert (answer.status, answer.guard) == ("refused", "last-healthy")
    assert world.share(REALS[2]) == SLOTS


def test_k2_min_healthy_guard() -> None:
    world = World(TOML + vip("web", "10.200.0.1", 80, REALS, quorum=3))
    world.all_up()
    answer = world.ask(Drain(real=REALS[0]))
    assert (answer.status, answer.guard) == ("refused", "min-healthy")


def test_node_drain_withdraws_and_keeps_serving(world: World) -> None:
    world.ask(Drain(node=True), id="a")
    world.now += 61
    world.tell(b.Tick())
    assert world.announced == frozenset()
    assert world.share(REALS[0]) > 0
    world.ask(Undrain(node=True), id="b")
    assert world.announced == {VIP_ADDRESS}


@pytest.mark.parametrize("victim", [b.SetRing, b.SetFlags, b.Remember])
def test_k5_a_failed_write_leaves_the_old_state_in_force(world: World, victim: type) -> None:
    """K5: the command is answered `failed`, and the ring that was is there again."""
    shares = [world.share(real) for real in REALS]
    world.refuse = lambda effect: isinstance(effect, victim)
    answer = world.ask(Drain(real=REALS[0]), id="a")
    assert answer.status == "failed"
    assert "the kernel said no" in answer.error
    assert world.director.state.revision == 0
    world.refuse = lambda effect: False
    world.now += 2
    world.tell(b.Tick())
    assert [world.share(real) for real in REALS] == shares
    assert world.flags(REALS[0]) == 0
    again = world.ask(Drain(real=REALS[0]), id="a")
    assert again == answer, "who has not heard is told: nothing was changed, nor is it now (K1)"
    assert [world.share(real) for real in REALS] == shares
    assert world.ask(Drain(real=REALS[0]), id="b").status == "applied", "a new try"


def test_k5_a_command_that_only_the_disk_refuses_costs_no_ring_of_others() -> None:
    """Of 500 VIPs that would be most of a second for which no check is judged."""
    world = World(ONE_VIP + "".join(vip(f"v{n}", f"10.200.1.{n}", 80, REALS) for n in range(1, 9)))
    world.all_up()
    announced, rings = world.routes, {n: ring.copy() for n, ring in world.rings.items()}
    world.history.clear()
    world.refuse = lambda effect: isinstance(effect, b.Remember)
    assert world.ask(Drain(real=REALS[0], vip="web"), id="d").status == "failed"
    assert world.ask(Weight(REALS[0], 50, "web"), id="w").status == "failed"
    assert world.history.count("SetRing") == 4, "there and back"
    assert world.history.count("PutReal") == world.history.count("PutVip") == 0
    assert world.ask(Drain(node=True), id="n").status == "failed"
    assert world.history.count("SetRing") == 4
    assert (world.routes, world.flags(REALS[0])) == (announced, 0)
    assert all(np.array_equal(rings[n], ring) for n, ring in world.rings.items())


def test_k1_a_reload_is_read_whatever_fails_beside_it(world: World) -> None:
    """It is answered when the file is read: dropped with others' effects it never were."""
    drain = b.Asked(Command(id="a", who="ann", action=Drain(real=REALS[0])), b"ann")
    reload = b.Asked(Command(id="b", who="bob", action=Reload()), b"bob")
    other = Command(id="c", who="cy", action=Reload())
    text = ONE_VIP.replace("quorum = 1", "quorum = 2")
    read = b.Proposed(other, b"cy", config.parse(text, "t"), text=text)
    for beside in (drain, read):
        effects = world.director.take([beside, reload], world.now)
        assert isinstance(effects[0], b.ReadConfig)
        assert len(effects) > 1


def test_failed_write_is_tried_again_not_in_a_spin(world: World) -> None:
    tries: list[b.Effect] = []

    def refuse(effect: b.Effect) -> bool:
        if isinstance(effect, b.SetRing):
            tries.append(effect)
        return isinstance(effect, b.SetRing)

    world.refuse = refuse
    world.probe(REALS[0], ok=False, times=3)
    for _ in range(5):
        world.tell(b.Tick())
    assert len(tries) == 1
    world.now += 1
    world.tell(b.Tick())
    assert len(tries) == 2


def test_answered_means_written_even_right_after_a_failure(world: World) -> None:
    """K5: a command in the second before the retry is tried at once, and fails or is written."""
    world.refuse = lambda effect: isinstance(effect, b.SetRing)
    world.probe(REALS[0], ok=False, times=3)
    answer = world.ask(Drain(real=REALS[1]), id="a")
    assert answer.status == "failed"
    assert world.director.state.revision == 0
    world.refuse = lambda effect: False
    answer = world.ask(Drain(real=REALS[1]), id="b")
    assert answer.status == "applied"
    assert world.share(REALS[1]) == 0
    assert world.share(REALS[2]) == SLOTS


def test_h2_a_stop_right_after_a_failure_withdraws(world: World) -> None:
    world.refuse = lambda effect: isinstance(effect, b.SetRing)
    world.probe(REALS[0], ok=False, times=3)
    world.refuse = lambda effect: False
    world.tell(b.Stopping())
    assert world.announced == frozenset()


def test_f5_restart_moves_nothing(world: World) -> None:
    """F5: a new agent that finds the maps of the old one writes no ring and no flag."""
    world.ask(Drain(real=REALS[0]))
    world.probe(REALS[1], ok=False, times=3)
    rings = {n: row.copy() for n, row in world.rings.items()}
    world.restart()
    assert world.history == ["PutVip", "SetRoutes"]
    assert all((world.rings[n] == row).all() for n, row in rings.items())
    assert world.director.state.vips["web"].reals[IPv4Address(REALS[0])].admin is Admin.DRAINING
    assert world.director.state.revision == 1
    assert world.announced == {VIP_ADDRESS}


def test_restart_with_another_config_frees_and_numbers_anew(world: World) -> None:
    """F3: a number that changes hands has another generation."""
    before = {r.address: r for r in world.reals.values()}
    text = TOML + vip("web", "10.200.0.1", 80, [REALS[0], "10.3.9.2"])
    world.restart(text)
    world.probe("10.3.9.2", ok=True)
    after = {r.address: r for r in world.reals.values() if r.vip_num}
    assert after[IPv4Address(REALS[0])].real_num == before[IPv4Address(REALS[0])].real_num
    assert IPv4Address(REALS[1]) not in after
    assert world.share(REALS[0]) + world.share("10.3.9.2") == SLOTS


def test_a_real_that_many_vips_share_is_avoided_before_a_ring_is_built() -> None:
    """Its flags are all that the first call gives, in one effect, and every ring follows."""
    world = World(TOML + "".join(vip(f"v{n}", f"10.200.0.{n + 1}", 80, REALS) for n in range(40)))
    world.all_up()
    world.history.clear()
    shared = [t for t in sorted(world.targets) if str(t.real) == REALS[0]]
    world.tell(*(b.Probed(t, False, "refused", 1.0) for t in shared for _ in range(3)))
    assert world.history == ["SetFlags"] + ["SetRing"] * 40
    down = {r.real_num for r in world.reals.values() if r.flags & REAL_DOWN}
    assert len(down) == 40
    assert not any(np.isin(row, list(down)).any() for row in world.rings.values())


def test_removed_vip_is_gone(world: World) -> None:
    world.restart(TOML + vip("mail", "10.200.0.2", 25, REALS))
    assert list(world.vips) == [VipKey(IPv4Address("10.200.0.2"), 25, WEB.protocol)]
    assert {r.vip_num for r in world.reals.values()} == {0, 2}


def test_another_config_of_as_many_vips_finds_numbers() -> None:
    """Numbers of removed VIPs serve again when there are no others: 260 VIPs become 260 others."""
    one = [vip(f"a{n}", f"10.200.{n // 250}.{n % 250 + 1}", 80, REALS[:1]) for n in range(260)]
    other = [vip(f"b{n}", f"10.201.{n // 250}.{n % 250 + 1}", 80, REALS[:1]) for n in range(260)]
    world = World(TOML + "".join(one))
    world.all_up()
    world.restart(TOML + "".join(other))
    for target in sorted(world.targets):
        world.tell(b.Probed(target, True, "http 200", 1.0))
    assert {str(key.address)[:6] for key in world.vips} == {"10.201"}
    assert len(set(world.vips.values())) == 260
    assert sum(real.vip_num != 0 for real in world.reals.values()) == 260
    assert len(world.announced) == 260


def test_stopping_withdraws_everything(world: World) -> None:
    world.tell(b.Stopping())
    assert world.announced == frozenset()
    assert world.share(REALS[0]) > 0, "packets under way are still served"


def test_commands_are_events_for_everybody(world: World) -> None:
    world.ask(Drain(real=REALS[0], vip="web"))
    undo = (f"undrain real/{REALS[0]}@web",)
    what = f"drain real/{REALS[0]}@web"
    assert world.events[-1] == ChangeEvent("ann@jump", what, "applied", 1, undo=undo)


def test_every_change_says_how_to_take_it_back(world: World) -> None:
    """A change, then the lines that it names: the node is as before."""
    world.ask(Weight(REALS[1], 50), id="a")
    shares = [world.share(real) for real in REALS]
    changes = Batch((Drain(real=REALS[0], vip="web"), Weight(REALS[1], 20, "web")))
    world.ask(changes, id="b")
    (event,) = [e for e in world.events[-1:] if isinstance(e, ChangeEvent)]
    assert event.undo == (f"undrain real/{REALS[0]}@web", f"weight real/{REALS[1]}@web 50")
    world.ask(Batch((Undrain(real=REALS[0]), Weight(REALS[1], 50))), id="c")
    assert [world.share(real) for real in REALS] == shares
    world.ask(Drain(node=True), id="d")
    assert world.events[-1].undo == ("undrain node/lb1",)  # type: ignore[union-attr]


def test_k3_a_batch_is_planned_and_applied_as_one(world: World) -> None:
    """K3: one ring change; its plan counts what all of it does."""
    batch = Batch((Drain(real=REALS[0]), Weight(REALS[1], 10)))
    plan = world.ask(batch, id="p", dry_run=True)
    assert [change.reals_left for change in plan.changes] == [2, 2]
    world.history.clear()
    done = world.ask(batch, id="d")
    assert done.changes == plan.changes
    assert done.revision == 1
    assert world.history.count("SetRing") == 1
    assert [c.slots_after for c in done.changes] == [world.share(r) for r in REALS[:2]]


def test_k2_a_batch_is_guarded_as_a_whole(world: World) -> None:
    """K2: each of them alone would be allowed, all of them are not; nothing is done."""
    answer = world.ask(Batch(tuple(Drain(real=real) for real in REALS)), id="a")
    assert (answer.status, answer.guard) == ("refused", "last-healthy")
    assert all(world.share(real) for real in REALS)
    twice = world.ask(Batch((Drain(real=REALS[0]), Undrain(real=REALS[0]))), id="b")
    assert "named twice" in twice.error
    node = world.ask(Batch((Drain(node=True), Drain(node=True))), id="c")
    assert "node/lb1 is named twice" in node.error


def test_k5_a_batch_of_node_vip_and_reals_is_one_change(world: World) -> None:
    """K5, K3: a real's state and weight, a VIP and the node together; its inverse is all of it."""
    batch = Batch(
        (
            Drain(real=REALS[0]),
            Weight(REALS[0], 10),
            Weight(REALS[1], 50),
            Drain(vip="web"),
            Drain(node=True),
        )
    )
    plan = world.ask(batch, id="p", dry_run=True)
    assert {(c.vip, c.real, c.now) for c in plan.changes} == {
        ("", "", "draining"),
        ("web", "", "draining"),
        ("web", REALS[0], "draining, weight 10"),
        ("web", REALS[1], "enabled, weight 50"),
    }
    done = world.ask(batch, id="d")
    assert (done.status, done.revision, done.changes) == ("applied", 1, plan.changes)
    assert world.ask(batch, id="e").status == "unchanged"
    (event,) = [e for e in world.events if isinstance(e, ChangeEvent) and e.undo]
    assert set(event.undo) == {
        "undrain node/lb1",
        "undrain vip/web",
        f"undrain real/{REALS[0]}@web",
        f"weight real/{REALS[0]}@web 100",
        f"weight real/{REALS[1]}@web 100",
    }


def test_one_address_with_two_services_stays_while_one_serves() -> None:
    text = TOML + vip("web", "10.200.0.1", 80, REALS) + vip("tls", "10.200.0.1", 443, REALS)
    world = World(text)
    world.all_up()
    world.probe(*REALS, ok=False, times=3, vip="tls")
    assert world.announced == {VIP_ADDRESS}
    world.probe(*REALS, ok=False, times=3)
    assert world.announced == frozenset()


STEPS = st.one_of(
    st.tuples(st.just("probe"), st.sampled_from(REALS), st.booleans()),
    st.tuples(st.just("drain"), st.sampled_from(REALS), st.none()),
    st.tuples(st.just("undrain"), st.sampled_from(REALS), st.none()),
    st.tuples(st.just("weight"), st.sampled_from(REALS), st.integers(1, 1000)),
    st.tuples(st.just("fail"), st.sampled_from([b.SetRing, b.SetFlags, b.Remember]), st.none()),
    st.tuples(st.just("restart"), st.none(), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_any_story_ends_in_the_declared_state(steps: list[tuple[str, Any, Any]]) -> None:
    """Any sequence: the world's asserts hold, and after a tick the maps say what the state says."""
    world = World(ONE_VIP)
    world.all_up()
    for number, (step, what, value) in enumerate(steps):
        world.now += 2
        match step:
            case "probe":
                world.probe(what, ok=value)
            case "drain":
                world.ask(Drain(real=what), id=f"{number}")
            case "undrain":
                world.ask(Undrain(real=what), id=f"{number}")
            case "weight":
                world.ask(Weight(what, value), id=f"{number}")
            case "fail":
                victim = what
                world.refuse = lambda effect: isinstance(effect, victim)  # noqa: B023  # used here
                world.ask(Drain(real=REALS[0]), id=f"{number}")
                world.probe(REALS[1], ok=False)
                world.refuse = lambda effect: False
            case "restart":
                world.tell(b.Tick())
                world.restart()
    world.now += 2
    world.tell(b.Tick())
    state = world.director.state.vips["web"]
    weights = {a: r.effective_weight for a, r in state.reals.items()}
    for address, real in state.reals.items():
        assert world.flags(str(address)) == real.flags
        exact = SLOTS * weights[address] / max(1, sum(weights.values()))
        assert abs(world.share(str(address)) - exact) <= 1
    assert bool(world.announced) == bool(sum(weights.values()))


def _command(action: Drain) -> Command:
    return Command(id="z", who="ann@jump", action=action)


def test_ipv6_and_ipv4_side_by_side() -> None:
    """A VIP of each family over reals of both: laid out, announced, drained by any text form."""
    reals = ("10.3.1.2", "fd00:3:2::2")
    text = TOML.replace("[[bgp.peers]]", 'next_hop6 = "fd00:2:1::2"\n[[bgp.peers]]', 1)
    text += vip("web", "10.200.0.1", 80, reals) + vip("web6", "2001:db8:200::1", 80, reals)
    world = World(text)
    world.start()
    for name in ("web", "web6"):
        world.probe(*reals, ok=True, vip=name, times=2)
    assert {str(a) for a in world.announced} == {"10.200.0.1", "2001:db8:200::1"}
    assert world.share("fd00:3:2::2", "web6") > 30000
    assert world.ask(Drain(real="FD00:3:2:0::2")).status == "applied"
    assert (world.share("fd00:3:2::2"), world.share("fd00:3:2::2", "web6")) == (0, 0)
    world.restart()
    assert world.flags("fd00:3:2::2", "web6") == REAL_DRAINING


def test_f5_another_encapsulation_after_a_restart_moves_nothing() -> None:
    """The real's entry is written with the same number and generation; no ring is."""
    world = World()
    world.all_up()
    before = dict(world.reals)
    changed = ONE_VIP.replace(f'"{REALS[0]}"\n', f'"{REALS[0]}"\nencap = "gue"\n')
    assert changed != ONE_VIP
    world.restart(changed)
    assert "PutReal" in world.history
    assert "SetRing" not in world.history
    now = {number: real.encap.value for number, real in world.reals.items()}
    assert sorted(now.values()) == ["gue", "ipip", "ipip"]
    assert {n: r._replace(encap=before[n].encap) for n, r in world.reals.items()} == before
    world.restart(changed)
    assert "PutReal" not in world.history
