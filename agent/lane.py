# SPDX-License-Identifier: Apache-2.0
"""The slow lane: effects that may wait for the state disk, and all that comes behind them.

In order, like all effects, but the loop does not stand still meanwhile: results of checks take
reals out while a disk takes its time.  Commands wait until the lane is empty: each is planned on a
state that is written, and one that is repeated finds what became of the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from agent.boundary import Effect, KeepConfig, Remember, Reply, StartTrace, StopTrace

Perform = Callable[[Sequence[Effect]], Awaitable[None]]
_SLOW = Remember | Reply | StartTrace | StopTrace
"""A trace's two ends stand among them so that their order is kept."""


def divided(effects: Sequence[Effect]) -> tuple[Sequence[Effect], Sequence[Effect]]:
    """(what is done at once, what goes into the lane)

    Another config is done at once as a whole: what is seen meanwhile would go to a state that may
    yet be taken back.
    """
    if any(isinstance(effect, KeepConfig) for effect in effects):
        return effects, ()
    slow = (i for i, effect in enumerate(effects) if isinstance(effect, _SLOW))
    first = next(slow, len(effects))
    return effects[:first], effects[first:]


class Lane:
    """`perform` must tell of a failure before it returns; `emptied` is called behind the last."""

    def __init__(self, perform: Perform, emptied: Callable[[], None]) -> None:
        self._perform = perform
        self._emptied = emptied
        self._batches: asyncio.Queue[Sequence[Effect]] = asyncio.Queue()
        self._under_way = 0

    @property
    def busy(self) -> bool:
        return self._under_way > 0

    def put(self, effects: Sequence[Effect]) -> None:
        """Behind what is in it."""
        if effects:
            self._under_way += 1
            self._batches.put_nowait(effects)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._step()

    async def flush(self) -> None:
        """All that is in it; while nobody runs it."""
        while not self._batches.empty():
            await self._step()

    async def _step(self) -> None:
        effects = await self._batches.get()
        try:
            await self._perform(effects)
        finally:
            self._under_way -= 1
        if not self.busy:
            self._emptied()
