# SPDX-License-Identifier: Apache-2.0
"""Trace, the agent's side: what a command means, one at a time, bounded, and told exactly."""

from __future__ import annotations

import struct
from ipaddress import ip_network
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import boundary as b
from agent.core import tracing
from agent.core.refused import Refused
from agent.dataplane import abi
from agent.dataplane.events import EVENT
from agent.dataplane.jiffies import TICKS
from agent.dataplane.packing import packed_trace
from agent.nouns import Traced
from agent.wire.trace_feed import Feed, Names
from shared.messages import ChangeEvent, Drain, Trace, Untrace
from tests.unit.world import ONE_VIP, REALS, TOML, World, vip


@pytest.fixture
def world() -> World:
    made = World()
    made.all_up()
    made.history.clear()
    return made


def test_a_trace_starts_and_ends_at_its_time(world: World) -> None:
    assert world.ask(Trace(vip="web", seconds=30)).status == "applied"
    assert world.history == ["StartTrace"]
    world.now += 29.9
    world.tell(b.Tick())
    assert world.history == ["StartTrace"]
    world.now += 0.1
    world.tell(b.Tick())
    assert world.history == ["StartTrace", "StopTrace"]
    assert isinstance(world.events[-1], ChangeEvent)
    assert world.events[-1].result == "ended: its time is over"
    world.tell(b.Tick())
    assert world.history.count("StopTrace") == 1


def test_one_at_a_time_and_anybody_may_end_it(world: World) -> None:
    world.ask(Trace(seconds=60), who="ann@jump")
    no = world.ask(Trace(), id="2", who="ben@jump")
    assert no.status == "refused"
    assert no.error == "ann@jump traces here for 60 s more; wait, or `remora trace --stop`"
    assert world.ask(Untrace("another one's"), id="3").status == "unchanged"
    assert world.ask(Untrace("1"), id="4", dry_run=True).status == "planned"
    assert world.history == ["StartTrace"]
    assert world.ask(Untrace(), id="5", who="ben@jump").status == "applied"
    assert world.ask(Untrace(), id="6").status == "unchanged"
    assert world.ask(Trace(), id="7").status == "applied"


def test_k1_a_repeated_command_starts_one_trace(world: World) -> None:
    assert world.ask(Trace(), id="9") == world.ask(Trace(), id="9")
    assert world.history == ["StartTrace"]


def test_a_plan_traces_nothing_and_leaves_no_entry(world: World) -> None:
    before = len(world.remembered)
    assert world.ask(Trace(), dry_run=True).status == "planned"
    assert world.history == []
    assert len(world.remembered) == before
    world.ask(Trace(vip="web"), id="2")
    assert world.remembered[-1].command.action == Trace(vip="web")


def test_another_config_ends_a_trace_of_a_vip_only(world: World) -> None:
    """Its number may be another VIP's now."""
    more = ONE_VIP + vip("dns", "10.200.0.2", 53, ["10.3.1.2"])
    world.ask(Trace(), id="1")
    world.reload(more, id="2")
    assert "StopTrace" not in world.history
    world.ask(Untrace(), id="3")
    world.ask(Trace(vip="web"), id="4")
    world.history.clear()
    world.reload(ONE_VIP, id="5")
    assert "StopTrace" in world.history


def test_a_stop_of_the_agent_ends_it(world: World) -> None:
    world.ask(Trace())
    world.tell(b.Stopping())
    assert world.history[-1] == "StopTrace"


@pytest.mark.parametrize("victim", [b.StartTrace, b.StopTrace, b.Remember])
def test_k5_a_trace_that_cannot_be_written_down_is_off(world: World, victim: type) -> None:
    if victim is b.StopTrace:
        world.ask(Trace(), id="1")
    tries = []

    def once(effect: b.Effect) -> bool:
        tries.append(effect)
        return isinstance(effect, victim) and sum(isinstance(e, victim) for e in tries) == 1

    world.refuse = once
    asked = Untrace() if victim is b.StopTrace else Trace()
    assert world.ask(asked, id="2").status == "failed"
    assert world.history[-1] == "StopTrace"
    assert world.director.state.trace is None
    assert world.ask(Trace(), id="3").status == "applied"


def test_a_drain_goes_on_beside_it(world: World) -> None:
    world.ask(Trace(vip="web"))
    assert world.ask(Drain(REALS[0], "web"), id="2").status == "applied"
    assert "StopTrace" not in world.history


NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"vip": "wbe"}, "no VIP 'wbe' here; there are web"),
    ({"real": "r1"}, "name a real by it"),
    ({"real": "10.9.9.9"}, "no real 10.9.9.9 behind any VIP"),
    ({"real": "10.9.9.9", "vip": "web"}, "behind web"),
    ({"source": "198.51.100.7/24"}, "has host bits set"),
    ({"destination": "web"}, "must be an address or a network"),
    ({"source": "10.0.0.0/8", "destination": "2001:db8::1"}, "one is IPv4, another IPv6"),
    ({"source": "10.0.0.0/8", "version": 6}, "one is IPv4, another IPv6"),
    ({"source_port": 70000}, "source port 70000"),
    ({"destination_port": -1}, "must be 1 to 65535"),
    ({"one_in": 0}, "one in 0"),
    ({"rate": 0}, "must be 1 to 10000"),
    ({"seconds": 0.0}, "at most 600"),
    ({"seconds": 601.0}, "at most 600"),
    ({"seconds": float("nan")}, "at most 600"),
]


@pytest.mark.parametrize(("fields", "words"), NONSENSE, ids=str)
def test_nonsense_is_refused_with_a_remedy(
    world: World, fields: dict[str, Any], words: str
) -> None:
    answer = world.ask(Trace(**fields))
    assert answer.status == "refused"
    assert words in answer.error
    assert world.history == []


def test_a_real_of_several_vips_needs_one(world: World) -> None:
    world = World(TOML + "".join(vip(n, a, 80, REALS) for n, a in
                                 (("web", "10.200.0.1"), ("api", "10.200.0.2"))))  # fmt: skip
    world.all_up()
    assert "behind web, api: name one" in world.ask(Trace(real=REALS[0])).error
    assert world.ask(Trace(real=REALS[0], vip="api"), id="2").status == "applied"
    running = world.director.state.trace
    assert running is not None
    number = world.director.state.vips["api"].reals[world_address(REALS[0])].number
    assert running.wanted.real_num == number.real_num
    assert running.wanted.vip_num == number.vip_num


def world_address(text: str) -> Any:  # noqa: ANN401  # an address of either family
    return ip_network(text).network_address


@given(st.builds(
    Trace, vip=st.sampled_from(["", "web", "x"]), real=st.sampled_from(["", *REALS, "?"]),
    source=st.text(max_size=12), destination=st.text(max_size=12), source_port=st.integers(),
    destination_port=st.integers(), one_in=st.integers(), rate=st.integers(), seconds=st.floats(),
))  # fmt: skip
def test_whatever_comes_is_meant_or_refused(action: Trace) -> None:
    """And what is meant fits into the map's fields."""
    try:
        wanted = tracing.meant(_STATE, action)
    except Refused:
        return
    packed_trace(wanted, TICKS, 0)


@given(st.builds(
    Trace, vip=st.sampled_from(["", "web"]), protocol=st.sampled_from(sorted(tracing.PROTOCOLS)),
    source=st.ip_addresses(v=4).map(str), destination=st.sampled_from(["", "198.51.100.0/24"]),
    source_port=st.integers(0, 65535), destination_port=st.integers(0, 65535),
    one_in=st.integers(1, tracing.MAX_ONE_IN), rate=st.integers(1, tracing.MAX_RATE),
    seconds=st.floats(0, tracing.LONGEST, exclude_min=True),
))  # fmt: skip
def test_all_within_the_bounds_is_meant_and_fits(action: Trace) -> None:
    """Nothing of it is cut off on the way into the map."""
    packed = packed_trace(tracing.meant(_STATE, action), TICKS, 0)
    assert packed.one_in == action.one_in
    ports = bytes(packed)[64:68]  # in the order of the wire
    assert ports == struct.pack("!HH", action.source_port, action.destination_port)
    assert packed.until == round(action.seconds * TICKS)


_WORLD = World()
_WORLD.all_up()
_STATE = _WORLD.director.state


def test_networks_become_words_as_packets_have_them() -> None:
    wanted = Traced(source=ip_network("198.51.100.0/22"), destination_port=80, seconds=2)
    packed = packed_trace(wanted, TICKS, 1000)
    assert bytes(packed.be_source)[:4] == bytes([198, 51, 100, 0])
    assert bytes(packed.be_source_mask) == bytes([255, 255, 252, 0]) + bytes(12)
    assert bytes(packed.be_destination_mask) == bytes(16)
    assert packed.version == 4
    assert packed.be_ports.to_bytes(4, "little") == b"\0\0\0\x50"
    assert packed.be_ports_mask.to_bytes(4, "little") == b"\0\0\xff\xff"
    assert packed.until == 1000 + 2 * TICKS
    assert packed.one_in == 1


# ---- what was seen, as messages


def records(*kinds: int) -> Any:  # noqa: ANN401  # numpy records
    made = np.zeros(len(kinds), EVENT)
    made["kind"], made["captured"], made["vip_num"], made["real_num"] = kinds, 4, 1, 2
    made["verdict"], made["reason"] = abi.DROP, 1
    return made


HEAD: dict[str, Any] = {"node": "lb1", "boot": "b", "sequence": 1, "at": 10.0}
NAMES = Names({1: "web"}, {2: "10.3.1.2"})


def test_what_matched_and_what_was_sent_are_counted_over_the_whole_trace() -> None:
    feed = Feed("t", offset=5, matched=100)
    first = feed.message(records(1, 2, 1), NAMES, HEAD, matched=103)
    assert first is not None
    assert (first.matched, first.entries, first.exits) == (3, 2, 1)
    entry, exit_, _ = first.packets
    assert (entry.stage, entry.verdict, entry.reason) == ("entry", "", "")
    assert (exit_.stage, exit_.verdict, exit_.reason) == ("exit", "drop", "fragment")
    assert (exit_.vip, exit_.real, len(exit_.head)) == ("web", "10.3.1.2", 4)
    last = feed.message(records(2), NAMES, HEAD, matched=120, ended="its time is over")
    assert last is not None
    assert (last.matched, last.entries, last.exits) == (20, 2, 2)
    assert last.ended == "its time is over"


def test_silence_is_told_once_a_second() -> None:
    feed = Feed("t", offset=5, matched=0)
    none = records()
    told = [feed.message(none, NAMES, {**HEAD, "at": at / 10}, matched=0) for at in range(31)]
    assert [index for index, message in enumerate(told) if message] == [0, 10, 20, 30]
