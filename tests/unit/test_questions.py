# SPDX-License-Identifier: Apache-2.0
"""Questions that take their time: so many at once and no more, and every one has an answer (K1)."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Iterable
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from agent.boundary import Asked
from agent.core import maglev
from agent.core.state import NodeState
from agent.core.whereabouts import Owner
from agent.dataplane import slots
from agent.dataplane.abi import SLOT_BITS
from agent.wire.flow_questions import NONE, FlowQuestions
from agent.wire.questions import MOST_READING, Questions
from shared.flows import Flow, packed
from shared.messages import Answer, Command, Drain, FlowAges, FlowsOf
from shared.model import Protocol
from tests.unit.world import REALS, TOML, World, vip

REAL_NUMS = 4096


class Flows:
    """A flow table that is looked at for as long as the test likes."""

    def __init__(self) -> None:
        self.looks = 0
        self.open = threading.Event()

    def ages(self, idle: float) -> SimpleNamespace:
        assert idle > 0
        self.looks += 1
        assert self.open.wait(30)
        one = np.zeros(REAL_NUMS, np.uint32)
        silent = np.zeros((REAL_NUMS, 4), np.uint32)
        return SimpleNamespace(silent=silent, opening=one, closing=one, longest=one)


class Door:
    def __init__(self) -> None:
        self.answers: list[Answer] = []

    async def reply(self, sender: bytes, answer: Answer) -> None:
        self.answers.append(answer)


def known(flows: Flows) -> tuple[NodeState, Any]:
    world = World()
    return world.director.state, SimpleNamespace(fill=maglev.fill, flows=flows)


def asked(id_: str) -> Asked:
    return Asked(Command(id=id_, who="ann", action=FlowAges()), b"L1")


def test_too_many_at_once_are_told_so() -> None:
    flows, door = Flows(), Door()

    async def ask() -> None:
        state, dataplane = known(flows)
        questions = Questions(
            state, *cast(Any, (None, door, None, dataplane)), disk=cast(Any, None)
        )
        for number in range(MOST_READING + 2):
            await questions.answer(asked(str(number)))
        assert [(a.id, a.status) for a in door.answers] == [("16", "failed"), ("17", "failed")]
        assert door.answers[0].error == "too many questions at once: ask again"
        flows.open.set()
        await asyncio.gather(*questions._reading)
        await questions.answer(asked("again"))
        await asyncio.gather(*questions._reading)

    asyncio.run(ask())
    assert [a.status for a in door.answers[2:]] == ["ok"] * (MOST_READING + 1)


def test_the_slots_of_one_vip_at_a_time_are_held() -> None:
    """256 KiB each: those of 512 VIPs are what the agent has in all, twice with a change."""
    vips = [vip(f"v{n}", f"10.200.1.{n}", 80, REALS) for n in range(1, 9)]
    world = World(TOML + "".join(vips))
    world.all_up()
    held: list[weakref.ref[slots.Words]] = []
    at_once: list[int] = []

    def words(vip_num: int) -> slots.Words:
        at_once.append(sum(each() is not None for each in held))
        numbers = world.rings[vip_num].astype(np.uint32)
        found = numbers | numbers << np.uint32(SLOT_BITS)
        held.append(weakref.ref(found))
        return found

    def owners(numbers: Iterable[int]) -> dict[int, Owner]:
        return {n: Owner(world.reals[n].vip_num, 1, 0) for n in numbers}

    dataplane = SimpleNamespace(
        rings=SimpleNamespace(words=words),
        owners=owners,
        flows=SimpleNamespace(stored=lambda tags: {}),
    )
    client = ip_address("10.1.1.2")
    flows = [
        Flow(client, 1000 + n, ip_address(f"10.200.1.{n % 10}"), 80, Protocol.TCP)
        for n in range(1, 40)
    ]
    questions = FlowQuestions(world.director.state, cast(Any, dataplane), maglev.fill)
    blank = Answer(id="1", node="lb1", status="ok", revision=1)
    asked = FlowsOf(b"".join(map(packed, flows)), Drain(real=REALS[0]))
    answer = asyncio.run(questions.answer(blank, asked))
    assert answer.flows is not None
    found = np.frombuffer(answer.flows.vip, "<u2").tolist()
    names = [answer.flows.vips[n] if n != NONE else "" for n in found]
    assert names == [f"v{n % 10}" if 0 < n % 10 < 9 else "" for n in range(1, 40)]
    after = np.frombuffer(answer.flows.real_after, "<u2").tolist()
    assert {answer.flows.reals[n] for n in after if n != NONE} <= {*REALS[1:]}
    assert len(at_once) == 8
    assert max(at_once) <= 1, "while one is read, that of the VIP before"


def test_one_look_at_all_flows_answers_all_who_ask_meanwhile() -> None:
    flows = Flows()

    async def ask() -> list[Answer]:
        state, dataplane = known(flows)
        questions = FlowQuestions(state, dataplane, maglev.fill)
        blank = Answer(id="1", node="lb1", status="ok", revision=1)
        tasks = [asyncio.create_task(questions.answer(blank, FlowAges())) for _ in range(8)]
        await asyncio.sleep(0)
        flows.open.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(ask())
    assert flows.looks == 1
    assert [answer.error for answer in answers] == [""] * 8
    assert {answer.ages is None for answer in answers} == {False}
