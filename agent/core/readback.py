# SPDX-License-Identifier: Apache-2.0
"""The third step of a command: is what it asked for what the maps, the routes and the state hold?
Pure.

The desired is taken when the answer to "what do you hold?" comes, not when the command came: a
check that fails meanwhile changes both.  What differs is looked at again, for WITHIN seconds: a
route takes a moment to be taken, and a change may fall between two looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from agent.boundary import Effect, Held, ReadBack, Reply
from agent.core.overrides import differs
from agent.core.state import NodeState, VipState
from agent.nouns import Address, Override
from shared.messages import Answer

WITHIN = 5.0
"""Seconds."""
AGAIN = 0.1
"""Seconds between two looks."""


class _Waiting(Struct):
    """A command that is applied, and whose sender waits to hear that it is so."""

    sender: bytes
    answer: Answer
    overrides: tuple[Override, ...]
    vips: frozenset[str]
    """Whose rings are compared."""
    until: float = 0.0


class ReadingBack:
    """Changes nothing of the state that it is made with."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._waiting: dict[str, _Waiting] = {}
        self._new: list[str] = []
        """Of these: not looked for yet."""

    def begin(
        self,
        sender: bytes,
        answer: Answer,
        *,
        overrides: Iterable[Override] = (),
        vips: Iterable[str] | None = None,
    ) -> None:
        """For a Reply that says `applied`.  `vips`: whose rings it changes; None: any."""
        named = self._state.vips if vips is None else vips
        self._waiting[answer.id] = _Waiting(sender, answer, tuple(overrides), frozenset(named))
        self._new.append(answer.id)

    def looks(self, now: float) -> list[Effect]:
        """The first look of each, once everything was settled: behind the Replies."""
        new = [id_ for id_ in self._new if id_ in self._waiting]
        self._new.clear()
        for id_ in new:
            self._waiting[id_].until = now + WITHIN
        return [ReadBack(id_, self._rings(self._waiting[id_].vips)) for id_ in new]

    def waits(self, id_: str) -> bool:
        return id_ in self._waiting

    def heard_again(self, id_: str, sender: bytes) -> None:
        """Its sender came anew, maybe by another connection."""
        if id_ in self._waiting:
            self._waiting[id_].sender = sender

    def forget(self, id_: str) -> None:
        """It was taken back."""
        self._waiting.pop(id_, None)

    def held(self, fact: Held, now: float) -> tuple[Reply | None, list[Effect]]:
        """The last answer, when it is known; else another look."""
        waiting = self._waiting.get(fact.id)
        if waiting is None:
            return None, []
        wrong = self._difference(waiting, fact)
        if wrong and now < waiting.until:
            return None, [ReadBack(fact.id, self._rings(waiting.vips), AGAIN)]
        del self._waiting[fact.id]
        answer = msgspec.structs.replace(waiting.answer, revision=self._state.revision)
        return Reply(waiting.sender, _concluded(answer, wrong)), []

    def _rings(self, names: frozenset[str]) -> dict[int, Mapping[Address, int]]:
        """vip_num -> {address: real_num} of who has slots."""
        return {
            vip.vip_num: _numbers(vip)
            for name, vip in self._state.vips.items()
            if name in names and vip.placed is not None
        }

    def _difference(self, waiting: _Waiting, held: Held) -> str:
        """In words; empty: none."""
        if any(differs(self._state, override) for override in waiting.overrides):
            return "the state was changed again meanwhile"
        if held.error:
            return held.error
        return self._of_vips(held) or self._of_reals(held) or self._of_rings(held) or held.routes

    def _of_vips(self, held: Held) -> str:
        for name, vip in self._state.vips.items():
            if vip.written and held.vips.get(vip.listed.key) != vip.vip_num:
                found = held.vips.get(vip.listed.key)
                return f"map of VIPs: {name} has number {found}, expected {vip.vip_num}"
        return ""

    def _of_reals(self, held: Held) -> str:
        found = {real.real_num: real for real in held.reals}
        for name, vip in self._state.vips.items():
            for address, real in vip.reals.items():
                if real.written is None:
                    continue
                wanted = real.number._replace(flags=real.written)
                if found.get(wanted.real_num) != wanted:
                    has = found.get(wanted.real_num)
                    return f"map of reals: {address}@{name} is {has}, expected {wanted}"
        return ""

    def _of_rings(self, held: Held) -> str:
        for name, vip in self._state.vips.items():
            if vip.obeyed != vip.wishes and vip.placed != vip.members:
                return f"ring of {name}: not built yet"
            found = held.rings.get(vip.vip_num)
            if found is not None and found != vip.ring_digest:
                return f"ring of {name}: digest {found}, expected {vip.ring_digest}"
        return ""


def _numbers(vip: VipState) -> dict[Address, int]:
    members = vip.placed or {}
    return {a: vip.reals[a].number.real_num for a in members if members[a] and a in vip.reals}


def _concluded(answer: Answer, wrong: str) -> Answer:
    return msgspec.structs.replace(
        answer,
        status="unverified" if wrong else "verified",
        error=f"applied, but not found when read back: {wrong}" if wrong else "",
        more=False,
    )
