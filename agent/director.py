# SPDX-License-Identifier: Apache-2.0
"""Every decision of the agent: facts in, effects out.

Rule 1: all that changes NodeState happens here, or in adoption.py and commands.py, which are called
from here.
Rule 2: no clock, no I/O, no logging: `now` is an argument (seconds, monotonic).
Rule 3: nothing is done by difference to what was asked before: `_settle` compares what should be
with what was written, so the same code serves a start, a failure, a command and a retry.

Order of effects: withdraw, flags, rings, announce, journal, events, answers.  Traffic is never
attracted that a ring cannot place, and "answered" means "written".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import assert_never

import numpy as np

from agent import commands, maglev, rib
from agent.adoption import Layout, adopt
from agent.boundary import (
    Adopted,
    Advertise,
    Asked,
    Counted,
    Effect,
    Emit,
    Fact,
    Failed,
    PeerChanged,
    Probe,
    Probed,
    Remember,
    Reply,
    SetFlags,
    SetRing,
    Stopping,
    Tick,
)
from agent.config import Config
from agent.health import judge
from agent.state import NodeState, VipState
from shared.messages import Answer, ChangeEvent, HealthEvent, PeerEvent, RouteEvent
from shared.model import Admin

REMEMBERED_ANSWERS = 1024
"""Answers kept for commands that are sent again."""
RINGS_AT_ONCE = 16
"""Rings built in one call, some 40 ms: the checks that wait meanwhile must not time out."""
RETRY = 1.0
"""Seconds until a failed effect is tried again."""


class Budget:
    """How many rings may still be built in this call."""

    def __init__(self, rings: int) -> None:
        self.left = rings

    def spent(self) -> bool:
        self.left -= 1
        return self.left < 0


class Director:
    """The core.  `fill` builds a ring (maglev.fill, or the data plane's faster equal)."""

    def __init__(self, listed: Config, fill: maglev.Fill = maglev.fill) -> None:
        self.state = NodeState(listed)
        self._fill = fill
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._layout: Layout | None = None
        """None: not adopted yet."""
        self._laid_out = False
        self._stopping = False
        self._retry_at = 0.0
        self.unsettled = False
        """There is more to do: call take() again soon."""
        self._undo: list[commands.Undo] = []
        """Of the commands in the last batch, should one of its effects fail."""

    def take(self, facts: Sequence[Fact], now: float) -> list[Effect]:
        """Everything to do about a batch of facts.  Simultaneous changes are one ring rebuild."""
        after: list[Effect] = []
        if not any(isinstance(fact, Failed) for fact in facts):
            self._undo = []
        for fact in facts:
            after += self._on(fact, now)
        # Nobody waits for a retry but the retry: a command is answered when it is written, a stop
        # withdraws at once.
        urgent = any(isinstance(fact, Asked | Stopping) for fact in facts)
        if self._layout is None or (now < self._retry_at and not urgent):
            return after
        # A command's rings are all written before it is answered, and so are those of a start.
        at_once = any(isinstance(fact, Asked | Adopted) for fact in facts)
        budget = Budget(len(self.state.vips) if at_once else RINGS_AT_ONCE)
        effects = self._settle(self._layout, budget)
        self.unsettled = budget.left < 0
        return [*effects, *after]

    # ---- facts

    def _on(self, fact: Fact, now: float) -> list[Effect]:
        match fact:
            case Probed():
                return self._on_probed(fact, now)
            case Asked():
                return self._on_asked(fact, now)
            case PeerChanged():
                return self._on_peer(fact, now)
            case Counted(live_flows):
                for vip in self.state.vips.values():
                    for real in vip.reals.values():
                        real.live_flows = int(live_flows[real.number.real_num])
                return []
            case Adopted():
                self._layout = adopt(self.state, fact, now)
                return [Probe(self.state.checks())]
            case Failed():
                return self._on_failed(fact, now)
            case Stopping():
                self._stopping = True
                return []
            case Tick():
                return []
            case _:
                assert_never(fact)

    def _on_probed(self, fact: Probed, now: float) -> list[Effect]:
        vip = self.state.vips.get(fact.target.vip)
        real = vip.reals.get(fact.target.real) if vip else None
        if vip is None or real is None:
            return []
        check = vip.listed.check
        was = real.verdict.health
        real.verdict = judge(real.verdict, ok=fact.ok, rise=check.rise, fall=check.fall)
        real.check, real.check_ms = fact.detail, fact.ms
        if real.verdict.health is was:
            return []
        real.changed = now
        who = str(fact.target.real)
        return [Emit(HealthEvent(vip.listed.name, who, was, real.verdict.health, fact.detail))]

    def _on_peer(self, fact: PeerChanged, now: float) -> list[Effect]:
        peer = self.state.peers.get(fact.peer)
        if peer is None or (peer.state == fact.state and peer.detail == fact.detail):
            return []
        flipped = peer.state != fact.state
        peer.state, peer.detail = fact.state, fact.detail
        if not flipped:
            return []
        peer.since = now
        return [Emit(PeerEvent(fact.peer, fact.state, fact.detail))]

    def _on_asked(self, fact: Asked, now: float) -> list[Effect]:
        command = fact.command
        known = self._answers.get(command.id)
        if known is not None:
            return [Reply(fact.sender, known)]
        outcome = commands.decide(self.state, command, self._fill)
        answer = outcome.answer
        back: tuple[str, ...] = ()
        if outcome.overrides:
            undo = commands.apply(self.state, outcome.overrides, now)
            self._undo.append(undo)
            back = commands.inverse(self.state, undo, outcome.overrides)
            answer = commands.revised(answer, self.state.revision)
        if command.dry_run:
            return [Reply(fact.sender, answer)]
        self._remember_answer(answer)
        what = commands.in_words(command.action)
        result = answer.status if not answer.error else f"{answer.status}: {answer.error}"
        return [
            Remember(command, result, answer.revision, outcome.overrides),
            Emit(
                ChangeEvent(
                    who=command.who,
                    what=what,
                    result=result,
                    revision=answer.revision,
                    why=command.why,
                    operation=command.operation,
                    undo=back,
                )
            ),
            Reply(fact.sender, answer),
        ]

    def _remember_answer(self, answer: Answer) -> None:
        self._answers[answer.id] = answer
        while len(self._answers) > REMEMBERED_ANSWERS:
            self._answers.popitem(last=False)

    def _on_failed(self, fact: Failed, now: float) -> list[Effect]:
        """The written state is not known any more: all is compared anew, a little later.

        A command whose effects were dropped is taken back: the old state stays in force (K5).
        """
        self._retry_at = now + RETRY
        self._laid_out = False
        for vip in self.state.vips.values():
            vip.placed = vip.found = None
            for real in vip.reals.values():
                real.written = None
        replies = [effect for effect in fact.dropped if isinstance(effect, Reply)]
        if isinstance(fact.effect, Reply):
            replies = []
        if replies:
            for undo in reversed(self._undo):
                commands.revert(self.state, undo)
        self._undo = []
        effects: list[Effect] = [
            effect
            for effect in fact.dropped
            if isinstance(effect, Emit) and not isinstance(effect.body, ChangeEvent)
        ]
        for reply in replies:
            self._answers.pop(reply.answer.id, None)
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
        return effects

    # ---- what should be, against what was written

    def _routes(self) -> frozenset[maglev.Address]:
        state = self.state
        return rib.addresses(
            (
                rib.Service(
                    address=vip.listed.address,
                    serving=vip.serving,
                    quorum=vip.listed.quorum,
                    announced=vip.listed.address in state.announced,
                    ready=vip.warm and bool(vip.shares),
                )
                for vip in state.vips.values()
            ),
            node_enabled=state.admin is Admin.ENABLED and not self._stopping,
        )

    def _settle(self, layout: Layout, budget: Budget) -> list[Effect]:
        state = self.state
        kept = state.announced & self._routes()
        effects: list[Effect] = []
        if kept != state.announced:
            effects.append(Advertise(kept))
        if not self._laid_out:
            effects += layout.before
        for vip in state.vips.values():
            effects += self._settle_vip(vip, budget)
        if not self._laid_out:
            effects += layout.behind
            self._laid_out = True
        wanted = self._routes()  # now that the rings are there
        if wanted != kept:
            effects.append(Advertise(wanted))
        effects += self._route_events(wanted)
        state.announced = wanted
        return effects

    def _settle_vip(self, vip: VipState, budget: Budget) -> list[Effect]:
        effects: list[Effect] = []
        for real in vip.reals.values():
            if real.written != real.flags:
                effects.append(SetFlags(real.number.real_num, real.flags))
                real.written = real.flags
        members = vip.members
        if vip.placed == members or (vip.placed is not None and not vip.warm):
            return effects  # while the first verdicts come in, one ring at their end, not one each
        if budget.spent():
            return effects
        ring = maglev.ring(members, vip.seed, fill=self._fill)
        vip.placed, vip.shares, vip.ring_digest = members, ring.counts(), ring.digest
        found, vip.found = vip.found, None
        wanted = SetRing(vip.vip_num, ring.slots, vip.numbers(ring))
        if found is None or not np.array_equal(wanted.real_nums, found):
            effects.append(wanted)
            vip.ring_changes += 1
        return effects

    def _route_events(self, wanted: frozenset[maglev.Address]) -> list[Effect]:
        was = self.state.announced
        why = "node draining" if self.state.admin is not Admin.ENABLED else "quorum lost"
        if self._stopping:
            why = "agent stops"
        return [
            *(Emit(RouteEvent(str(a), announced=False, why=why)) for a in was - wanted),
            *(Emit(RouteEvent(str(a), announced=True, why="quorum met")) for a in wanted - was),
        ]
