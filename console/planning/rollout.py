# SPDX-License-Identifier: Apache-2.0
"""Steers an operation that comes to its nodes one after the other.  Sends through its `Sender`.

Tell all nodes, change the canary, let it soak, tell all again, change batch after batch, tell all
that it is over.  Whatever goes wrong leaves it held: nothing more is sent, every node is told why,
and any console can go on with it or take it back.  `now` is seconds of the caller's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from console.model.objects import Part
from console.model.store import Reply
from console.planning import plan, stopping
from console.planning.asking import NO_TERMS, Sender, Terms
from console.planning.spread import told_anew
from console.planning.staging import Staging, batches, terms_of
from console.planning.stopping import Agents, Course, Seen
from console.planning.wish import Order
from shared.messages import Action, Answer, Batch
from shared.messages import Rollout as Told

SETTLE = 3.0
"""Seconds after each batch: what it did must have been seen before the next."""
SLACK = 15.0
"""Seconds longer than it should take, until the nodes think that nobody steers."""
LONGEST = 3600.0
JUDGED = 10.0
"""Seconds for a rate of drops to become known: unknown is not zero."""
STEERED = "steered"
"""Guard of a node that another console steers it on."""


class Phase(StrEnum):
    TELLING = "tells its nodes"
    CHANGING = "changes"
    SOAKING = "soaks"
    HELD = "held"
    OVER = "over"


class Start(NamedTuple):
    """All that it takes to begin one, or to go on with one."""

    operation: str
    lines: tuple[str, ...]
    orders: tuple[Order, ...]
    revisions: Mapping[str, int]
    """Address -> that at which the node planned."""
    how: Staging
    why: str
    terms: Terms = NO_TERMS
    go_on: bool = False
    """Others had their turn before: no canary."""
    others: tuple[str, ...] = ()
    """Addresses of its other nodes: they are told, nothing more."""
    steers: str = ""
    """A name for whoever steers it, that nobody else has."""


class Rollout:
    def __init__(
        self,
        sender: Sender,
        start: Start,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`tell`: is told what happens.  Raises ObjectError when the canary is no node."""
        self._left = batches(start.orders, start.how, go_on=start.go_on)
        self._start = start
        self._how = start.how
        self.phase = Phase.TELLING
        self.said = ""
        """Why it is held."""
        self.taken = False
        """Another console steers it: this one has left it."""
        self._mine: list[Order] = []
        """Of nodes that have taken this console's word."""
        self.answers: dict[str, Answer | None] = {}
        """Address -> what became of its change."""
        self._sender = sender
        self._orders = [order for batch in self._left for order in batch]
        self._done: list[Order] = []
        self._turns = 0
        """Batches that were sent."""
        self._tell = tell
        self._before: dict[str, Seen] = {}
        self._open: dict[str, Order] = {}
        self._parting: set[str] = set()
        """Ids of the last words to its nodes that are not answered yet."""
        self._until = 0.0
        """When the phase must have ended: by answers, or because its time is over."""
        self._told_at = float("inf")
        """When all nodes had said that they know of it."""

    @property
    def begun(self) -> bool:
        return bool(self._before)

    @property
    def ended(self) -> bool:
        return self.phase in (Phase.HELD, Phase.OVER)

    @property
    def parted(self) -> bool:
        """Its nodes have heard the last of it: whoever steers may go."""
        return self.ended and not self._parting

    @property
    def count(self) -> str:
        return f"{len(self._done)}/{len(self._orders)}"

    # ---- what happens

    def begin(self, now: float, agents: Agents) -> None:
        self._before = {
            o.address: stopping.seen(agents[o.address], self._start.lines) for o in self._orders
        }
        soak = SETTLE if self._start.go_on else self._how.soak
        self._tell_all(now, within=soak + self._how.stop.ack)

    def take(self, reply: Reply, now: float) -> None:
        self._parting.discard(reply.id)
        order = self._open.get(reply.id)
        if order is None or self.ended:
            return
        if not reply.last:
            return  # accepted, or applied: it is still read back
        del self._open[reply.id]
        wrong = _wrong(order, reply.answer)
        if self.phase is Phase.CHANGING:
            self.answers[order.address] = reply.answer
            if not wrong:
                self._done.append(order)
                self._tell(f"{order.node} {reply.answer.status if reply.answer else ''}")
        if self._steered_by_another(order, reply.answer):
            return
        if wrong:
            self._fail(wrong)
        elif not self._open:
            self._answered(now)

    def tick(self, now: float, agents: Agents) -> None:
        """To be called several times a second."""
        if self.ended:
            return
        no = stopping.why(self._course, agents, now)
        if no:
            self._fail(no)
        elif self._open and now >= self._until:
            silent = ", ".join(order.node for order in self._open.values())
            self._fail(f"{silent}: no answer within {self._how.stop.ack:g} s")
        elif self.phase is Phase.TELLING and not self._open:
            self._compare_with(agents, now)
        elif self.phase is Phase.SOAKING and now >= self._until:
            unjudged = self._unjudged(agents)
            if not unjudged:
                self._soaked(now, agents)
            elif now >= self._until + JUDGED:
                self._fail(_not_known(unjudged))

    def hold(self, said: str) -> None:
        """Nothing more is sent; every node is told."""
        if self.ended:
            return
        self.phase, self.said = Phase.HELD, said
        self._open.clear()
        for order in self._orders:
            told = Told("held", _change(order.action), self._terms, said)
            self._parting.add(self._say(order.address, told))
        self._parting |= self._say_others(Told("held", said=said))
        self._tell(f"HELD at {self.count}: {said}")

    @property
    def _terms(self) -> str:
        """What whoever goes on with it must know.  Guards are not in it: they are passed anew."""
        return terms_of(self._how, self._start.terms.expires)

    @property
    def _course(self) -> Course:
        return Course(
            self._start.operation,
            self._start.lines,
            self._how.stop,
            self._orders,
            self._done,
            self._before,
            self._told_at,
        )

    # ---- step by step

    def _steered_by_another(self, order: Order, answer: Answer | None) -> bool:
        """It goes on as that one wants; a node that took our word meanwhile is told to hold, or
        two would steer."""
        if answer is None or answer.guard != STEERED:
            if self.phase is Phase.TELLING and answer is not None and plan.in_force(answer):
                self._mine.append(order)
            return False
        self.phase, self.taken, self.said = Phase.OVER, True, f"{order.node}: {answer.error}"
        self._open.clear()
        for each in self._mine:
            self._parting.add(self._say(each.address, Told("held", said=self.said)))
        self._tell(f"not begun: {self.said}")
        return True

    @property
    def _incomparable(self) -> list[Order]:
        """Of nodes of which it is not known how many they dropped before."""
        if self._how.stop.drops is None:
            return []
        return [order for order in self._orders if self._before[order.address].drops is None]

    def _compare_with(self, agents: Agents, now: float) -> None:
        """Begins as soon as it is known how all nodes were before."""
        for order in self._incomparable:
            found = stopping.seen(agents[order.address], self._start.lines)
            before = self._before[order.address]
            self._before[order.address] = before._replace(drops=found.drops)
        if not self._incomparable:
            self._next(now, agents)
        elif now >= self._told_at + JUDGED:
            self._fail(_not_known([order.node for order in self._incomparable]))

    def _unjudged(self, agents: Agents) -> list[str]:
        """Nodes that had their turn and of which nobody can say whether they drop more now."""
        if self._how.stop.drops is None:
            return []
        return [
            order.node
            for order in self._done
            if stopping.seen(agents[order.address], self._start.lines).drops is None
        ]

    def _fail(self, why: str) -> None:
        if self.phase is Phase.TELLING and not self._done and not self._start.go_on:
            # Nothing was changed: there is nothing to hold.
            self.said = why
            self._end(f"not begun: {why}")
        else:
            self.hold(why)

    def _tell_all(self, now: float, *, within: float) -> None:
        self.phase, self._until = Phase.TELLING, now + self._how.stop.ack
        within = min(LONGEST, within + SLACK)
        for order in self._orders:
            told = Told(
                "running",
                _change(order.action),
                self._terms,
                within=within,
                steers=self._start.steers,
            )
            self._open[self._say(order.address, told)] = order
        self._say_others(Told("running", within=within, steers=self._start.steers))

    def _answered(self, now: float) -> None:
        """All that was asked of nodes was answered well."""
        if self.phase is Phase.TELLING:
            self._told_at = now  # the next tick goes on
            return
        soak = self._how.soak if self._canary_went else SETTLE
        self.phase, self._until = Phase.SOAKING, now + soak
        if self._canary_went:
            self._tell(f"soaks {soak:g} s")

    @property
    def _canary_went(self) -> bool:
        """It was the last to change, and there are others."""
        return self._turns == 1 and not self._start.go_on and bool(self._left)

    def _soaked(self, now: float, agents: Agents) -> None:
        if not self._left:
            self._end(f"{self.count} applied")
        elif self._canary_went:
            self._tell("soak ok")
            self._tell_all(now, within=len(self._left) * (SETTLE + self._how.stop.ack))
        else:
            self._next(now, agents)

    def _next(self, now: float, agents: Agents) -> None:
        batch = self._left.pop(0)
        told = told_anew(self._orders, agents.values(), now)
        actions = {order.address: order.action for order in told}
        self._turns += 1
        self.phase, self._until = Phase.CHANGING, now + self._how.stop.ack
        for order in batch:
            id_ = self._sender.send(
                order.address,
                actions[order.address],
                why=self._start.why,
                expect_revision=self._start.revisions[order.address],
                operation=self._start.operation,
                steps=True,
                **self._start.terms._asdict(),
            )
            self._open[id_] = order

    def _end(self, text: str) -> None:
        self.phase = Phase.OVER
        self._open.clear()
        for order in self._orders:
            self._parting.add(self._say(order.address, Told("over")))
        self._parting |= self._say_others(Told("over"))
        self._tell(text)

    def _say_others(self, told: Told) -> set[str]:
        return {self._say(address, told) for address in self._start.others}

    def _say(self, address: str, told: Told) -> str:
        return self._sender.send(
            address, told, why=self._start.why, operation=self._start.operation
        )


def _not_known(nodes: Sequence[str]) -> str:
    return f"{', '.join(nodes)}: drops not known for {JUDGED:g} s: nothing says whether they grew"


def _wrong(order: Order, answer: Answer | None) -> str:
    if answer is None:
        return f"{order.node}: no answer"
    if plan.in_force(answer) and not answer.more:
        return ""
    return f"{order.node}: {answer.guard or answer.status}: {answer.error}"


def _change(action: Action) -> Part | Batch:
    assert isinstance(action, Part | Batch)
    return action
