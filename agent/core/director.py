# SPDX-License-Identifier: Apache-2.0
"""Every decision of the agent: facts in, effects out.

Rule 1: all that changes NodeState happens here, or in what is called from here: observing.py and
host_watch.py (what is seen), clockwork.py (time), commands.py and reconfigure.py (what is asked),
adoption.py (the start).
Rule 2: no clock, no I/O, no logging: `now` is an argument (seconds, monotonic).
Rule 3: nothing is done by difference to what was asked before: settling.py compares what should be
with what was written.

Order of effects: what settling.py says, then journal, events, answers: "answered" means "written".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

import msgspec

from agent.boundary import (
    Adopted,
    Asked,
    Counted,
    Effect,
    Emit,
    Fact,
    Failed,
    Held,
    KeepConfig,
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
    Verify,
)
from agent.config.tree import Config
from agent.core import clockwork, commands, maglev, pending, reconfigure, rollouts, tracing
from agent.core.adoption import adopt
from agent.core.host_watch import Watching
from agent.core.observing import Observing
from agent.core.once import Once
from agent.core.readback import ReadingBack
from agent.core.settling import Budget, Settling
from agent.core.state import NodeState
from shared.messages import (
    Answer,
    ChangeEvent,
    Command,
    Confirm,
    Reload,
    Rollback,
    Rollout,
    RouteEvent,
    Trace,
    Untrace,
)

REMEMBERED_ANSWERS = 1024
"""Answers kept for commands that are sent again."""
RINGS_AT_ONCE = 16
"""Rings built in one call, some 40 ms: the checks that wait meanwhile must not time out."""
_BRIEF = Trace | Untrace
"""Nothing of them stays that could be read back."""
RETRY = 1.0
"""Seconds until a failed effect is tried again."""


class Director:
    """The core.  `fill` builds a ring (maglev.fill, or the data plane's faster equal)."""

    def __init__(self, listed: Config, fill: maglev.Fill = maglev.fill) -> None:
        self.state = NodeState(listed)
        self._fill = fill
        self._settling = Settling(self.state, fill)
        self._observing = Observing(self.state, self._settling.touch)
        self._reading_back = ReadingBack(self.state)
        self._watching = Watching(self.state, self._settling.touch_all)
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._once = Once()
        self._adopted = False
        self._stopping = False
        self._retry_at = 0.0
        self._owed: list[Effect] = []
        """Journal entries of the agent's own doing that could not be written yet."""
        self._undo: list[tuple[str, commands.Undo | reconfigure.Before]] = []
        """Of the commands in the last batch, should one of its effects fail."""

    @property
    def unsettled(self) -> bool:
        """There is more to do: call take() again soon."""
        return self._settling.unsettled

    def take(self, facts: Sequence[Fact], now: float) -> list[Effect]:
        """Everything to do about a batch of facts.  Simultaneous changes are one ring rebuild."""
        after: list[Effect] = []
        if not all(isinstance(fact, Probed) for fact in facts):  # those touch their VIP only
            self.state.touched += 1
        if not any(isinstance(fact, Failed) for fact in facts):
            self._undo = []
        ahead: list[Effect] = []
        for fact in facts:
            if isinstance(fact, Proposed):
                before, behind = self._on_proposed(fact, now)
                ahead += before
                after += behind
            else:
                after += self._on(fact, now)
        after += self._end_trace(now)
        # Nobody waits for a retry but the retry: a command is answered when it is written, a stop
        # withdraws at once.
        urgent = any(isinstance(fact, Asked | Proposed | Stopping) for fact in facts)
        if not self._adopted or (now < self._retry_at and not urgent):
            return after
        self._observing.ramp(now)
        passed = clockwork.passed(self.state, now)
        if passed.moved:
            self._settling.touch_all()
        after += [*self._owed, *passed.effects]
        self._owed.clear()
        if not self._settling.due:
            after += self._reading_back.looks(now)
            return [*ahead, *after]  # a thousand results a second say nothing new
        self.state.touched += 1
        # A command's rings are all written before it is answered, and so are those of a start.
        at_once = any(isinstance(fact, Asked | Proposed | Adopted) for fact in facts)
        if not (at_once or urgent) and (flags := self._settling.flags()):
            return [*ahead, *flags, *after]
        rings = len(self.state.vips) if at_once else RINGS_AT_ONCE
        effects = self._settling.settle(Budget(rings), now)
        return [*ahead, *effects, *after, *self._reading_back.looks(now)]

    # ---- facts

    def _on(self, fact: Fact, now: float) -> list[Effect]:
        match fact:
            case Probed():
                return self._observing.probed(fact, now)
            case Asked():
                return self._on_asked(fact, now)
            case PeerChanged():
                return self._observing.peer(fact, now)
            case Counted():
                return self._observing.counted(fact, now)
            case Adopted():
                adopt(self.state, fact, now)
                self._adopted = True
                self._once.adopted(fact.keyed, now)
                self._settling.adopted()
                return [Probe(self.state.checks())]
            case Proposed():
                raise AssertionError("taken by take()")
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
            case Tick():
                return self._settling.forget_previous(now)
            case _:
                assert_never(fact)

    def _on_asked(self, fact: Asked, now: float) -> list[Effect]:
        command = fact.command
        known = self._answers.get(command.id)
        if known is not None:
            return self._said_again(fact.sender, known)
        if fact.answered is not None:
            answer = msgspec.structs.replace(fact.answered, more=True)
            self._remember_answer(answer)
            self._reading_back.begin(fact.sender, answer)
            return [Reply(fact.sender, answer)]
        before = self._once.answer(command, self.state.listed.node.name, now)
        if before is not None:
            return [Reply(fact.sender, before)]
        if isinstance(command.action, Reload | Rollback):
            return [ReadConfig(command, fact.sender)]
        if isinstance(command.action, Trace | Untrace):
            return self._on_trace(fact, now)
        if isinstance(command.action, Rollout):
            return self._on_rollout(command, command.action, fact.sender, now)
        self._settling.touch_all()
        if isinstance(command.action, Confirm):
            return self._on_confirmed(command, command.action, fact.sender, now)
        outcome = commands.decide(self.state, command, self._fill, now)
        answer = outcome.answer
        entry = Remember(command, _result(answer), answer.revision, outcome.overrides)
        back: tuple[str, ...] = ()
        if outcome.overrides:
            undo = commands.apply(self.state, outcome.overrides, now)
            self._undo.append((command.id, undo))
            back = commands.inverse(self.state, undo, outcome.overrides)
            answer = commands.revised(answer, self.state.revision)
            entry = self._arm(replace(entry, revision=answer.revision), undo, now)
        if answer.status in ("applied", "unchanged") and not command.dry_run:
            entry = self._took_turn(entry, back)
        return self._answered(command, fact.sender, answer, entry, now=now, back=back)

    def _arm(self, entry: Remember, undo: commands.Undo, now: float) -> Remember:
        """What the change leaves pending, and what it takes out of what was."""
        changed = pending.objects(entry.overrides)
        self.state.pending, settled = pending.without(self.state.pending, changed)
        armed = pending.armed(entry.command, undo.overrides, now)
        self.state.pending += armed
        return replace(entry, pending=tuple(due.pending for due in armed), settled=tuple(settled))

    def _took_turn(self, entry: Remember, back: tuple[str, ...]) -> Remember:
        """Of an operation that comes to its nodes one after the other, if it is of one."""
        after = rollouts.after(self.state.rollouts, entry.command, back)
        if after is None:
            return entry
        self.state.rollouts = after
        return replace(entry, rollouts=after)

    def _on_rollout(
        self, command: Command, action: Rollout, sender: bytes, now: float
    ) -> list[Effect]:
        answer, after = commands.decide_rollout(self.state, command, action, now)
        if command.dry_run:
            return [Reply(sender, answer)]
        self._remember_answer(answer)
        if after is not None:
            before = (self.state.revision, (), tuple(self.state.pending), self.state.rollouts)
            self._undo.append((command.id, commands.Undo((), *before)))
            self.state.rollouts = after
        # No event: what became of it is in the node's telemetry until it is over.
        entry = Remember(command, _result(answer), answer.revision, rollouts=after)
        return [entry, Reply(sender, answer)]

    def _on_confirmed(
        self, command: Command, action: Confirm, sender: bytes, now: float
    ) -> list[Effect]:
        state = self.state
        mine = [
            due
            for due in state.pending
            if due.pending.kind == "confirm"
            and (due.pending.operation == action.operation if action.operation
                 else due.pending.who == command.who)
        ]  # fmt: skip
        answer = Answer(
            id=command.id,
            node=state.listed.node.name,
            status="unchanged",
            revision=state.revision,
            keyed=bool(command.idempotency_key),
        )
        entry = Remember(command, answer.status, answer.revision)
        if mine:
            status = "planned" if command.dry_run else "applied"
            answer = msgspec.structs.replace(answer, status=status)
            settled = tuple(due.pending.id for due in mine)
            entry = replace(entry, result=answer.status, settled=settled)
        if mine and not command.dry_run:
            before = (state.revision, (), tuple(state.pending), state.rollouts)
            self._undo.append((command.id, commands.Undo((), *before)))
            state.pending = [due for due in state.pending if due not in mine]
        return self._answered(command, sender, answer, entry, now=now)

    def _on_proposed(self, fact: Proposed, now: float) -> tuple[list[Effect], list[Effect]]:
        """(ahead of what is settled, behind it).  The config's text is kept first: a full disk is
        found before anything is touched."""
        command = fact.command
        known = self._answers.get(command.id)
        if known is not None:
            return [], self._said_again(fact.sender, known)
        if before := self._once.answer(command, self.state.listed.node.name, now):
            return [], [Reply(fact.sender, before)]
        outcome = commands.decide_config(self.state, fact, self._fill, now)
        answer, following = outcome.answer, outcome.following
        if following is None:
            entry = Remember(command, _result(answer), answer.revision)
            return [], self._answered(command, fact.sender, answer, entry, now=now)
        self._settling.touch_all()
        self._undo.append((command.id, reconfigure.install(self.state, following)))
        answer = commands.revised(answer, self.state.revision)
        entry = Remember(
            command,
            _result(answer),
            answer.revision,
            following.overrides,
            following.generation,
            fact.instead_of,
        )
        verify = Verify(
            {vip.listed.key: vip.vip_num for vip in following.vips.values()},
            tuple(r.number for vip in following.vips.values() for r in vip.reals.values()),
        )
        behind = [verify, *self._answered(command, fact.sender, answer, entry, now=now)]
        return [KeepConfig(following.generation, fact.text)], behind

    def _on_trace(self, fact: Asked, now: float) -> list[Effect]:
        outcome = tracing.decide(self.state, fact.command, now)
        self.state.trace = outcome.running
        answer = outcome.answer
        entry = Remember(fact.command, _result(answer), answer.revision)
        return [
            *outcome.effects,
            *self._answered(fact.command, fact.sender, answer, entry, now=now),
        ]

    def _end_trace(self, now: float) -> list[Effect]:
        why = tracing.over(self.state, now)
        if self.state.trace and self._stopping:
            why = "the agent stops"
        if not why:
            return []
        self.state.trace = None
        told = ChangeEvent("agent", "trace", f"ended: {why}", self.state.revision)
        return [StopTrace(why), Emit(told)]

    def _answered(
        self,
        command: Command,
        sender: bytes,
        answer: Answer,
        entry: Remember,
        *,
        now: float,
        back: tuple[str, ...] = (),
    ) -> list[Effect]:
        """Journal, event and answer, in this order; a plan leaves no trace."""
        if command.dry_run:
            return [Reply(sender, answer)]
        entry = replace(entry, keyed=self._once.kept(command, answer, now))
        if command.steps and answer.status == "applied" and not isinstance(command.action, _BRIEF):
            answer = msgspec.structs.replace(answer, more=True)
            vips = [change.vip for change in answer.changes]
            self._reading_back.begin(sender, answer, overrides=entry.overrides, vips=vips)
        self._remember_answer(answer)
        what = commands.in_words(command.action)
        told = ChangeEvent(
            who=command.who,
            what=what,
            result=entry.result,
            revision=answer.revision,
            why=command.why,
            operation=command.operation,
            undo=back,
        )
        return [entry, Emit(told), Reply(sender, answer)]

    def _said_again(self, sender: bytes, known: Answer) -> list[Effect]:
        """The step that it has come to; the next ones go where it came from now."""
        self._reading_back.heard_again(known.id, sender)
        return [Reply(sender, known)]

    def _on_held(self, fact: Held, now: float) -> list[Effect]:
        reply, effects = self._reading_back.held(fact, now)
        if reply is None:
            return effects
        self._remember_answer(reply.answer)
        if reply.answer.status == "unverified":
            self._settling.forget((), now)  # written anew, all of it
            told = ChangeEvent("agent", "read back", reply.answer.error, self.state.revision)
            return [Emit(told), reply]
        return [reply]

    def _remember_answer(self, answer: Answer) -> None:
        self._answers[answer.id] = answer
        while len(self._answers) > REMEMBERED_ANSWERS:
            self._answers.popitem(last=False)

    def _on_failed(self, fact: Failed, now: float) -> list[Effect]:
        """The written state is not known any more: all is compared anew, a little later.

        A command whose effects were dropped is taken back: the old state stays in force (K5).
        """
        self._retry_at = now + RETRY
        replies = [effect for effect in fact.dropped if isinstance(effect, Reply)]
        if isinstance(fact.effect, Reply):
            replies = []
        unanswered = {reply.answer.id for reply in replies}
        taken_back = [undo for id_, undo in self._undo if id_ in unanswered]
        if taken_back:
            self._retry_at = now  # the old state is put back at once
            for undo in reversed(taken_back):
                if isinstance(undo, reconfigure.Before):
                    reconfigure.restore(self.state, undo)
                else:
                    commands.revert(self.state, undo)
        self._undo = []
        undone = (fact.effect, *fact.dropped)
        self._owed += [e for e in undone if isinstance(e, Remember) and e.command.who == "agent"]
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
        for reply in replies:
            self._answers.pop(reply.answer.id, None)
            self._once.forget(reply.answer.id)
            self._reading_back.forget(reply.answer.id)
            answer = Answer(
                id=reply.answer.id,
                node=reply.answer.node,
                status="failed",
                revision=self.state.revision,
                error=f"{fact.error}; nothing was changed",
            )
            effects += [
                Emit(ChangeEvent("agent", "command", f"failed: {fact.error}", answer.revision)),
                Reply(reply.sender, answer),
            ]
        return effects + [look for look in waiting if self._reading_back.waits(look.id)]

    def _trace_failed(self, undone: Sequence[Effect]) -> bool:
        """The program's filter is not known, or it is that of a command that is taken back."""
        id_ = self.state.trace.id if self.state.trace else None
        return any(
            isinstance(effect, StartTrace | StopTrace)
            or (isinstance(effect, Reply) and effect.answer.id == id_)
            for effect in undone
        )


def _result(answer: Answer) -> str:
    return answer.status if not answer.error else f"{answer.status}: {answer.error}"
