# SPDX-License-Identifier: Apache-2.0
"""Questions from the wire: they ask for what is known and change nothing."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec

from agent.boundary import Asked, EffectError
from agent.config.listed import listed
from agent.core import maglev
from agent.core.state import NodeState
from agent.dataplane.maps import DataPlane
from agent.dataplane.ring_fill import or_here
from agent.records.audit import Audit
from agent.records.state_disk import StateDisk
from agent.wire.flow_questions import FlowQuestions
from agent.wire.server import Server
from agent.wire.telemetry import Telemetry
from shared.messages import (
    Answer,
    ConfigOf,
    Configured,
    FlowAges,
    FlowOf,
    FlowsOf,
    Look,
    Question,
    ReadAudit,
    ReadHistory,
    Replay,
    Ring,
    RingOf,
)

InPassing = ReadAudit | ReadHistory | FlowOf | FlowsOf | FlowAges
"""Takes its time: a disk is read, or a flow table."""
MOST_READING = 16
"""Of them under way, from all doors: each may hold megabytes, in threads that others need too."""


def is_question(fact: Asked) -> bool:
    return isinstance(fact.command.action, Question)


class Questions:
    """Answers them, each by the door that it came through."""

    def __init__(
        self,
        state: NodeState,
        telemetry: Telemetry,
        server: Server,
        audit: Audit,
        dataplane: DataPlane,
        *,
        disk: StateDisk,
    ) -> None:
        self._state = state
        self._telemetry = telemetry
        self._server = server
        self._audit = audit
        self._disk = disk
        self._fill = or_here(dataplane.fill)
        self._flows = FlowQuestions(state, dataplane, self._fill)
        self._reading: set[asyncio.Task[None]] = set()

    async def answer(self, question: Asked) -> None:
        """Now, or from a task of its own where it takes time; not if too many do."""
        action = question.command.action
        if isinstance(action, InPassing) and len(self._reading) >= MOST_READING:
            why = "too many questions at once: ask again"
            answer = msgspec.structs.replace(self._blank(question), status="failed", error=why)
            await self._server.reply(question.sender, answer)
            return
        if isinstance(action, InPassing):
            task = asyncio.create_task(self._answer_in_passing(question, action))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
            return
        answer = self._blank(question)
        match action:
            case Look():
                answer = msgspec.structs.replace(
                    answer,
                    snapshots=self._telemetry.snapshots(),
                    labels=self._telemetry.labels(),
                )
            case Replay(sequence):
                answer = msgspec.structs.replace(answer, events=self._telemetry.since(sequence))
            case ConfigOf():
                found = Configured(self._state.generation, listed(self._state.listed))
                answer = msgspec.structs.replace(answer, config=found)
            case RingOf():
                answer = msgspec.structs.replace(answer, ring=self._ring(action))
        await self._server.reply(question.sender, answer)

    def _blank(self, question: Asked) -> Answer:
        return Answer(
            id=question.command.id,
            node=self._state.listed.node.name,
            status="ok",
            revision=self._state.revision,
        )

    async def _answer_in_passing(self, question: Asked, action: InPassing) -> None:
        answer = self._blank(question)
        try:
            answer = await self._read(answer, action)
        except OSError as error:  # a file that was renamed meanwhile, say: whoever asks asks again
            why = f"{error.filename or 'disk'}: {error.strerror}"
            answer = msgspec.structs.replace(answer, status="failed", error=why)
        except EffectError as error:
            answer = msgspec.structs.replace(answer, status="failed", error=str(error))
        await self._server.reply(question.sender, answer)

    async def _read(self, answer: Answer, action: InPassing) -> Answer:
        match action:
            case FlowOf() | FlowsOf() | FlowAges():
                return await self._flows.answer(answer, action)
            case ReadAudit(first, count):
                part = await self._disk.ask(partial(self._audit.part, first, count))
                return msgspec.structs.replace(answer, audit=part)
            case ReadHistory(since, until):
                kept = self._telemetry.history
                blocks = await self._disk.ask(partial(kept.blocks, since, until))
                kept_from = await self._disk.ask(kept.kept_from)
                return msgspec.structs.replace(answer, history=blocks, kept_from=kept_from)

    def _ring(self, wanted: RingOf) -> Ring | None:
        """Made again from its members, as it is not kept; None: there is no such VIP."""
        vip = self._state.vips.get(wanted.vip)
        if vip is None:
            return None
        ring = maglev.ring(vip.placed or {}, vip.seed, fill=self._fill)
        return Ring(
            vip=wanted.vip,
            digest=ring.digest,
            addresses=tuple(str(address) for address in ring.addresses),
            slots=ring.slots.astype("<u2").tobytes(),
        )
