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
    ReadConfig,
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
from agent.core.reconfigure import Before
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
        self._writing = False
        """Some of them are on their way."""

    @property
    def unsettled(self) -> bool:
        """There is more to do: call take() again soon."""
        return self._settling.unsettled

    def take(self, facts: Sequence[Fact], now: float) -> list[Effect]:
        """Everything to do about a batch of facts.  Simultaneous changes are one ring rebuild."""
        kinds = {type(fact) for fact in facts}
        if not kinds <= _OF_SINGLE_VIPS:
            self.state.touched += 1
        after = [e for f in facts if not isinstance(f, Asked | Proposed) for e in self._on(f, now)]
        urgent = bool(kinds & _URGENT)
        acts = self._adopted and (urgent or now >= self._retry_at)
        # Before the commands: what time did is not taken back with one.
        passed = self._passed(now) if acts else []
        ahead, asked = self._on_commands(facts, now)
        after += [*self._in_order(passed, asked, now), *self._end_trace(now)]
        if not acts:
            return after
        if any(isinstance(fact, Counted) for fact in facts):  # of each second one
            ahead += self._settling.forget_previous(now)  # a new ring's previous one is to stay
        self._observing.ramp(now)
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

    def _passed(self, now: float) -> list[Effect]:
        """What time brought.  It stands still while a command may yet be taken back (3 s, while a
        disk is slow), and while what it brought before is not written: the journal is in order."""
        if self._answering.unwritten or self._writing:
            return []
        passed = clockwork.passed(self.state, now)
        if passed.moved:
            self._settling.touch_all()
        return passed.effects

    def _in_order(self, passed: list[Effect], asked: list[Effect], now: float) -> list[Effect]:
        """With what is owed, when it is time for it or for a newer entry, which comes behind.  Who
        asked for nothing that is written waits for no disk."""
        enters = any(isinstance(effect, Remember) for effect in asked)
        own = passed
        if passed or enters or self._stopping or now >= self._owed_at:
            own, self._owed = [*self._owed, *passed], []
        self._writing |= any(map(_is_own, own))
        return [*own, *asked] if enters else [*asked, *own]

    # ---- facts

    def _on_commands(self, facts: Sequence[Fact], now: float) -> tuple[list[Effect], list[Effect]]:
        """(ahead of what is settled, behind it)"""
        reads: list[
            Effect
        ] = []  # first: what fails drops all behind it, and who reads is not asked
        ahead: list[Effect] = []
        behind: list[Effect] = []
        for fact in facts:
            if isinstance(fact, Proposed):
                first, then = self._answering.proposed(fact, now)
                ahead += first
                behind += then
            elif isinstance(fact, Asked):
                for effect in self._answering.asked(fact, now):
                    (reads if isinstance(effect, ReadConfig) else behind).append(effect)
        return [*reads, *ahead], behind

    def _on(self, fact: Fact, now: float) -> list[Effect]:  # one branch per fact
        match fact:
            case Probed():
                return self._observing.probed(fact, now)
            case PeerChanged():
                return self._observing.peer(fact, now)
            case Counted():
                return self._observing.counted(fact, now)
            case Adopted():
                self._owed += adopt(self.state, fact, now)
                self._adopted = True
                self._answering.adopted(fact.keyed, now)
                self._settling.adopted()
                return [Probe(self.state.checks())]
            case Asked() | Proposed():
                raise AssertionError("taken by _on_commands()")
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
                self._writing = False
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

        Unless nothing but words was lost: then it is as it was written, and a disk that is silent
        for an hour costs no ring but those of the commands that it refused.
        A command whose effects were dropped is taken back: the old state stays in force (K5).
        """
        replies = [effect for effect in fact.dropped if isinstance(effect, Reply)]
        if isinstance(fact.effect, Reply):
            replies = []
        undone = (fact.effect, *fact.dropped)
        taken_back = self._answering.take_back(replies)
        self._owe([effect for effect in undone if _is_own(effect)], now)
        unknown = not all(isinstance(effect, _ONLY_TOLD) for effect in undone)
        if unknown or Before in map(type, taken_back):  # what a config removed was removed
            self._settling.forget(undone, now)
        if taken_back:
            self._settling.touch_all()
        if taken_back or unknown:
            self._retry_at = now if taken_back else now + RETRY  # the old state goes back at once
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

    def _owe(self, entries: Sequence[Effect], now: float) -> None:
        self._owed += entries
        self._owed_at = now + RETRY
        if entries:
            self._writing = False

    def _trace_failed(self, undone: Sequence[Effect]) -> bool:
        """The program's filter is not known, or it is that of a command that is taken back."""
        id_ = self.state.trace.id if self.state.trace else None
        return any(
            isinstance(effect, StartTrace | StopTrace)
            or (isinstance(effect, Reply) and effect.answer.id == id_)
            for effect in undone
        )


def _is_own(effect: Effect) -> bool:
    """A journal entry of what the agent did by itself."""
    return isinstance(effect, Remember) and effect.command.who == clockwork.AGENT
