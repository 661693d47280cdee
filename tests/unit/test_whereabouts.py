# SPDX-License-Identifier: Apache-2.0
"""Where a flow goes, told by the agent: the hash as the oracle of the packet tests has it, and what
place.h decides of ring, slot and flow table (P3, F2, F8)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import flow_hash, whereabouts
from agent.core.refused import Refused
from agent.core.state import VipState
from agent.core.whereabouts import Entry, Owner, Slot
from agent.dataplane.abi import REAL_DOWN
from agent.nouns import Address, Hashed
from shared.flows import Flow
from shared.messages import FlowOf
from shared.model import Protocol
from tests.bpf import oracle
from tests.unit.world import ONE_VIP, REALS, TOML, World, vip

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
PORTS = st.integers(1, 65535)


@given(
    st.one_of(
        st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
        st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
    ),
    PORTS,
    PORTS,
    st.sampled_from(list(Protocol)),
    st.sampled_from(list(Hashed)),
)
def test_the_hash_is_that_of_the_program(
    addresses: tuple[Address, Address],
    port: int,
    to_port: int,
    protocol: Protocol,
    how: Hashed,
) -> None:
    source, to = addresses
    asked = flow_hash.hashed(Flow(source, port, to, to_port, protocol), KEY, how)
    flow = oracle.Flow(str(source), port, str(to), to_port, str(protocol))
    expected = oracle.hashed(oracle.part(flow, how), KEY)
    assert asked == expected
    assert list(flow_hash.slots(asked)) == oracle.slots(expected)


@pytest.fixture
def web() -> VipState:
    world = World(ONE_VIP)
    world.all_up()
    return world.director.state.vips["web"]


def numbers(web: VipState) -> list[int]:
    return [real.number.real_num for real in web.reals.values()]


def owners(web: VipState, flags: dict[int, int] | None = None) -> dict[int, Owner]:
    return {
        n: Owner(web.vip_num, real.number.generation, (flags or {}).get(n, 0))
        for n, real in zip(numbers(web), web.reals.values(), strict=True)
    }


def test_a_new_flow_goes_by_the_ring(web: VipState) -> None:
    one, two, _ = numbers(web)
    found = whereabouts.told(web, [(7, Slot(one, one)), (8, Slot(two, two))], owners(web), [])
    assert (found.slot, found.real, found.going_on, found.by) == (7, REALS[0], REALS[0], "ring")


def test_a_real_that_is_down_is_passed_over(web: VipState) -> None:
    one, two, _ = numbers(web)
    down = owners(web, {one: REAL_DOWN})
    found = whereabouts.told(web, [(7, Slot(one, one)), (8, Slot(two, two))], down, [])
    assert (found.passed, found.slot, found.real) == (1, 8, REALS[1])


def test_nobody_serves(web: VipState) -> None:
    found = whereabouts.told(web, [(7, Slot(0, 0))], owners(web), [])
    assert (found.slot, found.real, found.by) == (-1, "", "none")


def test_what_began_before_the_change_goes_by_the_slot(web: VipState) -> None:
    one, two, _ = numbers(web)
    found = whereabouts.told(web, [(7, Slot(one, two))], owners(web), [])
    assert (found.real, found.going_on, found.by) == (REALS[0], REALS[1], "slot")


def test_what_is_stored_goes_by_its_entry(web: VipState) -> None:
    one, two, three = numbers(web)
    there = owners(web)
    entry = Entry(1, three, there[three].generation, 1, 2.0)
    found = whereabouts.told(web, [(7, Slot(one, two))], there, [entry])
    assert (found.real, found.going_on, found.by) == (REALS[0], REALS[2], "stored")
    (stored,) = found.stored
    assert (stored.cpu, stored.real, stored.state, stored.silent) == (1, REALS[2], "open", 2.0)
    old = entry._replace(generation=there[three].generation + 1)
    found = whereabouts.told(web, [(7, Slot(one, one))], there, [old])
    assert (found.going_on, found.stored[0].real) == (REALS[0], ""), "another owner's (F3)"
    down = owners(web, {three: REAL_DOWN})
    assert whereabouts.told(web, [(7, Slot(one, one))], down, [entry]).going_on == REALS[0], "F4"


def test_which_vip() -> None:
    text = (
        TOML
        + vip("web", "10.200.0.1", 80, REALS)
        + vip("rest", "10.200.0.1", 0, REALS).replace("rise = 2", "port = 80\nrise = 2")
        + vip("net", "10.201.0.0", 80, REALS)
        .replace("port = 80", "port = 80\nprefix = 16")
        .replace("rise = 2", 'via = "direct"\nrise = 2')
    )
    world = World(text)
    world.start()
    state = world.director.state

    def found(to: str, port: int, protocol: Protocol = Protocol.TCP) -> str:
        flow = Flow(ip_address("198.51.100.7"), 1234, ip_address(to), port, protocol)
        mine = whereabouts.Finder(state).of(flow)
        return mine.listed.name if mine else ""

    assert [found("10.200.0.1", 80), found("10.200.0.1", 81)] == ["web", "rest"]
    assert found("10.200.0.1", 80, Protocol.UDP) == ""
    assert [found("10.201.7.7", 80), found("10.201.7.7", 81)] == ["net", ""]
    assert found("10.202.0.1", 80) == ""


@pytest.mark.parametrize(
    ("source", "to", "port", "says"),
    [
        ("x", "10.200.0.1", 80, "does not appear to be"),
        ("10.0.0.1", "2001:db8::1", 80, "two families"),
        ("10.0.0.1", "10.200.0.1", 70000, "must be 1 to 65535"),
    ],
)
def test_what_is_no_flow(source: str, to: str, port: int, says: str) -> None:
    with pytest.raises(Refused, match=says):
        whereabouts.flow_of(FlowOf(source, 1234, to, port, "tcp"))
