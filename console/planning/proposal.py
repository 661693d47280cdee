# SPDX-License-Identifier: Apache-2.0
"""A wish, what its nodes say of it, and what becomes of it.  Sends through its `Sender`.

The command expects the revision at which each node planned.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple

from console.model.store import Reply
from console.planning import plan
from console.planning.asking import NO_TERMS, Asking, Sender, Terms
from console.planning.plan import Answered
from console.planning.rollout import Start
from console.planning.staging import Staging
from console.planning.wish import Order, Wish

Begin = Callable[[Start], None]
"""Begins a change that comes to its nodes one after the other.  Raises ObjectError."""


class Opening(NamedTuple):
    """What a plan is opened with, before anybody typed anything into it."""

    make: Callable[[int], Wish]
    """The wish for this weight (0: none was said).  Raises ObjectError."""
    weight: int | None = None
    """The usual one, where one is asked for."""
    at_once: bool = True
    """The weight was said already, or none is asked for."""
    why: str = ""
    staged: bool = True
    """May come to its nodes one after the other, `how` is the way."""
    how: Staging | None = None
    operation: str = ""
    """That it is a part of; empty: a new one."""
    seats: tuple[str, ...] = ()
    """Addresses of all its nodes, if it has more than the plan."""
    go_on: bool = False
    """Some had their turn."""
    expires: float = 0.0
    """Seconds after which it goes back; 0: never."""
    anew: Callable[[Wish], Wish] = lambda wish: wish
    """The same wish, with what its nodes must be told of the others now."""
    finished: Callable[[list[Answered]], None] = lambda answered: None
    """Is told what became of a plan that was sent to all at once."""


class Proposal:
    def __init__(self, sender: Sender, opening: Opening) -> None:
        self.wish = opening.make(opening.weight or 0)
        self.terms = NO_TERMS
        self.answered: list[Answered] = []
        """What the nodes planned; once it is sent, what they did."""
        self.ready = False
        """It may be sent as far as the nodes are concerned."""
        self.sent = False
        self.in_turn = False
        """Sent, and another steers it: the answers are the operation's."""
        self._opening = opening
        self._operation = opening.operation or uuid.uuid4().hex[:12]
        self._asking = Asking(sender)

    def ask(self, wish: Wish, terms: Terms, why: str) -> None:
        """For the nodes' plans."""
        self.wish, self.terms, self.answered, self.ready = wish, terms, [], False
        self._asking.dry_run(wish.orders, why=why, operation=self._opening.operation, terms=terms)

    def take(self, reply: Reply) -> bool:
        """Whether there is something new to show: all plans at once, results as they come."""
        if self.in_turn:
            return False
        complete = self._asking.take(reply)
        answered = self._asking.answered()
        if self.sent:
            self.answered = answered
            if complete:
                self._opening.finished(answered)
            return bool(answered)
        if complete:
            self.answered = answered
            self.ready = bool(plan.to_do(answered)) and not plan.refused(answered)
        return complete

    @property
    def wanted(self) -> str:
        """What has to be typed before it is sent; empty: nothing."""
        asks = self.ready and not self.sent and plan.wants_typing(self.wish, self.answered)
        return self.wish.confirm if asks else ""

    @property
    def stageable(self) -> bool:
        """Its nodes may have their turns one after the other."""
        return self._opening.staged and (self._opening.go_on or len(self.wish.orders) > 1)

    @property
    def asked(self) -> int:
        """Nodes."""
        return self._asking.asked

    # ---- the command

    def send(self, why: str) -> None:
        """To all nodes at once."""
        self.wish = self._opening.anew(self.wish)
        todo, revisions = self._todo, plan.revisions(self.answered)
        self.sent, self.answered = True, []
        self._asking.change(todo, revisions, why=why, operation=self._operation, terms=self.terms)

    def start(self, begin: Begin, how: Staging, why: str) -> None:
        """To one node after the other.  Raises ObjectError."""
        todo = self._todo
        begin(
            Start(
                self._operation,
                self.wish.lines,
                tuple(todo),
                plan.revisions(self.answered),
                how,
                why,
                self.terms,
                self._opening.go_on,
                tuple(set(self._opening.seats) - {order.address for order in todo}),
                steers=uuid.uuid4().hex[:12],
            )
        )
        self.sent = self.in_turn = True

    @property
    def _todo(self) -> list[Order]:
        todo = {answered.address for answered in plan.to_do(self.answered)}
        return [order for order in self.wish.orders if order.address in todo]
