# SPDX-License-Identifier: Apache-2.0
"""Questions from the wire: they ask for what is known and change nothing."""

from __future__ import annotations

import asyncio

import msgspec

from agent.boundary import Asked, EffectError
from agent.config.listed import listed
from agent.core import maglev, whereabouts
from agent.core.refused import Refused
from agent.core.state import NodeState
from agent.dataplane.maps import DataPlane
from agent.dataplane.ring_fill import or_here
from agent.records.audit import Audit
from agent.wire.server import Server
from agent.wire.telemetry import Telemetry
from shared.messages import (
    Answer,
    ConfigOf,
    Configured,
    FlowOf,
    FlowPlace,
    Look,
    Question,
    ReadAudit,
    ReadHistory,
    Replay,
    Ring,
    RingOf,
)


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
    ) -> None:
        self._state = state
        self._telemetry = telemetry
        self._server = server
        self._audit = audit
        self._dataplane = dataplane
        self._fill = or_here(dataplane.fill)
        self._reading: set[asyncio.Task[None]] = set()

    async def answer(self, question: Asked) -> None:
        """Now, or from a task of its own where a disk is to be read."""
        action = question.command.action
        if isinstance(action, ReadAudit | ReadHistory | FlowOf):
            task = asyncio.create_task(self._answer_from_disk(question, action))
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

    async def _answer_from_disk(
        self, question: Asked, action: ReadAudit | ReadHistory | FlowOf
    ) -> None:
        answer = self._blank(question)
        try:
            answer = await self._read(answer, action)
        except OSError as error:  # a file that was renamed meanwhile, say: whoever asks asks again
            why = f"{error.filename or 'disk'}: {error.strerror}"
            answer = msgspec.structs.replace(answer, status="failed", error=why)
        await self._server.reply(question.sender, answer)

    async def _read(self, answer: Answer, action: ReadAudit | ReadHistory | FlowOf) -> Answer:
        match action:
            case FlowOf():
                return await self._flow(answer, action)
            case ReadAudit(first, count):
                part = await asyncio.to_thread(self._audit.part, first, count)
                return msgspec.structs.replace(answer, audit=part)
            case ReadHistory(since, until):
                kept = self._telemetry.history
                blocks = await asyncio.to_thread(kept.blocks, since, until)
                return msgspec.structs.replace(
                    answer, history=blocks, kept_from=await asyncio.to_thread(kept.kept_from)
                )

    async def _flow(self, answer: Answer, wanted: FlowOf) -> Answer:
        """Where it goes, as the maps are."""
        maps = self._dataplane
        try:
            flow = whereabouts.flow_of(wanted)
            vip = whereabouts.vip_of(self._state, flow)
            if vip is None:
                return msgspec.structs.replace(answer, flow=FlowPlace(""))
            entries = await asyncio.to_thread(maps.flows.stored, whereabouts.tag(self._state, flow))
            numbers = whereabouts.slots(self._state, vip, flow)
            held = maps.rings.slots_of(vip.vip_num, numbers)
            owners = maps.owners({n for s in held for n in s} | {e.real_num for e in entries})
        except (Refused, EffectError) as error:
            return msgspec.structs.replace(answer, status="failed", error=str(error))
        tried = list(zip(numbers, held, strict=True))
        found = whereabouts.told(vip, tried, owners, entries)
        return msgspec.structs.replace(answer, flow=found)

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
