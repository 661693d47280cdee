# SPDX-License-Identifier: Apache-2.0
"""Commands: each is taken once, planned, carried out, written down, answered, or taken back.  Pure.

commands.py and tracing.py say what a command comes to; here is what becomes of it: the state
changes, and journal, event and answer say so, in this order.  A command whose effects could not be
done is taken back whole: the old state stays in force (K5).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from agent.boundary import (
    Asked,
    Effect,
    Emit,
    KeepConfig,
    Proposed,
    ReadConfig,
    Remember,
    Reply,
    Verify,
)
from agent.core import commands, maglev, overrides, pending, reconfigure, rollouts, tracing, wording
from agent.core.once import Once
from agent.core.readback import ReadingBack
from agent.core.state import NodeState
from agent.nouns import Keyed
from shared.messages import (
    Answer,
    ChangeEvent,
    Command,
    Confirm,
    Reload,
    Rollback,
    Rollout,
    Trace,
    Untrace,
)

REMEMBERED_ANSWERS = 1024
"""Answers kept for commands that are sent again."""
_BRIEF = Trace | Untrace
"""Nothing of them stays that could be read back."""


class Answering:
    """Who asked for what, what was answered, and how what is not written yet is taken back."""

    def __init__(
        self,
        state: NodeState,
        fill: maglev.Fill,
        reading_back: ReadingBack,
        touch_all: Callable[[], None],
    ) -> None:
        self._state = state
        self._fill = fill
        self._reading_back = reading_back
        self._touch_all = touch_all
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._once = Once()
        self._undo: list[tuple[str, overrides.Undo | reconfigure.Before]] = []
        """By command id, of those that are not written yet."""

    def adopted(self, keyed: Iterable[Keyed], now: float) -> None:
        self._once.adopted(keyed, now)

    @property
    def unwritten(self) -> bool:
        """Whether a change may still be taken back."""
        return bool(self._undo)

    def written(self) -> None:
        """All that was answered so far is done."""
        self._undo.clear()

    # ---- what is asked

    def asked(self, fact: Asked, now: float) -> list[Effect]:
        command = fact.command
        known = self._answers.get(command.id)
        if known is not None:
            return self._said_again(fact.sender, known)
        if fact.answered is not None:
            answer = replace(fact.answered, more=True)
            self.remember(answer)
            self._reading_back.begin(fact.sender, answer)
            return [Reply(fact.sender, answer)]
        if before := self._once.answer(command, self._state.listed.node.name, now):
            return [Reply(fact.sender, before)]
        if isinstance(command.action, Reload | Rollback):
            return [ReadConfig(command, fact.sender)]
        if isinstance(command.action, Trace | Untrace):
            return self._on_trace(fact, now)
        if isinstance(command.action, Rollout):
            return self._on_rollout(command, command.action, fact.sender, now)
        self._touch_all()
        if isinstance(command.action, Confirm):
            return self._on_confirmed(command, command.action, fact.sender, now)
        return self._on_change(command, fact.sender, now)

    def _on_change(self, command: Command, sender: bytes, now: float) -> list[Effect]:
        outcome = commands.decide(self._state, command, self._fill, now)
        answer = outcome.answer
        entry = Remember(command, _result(answer), answer.revision, outcome.overrides)
        back: tuple[str, ...] = ()
        if outcome.overrides:
            undo = overrides.apply(self._state, outcome.overrides, now)
            self._undo.append((command.id, undo))
            back = wording.inverse(self._state, undo.overrides, outcome.overrides)
            answer = commands.revised(answer, self._state.revision)
            entry = self._arm(replace(entry, revision=answer.revision), undo, now)
        if answer.status in ("applied", "unchanged") and not command.dry_run:
            entry = self._took_turn(entry, back)
        return self._answered(command, sender, answer, entry, now=now, back=back)

    def _arm(self, entry: Remember, undo: overrides.Undo, now: float) -> Remember:
        """What the change leaves pending, and what it takes out of what was."""
        before = self._state.pending
        left = pending.without(before, pending.objects(entry.overrides))
        self._state.pending = [*left, *pending.armed(entry.command, undo.overrides, now)]
        changed, settled = pending.journalled(before, self._state.pending, now)
        return replace(entry, pending=changed, settled=settled)

    def _took_turn(self, entry: Remember, back: tuple[str, ...]) -> Remember:
        """Of an operation that comes to its nodes one after the other, if it is of one."""
        after = rollouts.after(self._state.rollouts, entry.command, back)
        if after is None:
            return entry
        self._state.rollouts = after
        return replace(entry, rollouts=after)

    def _on_rollout(
        self, command: Command, action: Rollout, sender: bytes, now: float
    ) -> list[Effect]:
        answer, after = commands.decide_rollout(self._state, command, action, now)
        if command.dry_run:
            return [Reply(sender, answer)]
        self.remember(answer)
        if after is not None:
            self._undo.append((command.id, overrides.as_it_is(self._state)))
            self._state.rollouts = after
        # No event: what became of it is in the node's telemetry until it is over.
        entry = Remember(command, _result(answer), answer.revision, rollouts=after)
        return [entry, Reply(sender, answer)]

    def _on_confirmed(
        self, command: Command, action: Confirm, sender: bytes, now: float
    ) -> list[Effect]:
        state = self._state
        mine = pending.confirmed(state.pending, command, action)
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
            answer = replace(answer, status=status)
            settled = tuple(due.pending.id for due in mine)
            entry = replace(entry, result=answer.status, settled=settled)
        if mine and not command.dry_run:
            self._undo.append((command.id, overrides.as_it_is(state)))
            state.pending = [due for due in state.pending if due not in mine]
        return self._answered(command, sender, answer, entry, now=now)

    def proposed(self, fact: Proposed, now: float) -> tuple[list[Effect], list[Effect]]:
        """(ahead of what is settled, behind it).  The config's text is kept first: a full disk is
        found before anything is touched."""
        command = fact.command
        known = self._answers.get(command.id)
        if known is not None:
            return [], self._said_again(fact.sender, known)
        if before := self._once.answer(command, self._state.listed.node.name, now):
            return [], [Reply(fact.sender, before)]
        outcome = commands.decide_config(self._state, fact, self._fill, now)
        answer, following = outcome.answer, outcome.following
        if following is None:
            entry = Remember(command, _result(answer), answer.revision)
            return [], self._answered(command, fact.sender, answer, entry, now=now)
        self._touch_all()
        changed, settled = pending.journalled(self._state.pending, following.pending, now)
        self._undo.append((command.id, reconfigure.install(self._state, following)))
        answer = commands.revised(answer, self._state.revision)
        entry = Remember(
            command,
            _result(answer),
            answer.revision,
            following.overrides,
            following.generation,
            fact.instead_of,
            changed,
            settled,
            phases=following.phases,
        )
        verify = Verify(
            {vip.listed.key: vip.vip_num for vip in following.vips.values()},
            tuple(r.number for vip in following.vips.values() for r in vip.reals.values()),
        )
        behind = [verify, *self._answered(command, fact.sender, answer, entry, now=now)]
        return [KeepConfig(following.generation, fact.text)], behind

    def _on_trace(self, fact: Asked, now: float) -> list[Effect]:
        outcome = tracing.decide(self._state, fact.command, now)
        self._state.trace = outcome.running
        answer = outcome.answer
        entry = Remember(fact.command, _result(answer), answer.revision)
        told = self._answered(fact.command, fact.sender, answer, entry, now=now)
        return [*outcome.effects, *told]

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
            answer = replace(answer, more=True)
            vips = [change.vip for change in answer.changes]
            self._reading_back.begin(sender, answer, overrides=entry.overrides, vips=vips)
        self.remember(answer)
        what = wording.in_words(command.action)
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

    def remember(self, answer: Answer) -> None:
        """What is said to whoever sends the command again."""
        self._answers[answer.id] = answer
        while len(self._answers) > REMEMBERED_ANSWERS:
            self._answers.popitem(last=False)

    # ---- and back

    def take_back(self, replies: Iterable[Reply]) -> list[overrides.Undo | reconfigure.Before]:
        """The state before the commands that these were to answer; what was taken back."""
        unanswered = {reply.answer.id for reply in replies}
        taken_back = [undo for id_, undo in self._undo if id_ in unanswered]
        self._undo = [(id_, undo) for id_, undo in self._undo if id_ not in unanswered]
        for undo in reversed(taken_back):
            if isinstance(undo, reconfigure.Before):
                reconfigure.restore(self._state, undo)
            else:
                overrides.revert(self._state, undo)
        return taken_back

    def failed(self, replies: Iterable[Reply], why: str) -> list[Effect]:
        """What is said instead."""
        effects: list[Effect] = []
        for reply in replies:
            self._once.forget(reply.answer.id)
            self._reading_back.forget(reply.answer.id)
            answer = Answer(
                id=reply.answer.id,
                node=reply.answer.node,
                status="failed",
                revision=self._state.revision,
                error=f"{why}; nothing was changed",
            )
            self.remember(answer)  # who sent it again meanwhile hears this, and it is not done
            effects += [
                Emit(ChangeEvent("agent", "command", f"failed: {why}", answer.revision)),
                Reply(reply.sender, answer),
            ]
        return effects


def _result(answer: Answer) -> str:
    return answer.status if not answer.error else f"{answer.status}: {answer.error}"
