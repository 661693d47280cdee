# SPDX-License-Identifier: Apache-2.0
"""`B`: which way it goes and on which nodes is what the nodes say now, never a guess."""

from __future__ import annotations

import pytest

from console.model.recording import inbox
from console.model.store import Store
from console.planning import routes
from console.planning.wish import Wish
from shared.messages import Drain, Undrain
from shared.model import Admin
from tests.tui.recorded import LB1, LB2, Fleet, records

NOW = 12.0


def store(one: Fleet, other: Fleet, *, silent_from: int = 99) -> Store:
    made = Store((LB1, LB2))
    made.take(inbox(records({LB1: one, LB2: other}, range(13), silent_from={LB2: silent_from})))
    return made


def of_vip(made: Store, *addresses: str) -> Wish | str:
    return routes.of_vip("web", list(made.agents.values()), NOW, addresses)


def test_an_announced_vip_is_withdrawn_by_a_drain_on_the_node_that_is_meant() -> None:
    made = of_vip(store(Fleet("lb1"), Fleet("lb2")), LB2)
    assert isinstance(made, Wish)
    assert [(order.node, order.action) for order in made.orders] == [("lb2", Drain(vip="web"))]
    assert made.title == "withdraw web on lb2, by drain vip/web"
    assert made.only == ("lb2",), "so that the line for the CLI does the same"


def test_on_all_nodes_the_line_needs_no_names() -> None:
    made = of_vip(store(Fleet("lb1"), Fleet("lb2")))
    assert isinstance(made, Wish)
    assert made.only == ()
    assert len(made.orders) == 2


def test_where_a_drain_took_it_away_it_is_announced_there_and_nowhere_else() -> None:
    made = of_vip(store(Fleet("lb1"), Fleet("lb2", phase="withdrawn")))
    assert isinstance(made, Wish)
    assert [(order.node, order.action) for order in made.orders] == [("lb2", Undrain(vip="web"))]
    assert made.title == "announce web on lb2, by undrain vip/web"


@pytest.mark.parametrize(
    ("other", "silent_from", "says"),
    [
        (Fleet("lb2"), 2, "no node with live values has it"),
        (Fleet("lb2", node_admin=Admin.DRAINING), 99, "lb2 is drained: U on the node"),
    ],
    ids=["old", "node drained"],
)
def test_why_there_is_no_plan(other: Fleet, silent_from: int, says: str) -> None:
    assert says in str(of_vip(store(Fleet("lb1"), other, silent_from=silent_from), LB2))


def test_a_node_s_routes_follow_the_node() -> None:
    made = store(Fleet("lb1"), Fleet("lb2", node_admin=Admin.DRAINING))
    one, other = made.agents.values()
    assert isinstance(gone := routes.of_node(one, NOW), Wish)
    assert gone.title == "withdraw all of lb1, by drain node/lb1"
    assert isinstance(back := routes.of_node(other, NOW), Wish)
    assert back.orders[0].action == Undrain(node=True)
    assert "no action on values that are not live" in str(routes.of_node(one, NOW + 99))
