# SPDX-License-Identifier: Apache-2.0
"""What the agent says of flows, and what it says that a change would do, is what the program does.

In every way of tracking, of TCP and UDP, whether flows of a real that is down are kept or not (K3,
F2, F4).  Asking moves no counter: the rig would see it with the next packet.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from agent.core.state import NodeState, VipState
from agent.dataplane import abi
from agent.nouns import Placing, Tracking, VipKey, WhenDown
from agent.wire.flow_questions import FlowQuestion, FlowQuestions
from shared.flows import Flow, packed
from shared.messages import (
    Answer,
    Disable,
    Drain,
    FlowAges,
    FlowOf,
    FlowPlaces,
    FlowsOf,
    Supposed,
)
from shared.model import Protocol
from tests.bpf import frames
from tests.bpf.rig import DNS, KEY, WEB, Rig, Service
from tests.bpf.test_placing import MODES, REALS, send
from tests.unit.world import TOML, World, vip

pytestmark = pytest.mark.root

OPENED, NEW, LATER = range(3000, 3040), range(4000, 4040), range(5000, 5040)
GONE = "10.3.1.2"
WAYS = [(tracking, when_down) for tracking in MODES for when_down in WhenDown
        if (tracking, when_down) != (Tracking.COMPUTE, WhenDown.KEEP)]  # fmt: skip
"""That a config may have: who stores no flow cannot keep those of a real that is down."""


def known(service: Service, placing: Placing) -> NodeState:
    """What the agent of such a node knows: the same VIP and reals under the same numbers."""
    options = f'flow_table = "{placing.tracking}"\nreal_down = "{placing.when_down}"\n'
    text = vip("web", str(service.key.address), service.key.port, tuple(REALS))
    text = text.replace(
        "quorum = 1\n", f'quorum = 1\nprotocol = "{service.key.protocol}"\n{options}'
    )
    if service.key.protocol is Protocol.UDP:
        text = text.replace("[vips.check]\n", '[vips.check]\nport = 80\nkind = "http"\n')
    key = 'hash_key = "00112233445566778899aabbccddeeff"'
    world = World(TOML.replace(key, f'hash_key = "{KEY.hex()}"') + text)
    world.all_up()
    state: VipState = world.director.state.vips["web"]
    state.vip_num = service.vip_num
    for address, real in state.reals.items():
        number = service.reals[address]
        real.number = real.number._replace(real_num=number, vip_num=service.vip_num, generation=1)
    return world.director.state


def asked(rig: Rig, state: NodeState, question: FlowQuestion) -> Answer:
    blank = Answer(id="1", node="lb1", status="ok", revision=1)
    questions = FlowQuestions(state, rig.dataplane, rig.dataplane.fill)
    answer = asyncio.run(questions.answer(blank, question))
    assert not answer.error
    return answer


def flow(service: Service, port: int) -> Flow:
    to = service.key
    return Flow(ip_address(frames.CLIENT), port, to.address, to.port, to.protocol)


def places(
    rig: Rig, state: NodeState, service: Service, ports: range, change: Supposed
) -> FlowPlaces:
    flows = b"".join(packed(flow(service, port)) for port in ports)
    found = asked(rig, state, FlowsOf(flows, change)).flows
    assert found is not None
    return found


def numbers(service: Service, found: FlowPlaces, packed_: bytes) -> list[int | None]:
    """Real numbers, None: dropped."""
    indexes = [packed_[n] | packed_[n + 1] << 8 for n in range(0, len(packed_), 2)]
    return [None if i == 0xFFFF else service.reals[ip_address(found.reals[i])] for i in indexes]


@pytest.mark.parametrize("action", [Drain, Disable])
@pytest.mark.parametrize(("tracking", "when_down"), WAYS)
@pytest.mark.parametrize("key", [WEB, DNS], ids=str)
def test_k3_the_program_does_what_was_said(
    rig: Rig, key: VipKey, tracking: Tracking, when_down: WhenDown, action: type[Drain | Disable]
) -> None:
    placing = Placing(tracking=tracking, when_down=when_down)
    service = rig.serve(key, REALS, placing=placing)
    state = known(service, placing)
    change = action(GONE, "web")
    for port in OPENED:
        send(rig, service, port, "S")
        send(rig, service, port)
    begun = places(rig, state, service, OPENED, change)
    new = places(rig, state, service, NEW, change)
    later = places(rig, state, service, LATER, change)
    assert [send(rig, service, p) for p in OPENED] == numbers(service, begun, begun.going_on)
    assert [send(rig, service, p, "S") for p in NEW] == numbers(service, new, new.real)

    gone = service.reals[ip_address(GONE)]
    if action is Drain:
        rig.drain_real(service, gone)
    else:
        rig.dataplane.set_flags(gone, abi.REAL_DOWN | abi.REAL_DISABLED)
        rig.place(service, {a: int(n != gone) for a, n in service.reals.items()})
    went = [send(rig, service, p) for p in OPENED]
    assert went == numbers(service, begun, begun.going_on_after)
    assert [send(rig, service, p, "S") for p in LATER] == numbers(service, later, later.real_after)
    kept = action is Drain and (tracking is not Tracking.COMPUTE)
    assert (gone in went) == kept


def test_one_flow_and_many_say_the_same(rig: Rig) -> None:
    placing = Placing()
    service = rig.serve(WEB, REALS, placing=placing)
    state, change = known(service, placing), Drain(GONE, "web")
    for port in OPENED:
        send(rig, service, port, "S")
        send(rig, service, port)
    many = places(rig, state, service, OPENED, change)
    assert many.by == bytes(len(OPENED)), "each is found by its entry"
    for n, port in enumerate(OPENED):
        one = flow(service, port)
        question = FlowOf(str(one.source), port, str(one.destination), 80, "tcp", change)
        place = asked(rig, state, question).flow
        assert place is not None
        assert place.after is not None
        said = place.real, place.going_on, place.after.real, place.after.going_on
        columns = many.real, many.going_on, many.real_after, many.going_on_after
        assert said == tuple(many.reals[each[2 * n] | each[2 * n + 1] << 8] for each in columns)
        assert [entry.state for entry in place.stored] == ["open"]


def test_what_the_table_holds(rig: Rig) -> None:
    """Opening, open, closing and silent ones, each once; those of an earlier owner not at all."""
    service = rig.serve(WEB, REALS)
    state = known(service, Placing())
    for port in OPENED:
        send(rig, service, port, "S")
    for port in OPENED[10:]:
        send(rig, service, port)
    for port in OPENED[30:]:
        send(rig, service, port, "FA")
    for port in OPENED[10:14]:
        rig.age(service.flow(port), 30)
    ages = asked(rig, state, FlowAges()).ages
    assert ages is not None
    assert sum(row.opening for row in ages.rows) == 10
    assert sum(row.open for row in ages.rows) == 20
    assert sum(row.closing for row in ages.rows) == 10
    assert [sum(row.silent[n] for row in ages.rows) for n in range(4)] == [26, 0, 4, 0]
    assert 29 < max(row.longest for row in ages.rows) < 32
    by_real = {row.real: row.opening + row.open for row in ages.rows}
    expected = [service.address(service.predicted(port) or 0) for port in OPENED[:30]]
    assert by_real == {real: expected.count(real) for real in REALS}
