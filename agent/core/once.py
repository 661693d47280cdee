# SPDX-License-Identifier: Apache-2.0
"""Idempotency keys: what was done under one is done once, whoever repeats it.  Pure.

A command's id is for a sender that missed the answer; a key is for whoever runs the same words
again (a script that was killed, a job that is tried anew), also after the agent was restarted: the
journal has the keys.  What was refused or failed is not kept, so that it can be tried again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from agent.core.wording import in_words
from agent.nouns import Keyed
from shared.messages import Action, Answer, Batch, Command, Weight

KEPT = 1000
"""Keys, the newest."""
LIFE = 86400.0
"""Seconds."""
GUARD = "idempotency-key"


def about(action: Action) -> str:
    """What a key is about; not how much: a weight of `+10` comes to another number each time."""
    if isinstance(action, Batch):
        return ", ".join(about(each) for each in action.actions)
    words = in_words(action)
    return words.rpartition(" ")[0] if isinstance(action, Weight) else words


class Once:
    """The keys that were used, and what came of each."""

    def __init__(self) -> None:
        self._done: OrderedDict[str, tuple[Keyed, float]] = OrderedDict()
        """Key -> (what was done, when: seconds, monotonic)."""

    def adopted(self, found: Iterable[Keyed], now: float) -> None:
        """From the journal, oldest first."""
        for each in found:
            self._done[each.key] = each, now - each.age

    def answer(self, command: Command, node: str, now: float) -> Answer | None:
        """What it was answered the first time; None: it is the first time."""
        self._forget_old(now)
        known = self._done.get(command.idempotency_key)
        if known is None or not command.idempotency_key:
            return None
        done, at = known
        answer = Answer(
            id=command.id,
            node=node,
            status="refused",
            revision=done.revision,
            generation=done.generation,
            keyed=True,
        )
        ago = f"{now - at:.0f} s ago by {done.who}"
        if (wanted := about(command.action)) != done.about:
            why = f"{done.key!r} was used {ago} for {done.about}, this is {wanted}; take another"
            return msgspec.structs.replace(answer, guard=GUARD, error=why)
        status = "applied" if done.result == "applied" else "unchanged"
        note = f"not again: was {done.result} {ago} under this idempotency key"
        return msgspec.structs.replace(answer, status=status, note=note)

    def kept(self, command: Command, answer: Answer, now: float) -> tuple[Keyed, ...]:
        """Keeps what was done; for the journal."""
        good = answer.status in ("applied", "unchanged")
        if not command.idempotency_key or command.dry_run or not good:
            return ()
        done = Keyed(
            command.idempotency_key,
            about(command.action),
            command.id,
            command.who,
            answer.status,
            answer.revision,
            answer.generation,
        )
        self._done[done.key] = done, now
        return (done,)

    def forget(self, id_: str) -> None:
        """Of a command that was taken back."""
        for key in [key for key, (done, _) in self._done.items() if done.id == id_]:
            del self._done[key]

    def _forget_old(self, now: float) -> None:
        while self._done and (
            len(self._done) > KEPT or now - next(iter(self._done.values()))[1] > LIFE
        ):
            self._done.popitem(last=False)
