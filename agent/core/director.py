# SPDX-License-Identifier: Apache-2.0
"""Every decision of the agent: facts in, effects out.

Rule 1: all that changes NodeState happens here, or in what is called from here: observing.py and
host_watch.py (what is seen), clockwork.py (time), answering.py (what is asked), adoption.py (the
start).
Rule 2: no clock, no I/O, no logging: `now` is an argument (seconds, monotonic).
Rule 3: nothing is done by difference to what was asked before: settling.py compares what should be
with what was written.

Order of effects: what settling.py says, then journal, events, answers: "answered" means "written".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from agent.boundary import (
    Adopted,
    Asked,
    Counted,
    Effect,
    Emit,
    Fact,
    Failed,
    Held,
    Looked,
    PeerChanged,
    Probe,
    Probed,
    Proposed,
    ReadBack,
    Remember,
    Reply,
    StartTrace,
    Stopping,
    StopTrace,
    Tick,
    Written,
)
from agent.config.tree import Config
from agent.core import clockwork, maglev, tracing
from agent.core.adoption import adopt
from agent.core.answering import Answering
from agent.core.host_watch import Watching
from agent.core.observing import Observing
from agent.core.readback import ReadingBack
from agent.core.settling import Budget, Settling
from agent.core.state import NodeState
from shared.messages import ChangeEvent, RouteEvent

RINGS_AT_ONCE = 16
"""Rings built in one call, some 40 ms: the checks that wait meanwhile must not time out."""
RETRY = 1.0
"""Seconds until a failed effect is tried again."""

_OF_SINGLE_VIPS = {Probed, Counted}
"""Facts that touch no VIP but those that they are about."""
_URGENT = {Asked, Proposed, Stopping}
"""Nobody waits for a retry but the retry: a command is answered when it is written, a stop
withdraws at once."""
_WRITTEN_AT_ONCE = {Asked, Proposed, Adopted}
"""A command's rings are all written before it is answered, and so are those of a start."""
_ONLY_TOLD = Remember | Emit | ReadBack | Reply
"""Effects that leave what was settled as it is."""


class Director:
    """The core.  `fill` builds a ring (maglev.fill, or the data plane's faster equal)."""

    def __init__(self, listed: Config, fill: maglev.Fill = maglev.fill) -> None:
        self.state = NodeState(listed)
        self._settling = Settling(self.state, fill)
        self._observing = Observing(self.state, self._settling.touch)
        self._reading_back = ReadingBack(self.state)
        self._watching = Watching(self.state, self._settling.touch_all)
        self._answering = Answering(self.state, fill, self._reading_back, self._settling.touch_all)
        self._adopted = False
        self._stopping = False
        self._retry_at = 0.0
        self._owed: list[Effect] = []
        """Journal entries of the agent's own doing that could not be written yet."""
        self._owed_at = 0.0

    @property
    def unsettled(self) -> bool:
        """There is more to do: call take() again soon."""
        return self._settling.unsettled

    def take(self, facts: Sequence[Fact], now: float) -> list[Effect]:
        """Everything to do about a batch of facts.  Simultaneous changes are one ring rebuild."""
        kinds = {type(fact) for fact in facts}
        if not kinds <= _OF_SINGLE_VIPS:
            self.state.touched += 1
        ahead, after = self._on_all(facts, now)
        after += self._end_trace(now)
        urgent = bool(kinds & _URGENT)
        if not self._adopted or (now < self._retry_at and not urgent):
            return after
        if any(isinstance(fact, Counted) for fact in facts):  # of each second one
            ahead += self._settling.forget_previous(now)  # a new ring's previous one is to stay
        self._observing.ramp(now)
        passed = clockwork.passed(self.state, now)
        if passed.moved:
            self._settling.touch_all()
        if passed.effects or now >= self._owed_at:
            after += self._owed  # ahead of what is newer: the journal is in order
            self._owed.clear()
        after += passed.effects
        if not self._settling.due:
            after += self._reading_back.looks(now)
            return [*ahead, *after]  # a thousand results a second say nothing new
        self.state.touched += 1
        at_once = bool(kinds & _WRITTEN_AT_ONCE)
        if not (at_once or urgent) and (flags := self._settling.flags()):
            return [*ahead, *flags, *after]
        rings = len(self.state.vips) if at_once else RINGS_AT_ONCE
        effects = self._settling.settle(Budget(rings), now)
        return [*ahead, *effects, *after, *self._reading_back.looks(now)]

    # ---- facts

    def _on_all(self, facts: Sequence[Fact], now: float) -> tuple[list[Effect], list[Effect]]:
        """(ahead of what is settled, behind it)"""
        ahead: list[Effect] = []
        behind: list[Effect] = []
        for fact in facts:
            if isinstance(fact, Proposed):
                first, then = self._answering.proposed(fact, now)
                ahead += first
                behind += then
            else:
                behind += self._on(fact, now)
        return ahead, behind

    def _on(self, fact: Fact, now: float) -> list[Effect]:  # noqa: PLR0912  # one branch per fact
        match fact:
            case Probed():
                return self._observing.probed(fact, now)
            case Asked():
                return self._answering.asked(fact, now)
            case PeerChanged():
                return self._observing.peer(fact, now)
            case Counted():
                return self._observing.counted(fact, now)
            case Adopted():
                adopt(self.state, fact, now)
                self._adopted = True
                self._answering.adopted(fact.keyed, now)
                self._settling.adopted()
                return [Probe(self.state.checks())]
            case Proposed():
                raise AssertionError("taken by _on_all()")
            case Failed():
                return self._on_failed(fact, now)
            case Stopping():
                self._stopping = True
                self._settling.stop()
                return []
            case Held():
                return self._on_held(fact, now)
            case Looked():
                return self._watching.looked(fact, now)
            case Written():
                self._answering.written()
                return []
            case Tick():
                return []
            case _:
                assert_never(fact)

    def _end_trace(self, now: float) -> list[Effect]:
        why = tracing.over(self.state, now)
        if self.state.trace and self._stopping:
            why = "the agent stops"
        if not why:
            return []
        self.state.trace = None
        told = ChangeEvent("agent", "trace", f"ended: {why}", self.state.revision)
        return [StopTrace(why), Emit(told)]

    def _on_held(self, fact: Held, now: float) -> list[Effect]:
        reply, effects = self._reading_back.held(fact, now)
        if reply is None:
            return effects
        self._answering.remember(reply.answer)
        if reply.answer.status == "unverified":
            self._settling.forget((), now)  # written anew, all of it
            told = ChangeEvent("agent", "read back", reply.answer.error, self.state.revision)
            return [Emit(told), reply]
        return [reply]

    def _on_failed(self, fact: Failed, now: float) -> list[Effect]:
        """The written state is not known any more: all is compared anew, a little later.

        Unless nothing but words was lost: a disk that is silent for an hour costs no ring.
        A command whose effects were dropped is taken back: the old state stays in force (K5).
        """
        replies = [effect for effect in fact.dropped if isinstance(effect, Reply)]
        if isinstance(fact.effect, Reply):
            replies = []
        taken_back = self._answering.take_back(replies)
        undone = (fact.effect, *fact.dropped)
        self._owed += [e for e in undone if isinstance(e, Remember) and e.command.who == "agent"]
        self._owed_at = now + RETRY
        if taken_back or not all(isinstance(effect, _ONLY_TOLD) for effect in undone):
            self._retry_at = now if taken_back else now + RETRY  # the old state goes back at once
            self._settling.forget(undone, now)
        effects: list[Effect] = []
        if self._trace_failed(undone):
            self.state.trace = None
            effects.append(StopTrace("its command failed"))
        effects += [
            effect
            for effect in fact.dropped
            if isinstance(effect, Emit) and not isinstance(effect.body, ChangeEvent | RouteEvent)
        ]
        waiting = [effect for effect in fact.dropped if isinstance(effect, ReadBack)]
        effects += self._answering.failed(replies, fact.error)
        return effects + [look for look in waiting if self._reading_back.waits(look.id)]

    def _trace_failed(self, undone: Sequence[Effect]) -> bool:
        """The program's filter is not known, or it is that of a command that is taken back."""
        id_ = self.state.trace.id if self.state.trace else None
        return any(
            isinstance(effect, StartTrace | StopTrace)
            or (isinstance(effect, Reply) and effect.answer.id == id_)
            for effect in undone
        )
