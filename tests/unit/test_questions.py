# SPDX-License-Identifier: Apache-2.0
"""Questions that take their time: so many at once and no more, and every one has an answer (K1)."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from agent.boundary import Asked
from agent.core import maglev
from agent.core.state import NodeState
from agent.wire.flow_questions import FlowQuestions
from agent.wire.questions import MOST_READING, Questions
from shared.messages import Answer, Command, FlowAges
from tests.unit.world import World

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
