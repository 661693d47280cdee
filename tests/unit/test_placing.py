# SPDX-License-Identifier: Apache-2.0
"""How a VIP's packets are placed: options, the ring's memory, new-flow pressure."""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import boundary as b
from agent.bgp.text import prefix
from agent.config import file as config
from agent.core import pressure, settling
from agent.dataplane import packing, slots
from agent.dataplane.abi import RING_SLOTS, SLOT_EXCEPTIONS
from agent.nouns import Tracking, VipKey
from shared.messages import ChangeEvent, Command, Weight
from shared.model import Protocol
from tests.unit.world import ONE_VIP, REALS, TOML, WEB, World, vip

QUIC = TOML + (
    '[[vips]]\nname = "quic"\naddress = "10.200.0.1"\nport = 443\nprotocol = "udp"\n'
    'quic = { scheme = "quic-lb", id_bytes = 2 }\ncheck = { via = "direct" }\n'
    '[[vips.reals]]\naddress = "10.3.1.2"\nquic_ids = [1, 7]\n'
    '[[vips.reals]]\naddress = "10.3.2.2"\nquic_ids = [2]\n'
)
ENTRIES = 1000
"""Of the flow tables: with the default turnover of 10 s they take 100 new flows a second."""


@pytest.fixture
def world() -> World:
    world = World()
    world.all_up()
    return world


# ---- options


@pytest.mark.parametrize(
    ("option", "flags"),
    [
        ('hash = "flow"', 0),
        ('hash = "source"', 2 | 4),
        ('hash = "source+port"', 2),
        ('flow_table = "changed"', 8),
        ('flow_table = "compute"', 16),
        ('real_down = "keep"', 64),
    ],
)
def test_options_are_flags_of_the_vip(option: str, flags: int) -> None:
    world = World(ONE_VIP.replace("port = 80\n", f"port = 80\n{option}\n"))
    world.all_up()
    assert packing.vip_flags(world.placings[WEB]) == flags


def test_an_option_changes_by_reload_and_moves_no_ring(world: World) -> None:
    world.history.clear()
    world.reload(ONE_VIP.replace("port = 80\n", 'port = 80\nflow_table = "changed"\n'))
    assert world.placings[WEB].tracking is Tracking.CHANGED
    assert "SetRing" not in world.history


def test_f8_what_was_computed_was_never_elsewhere() -> None:
    """Leaving `compute`: no flow has an entry, and none is on the real of the ring before."""
    computed = ONE_VIP.replace("port = 80\n", 'port = 80\nflow_table = "compute"\n')
    world = World(computed)
    world.all_up()
    world.history.clear()
    world.reload(ONE_VIP)
    assert world.history.index("ForgetPrevious") < world.history.index("PutVip")
    world.reload(computed, id="again")
    assert world.history.count("ForgetPrevious") == 1, "into it nothing is forgotten"


def test_quic_ids_follow_the_reals_numbers() -> None:
    world = World(QUIC)
    world.all_up()
    state = world.director.state.vips["quic"]
    numbers = {str(a): real.number.real_num for a, real in state.reals.items()}
    expected = {1: numbers["10.3.1.2"], 7: numbers["10.3.1.2"], 2: numbers["10.3.2.2"]}
    assert world.quic_ids[state.vip_num] == expected
    world.reload(QUIC.replace("[1, 7]", "[9]"))
    assert sorted(world.quic_ids[state.vip_num]) == [2, 9]


def vip_of(**changed: str) -> str:
    lines = {"address": '"10.200.0.0"', "port": "80", "prefix": "24", "check": '{via = "direct"}'}
    shown = "\n".join(f"{key} = {value}" for key, value in (lines | changed).items() if value)
    return f'{TOML}[[vips]]\nname = "net"\n{shown}\n[[vips.reals]]\naddress = "10.3.1.2"\n'


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"address": '"10.200.0.1"'}, "is not where a /24 begins; use 10.200.0.0"),
        ({"prefix": "33"}, "prefix: must be 1 to 32 for 10.200.0.0, got 33"),
        ({"address": '"10.3.0.0"', "prefix": "16"}, "10.3.1.2 lies in the VIP's own network"),
        ({"check": ""}, "check.address: needed, for the VIP is a network (10.200.0.0/24)"),
        ({"port": "0"}, "check.port: needed, for a VIP of all ports (port = 0) has none"),
        ({"hash": '"port"'}, 'hash: "port" would send all packets of a VIP with one port'),
        ({"hash": '"sourc"'}, "hash: expected flow, source, source+port or port, got 'sourc'"),
        ({"flow_table": '"x"'}, "flow_table: expected track, changed or compute, got 'x'"),
        ({"real_down": '"x"'}, "real_down: expected migrate or keep, got 'x'"),
        ({"flow_table": '"compute"', "real_down": '"keep"'}, '"keep" needs to know which flows'),
        ({"quic": '{scheme = "cid"}'}, 'QUIC is carried by UDP; set protocol = "udp"'),
    ],
)
def test_mistakes_name_key_value_and_remedy(changed: dict[str, str], says: str) -> None:
    assert config.parse(vip_of(), "net.toml").vips[0].where == "10.200.0.0/24"
    with pytest.raises(config.ConfigError) as caught:
        config.parse(vip_of(**changed), "net.toml")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        ("[2]", "[1]", "reals[1].quic_ids: 1 is reals[0]'s already; ids are unique"),
        ("[2]", "[65536]", "larger than the connection id has room for (65535)"),
        ('quic = { scheme = "quic-lb", id_bytes = 2 }', "", "nobody reads them without"),
        ('"quic-lb"', '"x"', "quic.scheme: expected quic-lb or cid, got 'x'"),
    ],
)
def test_quic_mistakes(good: str, bad: str, says: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse(QUIC.replace(good, bad), "quic.toml")
    assert says in str(caught.value)


def test_p9_a_real_lies_in_no_network_that_a_balancer_attracts() -> None:
    """P9: with GUE and two such VIPs, each with a real in the other's network, it would not end."""
    wide = vip_of()[len(TOML) :]
    assert config.parse(ONE_VIP.replace("10.200.0.1", "10.201.0.1") + wide, "good.toml")
    inside = ONE_VIP.replace('"10.3.2.2"', '"10.200.0.9"').replace("10.200.0.1", "10.201.0.1")
    says = r"vips\[0\]\.reals\[1\]\.address: 10\.200\.0\.9 lies in the network of vips\[1\]"
    with pytest.raises(config.ConfigError, match=says):
        config.parse(inside + wide, "loop.toml")


def test_more_server_ids_than_the_map_holds_are_refused() -> None:
    many = ", ".join(map(str, range(8, 60_000)))
    first = QUIC.replace("[1, 7]", f"[{many}]")
    second = first[len(TOML) :].replace('"quic"', '"two"').replace("10.200.0.1", "10.200.0.2")
    with pytest.raises(config.ConfigError, match=r"119986 quic_ids in all, at most 65536 fit"):
        config.parse(first + second, "many.toml")


def test_networks_of_two_sizes_do_not_begin_alike() -> None:
    vip = vip_of()[len(TOML) :]
    other = vip.replace('"net"', '"half"').replace("24", "25").replace("80", "81")
    with pytest.raises(config.ConfigError, match=r"10.200.0.0/25 and vips\[0\]'s 10.200.0.0/24"):
        config.parse(TOML + vip + other, "two.toml")


def test_keys_are_packed_and_unpacked() -> None:
    for key in (WEB, WEB._replace(port=0), WEB._replace(protocol=Protocol.UDP, length=24)):
        packed = packing.vip_key(511, key)
        assert packed >> 17 == 511
        assert packing.from_vip_key(packed, key.address, key.length) == key
    assert str(WEB._replace(length=24)) == "10.200.0.1/24:80/tcp"
    six = VipKey(ip_address("2001:db8::"), 0, Protocol.UDP, 64)
    assert str(six) == "[2001:db8::/64]:0/udp"


def test_h2_a_network_is_announced_as_such() -> None:
    world = World(vip_of())
    world.all_up()
    ((address, route),) = world.routes.items()
    assert prefix(address, route.length) == "10.200.0.0/24"


# ---- the ring's memory


def test_f8_the_ring_before_is_forgotten_when_no_flow_can_miss_it(world: World) -> None:
    """By the counts that come every second: nothing else may happen for hours."""
    idle = world.config.node.flow_idle
    vip_num = world.vips[WEB]
    world.count(seconds=idle - 1)
    assert world.forgotten == []
    world.probe(REALS[0], ok=False, times=3)  # another ring: the time begins again
    world.count(seconds=idle - 1)
    assert world.forgotten == []
    world.count(seconds=1)
    world.count(seconds=1)
    assert world.forgotten == [vip_num]


def test_f8_a_ring_that_comes_with_it_remembers_the_one_before(world: World) -> None:
    """Flows without an entry are where the ring before has them."""
    world.now += world.config.node.flow_idle
    world.history.clear()
    heavier = Command(id="1", who="test", action=Weight(REALS[0], 300))
    world.tell(b.Counted(np.zeros(4096, np.int64)), b.Asked(heavier, b"test"))
    assert world.history.index("ForgetPrevious") < world.history.index("SetRing")
    assert world.history.count("ForgetPrevious") == 1


def test_f5_f8_a_restarted_agent_forgets_the_ring_before_in_time(world: World) -> None:
    world.restart()
    world.count(seconds=world.config.node.flow_idle)
    assert world.forgotten == list(world.vips.values())


def test_f8_of_many_rings_some_forget_each_second() -> None:
    """A full node's 511 at once would hold up everything else for a fifth of a second."""
    many = 2 * settling.FORGOTTEN_AT_ONCE + 1
    world = World(TOML + "".join(vip(f"v{n}", f"10.200.0.{n + 1}", 80, REALS) for n in range(many)))
    world.all_up()
    world.now += world.config.node.flow_idle
    seen = []
    for _ in range(4):
        before = len(world.forgotten)
        world.count()
        seen.append(len(world.forgotten) - before)
    assert seen == [settling.FORGOTTEN_AT_ONCE] * 2 + [1, 0]
    assert sorted(world.forgotten) == sorted(world.vips.values())


Rings = st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=12)


@given(Rings, st.data())
def test_f8_a_slot_remembers_who_may_have_flows_without_an_entry(
    rings: list[list[int]], data: st.DataObject
) -> None:
    """Model: per slot the reals whose flows are all in the table, and the one whose may not be.

    While a slot is unsettled every new flow is stored, so only the first real's can be without."""
    words = np.zeros(4, np.uint32)
    first: list[int] = [0] * 4
    elsewhere = [False] * 4
    for ring in rings:
        before = slots.current(words).tolist()
        words = slots.following(words, np.array(ring, np.uint32))
        assert slots.current(words).tolist() == ring
        for slot, real in enumerate(ring):
            first[slot] = first[slot] or real
            elsewhere[slot] |= before[slot] != first[slot] != 0 and before[slot] != real
        assert slots.previous(words).tolist() == first
        if data.draw(st.booleans()):
            changed = slots.current(words) != slots.previous(words)
            words = slots.forgotten(words)
            first = slots.current(words).tolist()
            assert slots.settled(words)
            assert ((words & SLOT_EXCEPTIONS) != 0)[changed].all()


def test_f3_a_number_that_is_freed_is_nobody_s_previous_one() -> None:
    words = slots.following(np.zeros(RING_SLOTS, np.uint32), np.full(RING_SLOTS, 5, np.uint32))
    words = slots.following(words, np.full(RING_SLOTS, 6, np.uint32))
    assert set(slots.previous(words)) == {5}
    cleared = slots.without(words, 5)
    assert set(slots.previous(cleared)) == set(slots.current(cleared)) == {6}
    assert (cleared & SLOT_EXCEPTIONS).all()


# ---- new-flow pressure


def count(world: World, new_flows: int) -> None:
    world.now += 1
    totals = np.zeros(512, np.uint64)
    totals[world.vips[WEB]] = new_flows
    world.tell(b.Counted(np.zeros(4096, np.int64), totals, ENTRIES))


def test_f7_a_flood_is_told_and_over_only_after_a_calm(world: World) -> None:
    """Hysteresis: on at what the table takes (100/s), off after ten seconds below half of it."""
    new_flows = 0
    rates = [(99, False), (100, True), (60, True), *[(49, True)] * 9, (60, True)]
    rates += [*[(49, True)] * 10, (49, False), (99, False)]
    count(world, new_flows)
    for step, (rate, on) in enumerate(rates):
        new_flows += rate
        count(world, new_flows)
        assert world.placings[WEB].pressure is on, step
    changes = [event for event in world.events if isinstance(event, ChangeEvent)]
    told = [event.result for event in changes if "pressure" in event.what]
    assert told == ["on, 100 new flows/s", "over, 49 new flows/s"]
    assert world.director.state.vips["web"].pressure.seconds == 22


def test_f7_a_flood_of_udp_is_one_for_as_long_as_it_lasts() -> None:
    """Under pressure the program cannot tell a first packet of UDP: none counted is no calm."""
    world = World(ONE_VIP.replace("port = 80\n", 'port = 80\nprotocol = "udp"\n'))
    world.all_up()
    sent, begun = np.zeros(512, np.uint64), np.zeros(512, np.uint64)
    (number,) = world.vips.values()
    (key,) = world.vips

    def second(packets: int, new_flows: int) -> bool:
        world.now += 1
        sent[number] += np.uint64(packets)
        begun[number] += np.uint64(new_flows)
        live = np.zeros(4096, np.int64)
        world.tell(b.Counted(live, begun.copy(), ENTRIES, sent.copy()))
        return world.placings[key].pressure

    assert [second(200, 5) for _ in range(3)] == [False] * 3
    assert second(500, 305), "the flood begins"
    assert [second(500, 0) for _ in range(60)] == [True] * 60, "and goes on"
    assert [second(200, 0) for _ in range(10)] == [True] * 10
    assert not second(200, 0), "calm for ten seconds"


def test_a_number_with_another_vip_makes_no_flood(world: World) -> None:
    """Its totals begin at 0 again: less than before is none, not 2^64."""
    count(world, 1_000_000)
    count(world, 0)
    count(world, 50)
    assert not world.placings[WEB].pressure


def test_f7_only_the_vip_that_causes_it() -> None:
    calm, limit = pressure.Pressure(), pressure.most(2, 500, 10.0)
    assert limit == 100
    flooded = {"rate": 90.0, "node_rate": 110.0, "limit": limit, "now": 1.0, "passed": 1.0}
    assert pressure.judge(calm, **flooded).on
    assert not pressure.judge(calm, **(flooded | {"rate": 20.0})).on
