# SPDX-License-Identifier: Apache-2.0
"""What would be after a change is what is after it, and asking leaves no trace (K3)."""

from __future__ import annotations

import copy
from ipaddress import ip_address

import pytest

from agent.core import supposing
from agent.core.refused import Refused
from agent.core.supposing import Thought
from agent.dataplane.abi import REAL_DISABLED, REAL_DOWN, REAL_DRAINING
from shared.messages import Batch, Disable, Drain, Supposed, Weight
from tests.unit.world import ONE_VIP, REALS, World

ONE, TWO, THREE = REALS


@pytest.fixture
def world() -> World:
    world = World(ONE_VIP)
    world.all_up()
    return world


def thought(world: World, action: Supposed) -> Thought:
    state = world.director.state
    return supposing.thoughts(state, action, [state.vips["web"]])["web"]


@pytest.mark.parametrize(
    "action",
    [
        Drain(ONE, "web"),
        Weight(TWO, 300, "web"),
        Batch((Drain(ONE, "web"), Weight(TWO, 50, "web"))),
    ],
)
def test_it_is_what_becomes_of_it(world: World, action: Supposed) -> None:
    web = world.director.state.vips["web"]
    before = copy.deepcopy(web)
    found = thought(world, action)
    assert web == before, "asking changed the state"
    assert world.ask(action).status == "applied"
    assert found.members == web.placed
    assert found.flags == {r.number.real_num: r.written for r in web.reals.values()}
    assert not found.leaves


def test_flags(world: World) -> None:
    web = world.director.state.vips["web"]
    number = web.reals[ip_address(ONE)].number.real_num
    assert thought(world, Drain(ONE, "web")).flags[number] == REAL_DRAINING
    assert thought(world, Disable(ONE, "web")).flags[number] == REAL_DOWN | REAL_DISABLED


def test_nothing_moves(world: World) -> None:
    """The VIP, or the node, leaves; another VIP's reals change: its ring stays."""
    for action, leaves in ((Drain(vip="web"), True), (Drain(node=True), True)):
        found = thought(world, action)
        assert (found.members, found.leaves) == (None, leaves)
    all_three = Batch(tuple(Drain(each, "web") for each in REALS))
    assert thought(world, all_three).leaves, "nobody would take new flows"


def test_what_makes_no_sense(world: World) -> None:
    with pytest.raises(Refused, match="no real"):
        thought(world, Drain("10.9.9.9", "web"))
