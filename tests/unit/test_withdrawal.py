# SPDX-License-Identifier: Apache-2.0
"""`withdraw` and `announce`: an operator's word over the routes of a node, a VIP, a peer."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import boundary as b
from agent.bgp.saying import Held, Said, difference
from agent.config.bgp_table import Bgp, BgpPeer
from agent.nouns import ROUTES, Override, Withdrawal
from agent.records import recollection
from shared.messages import (
    Action,
    Announce,
    Answer,
    Batch,
    ChangeEvent,
    Drain,
    RouteEvent,
    Undrain,
    Weight,
    Withdraw,
)
from shared.model import Admin
from tests.unit.world import REALS, TOML, World, vip

WEB, DNS = ip_address("10.200.0.1"), ip_address("10.200.0.2")
PEERS = ("10.2.1.1", "10.2.1.9")
SECOND = f"""[[bgp.peers]]
address = "{PEERS[1]}"
local_address = "10.2.1.2"
asn = 65000
[guards]"""
TWO_VIPS = vip("web", str(WEB), 80, REALS, quorum=2) + vip("dns", str(DNS), 53, REALS)
TEXT = TOML.replace("[guards]", SECOND) + TWO_VIPS
ELSEWHERE = {"web": 2, "dns": 2}


def world(text: str = TEXT) -> World:
    made = World(text)
    made.all_up()
    assert made.announced
    made.history.clear()
    return made


def withdraw(**what: object) -> Withdraw:
    return Withdraw(elsewhere=ELSEWHERE, **what)  # type: ignore[arg-type]


def later(made: World, seconds: float) -> None:
    made.now += seconds
    made.tell(b.Tick())


def done(answer: Answer) -> Answer:
    assert answer.status == "applied", answer
    return answer


def route_line(answer: Answer) -> tuple[str, str]:
    (found,) = [change for change in answer.changes if change.what == "route"]
    return found.was, found.now


# ---- a VIP, a node, a peer


def test_h2_a_vip_is_withdrawn_and_the_data_plane_goes_on() -> None:
    made = world()
    answer = done(made.ask(withdraw(vip="web"), why="INC-7"))
    assert made.announced == {DNS}
    assert made.history == ["SetRoutes"], "no ring, no flag, no VIP is touched"
    assert route_line(answer) == ("announced", "withdrawn")
    told = [body for body in made.events if isinstance(body, RouteEvent)][-1]
    assert (told.address, told.announced) == (str(WEB), False)
    assert told.why == "withdrawn by ann@jump: INC-7"
    change = [body for body in made.events if isinstance(body, ChangeEvent)][-1]
    assert (change.what, change.undo) == ("withdraw vip/web", ("announce vip/web",))


def test_a_node_is_withdrawn_and_announced() -> None:
    made = world()
    answer = done(made.ask(withdraw(node=True), id="a"))
    assert made.announced == frozenset()
    assert route_line(answer) == ("announces 2 of 2 VIPs", "withdrawn: announces nothing")
    back = done(made.ask(Announce(node=True), id="b"))
    assert made.announced == {WEB, DNS}
    assert route_line(back) == ("announces 0 of 2 VIPs", "announces 2 of 2 VIPs")


def test_a_peer_is_told_nothing_while_the_other_is() -> None:
    made = world()
    answer = done(made.ask(Withdraw(peer=PEERS[0]), id="a"))
    assert made.announced == {WEB, DNS}
    assert made.hushed == {PEERS[0]}
    assert route_line(answer) == (
        f"peer {PEERS[0]} is told 2 routes",
        f"peer {PEERS[0]} is told no route",
    )
    done(made.ask(Announce(peer=PEERS[0]), id="b"))
    assert made.hushed == frozenset()


def test_to_withdraw_every_peer_is_to_withdraw_the_node() -> None:
    made = world()
    done(made.ask(withdraw(peer=PEERS[0]), id="a"))
    last = made.ask(Withdraw(peer=PEERS[1]), id="b")
    assert (last.status, last.guard) == ("refused", "last-announcer")
    done(made.ask(withdraw(peer=PEERS[1]), id="c"))
    assert made.announced == frozenset()
    back = made.ask(Announce(peer=PEERS[1]), id="d")
    told = (f"peer {PEERS[1]} is told no route", f"peer {PEERS[1]} is told 2 routes")
    assert route_line(back) == told, "what it is told then, not what it is told now"


def test_k1_what_is_so_already_changes_nothing() -> None:
    made = world()
    done(made.ask(withdraw(vip="web"), id="a", why="first"))
    again = made.ask(withdraw(vip="web"), id="b", why="second")
    assert again.status == "unchanged"
    assert again.note == "vip/web is already withdrawn by ann@jump: first"
    assert made.director.state.vips["web"].withdrawn == Withdrawal("ann@jump", 0.0, "first")
    never = made.ask(Announce(vip="dns"), id="c")
    assert never.status == "unchanged"
    assert never.note == "no operator's withdrawal is in force; announced"


# ---- announce forces nothing


def test_h2_announce_does_not_force_what_health_forbids() -> None:
    made = world()
    done(made.ask(withdraw(vip="web"), id="a"))
    made.probe(*REALS[:2], ok=False, times=3)
    answer = done(made.ask(Announce(vip="web"), id="b"))
    assert made.announced == {DNS}
    assert route_line(answer)[1] == "still not announced: quorum lost"
    again = made.ask(Announce(vip="web"), id="c")
    assert again.note == ("no operator's withdrawal is in force; not announced: web: quorum lost")
    made.probe(*REALS[:2], ok=True, times=2)
    assert made.announced == {WEB, DNS}, "by health alone, as it always was"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (withdraw(node=True), "node withdrawn by ann@jump"),
        (Drain(vip="web"), "VIP draining"),
        (Drain(node=True), "node draining"),
    ],
)
def test_h2_announce_takes_back_its_own_level_only(other: Action, why: str) -> None:
    made = world(TEXT + "[drain]\ndeadline = 0.0\n")
    done(made.ask(withdraw(vip="web"), id="a"))
    done(made.ask(other, id="b"))
    assert route_line(done(made.ask(Announce(vip="web"), id="c")))[1] == (
        f"still not announced: {why}"
    )
    assert WEB not in made.announced


def test_a_drain_and_a_withdrawal_of_a_vip_do_not_know_each_other() -> None:
    """Neither the undrain nor the end of a drain's `--for` brings a withdrawn route back."""
    made = world(TEXT + "[drain]\ndeadline = 0.0\n")
    done(made.ask(Drain(vip="web"), id="a", expires=10))
    done(made.ask(withdraw(vip="web"), id="b"))
    later(made, 11)
    assert made.director.state.vips["web"].admin is Admin.ENABLED
    assert WEB not in made.announced
    done(made.ask(Drain(vip="web"), id="c"))
    done(made.ask(Undrain(vip="web"), id="d"))
    assert WEB not in made.announced
    done(made.ask(Announce(vip="web"), id="e"))
    assert WEB in made.announced


# ---- two VIPs of one address

SHARED = vip("web", str(WEB), 80, REALS) + vip("quic", str(WEB), 443, REALS)


def test_h5_the_address_stays_for_another_vip_of_it() -> None:
    made = world(TOML + SHARED)
    answer = done(made.ask(Withdraw(vip="web"), id="a"))
    assert made.announced == {WEB}
    assert route_line(answer)[1] == f"withdrawn, but {WEB} stays announced for quic"
    last = made.ask(Withdraw(vip="quic"), id="b")
    assert last.guard == "last-announcer"
    done(made.ask(Withdraw(vip="quic", elsewhere={"quic": 1, "web": 1}), id="c"))
    assert made.announced == frozenset()


def test_h5_an_address_that_needs_all_its_vips_goes_with_one() -> None:
    made = world(
        TOML.replace("[[bgp.peers]]", '[bgp.announce]\nwhen = "all"\n[[bgp.peers]]') + SHARED
    )
    refused = made.ask(Withdraw(vip="web", elsewhere={"web": 1}), id="a")
    assert (refused.guard, refused.error.split(":")[0]) == ("last-announcer", "quic")
    answer = done(made.ask(Withdraw(vip="web", elsewhere={"web": 1, "quic": 1}), id="b"))
    assert route_line(answer)[1] == "withdrawn, and quic with it"
    assert made.announced == frozenset()


# ---- guards


def test_k2_the_last_node_that_announces_a_vip_is_not_withdrawn() -> None:
    made = world()
    for action in (Withdraw(vip="web"), Withdraw(node=True), Withdraw(vip="web", elsewhere={})):
        answer = made.ask(action, id=str(action))
        assert (answer.status, answer.guard) == ("refused", "last-announcer")
        assert "no other node is known to announce it" in answer.error
        assert answer.changes, "the plan is shown all the same"
    assert made.announced == {WEB, DNS}
    allowed = made.ask(Withdraw(vip="web"), id="z", allow=["last-announcer"], why="fire")
    assert done(allowed)
    assert made.announced == {DNS}


def test_k2_how_many_others_must_announce_it_is_the_configs() -> None:
    made = world(TEXT.replace("[guards]", "[guards]\nannouncers = 3"))
    answer = made.ask(withdraw(vip="web"))
    assert answer.guard == "last-announcer"
    assert "2 other nodes announce it, guards.announcers wants 3" in answer.error


def test_k2_a_vip_that_is_not_announced_has_nothing_to_lose() -> None:
    made = world()
    made.probe(*REALS, ok=False, times=3)
    answer = done(made.ask(Withdraw(vip="web")))
    assert route_line(answer) == ("quorum lost", "withdrawn")


def test_k2_what_reals_can_take_is_asked_of_the_nodes_that_are_left() -> None:
    """Of three nodes two are left, which get half as much again: each real of each of them."""
    limited = TEXT.replace(
        f'[[vips.reals]]\naddress = "{REALS[0]}"\n',
        f'[[vips.reals]]\naddress = "{REALS[0]}"\ncapacity = 40\n',
    )
    made = world(limited)
    made.count(packets=90)
    made.count(packets=90)
    answer = made.ask(withdraw(vip="web"), id="a")
    assert answer.guard == "capacity"
    assert f"{REALS[0]} (45 packets/s of each node that is left, capacity 40)" in answer.error
    done(made.ask(Withdraw(vip="web", elsewhere={"web": 9}), id="b"))


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (Withdraw(), "name one"),
        (Withdraw(vip="web", node=True), "name one"),
        (Withdraw(vip="nope"), "no VIP 'nope' here; there are dns, web"),
        (Withdraw(peer="tor-1"), "'tor-1' is not an IP address"),
        (Announce(peer="10.9.9.9"), f"no peer 10.9.9.9 here; there are {', '.join(PEERS)}"),
        (Batch((withdraw(vip="web"), Announce(vip="web"))), "vip/web is named twice"),
    ],
)
def test_k2_what_makes_no_sense_is_refused(action: Action, why: str) -> None:
    made = world()
    answer = made.ask(action)
    assert answer.status == "refused"
    assert why in answer.error


def test_k2_a_node_without_bgp_has_nothing_to_withdraw() -> None:
    made = World("\n".join(_without_bgp(TEXT)))
    made.all_up()
    answer = made.ask(withdraw(vip="web"))
    assert "announces nothing: its config has no table bgp" in answer.error


def _without_bgp(text: str) -> list[str]:
    lines, kept = text.splitlines(), []
    inside = False
    for line in lines:
        inside = line.startswith(("[bgp", "[[bgp")) if line.startswith("[") else inside
        kept += [] if inside else [line]
    return kept


# ---- it is kept


def test_a_restart_keeps_who_when_and_why() -> None:
    made = world()
    made.ask(withdraw(vip="web"), id="a", why="INC-7")
    made.ask(withdraw(peer=PEERS[1]), id="b")
    made.restart()
    assert made.announced == {DNS}
    assert made.hushed == {PEERS[1]}
    assert made.history.count("SetRoutes") == 1, "nothing is withdrawn on the way"
    assert made.director.state.vips["web"].withdrawn == Withdrawal("ann@jump", 0.0, "INC-7")


def test_it_ends_by_itself_and_says_so() -> None:
    made = world()
    done(made.ask(withdraw(node=True), id="a", expires=60))
    later(made, 59)
    assert made.announced == frozenset()
    later(made, 2)
    assert made.announced == {WEB, DNS}
    said = [body for body in made.events if isinstance(body, ChangeEvent)][-1]
    assert (said.what, said.result) == ("expire node/lb1", "time is over, back as before")
    made.restart()
    assert made.announced == {WEB, DNS}


def test_another_config_keeps_what_is_still_there() -> None:
    made = world()
    done(made.ask(withdraw(vip="web"), id="a"))
    done(made.ask(withdraw(peer=PEERS[1]), id="b"))
    renamed = TEXT.replace('name = "web"', 'name = "www"').replace(SECOND, "[guards]")
    done(made.reload(renamed))
    assert made.announced == {DNS}
    assert made.hushed == frozenset()
    done(made.reload(TEXT, id="s"))
    assert made.hushed == frozenset(), "a peer that was gone begins anew"
    made.restart(TEXT)
    assert made.announced == {DNS}
    assert made.hushed == frozenset()


def test_k5_a_withdrawal_that_could_not_be_done_is_taken_back() -> None:
    made = world()
    made.refuse = lambda effect: type(effect).__name__ == "Remember"
    assert made.ask(withdraw(vip="web"), id="a").status == "failed"
    made.refuse = lambda effect: False
    later(made, 1)
    assert made.announced == {WEB, DNS}
    assert made.director.state.vips["web"].withdrawn is None


def test_k5_a_peer_that_cannot_be_hushed_is_withdrawn_from_no_more() -> None:
    """As with the ExaBGP of an agent of 0.1.0: refused once, and routes change as ever."""
    made = world()
    made.refuse = lambda effect: isinstance(effect, b.SetRoutes) and bool(effect.hushed)
    assert made.ask(withdraw(peer=PEERS[0]), id="a").status == "failed"
    later(made, 5)
    assert made.director.state.peers_withdrawn == frozenset()
    assert made.hushed == frozenset()
    done(made.ask(withdraw(vip="web"), id="b"))
    assert made.announced == {DNS}


def test_an_older_agent_reads_all_but_the_withdrawals() -> None:
    """Of a journal that begins anew: its lines of state and weight are as 0.1.0 wrote them."""
    state = Override("web", REALS[0], Admin.DRAINING, None)
    route = Override("web", "", Admin.ENABLED, None, ROUTES, Withdrawal("ann", 5.0, "x"))
    recalled = recollection.Recalled((state, route), 7, ())
    lines = recollection.carried_over(recalled, 10.0).splitlines()
    assert [b'"*"' in line for line in lines] == [True, False]
    assert b'["web","10.3.1.2","draining",null]' in lines[1]
    assert set(recollection.recall(lines, 10.0).overrides) == {state, route}


# ---- any order of words

WORDS: list[Action] = [
    withdraw(vip="web"),
    Announce(vip="web"),
    withdraw(vip="dns"),
    Announce(vip="dns"),
    withdraw(node=True),
    Announce(node=True),
    withdraw(peer=PEERS[0]),
    Announce(peer=PEERS[0]),
    withdraw(peer=PEERS[1]),
    Announce(peer=PEERS[1]),
    Weight(real=REALS[0], weight=50),
]


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.sampled_from(range(len(WORDS))), max_size=12),
    failed=st.sets(st.sampled_from(REALS)),
    restarts=st.booleans(),
)
def test_h2_what_is_announced_follows_from_what_is_in_force(
    words: list[int], failed: set[str], *, restarts: bool
) -> None:
    """H2: declared, not counted up: the last word about each object is all that matters, whatever
    came between, and no word brings back what health keeps away."""
    made = world()
    made.probe(*failed, ok=False, times=3)
    made.probe(*failed, ok=False, times=3, vip="dns")
    away = {"node": False, **dict.fromkeys(("web", "dns", *PEERS), False)}
    for number, index in enumerate(words):
        action = WORDS[index]
        made.ask(action, id=str(number))
        if isinstance(action, Withdraw | Announce):
            whose = action.vip or action.peer or "node"
            away[whose] = isinstance(action, Withdraw)
    if restarts:
        made.restart()
    up = len(REALS) - len(failed)
    whole = away["node"] or all(away[peer] for peer in PEERS)
    healthy = {"web": up >= 2, "dns": up >= 1}
    expected = {
        address
        for name, address in (("web", WEB), ("dns", DNS))
        if healthy[name] and not (away[name] or whole)
    }
    assert made.announced == expected
    if made.announced:
        assert made.hushed == {peer for peer in PEERS if away[peer]}


# ---- what ExaBGP is told

BGP = Bgp(
    local_as=65001,
    router_id=IPv4Address("10.2.1.2"),
    peers=tuple(
        BgpPeer(address=ip_address(a), local_address=ip_address("10.2.1.2"), asn=65000)
        for a in (*PEERS, "10.2.1.17")
    ),
)
ADDRESSES = [str(peer.address) for peer in BGP.peers]
held = st.builds(
    Held,
    st.dictionaries(st.sampled_from(["a/32", "b/32", "c/32"]), st.sampled_from(["x", "y"])),
    st.frozensets(st.sampled_from(ADDRESSES)),
)


def _told(said: list[Said], before: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """What each peer has been told after these commands, as ExaBGP carries them out."""
    after = {peer: dict(routes) for peer, routes in before.items()}
    for each in said:
        for peer, routes in after.items():
            if each.whom and f"neighbor {peer} " not in f"{each.whom} ":
                continue
            if each.verb == "announce":
                routes[each.prefix] = each.attributes
            else:
                routes.pop(each.prefix, None)
    return after


@given(before=held, after=held)
def test_h4_each_peer_is_told_what_it_should_know_and_no_more(before: Held, after: Held) -> None:
    """H4: a peer that stays hushed hears nothing; one that is hushed, of no route; another of every
    change, once."""

    def should(of: Held) -> dict[str, dict[str, str]]:
        return {a: {} if a in of.hushed else dict(of.routes) for a in ADDRESSES}

    said = difference(BGP, before, after)
    assert _told(said, should(before)) == should(after)
    for each in said:
        named = each.whom or " ".join(f"neighbor {a} " for a in ADDRESSES)
        about = [a for a in ADDRESSES if f"neighbor {a} " in f"{named} "]
        silent = after.hushed if each.verb == "announce" else before.hushed & after.hushed
        assert not silent & set(about) or len(before.hushed) == len(ADDRESSES)
    assert difference(BGP, after, after) == []


@given(before=held, after=held)
def test_h4_an_agent_that_died_while_it_told_leaves_no_route_behind(
    before: Held, after: Held
) -> None:
    """H4: a peer that the bridge notes as hushed may have been told routes already."""
    noted = before._replace(hushed=before.hushed - after.hushed)
    really = {a: dict(before.routes) for a in ADDRESSES}
    told = _told(difference(BGP, noted, after), really)
    assert all(told[a].keys() <= after.routes.keys() for a in ADDRESSES)


def test_several_neighbours_are_named_as_exabgp_reads_them() -> None:
    (said,) = difference(BGP, Held({}), Held({"a/32": "next-hop self"}, frozenset({PEERS[0]})))
    first, second, rest = said.line.partition(" , ")
    assert first.startswith(f"neighbor {PEERS[1]} local-ip 10.2.1.2 ")
    assert (second, rest.split(" ")[:2]) == (" , ", ["neighbor", "10.2.1.17"])
    assert said.line.endswith(" announce route a/32 next-hop self")
