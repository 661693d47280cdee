# SPDX-License-Identifier: Apache-2.0
"""`B`, `withdraw` and `announce`: which way, on which nodes, and what no agent knows of the others
is what the nodes say now, never a guess."""

from __future__ import annotations

import pytest

from console.model import rows
from console.model.objects import Object, ObjectError, action, parse
from console.model.recording import inbox
from console.model.store import Store
from console.planning import routes
from console.planning.spread import completed
from console.planning.wish import Target, Wish, as_told, wish
from console.views import bgp, items
from console.views.problems import problems
from console.views.withdrawals import in_force
from shared.messages import Announce, Batch, Drain, Withdraw
from shared.model import Admin
from tests.tui.recorded import LB1, LB2, Fleet, records

NOW = 12.0
PEER = "10.2.1.1"


def store(one: Fleet, other: Fleet, *, silent_from: int = 99) -> Store:
    made = Store((LB1, LB2))
    made.take(inbox(records({LB1: one, LB2: other}, range(13), silent_from={LB2: silent_from})))
    return made


def both(one: frozenset[str] = frozenset(), other: frozenset[str] = frozenset()) -> Store:
    return store(Fleet("lb1", away=one), Fleet("lb2", away=other))


def of_vip(made: Store, *addresses: str) -> Wish | str:
    return routes.of_vip("web", list(made.agents.values()), NOW, addresses)


def asked(made: Wish | str) -> list[tuple[str, object]]:
    assert isinstance(made, Wish), made
    return [(order.node, order.action) for order in made.orders]


# ---- B


def test_an_announced_vip_is_withdrawn_on_the_node_that_is_meant() -> None:
    made = of_vip(both(), LB2)
    assert asked(made) == [("lb2", Withdraw(vip="web"))]
    assert isinstance(made, Wish)
    assert made.title == "withdraw vip/web on lb2"
    assert made.only == ("lb2",), "so that the line for the CLI does the same"


def test_on_all_nodes_the_line_needs_no_names() -> None:
    made = of_vip(both())
    assert isinstance(made, Wish)
    assert made.only == ()
    assert made.lines == ("withdraw vip/web",)
    assert len(made.orders) == 2


def test_where_it_was_withdrawn_it_is_announced_there_and_nowhere_else() -> None:
    made = of_vip(both(other=frozenset({"web"})))
    assert asked(made) == [("lb2", Announce(vip="web"))]


@pytest.mark.parametrize(
    ("other", "silent_from", "says"),
    [
        (Fleet("lb2"), 2, "no node with live values has it"),
        (Fleet("lb2", node_admin=Admin.DRAINING), 99, "lb2 is drained: U on the node"),
        (Fleet("lb2", away=frozenset({"node"})), 99, "lb2 is withdrawn as a whole: B on the node"),
    ],
    ids=["old", "node drained", "node withdrawn"],
)
def test_why_there_is_no_plan(other: Fleet, silent_from: int, says: str) -> None:
    assert says in str(of_vip(store(Fleet("lb1"), other, silent_from=silent_from), LB2))


def test_a_node_and_a_peer_go_both_ways() -> None:
    made = both(other=frozenset({"node", "peer"}))
    one, other = made.agents.values()
    assert asked(routes.of_node(one, NOW)) == [("lb1", Withdraw(node=True))]
    assert asked(routes.of_node(other, NOW)) == [("lb2", Announce(node=True))]
    assert asked(routes.of_peer(one, PEER, NOW)) == [("lb1", Withdraw(peer=PEER))]
    back = routes.of_peer(other, PEER, NOW)
    assert asked(back) == [("lb2", Announce(peer=PEER))]
    assert isinstance(back, Wish)
    assert (back.title, back.confirm) == (f"announce peer/lb2/{PEER}", f"lb2/{PEER}")
    assert "no action on values that are not live" in str(routes.of_node(one, NOW + 99))
    assert "no action on values that are not live" in str(routes.of_peer(one, PEER, NOW + 99))


# ---- words


def test_a_peer_is_named_by_its_node_and_address() -> None:
    agents = list(both().agents.values())
    found = parse(f"peer/lb1/{PEER}", agents, kinds=("vip", "node", "peer"))
    assert found == Object("peer", f"lb1/{PEER}")
    assert action("withdraw", found) == Withdraw(peer=PEER)
    with pytest.raises(ObjectError, match="there is none; there is peer/lb1"):
        parse("peer/lb9/10.2.1.1", agents, kinds=("peer",))


@pytest.mark.parametrize(
    ("verb", "target", "says"),
    [
        ("withdraw", Object("real", "10.3.1.2"), "a real has no route; withdraw is of vip/NAME"),
        ("drain", Object("peer", f"lb1/{PEER}"), "a peer takes no flows; drain is of real/NAME"),
    ],
)
def test_what_a_verb_is_not_of(verb: str, target: Object, says: str) -> None:
    with pytest.raises(ObjectError, match=says):
        action(verb, target)  # type: ignore[arg-type]


def test_what_takes_it_back_is_understood() -> None:
    made = as_told([(LB1, "lb1", (f"withdraw peer/lb1/{PEER}", "announce vip/web"))], "undo")
    expected = Batch((Withdraw(peer=PEER), Announce(vip="web")))
    assert asked(made) == [("lb1", expected)]
    assert made.withdraws


# ---- who else announces


def withdrawn(made: Store, *targets: Target) -> Wish:
    return completed(wish("withdraw", targets), list(made.agents.values()), NOW)


def of_web(*seats: tuple[str, str]) -> Target:
    return Target("vip", "web", "", seats, 0)


ONE, TWO = (LB1, "lb1"), (LB2, "lb2")


def test_k2_the_nodes_are_told_who_else_announces_it() -> None:
    made = withdrawn(both(), of_web(ONE))
    assert asked(made) == [("lb1", Withdraw(vip="web", elsewhere={"web": 1}))]
    assert made.known == (
        (
            "announced",
            "web by 2 nodes -> 1: lb2; each gets 50.0% -> 100.0% by ECMP, 1.00k -> 2.00k pps",
        ),
    )


def test_k2_what_goes_with_it_does_not_count() -> None:
    made = withdrawn(both(), of_web(ONE, TWO))
    assert {part.elsewhere["web"] for _, part in asked(made)} == {0}  # type: ignore[attr-defined]
    assert made.known == (("announced", "web by 2 nodes -> 0"),)


@pytest.mark.parametrize(
    "other",
    [
        Fleet("lb2", away=frozenset({"node"})),
        Fleet("lb2", away=frozenset({"peer"})),
        Fleet("lb2", away=frozenset({"web"})),
        Fleet("lb2", peers_up=False),
        Fleet("lb2", phase="shutting"),
    ],
    ids=["node withdrawn", "peer withdrawn", "VIP withdrawn", "peer down", "draining"],
)
def test_k2_who_does_not_go_on_does_not_count(other: Fleet) -> None:
    made = withdrawn(store(Fleet("lb1"), other), of_web(ONE))
    assert asked(made) == [("lb1", Withdraw(vip="web", elsewhere={"web": 0}))]


def test_k2_of_old_values_nothing_is_known() -> None:
    made = withdrawn(store(Fleet("lb1"), Fleet("lb2"), silent_from=2), of_web(ONE))
    assert asked(made) == [("lb1", Withdraw(vip="web", elsewhere={"web": 0}))]
    assert made.known[0][1].endswith("(not known: lb2)")


def test_a_node_takes_all_its_vips_and_one_line_says_so() -> None:
    made = withdrawn(both(), Target("node", "lb1", "", (ONE,), 0))
    assert asked(made) == [("lb1", Withdraw(node=True, elsewhere={"web": 1, "dns": 1}))]
    said = [text.partition(":")[0] for _, text in made.known]
    assert said == ["web by 2 nodes -> 1", "dns by 2 nodes -> 1"]


def test_the_last_peer_of_a_node_is_the_node() -> None:
    made = withdrawn(both(), Target("peer", f"lb1/{PEER}", "", (ONE,), 0))
    assert asked(made) == [("lb1", Withdraw(peer=PEER, elsewhere={"web": 1, "dns": 1}))]
    assert "-> 1: lb2" in made.known[0][1]


def test_other_wishes_are_as_they_were() -> None:
    drained = wish("drain", [of_web(ONE)])
    assert completed(drained, list(both().agents.values()), NOW) == drained
    assert asked(drained) == [("lb1", Drain(vip="web"))]


# ---- it is seen


def test_a_withdrawal_is_told_and_is_no_failure() -> None:
    made = both(frozenset({"web"}), frozenset({"node"}))
    agents = list(made.agents.values())
    assert [(a.subject, a.nodes) for a in in_force(agents, NOW)] == [
        ("node/lb2", ("lb2",)),
        ("vip/web", ("lb1",)),
    ]
    assert "by ak@jump01: INC-7" in in_force(agents, NOW)[0].text
    found = [(p.critical, p.subject, p.text) for p in problems(agents, NOW)]
    assert found == [
        (False, "vip/web", "announced by no node: withdrawn on lb1, lb2 by ak@jump01: INC-7")
    ], "dns is announced by lb1, and that lb2 does not is a wish"


@pytest.mark.parametrize("ever", [True, False])
def test_of_a_node_that_is_silent_nobody_knows_whether_it_announces(ever: bool) -> None:
    """It may well: without its agent its routes stay."""
    away = Fleet("lb1", away=frozenset({"web"}))
    made = store(away, Fleet("lb2"), silent_from=3 if ever else 0)
    (text,) = [p.text for p in problems(list(made.agents.values()), NOW) if p.kind == "announce"]
    who = made.agents[LB2].name
    assert text.startswith(f"announced by no live node (not known: {who}): withdrawn on lb1 by")


def test_rows_say_it() -> None:
    made = both(frozenset({"web"}), frozenset({"node"}))
    agents = list(made.agents.values())
    web = rows.vips(agents, NOW, name="web")[0]
    assert web.state.text == "◐ wd 1/2"
    assert items.vip(web)["withdrawn"] == [
        {"node": "lb1", "who": "ak@jump01", "at": 1_790_000_000.0, "why": "INC-7"}
    ]
    lb1, lb2 = rows.nodes(agents, NOW)
    assert (lb1.state.text, lb2.state.text) == ("● up", "○ withdrawn")
    first, second = bgp.sessions(agents, NOW)
    assert (first.announced, second.announced) == ("1/2", "0/2")
    assert second.withdrawn is not None
    assert bgp.session_item(second)["withdrawn"] == items.withdrawal(second.withdrawn)
