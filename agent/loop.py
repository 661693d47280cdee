# SPDX-License-Identifier: Apache-2.0
"""The loop: one inbox, one consumer.  Nothing is decided here.

A fact goes into the inbox; the consumer takes all that is there, asks the director, and lets the
shells perform the effects in order: those that may wait for the disk in a lane of their own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from agent.boundary import (
    Asked,
    Effect,
    EffectError,
    Fact,
    Failed,
    Proposed,
    Reply,
    Tick,
    Written,
)
from agent.core.director import Director
from agent.lane import Lane, divided
from agent.wire.questions import is_question

log = logging.getLogger("remora")


class Loop:
    """`perform` raises EffectError; `answer` answers a question, which changes nothing."""

    def __init__(
        self,
        inbox: asyncio.Queue[Fact],
        director: Director,
        perform: Callable[[Effect], Awaitable[None]],
        answer: Callable[[Asked], Awaitable[None]],
    ) -> None:
        self.turns = 0
        """Batches of facts that were dealt with."""
        self._inbox = inbox
        self._director = director
        self._perform = perform
        self._answer = answer
        self._lane = Lane(self._go_slowly, partial(inbox.put_nowait, Written()))
        self._commands: list[Fact] = []
        """That wait for the lane."""

    @property
    def running(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What goes on until it is cancelled."""
        return self._consume, self._lane.run

    async def finish(self) -> None:
        """What is in the lane; while nothing is running."""
        await self._lane.flush()

    async def turn(self) -> None:
        """All facts that are there, at least one."""
        facts = [await self._inbox.get()]
        while not self._inbox.empty():
            facts.append(self._inbox.get_nowait())
        questions = [f for f in facts if isinstance(f, Asked) and is_question(f)]
        taken = self._in_turn([f for f in facts if not (isinstance(f, Asked) and is_question(f))])
        await self._act(self._director.take(taken, time.monotonic()))
        if self._director.unsettled:
            self._inbox.put_nowait(Tick())
            await asyncio.sleep(0)  # others first: checks, commands, telemetry
        for question in questions:
            await self._answer(question)
        self.turns += 1

    async def _consume(self) -> None:
        while True:
            await self.turn()

    def _in_turn(self, facts: list[Fact]) -> list[Fact]:
        """Those that are not commands, and the commands behind them, if their time has come."""
        self._commands += [fact for fact in facts if isinstance(fact, Asked | Proposed)]
        others = [fact for fact in facts if not isinstance(fact, Asked | Proposed)]
        if self._lane.busy:
            return [*others]
        commands, self._commands = self._commands, []
        return [*others, *commands]

    async def _act(self, effects: Sequence[Effect]) -> None:
        at_once, slow = divided(effects)
        failed = await self._try(at_once)
        if failed is None:
            self._lane.put(slow)
            if any(isinstance(effect, Reply) for effect in at_once):
                self._inbox.put_nowait(Written())
            return
        failed = replace(failed, dropped=(*failed.dropped, *slow))
        await self._act(self._director.take([failed], time.monotonic()))

    async def _go_slowly(self, effects: Sequence[Effect]) -> None:
        if failed := await self._try(effects):
            self._inbox.put_nowait(failed)

    async def _try(self, effects: Sequence[Effect]) -> Failed | None:
        """In order; the first failure, and what was not tried for it."""
        for i, effect in enumerate(effects):
            try:
                await self._perform(effect)
            except EffectError as error:
                log.error("effect=%s failed: %s", type(effect).__name__, error)  # noqa: TRY400
                return Failed(effect, str(error), tuple(effects[i + 1 :]))
        return None
