# SPDX-License-Identifier: Apache-2.0
"""The operations that this console steers, and what it tells of those that any console may."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from console.model.store import Reply, Store
from console.model.underway import Seat, Underway
from console.planning import plan
from console.planning.asking import Sender
from console.planning.plan import Answered
from console.planning.rollout import Rollout, Start
from shared.messages import Rollout as Told


class Steering:
    """Lives as long as the console; what it leaves behind the nodes hold by themselves."""

    def __init__(
        self, sender: Sender, store: Callable[[], Store], tell: Callable[[str], None]
    ) -> None:
        self._sender = sender
        self._store = store
        self._tell = tell
        self._steered: dict[str, Rollout] = {}
        self._told: dict[str, str] = {}
        """Command id -> node, of words on others' operations that are not answered yet."""

    # ---- its own

    @property
    def busy(self) -> bool:
        return bool(self._steered)

    def start(self, start: Start, now: float) -> None:
        """Raises ObjectError when the canary is none of the nodes."""
        name = start.operation[:8]
        rollout = Rollout(
            self._sender, start, lambda text: self._tell(f"op {name}: {text}   9 has it")
        )
        self._steered[start.operation] = rollout
        rollout.begin(now, self._store().agents)

    def take(self, reply: Reply, now: float) -> None:
        for rollout in self._steered.values():
            rollout.take(reply, now)
        node = self._told.pop(reply.id, "")
        if node and not plan.in_force(reply.answer):
            answer = reply.answer
            why = f"{answer.guard} {answer.error}" if answer else "no answer"
            self._tell(f"{node} did not take it: {why}   9 has it")

    def tick(self, now: float) -> None:
        for operation, rollout in list(self._steered.items()):
            rollout.tick(now, self._store().agents)
            if rollout.parted:
                del self._steered[operation]

    # ---- anybody's

    def hold(self, each: Underway, said: str) -> None:
        mine = self._steered.get(each.operation)
        if mine is not None:
            mine.hold(said)
        else:
            self._tell_seats(each.seats, each.operation, Told("held", said=said))

    def over(self, each: Underway) -> None:
        self._tell_seats(each.seats, each.operation, Told("over"))

    def over_if_taken_back(self, each: Underway, answered: Sequence[Answered]) -> None:
        if all(plan.in_force(a.answer) for a in answered) and len(answered) == len(
            [seat for seat in each.done if seat.row.undo]
        ):
            self.over(each)

    def _tell_seats(self, seats: Sequence[Seat], operation: str, told: Told) -> None:
        for seat in seats:
            id_ = self._sender.send(seat.address, told, operation=operation)
            self._told[id_] = seat.node
