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

from console.model.rates import rate
from console.model.store import Agent, Reply
from console.model.underway import touches
from console.planning import plan
from console.planning.asking import NO_TERMS, Sender, Terms
from console.planning.staging import Staging, batches, terms_of
from console.planning.wish import Order
from shared.messages import Action, Answer, Batch, Disable, Drain, Undrain, Weight
from shared.messages import Rollout as Told

SETTLE = 3.0
"""Seconds after each batch: what it did must have been seen before the next."""
SLACK = 15.0
"""Seconds longer than it should take, until the nodes think that nobody steers."""
LONGEST = 3600.0


class Phase(StrEnum):
    TELLING = "tells its nodes"
    CHANGING = "changes"
    SOAKING = "soaks"
    HELD = "held"
    OVER = "over"


class Seen(NamedTuple):
    """How a node was before."""

    drops: float | None
    """Per second; None: not known."""
    ailing: frozenset[tuple[str, str]]
    """(VIP, address) of the reals that are not up, of its VIPs."""


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


Agents = Mapping[str, Agent]
"""By address."""


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
        self._before = {o.address: seen(agents[o.address], self._start.lines) for o in self._orders}
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
        if wrong:
            self._fail(wrong)
        elif not self._open:
            self._answered(now)

    def tick(self, now: float, agents: Agents) -> None:
        """To be called several times a second."""
        if self.ended:
            return
        no = self._stopped(agents, now)
        if no:
            self._fail(no)
        elif self._open and now >= self._until:
            silent = ", ".join(order.node for order in self._open.values())
            self._fail(f"{silent}: no answer within {self._how.stop.ack:g} s")
        elif self.phase is Phase.SOAKING and now >= self._until:
            self._soaked(now)

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

    # ---- step by step

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
            told = Told("running", _change(order.action), self._terms, within=within)
            self._open[self._say(order.address, told)] = order
        self._say_others(Told("running", within=within))

    def _answered(self, now: float) -> None:
        """All that was asked of nodes was answered well."""
        if self.phase is Phase.TELLING:
            self._told_at = now
            self._next(now)
            return
        soak = self._how.soak if self._canary_went else SETTLE
        self.phase, self._until = Phase.SOAKING, now + soak
        if self._canary_went:
            self._tell(f"soaks {soak:g} s")

    @property
    def _canary_went(self) -> bool:
        """It was the last to change, and there are others."""
        return self._turns == 1 and not self._start.go_on and bool(self._left)

    def _soaked(self, now: float) -> None:
        if not self._left:
            self._end(f"{self.count} applied")
        elif self._canary_went:
            self._tell("soak ok")
            self._tell_all(now, within=len(self._left) * (SETTLE + self._how.stop.ack))
        else:
            self._next(now)

    def _next(self, now: float) -> None:
        batch = self._left.pop(0)
        self._turns += 1
        self.phase, self._until = Phase.CHANGING, now + self._how.stop.ack
        for order in batch:
            id_ = self._sender.send(
                order.address,
                order.action,
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

    # ---- what stops it

    def _stopped(self, agents: Agents, now: float) -> str:
        """Why it must not go on; empty: it may."""
        more, known = 0.0, False
        for order in self._orders:
            agent, before = agents[order.address], self._before[order.address]
            if not agent.fresh(now, "node"):
                return f"{order.node}: no telemetry for {agent.age(now, 'node') or 0:.0f} s"
            rows = agent.node.rollouts if agent.node else ()
            mine = next((row for row in rows if row.operation == self._start.operation), None)
            if mine is not None and mine.state == "held" and agent.node:
                ago = agent.node.at - mine.since + (agent.age(now, "node") or 0.0)
                if ago >= now - self._told_at:
                    continue  # of before: the next telemetry has what it was told now
                return mine.said or f"held on {order.node}"
            after = seen(agent, self._start.lines)
            if self._how.stop.health and after.ailing != before.ailing:
                vip, real = min(after.ailing ^ before.ailing)
                word = "down" if (vip, real) in after.ailing else "up"
                return f"real/{real}@{vip} went {word} on {order.node}"
            if order in self._done and after.drops is not None and before.drops is not None:
                more, known = more + after.drops - before.drops, True
        limit = self._how.stop.drops
        if limit is not None and known and more > limit:
            return f"drops +{more:.0f}/s (limit +{limit:g}/s)"
        return ""


def seen(agent: Agent, lines: Sequence[str]) -> Seen:
    before, span = agent.pair("node")
    now = agent.node
    drops = rate(before.drop_packets, now.drop_packets, span) if before and now else None
    rows = [row for row in agent.vips.vips if touches(lines, row.name)] if agent.vips else []
    return Seen(drops, frozenset((row.name, real.address) for row in rows for real in row.ailing))


def _wrong(order: Order, answer: Answer | None) -> str:
    if answer is None:
        return f"{order.node}: no answer"
    if plan.in_force(answer) and not answer.more:
        return ""
    return f"{order.node}: {answer.guard or answer.status}: {answer.error}"


def _change(action: Action) -> Drain | Undrain | Disable | Weight | Batch:
    assert isinstance(action, Drain | Undrain | Disable | Weight | Batch)
    return action
