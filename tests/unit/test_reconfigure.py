# SPDX-License-Identifier: Apache-2.0
"""Another config at run time: what stays, what moves, and that it is all or nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import boundary as b
from agent.config import file as config
from agent.nouns import Override, Target, VipKey
from shared.messages import Answer, ChangeEvent, Drain, Reload, Rollback, Undrain, Weight
from shared.model import Admin, Health, Protocol
from tests.unit.world import ONE_VIP, REALS, SLOTS, TOML, VIP_ADDRESS, WEB, World, vip

NEW = "10.3.9.2"
MAIL = VipKey(IPv4Address("10.200.0.2"), 25, Protocol.TCP)
TWO_VIPS = ONE_VIP + vip("mail", "10.200.0.2", 25, REALS[:2])
OTHER = (
    TOML.replace("[bgp]", "flow_idle = 60\n[bgp]", 1)
    + vip("web", "10.200.0.1", 80, [REALS[0], REALS[1], NEW])
    + vip("mail", "10.200.0.2", 25, REALS[:2])
)  # fmt: skip
"""Against TWO_VIPS: a setting, a removed real, a new one.  Against ONE_VIP: a new VIP besides."""


@pytest.fixture
def world() -> World:
    fresh = World()
    fresh.all_up()
    return fresh


def up(world: World, *reals: str, vip: str = "web") -> None:
    world.probe(*reals, ok=True, vip=vip, times=2)


def test_f5_a_reload_without_a_difference_touches_nothing(world: World) -> None:
    """F5: comments and order of keys are no difference; nothing is written."""
    world.history.clear()
    answer = world.reload("# looked at it\n" + ONE_VIP)
    assert (answer.status, answer.revision, answer.generation) == ("unchanged", 0, 1)
    assert world.history == []
    assert world.kept == {}


def test_f5_a_label_is_no_fact_of_the_data_plane(world: World) -> None:
    """Nothing is written, no check begins anew, no real has changed; the plan says which label."""
    up(world, *REALS)
    before = {a: r.changed for a, r in world.director.state.vips["web"].reals.items()}
    world.history.clear()
    labelled = ONE_VIP.replace('name = "lb1"\n', 'name = "lb1"\nlabels = { rack = "r9" }\n')
    labelled = labelled.replace('name = "web"\n', 'name = "web"\nlabels = { tier = "web" }\n')
    labelled = labelled.replace(
        'address = "10.3.1.2"\n', 'address = "10.3.1.2"\nlabels = { rack = "r2" }\n'
    )
    answer = world.reload(labelled)
    assert answer.status == "applied"
    assert [(c.vip, c.what, c.was, c.now, c.slots_moved) for c in answer.changes] == [
        ("", "node.labels", "none", "rack=r9", 0),
        ("web", "vips.labels", "none", "tier=web", 0),
        ("web", "vips.reals.10.3.1.2.labels", "none", "rack=r2", 0),
    ]
    assert {a: r.changed for a, r in world.director.state.vips["web"].reals.items()} == before
    assert str(world.director.state.listed.vips[0].reals[0].labels) == "rack=r2"
    assert world.history == ["KeepConfig", "Configure", "Verify"]


def test_a_vip_is_added_and_announced_when_it_serves(world: World) -> None:
    """H2 holds for it as for any other; the VIP that was there is not touched."""
    ring, revision = world.rings[1].copy(), world.director.state.revision
    answer = world.reload(TWO_VIPS)
    assert (answer.status, answer.revision, answer.generation) == ("applied", revision + 1, 2)
    assert world.kept == {2: TWO_VIPS}
    assert world.remembered[-1].generation == 2
    assert world.announced == {VIP_ADDRESS}
    assert not world.rings[world.vips[MAIL]].any(), "nobody was checked yet"
    up(world, *REALS[:2], vip="mail")
    assert world.announced == {VIP_ADDRESS, MAIL.address}
    assert (world.rings[1] == ring).all()


def test_a_vip_is_removed_withdrawn_first() -> None:
    world = World(TWO_VIPS)
    world.all_up()
    world.history.clear()
    assert world.reload(ONE_VIP).status == "applied"
    order = world.history
    assert order.index("SetRoutes") < order.index("RemoveVip") < order.index("FreeReal")
    assert set(world.vips) == {WEB}
    assert world.announced == {VIP_ADDRESS}
    assert {r.vip_num for r in world.reals.values()} == {0, 1}


def test_a_real_is_exchanged(world: World) -> None:
    """F3: the removed one's number rests; the new one takes flows when it was checked."""
    before = {r.address: r for r in world.reals.values()}
    answer = world.reload(TOML + vip("web", "10.200.0.1", 80, [*REALS[:2], NEW]))
    assert answer.status == "applied"
    assert world.share(REALS[0]) + world.share(REALS[1]) == SLOTS
    up(world, NEW)
    assert world.share(NEW) > 20000
    after = {r.address: r for r in world.reals.values() if r.vip_num}
    assert after[ip_address(REALS[0])] == before[ip_address(REALS[0])]
    assert after[ip_address(NEW)].real_num not in {r.real_num for r in before.values()}


def test_a_weight_in_the_file_moves_slots_as_planned(world: World) -> None:
    """K3: what the plan says is what the ring then has."""
    text = ONE_VIP.replace(f'"{REALS[0]}"\n', f'"{REALS[0]}"\nweight = 50\n')
    plan = world.reload(text, id="p", dry_run=True)
    assert plan.status == "planned"
    assert world.share(REALS[0]) == plan.changes[0].slots_before
    assert world.kept == {}
    done = world.reload(text)
    assert (done.status, done.changes) == ("applied", plan.changes)
    (change,) = plan.changes
    assert world.share(REALS[0]) == change.slots_after < change.slots_before
    assert (change.was, change.now) == ("enabled, weight 100, ipip", "enabled, weight 50, ipip")
    assert change.slots_moved >= change.slots_before - change.slots_after


def test_an_override_outlives_a_reload(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="d")
    world.ask(Weight(REALS[1], 300), id="w")
    assert world.reload(OTHER).status == "applied"
    state = world.director.state.vips["web"]
    assert state.reals[ip_address(REALS[0])].admin is Admin.DRAINING
    assert state.reals[ip_address(REALS[1])].weight == 300
    assert world.share(REALS[0]) == 0


def test_a_removed_real_is_forgotten_by_the_journal(world: World) -> None:
    """Who comes back after a removal comes back enabled, with or without a restart between."""
    world.ask(Drain(real=REALS[2]), id="d")
    world.reload(OTHER)
    assert world.remembered[-1].overrides == (Override("web", REALS[2], Admin.ENABLED, None),)
    world.restart(TWO_VIPS)
    real = world.director.state.vips["web"].reals[ip_address(REALS[2])]
    assert real.admin is Admin.ENABLED


def test_f5_a_vip_that_changes_its_name_keeps_all_else(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="d")
    rings = {n: ring.copy() for n, ring in world.rings.items()}
    world.history.clear()
    answer = world.reload(TOML + vip("www", "10.200.0.1", 80, REALS))
    assert answer.status == "applied"
    assert "SetRing" not in world.history
    assert "SetRoutes" not in world.history
    assert all((world.rings[n] == ring).all() for n, ring in rings.items())
    assert world.remembered[-1].overrides == (
        Override("web", REALS[0], Admin.ENABLED, None),
        Override("www", REALS[0], Admin.DRAINING, None),
    )
    assert world.director.state.vips["www"].reals[ip_address(REALS[1])].verdict.health is Health.UP


RENAMED = TOML + vip("www", "10.200.0.1", 80, REALS)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("expires", "confirm"), [(60.0, 0.0), (0.0, 60.0)])
def test_k1_a_change_for_a_while_ends_under_the_new_name_of_its_vip(
    world: World, expires: float, confirm: float, restarts: bool
) -> None:
    world.ask(Drain(real=REALS[0]), id="d", expires=expires, confirm=confirm)
    world.count(seconds=20)
    assert world.reload(RENAMED).status == "applied"
    if restarts:
        world.restart(RENAMED)
    (due,) = world.director.state.pending
    assert due.pending.back == (Override("www", REALS[0], Admin.ENABLED, None),)
    assert world.share(REALS[0], "www") == 0
    world.count(seconds=60)
    assert world.director.state.vips["www"].reals[ip_address(REALS[0])].admin is Admin.ENABLED
    assert world.director.state.pending == []


def test_h3_a_drained_vip_that_is_renamed_stays_withdrawn_over_a_restart() -> None:
    """Two that exchange their names, too: each goes on where it was."""
    world = World(TWO_VIPS)
    world.all_up()
    world.ask(Drain(vip="web"), id="w")
    for _ in range(20):
        world.count(seconds=10)
    world.ask(Drain(vip="mail"), id="m")
    phases = leaving(world)
    routes = world.announced
    assert sorted(phases.values()) == ["drained", "shutting"]
    other = TWO_VIPS.replace('"web"', '"x"').replace('"mail"', '"web"').replace('"x"', '"mail"')
    assert world.reload(other).status == "applied"
    world.restart(other)
    assert leaving(world) == phases
    assert world.announced == routes


def leaving(world: World) -> dict[VipKey, str]:
    vips = world.director.state.vips.values()
    return {vip.listed.key: vip.shutdown.phase.value for vip in vips if vip.shutdown}


def test_k5_a_rename_that_fails_leaves_what_is_pending(world: World) -> None:
    world.ask(Drain(real=REALS[0]), id="d", expires=60.0)
    pending = list(world.director.state.pending)
    world.refuse = lambda effect: isinstance(effect, b.Remember)
    assert world.reload(RENAMED).status == "failed"
    world.refuse = lambda effect: False
    assert world.director.state.pending == pending
    world.count(seconds=61)
    assert world.share(REALS[0]) > 0


@pytest.mark.parametrize("by", ["reload", "restart"])
def test_k1_what_is_gone_is_forgotten_and_comes_back_enabled(world: World, by: str) -> None:
    """By whichever way it went: what an agent believes is what it believes after a restart."""
    world.ask(Drain(real=REALS[2]), id="d")
    world.ask(Undrain(real=REALS[2]), id="u", expires=600.0)  # then it would drain again
    world.ask(Weight(REALS[2], 300), id="w", confirm=600.0)
    getattr(world, by)(OTHER)
    assert world.director.state.pending == []
    assert world.reload(ONE_VIP, id="back").status == "applied"
    for _ in range(2):
        real = world.director.state.vips["web"].reals[ip_address(REALS[2])]
        assert (real.admin, real.override) == (Admin.ENABLED, None)
        assert world.director.state.pending == []
        world.restart(ONE_VIP)


def test_what_a_start_forgets_is_said_once_and_written_when_the_disk_takes_it(
    world: World,
) -> None:
    world.ask(Drain(real=REALS[2]), id="d")
    world.ask(Drain(real=REALS[0]), id="e")
    world.refuse = lambda effect: isinstance(effect, b.Remember)
    world.restart(OTHER)
    world.refuse = lambda effect: False
    world.count(seconds=2)
    changes = [event for event in world.events if isinstance(event, ChangeEvent)]
    told = [event.result for event in changes if event.what == "start"]
    assert told == [f"forgot real/{REALS[2]}@web: not in the config any more"]
    assert world.remembered[-1].overrides == (Override("web", REALS[2], Admin.ENABLED, None),)
    entries = len(world.remembered)
    world.restart(OTHER)
    assert len(world.remembered) == entries
    assert world.share(REALS[0]) == 0


def test_a_setting_reaches_the_program_and_the_prober(world: World) -> None:
    world.reload(OTHER)
    assert world.control is not None
    assert world.control.node.flow_idle == 60
    assert Target("web", ip_address(NEW)) in world.targets


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"eth0"', '"eth1"', "node.interface: eth0 -> eth1"),
        ('"/run/remora/lb1"', '"/run/remora/lb9"', "node.run_dir: /run/remora/lb1 -> "),
        ('hash_key = "00', 'hash_key = "01', "node.hash_key: (secret) -> (another)"),
    ],
)
def test_keys_that_need_a_restart_are_named(world: World, old: str, new: str, key: str) -> None:
    """All or nothing: the rest of such a file is not applied either."""
    world.history.clear()
    answer = world.reload(OTHER.replace(old, new, 1))
    assert (answer.status, answer.guard) == ("refused", "restart")
    assert key in answer.error
    assert "restart" in answer.error
    assert world.history == []
    assert world.director.state.listed == config.parse(ONE_VIP, "x")


SECOND_PEER = """
[[bgp.peers]]
address = "10.2.1.9"
local_address = "10.2.1.2"
asn = 65000
"""


def test_peers_come_and_go_and_who_stays_is_as_it_was(world: World) -> None:
    world.tell(b.PeerChanged("10.2.1.1", "up", "established"))
    before = world.director.state.peers["10.2.1.1"]
    more = ONE_VIP.replace("[guards]", f"{SECOND_PEER}[guards]")
    answer = world.reload(more)
    assert (answer.status, answer.note) == ("applied", "")
    assert world.control is not None
    assert world.control.bgp is not None
    assert len(world.control.bgp.peers) == 2
    peers = world.director.state.peers
    assert peers["10.2.1.1"] is before
    assert peers["10.2.1.9"].state == "down"
    world.tell(b.PeerChanged("10.2.1.9", "up", "established"))
    assert world.reload(ONE_VIP, id="back").status == "applied"
    assert world.director.state.peers == {"10.2.1.1": before}
    world.tell(b.PeerChanged("10.2.1.9", "down", "stop"))  # its last words: nobody's any more


def test_a_plan_shows_the_settings_of_every_table(world: World) -> None:
    """K3: who lowers a guard sees it in the plan."""
    text = world.file.replace("fresh = 0\n", "fresh = 9\nannouncers = 0\n", 1)
    planned = world.reload("[drain]\ndeadline = 0\n" + text, dry_run=True)
    shown = {(change.what, change.was, change.now) for change in planned.changes}
    assert shown == {
        ("guards.fresh", "0.0", "9.0"),
        ("guards.announcers", "1", "0"),
        ("drain.deadline", "60.0", "0.0"),
    }


@pytest.mark.parametrize("action", [Reload(), Rollback(1)])
@pytest.mark.parametrize(("confirm", "expires"), [(5.0, 0.0), (0.0, 5.0)])
def test_a_config_does_not_go_back_by_itself(
    world: World, action: Reload | Rollback, confirm: float, expires: float
) -> None:
    """K5: what is not done is refused, not passed over."""
    before = world.director.state.listed
    world.file = world.file.replace("quorum = 1", "quorum = 2")
    answer = world.ask(action, id="r", confirm=confirm, expires=expires)
    assert answer.status == "refused"
    assert "a config does not go back by itself; roll it back" in answer.error
    assert world.director.state.listed is before


def test_a_plan_names_the_sessions_that_would_begin_anew(world: World) -> None:
    changed = ONE_VIP.replace("asn = 65000", "asn = 65000\nhold_time = 30")
    planned = world.reload(changed, dry_run=True)
    assert planned.status == "planned"
    assert planned.note == "BGP sessions that begin anew, with their routes: 10.2.1.1"
    assert world.reload(changed, id="do").note == planned.note


def test_k5_peers_that_bgp_does_not_take_are_not_in_force(world: World) -> None:
    """K5: BGP refuses: the old peers are declared again, and nothing else was touched."""
    more = ONE_VIP.replace("[guards]", f"{SECOND_PEER}[guards]")
    world.refuse = lambda effect: (
        isinstance(effect, b.Configure) and len(effect.listed.bgp.peers) == 2  # type: ignore[union-attr]
    )
    world.history.clear()
    answer = world.reload(more)
    assert answer.status == "failed"
    assert world.history[:2] == ["KeepConfig", "Configure"]
    assert world.control == config.parse(ONE_VIP, "x")
    assert world.director.state.peers.keys() == {"10.2.1.1"}


def test_a_file_that_is_wrong_changes_nothing(world: World) -> None:
    answer = world.reload(ONE_VIP.replace("quorum = 1", "quorum = 9"))
    assert answer.status == "refused"
    assert "vips[0].quorum: 9 reals are needed" in answer.error
    assert world.director.state.revision == 0


def test_k1_the_same_reload_again_is_answered_not_done(world: World) -> None:
    first = world.reload(OTHER, id="a")
    world.reload(ONE_VIP, id="b")
    assert world.reload(OTHER, id="a") == first
    assert world.director.state.listed == config.parse(ONE_VIP, "x")


# ---- guards


def counted(world: World, flows: dict[str, int]) -> None:
    import numpy as np

    live = np.zeros(4096, np.int64)
    for real in world.director.state.vips["web"].reals.values():
        live[real.number.real_num] = flows.get(real.name, 0)
    world.tell(b.Counted(live))


def test_k2_a_removal_is_refused_while_flows_remain(world: World) -> None:
    counted(world, {REALS[2]: 7})
    answer = world.reload(OTHER, id="a")
    assert (answer.status, answer.guard) == ("refused", "live-flows")
    assert "7 live flows" in answer.error
    assert world.reload(OTHER, id="b", allow=["live-flows"]).status == "refused", "no reason given"
    allowed = world.reload(OTHER, id="c", allow=["live-flows"], why="it burns")
    assert allowed.status == "applied"


def test_k2_a_reload_passes_no_guard(world: World) -> None:
    """The same guards as of commands: the only serving real cannot be removed by the file."""
    world.probe(*REALS[:2], ok=False, times=3)
    answer = world.reload(TOML + vip("web", "10.200.0.1", 80, REALS[:2]))
    assert (answer.status, answer.guard) == ("refused", "last-healthy")
    answer = world.reload(TOML + vip("web", "10.200.0.1", 80, REALS, quorum=2), id="q")
    assert (answer.status, answer.guard) == ("refused", "min-healthy")


def test_k2_an_unknown_guard_cannot_be_allowed(world: World) -> None:
    answer = world.reload(OTHER, allow=["everything"], why="please")
    assert answer.status == "refused"
    assert "no such guard; there are last-healthy" in answer.error


# ---- all or nothing


def picture(world: World) -> object:
    """What packets and routers see."""
    return (
        dict(world.vips),
        {n: r._replace(generation=0) for n, r in world.reals.items() if r.vip_num},
        {n: world.rings[n].tobytes() for n in world.vips.values()},
        world.announced,
        world.control and world.control.node,
    )


def changing(world: World, id_: str = "x") -> Answer:
    """From TWO_VIPS: a setting, real and VIP gone, real and VIP new, a weight."""
    text = OTHER.replace("10.200.0.2", "10.200.0.7").replace(
        f'"{REALS[0]}"\n', f'"{REALS[0]}"\nweight = 70\n', 1
    )
    return world.reload(text, id=id_)


def _effects_of_a_change() -> int:
    world = World(TWO_VIPS)
    world.all_up()
    done: list[b.Effect] = []
    world.refuse = lambda effect: done.append(effect) or False  # type: ignore[func-returns-value]
    assert changing(world).status == "applied"
    return len(done)


@pytest.mark.parametrize("nth", range(_effects_of_a_change()))
@pytest.mark.parametrize("times", [1, 3])
def test_k5_whatever_write_fails_the_old_config_stays_in_force(nth: int, times: int) -> None:
    """K5: each effect of a reload fails in turn (map, BGP, disk), once or again when put back."""
    world = World(TWO_VIPS)
    world.all_up()
    before = picture(world)
    seen, failed = 0, 0

    def refuse(effect: b.Effect) -> bool:
        nonlocal seen, failed
        seen += 1
        if isinstance(effect, b.ReadConfig | b.Reply | b.Emit) or seen <= nth or failed >= times:
            return False
        failed += 1
        return True

    world.refuse = refuse
    answer = changing(world)
    world.refuse = lambda effect: False
    if failed == 0:
        assert answer.status == "applied"
        return
    assert answer.status == "failed"
    assert (answer.revision, world.director.state.revision) == (0, 0)
    if times == 1:
        assert picture(world) == before, "put back at once"
    world.now += 2
    world.tell(b.Tick())
    assert picture(world) == before
    assert world.director.state.generation == 1
    assert changing(world) == answer, "said again, not done: who repeats it has not heard"
    assert picture(world) == before
    assert changing(world, "y").status == "applied", "a new command is a new try"


FILES = st.builds(
    lambda web, mail, weight: (
        TOML
        + (vip("web", "10.200.0.1", 80, web) if web else "")
        + (vip("mail", "10.200.0.2", 25, mail) if mail or not web else "")
    ).replace(f'"{REALS[0]}"\n', f'"{REALS[0]}"\nweight = {weight}\n'),
    st.lists(st.sampled_from([*REALS, NEW]), unique=True, max_size=4),
    st.lists(st.sampled_from(REALS), unique=True, min_size=1, max_size=3),
    st.sampled_from([100, 30]),
)
STEPS = st.one_of(
    st.tuples(st.just("file"), FILES),
    st.tuples(st.just("drain"), st.sampled_from([*REALS, NEW])),
    st.tuples(st.just("undrain"), st.sampled_from([*REALS, NEW])),
    st.tuples(st.just("up"), st.just("")),
    st.tuples(st.just("down"), st.sampled_from([*REALS, NEW])),
    st.tuples(st.just("fail"), st.sampled_from([b.SetRing, b.PutVip, b.RemoveVip, b.FreeReal,
                                                b.PutReal, b.Remember, b.Verify, b.KeepConfig])),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=20))
def test_f3_any_story_of_reloads_ends_in_the_declared_state(
    steps: list[tuple[str, object]],
) -> None:
    """F3, K5: whatever is reloaded, drained, checked or refused, the world's asserts hold, a number
    of the maps never has two owners, and after a tick the maps hold what the config says."""
    world = World(TWO_VIPS)
    world.all_up()
    owners: dict[tuple[int, int], object] = {}
    for number, (step, what) in enumerate(steps):
        world.now += 2
        match step:
            case "file":
                assert isinstance(what, str)
                guards = ("last-healthy", "min-healthy", "live-flows")
                world.reload(what, id=f"{number}", allow=guards, why="a story")
            case "drain" | "undrain":
                made = Drain if step == "drain" else Undrain
                world.ask(made(real=str(what)), id=f"{number}")
            case "up":
                for target in sorted(world.targets):
                    world.tell(b.Probed(target, True, "http 200", 1.0))
            case "down":
                world.probe(str(what), ok=False, times=3)
            case "fail":
                world.refuse = lambda effect, kind=what: isinstance(effect, kind)  # type: ignore[misc]
                world.reload(ONE_VIP, id=f"{number}", allow=("live-flows",), why="a story")
                world.refuse = lambda effect: False
        for real in world.reals.values():
            if real.vip_num:
                owner = owners.setdefault((real.real_num, real.generation), real.address)
                assert owner == real.address, "two owners of one number and generation"
    world.now += 2
    world.tell(b.Tick())
    state = world.director.state
    assert world.vips == {v.listed.key: v.vip_num for v in state.vips.values()}
    wanted = {r.number.real_num for v in state.vips.values() for r in v.reals.values()}
    assert {n for n, r in world.reals.items() if r.vip_num} == wanted
    for name, shown in state.vips.items():
        total = sum(member.effective_weight for member in shown.reals.values())
        for member in shown.reals.values():
            assert world.flags(member.name, name) == member.flags
            if shown.warm:
                exact = SLOTS * member.effective_weight / max(1, total)
                assert abs(world.share(member.name, name) - exact) <= 1
