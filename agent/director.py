# SPDX-License-Identifier: Apache-2.0
"""Every decision of the agent: facts in, effects out.

Rule 1: all that changes NodeState happens here, or in adoption.py and commands.py, which are called
from here.
Rule 2: no clock, no I/O, no logging: `now` is an argument (seconds, monotonic).
Rule 3: nothing is done by difference to what was asked before: `_settle` compares what should be
with what was written, so the same code serves a start, a failure, a command and a retry.

Order of effects: withdraw, flags, rings, new VIPs, what is gone, announce, journal, events,
answers.  Traffic is never attracted that a ring cannot place, and "answered" means "written".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent import (
    clockwork,
    commands,
    maglev,
    pending,
    policy,
    pressure,
    reconfigure,
    rib,
    rollouts,
    shutdown,
    tracing,
)
from agent.adoption import adopt
from agent.bgp_table import Announce
from agent.boundary import (
    Adopted,
    Advertise,
    Asked,
    Configure,
    Counted,
    Effect,
    Emit,
    Fact,
    Failed,
    ForgetPrevious,
    FreeReal,
    KeepConfig,
    PeerChanged,
    Probe,
    Probed,
    Proposed,
    PutQuicIds,
    PutReal,
    PutVip,
    ReadConfig,
    Remember,
    RemoveVip,
    Reply,
    Route,
    SetFlags,
    SetRing,
    StartTrace,
    Stopping,
    StopTrace,
    Tick,
    Tracking,
    Verify,
)
from agent.config import Config
from agent.health import RAMP_STEPS, held, judge, ramp_step
from agent.shutdown import Phase
from agent.state import NodeState, RealState, VipState
from shared.messages import (
    Answer,
    ChangeEvent,
    Command,
    Confirm,
    HealthEvent,
    PeerEvent,
    Reload,
    Rollback,
    Rollout,
    RouteEvent,
    Trace,
    Untrace,
)
from shared.model import Health

REMEMBERED_ANSWERS = 1024
"""Answers kept for commands that are sent again."""
RINGS_AT_ONCE = 16
"""Rings built in one call, some 40 ms: the checks that wait meanwhile must not time out."""
SILENT = 10.0
"""Seconds without a session after which a peer's silence is an error."""
NO_ANSWER = "no session: nobody answers at its address and port, or the TCP MD5 passwords differ"
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
        self._adopted = False
        self._removals_first = False
        """At a start: the numbers of removed VIPs may serve again at once."""
        self._told: Config | None = None
        """The config that prober and program work by."""
        self._advertised = [self.state.announced]
        """What was announced before the last batch, then each Advertise of it."""
        self._routes_told: frozenset[str] = frozenset()
        """Announced addresses, as events said."""
        self._counted: tuple[float, NDArray[np.uint64]] | None = None
        """When new flows were counted last, and how many by vip_num."""
        self._now = 0.0
        self._stopping = False
        self._retry_at = 0.0
        self._everything = True
        """All VIPs are to be compared with what was written..."""
        self._touched: set[str] = set()
        """...or these only."""
        self._services: dict[str, rib.Service] = {}
        """By the VIP's name."""
        self._ramping: dict[tuple[str, maglev.Address], None] = {}
        """Reals in a slow start."""
        self._owed: list[Effect] = []
        """Journal entries of the agent's own doing that could not be written yet."""
        self.unsettled = False
        """There is more to do: call take() again soon."""
        self._undo: list[commands.Undo | reconfigure.Before] = []
        """Of the commands in the last batch, should one of its effects fail."""

    def take(self, facts: Sequence[Fact], now: float) -> list[Effect]:
        """Everything to do about a batch of facts.  Simultaneous changes are one ring rebuild."""
        after: list[Effect] = []
        self._now = now
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
        self._ramp(now)
        passed = clockwork.passed(self.state, now)
        self._everything |= passed.moved
        after += [*self._owed, *passed.effects]
        self._owed.clear()
        if not self._everything and not self._touched:
            return [*ahead, *after]  # a thousand results a second say nothing new
        # A command's rings are all written before it is answered, and so are those of a start.
        at_once = any(isinstance(fact, Asked | Proposed | Adopted) for fact in facts)
        budget = Budget(len(self.state.vips) if at_once else RINGS_AT_ONCE)
        effects = self._settle(budget)
        self.unsettled = budget.left < 0
        return [*ahead, *effects, *after]

    # ---- facts

    def _on(self, fact: Fact, now: float) -> list[Effect]:
        match fact:
            case Probed():
                return self._on_probed(fact, now)
            case Asked():
                return self._on_asked(fact, now)
            case PeerChanged():
                return self._on_peer(fact, now)
            case Counted():
                return self._on_counted(fact, now)
            case Adopted():
                self._everything = True
                adopt(self.state, fact, now)
                self._adopted = self._removals_first = True
                self._told = self.state.listed
                return [Probe(self.state.checks())]
            case Proposed():
                raise AssertionError("taken by take()")
            case Failed():
                return self._on_failed(fact, now)
            case Stopping():
                self._stopping = self._everything = True
                return []
            case Tick():
                return self._forget_previous(now)
            case _:
                assert_never(fact)

    def _on_counted(self, fact: Counted, now: float) -> list[Effect]:
        self._note_silent_peers(now)
        return clockwork.counted(self.state, fact, now) + self._judge_pressure(fact, now)

    def _judge_pressure(self, fact: Counted, now: float) -> list[Effect]:
        turnover = self.state.listed.node.turnover
        if fact.new_flows is None or not turnover:
            return []
        before, self._counted = self._counted, (now, fact.new_flows)
        if before is None or now <= before[0]:
            return []
        passed = now - before[0]
        rates = (fact.new_flows - before[1]) / passed
        effects: list[Effect] = []
        for vip in self.state.vips.values():
            was = vip.pressure.on
            vip.pressure = pressure.judge(
                vip.pressure,
                rate=float(rates[vip.vip_num]),
                node_rate=float(rates.sum()),
                limit=fact.entries / turnover,
                now=now,
                passed=passed,
            )
            if vip.pressure.on is not was:
                self._touched.add(vip.listed.name)
                effects.append(self._pressure_event(vip, float(rates[vip.vip_num])))
        return effects

    def _pressure_event(self, vip: VipState, rate: float) -> Emit:
        what = f"{vip.listed.name}: new-flow pressure"
        result = f"{'on' if vip.pressure.on else 'over'}, {rate:.0f} new flows/s"
        return Emit(ChangeEvent("agent", what, result, self.state.revision))

    def _on_probed(self, fact: Probed, now: float) -> list[Effect]:
        vip = self.state.vips.get(fact.target.vip)
        real = vip.reals.get(fact.target.real) if vip else None
        if vip is None or real is None:
            return []
        check = vip.listed.check
        was = real.verdict.health
        # Damping never costs the VIP its route: a flapping real is better than too few.
        spared = was is Health.DOWN and fact.ok and vip.serving >= vip.listed.leaves_below
        hold = check.hold if spared else 0.0
        real.verdict = judge(
            real.verdict, ok=fact.ok, rise=check.rise, fall=check.fall, now=now, first_hold=hold
        )
        real.check, real.check_ms, real.checked = fact.detail, fact.ms, now
        if wait := held(real.verdict, now, hold):
            real.check = f"{fact.detail}; fell {real.verdict.falls} times, held {wait:.0f} s more"
        if fact.ok:
            self._listen(vip, real, fact, now)
        if real.verdict.health is was:
            return []
        self._touched.add(vip.listed.name)
        real.changed = now
        self._start_ramp(vip, real, was, now)
        who = str(fact.target.real)
        return [Emit(HealthEvent(vip.listed.name, who, was, real.verdict.health, fact.detail))]

    def _listen(self, vip: VipState, real: RealState, fact: Probed, now: float) -> None:
        """To the weight that the real asks for."""
        percent = policy.heard(fact.weight, real.percent, waited=now - real.percent_from)
        if percent != real.percent:
            real.percent, real.percent_from = percent, now
            self._touched.add(vip.listed.name)

    def _start_ramp(self, vip: VipState, real: RealState, was: Health, now: float) -> None:
        """Not at a start of the node: then all begin alike."""
        rises = real.verdict.health is Health.UP and (was is Health.DOWN or real.added)
        real.added = False
        if rises and vip.listed.ramp:
            real.ramp_from = now
            self._ramping[vip.listed.name, real.listed.address] = None

    def _ramp(self, now: float) -> None:
        """The slow starts' steps that are due."""
        for name, address in list(self._ramping):
            vip = self.state.vips.get(name)
            real = vip.reals.get(address) if vip else None
            if vip is None or real is None or not real.serving:
                del self._ramping[name, address]
                if real:
                    real.step = RAMP_STEPS
                continue
            step = ramp_step(real.ramp_from, vip.listed.ramp, now)
            if step != real.step:
                real.step = step
                self._touched.add(name)
            if step == RAMP_STEPS:
                del self._ramping[name, address]

    def _on_peer(self, fact: PeerChanged, now: float) -> list[Effect]:
        peer = self.state.peers.get(fact.peer)
        if peer is None:
            return []
        if fact.error:
            peer.error, peer.failed = fact.error, now
        flipped = peer.state != fact.state
        peer.state, peer.detail = fact.state, fact.detail
        if not flipped:
            return []
        peer.since = now
        return [Emit(PeerEvent(fact.peer, fact.state, fact.detail))]

    def _note_silent_peers(self, now: float) -> None:
        """A peer that does not answer at all is no event of ExaBGP's."""
        for peer in self.state.peers.values():
            if peer.state == "down" and not peer.error and now - peer.since > SILENT:
                peer.error, peer.failed = NO_ANSWER, now

    def _on_asked(self, fact: Asked, now: float) -> list[Effect]:
        command = fact.command
        known = self._answers.get(command.id)
        if known is not None:
            return [Reply(fact.sender, known)]
        if isinstance(command.action, Reload | Rollback):
            return [ReadConfig(command, fact.sender)]
        if isinstance(command.action, Trace | Untrace):
            return self._on_trace(fact, now)
        if isinstance(command.action, Rollout):
            return self._on_rollout(command, command.action, fact.sender, now)
        self._everything = True
        if isinstance(command.action, Confirm):
            return self._on_confirmed(command, command.action, fact.sender)
        outcome = commands.decide(self.state, command, self._fill, now)
        answer = outcome.answer
        entry = Remember(command, _result(answer), answer.revision, outcome.overrides)
        back: tuple[str, ...] = ()
        if outcome.overrides:
            undo = commands.apply(self.state, outcome.overrides, now)
            self._undo.append(undo)
            back = commands.inverse(self.state, undo, outcome.overrides)
            answer = commands.revised(answer, self.state.revision)
            entry = self._arm(replace(entry, revision=answer.revision), undo, now)
        if answer.status in ("applied", "unchanged") and not command.dry_run:
            entry = self._took_turn(entry, back)
        return self._answered(command, fact.sender, answer, entry, back)

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
            self._undo.append(commands.Undo((), *before))
            self.state.rollouts = after
        # No event: what became of it is in the node's telemetry until it is over.
        entry = Remember(command, _result(answer), answer.revision, rollouts=after)
        return [entry, Reply(sender, answer)]

    def _on_confirmed(self, command: Command, action: Confirm, sender: bytes) -> list[Effect]:
        state = self.state
        mine = [
            due
            for due in state.pending
            if due.pending.kind == "confirm"
            and (due.pending.operation == action.operation if action.operation
                 else due.pending.who == command.who)
        ]  # fmt: skip
        answer = Answer(
            id=command.id, node=state.listed.node.name, status="unchanged", revision=state.revision
        )
        entry = Remember(command, answer.status, answer.revision)
        if mine:
            status = "planned" if command.dry_run else "applied"
            answer = msgspec.structs.replace(answer, status=status)
            settled = tuple(due.pending.id for due in mine)
            entry = replace(entry, result=answer.status, settled=settled)
        if mine and not command.dry_run:
            self._undo.append(
                commands.Undo((), state.revision, (), tuple(state.pending), state.rollouts)
            )
            state.pending = [due for due in state.pending if due not in mine]
        return self._answered(command, sender, answer, entry)

    def _on_proposed(self, fact: Proposed, now: float) -> tuple[list[Effect], list[Effect]]:
        """(ahead of what is settled, behind it).  The config's text is kept first: a full disk is
        found before anything is touched."""
        command = fact.command
        known = self._answers.get(command.id)
        if known is not None:
            return [], [Reply(fact.sender, known)]
        outcome = commands.decide_config(self.state, fact, self._fill, now)
        answer, following = outcome.answer, outcome.following
        if following is None:
            entry = Remember(command, _result(answer), answer.revision)
            return [], self._answered(command, fact.sender, answer, entry)
        self._everything = True
        self._undo.append(reconfigure.install(self.state, following))
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
        behind = [verify, *self._answered(command, fact.sender, answer, entry)]
        return [KeepConfig(following.generation, fact.text)], behind

    def _on_trace(self, fact: Asked, now: float) -> list[Effect]:
        outcome = tracing.decide(self.state, fact.command, now)
        self.state.trace = outcome.running
        answer = outcome.answer
        entry = Remember(fact.command, _result(answer), answer.revision)
        return [*outcome.effects, *self._answered(fact.command, fact.sender, answer, entry)]

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
        back: tuple[str, ...] = (),
    ) -> list[Effect]:
        """Journal, event and answer, in this order; a plan leaves no trace."""
        if command.dry_run:
            return [Reply(sender, answer)]
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

    def _remember_answer(self, answer: Answer) -> None:
        self._answers[answer.id] = answer
        while len(self._answers) > REMEMBERED_ANSWERS:
            self._answers.popitem(last=False)

    def _on_failed(self, fact: Failed, now: float) -> list[Effect]:
        """The written state is not known any more: all is compared anew, a little later.

        A command whose effects were dropped is taken back: the old state stays in force (K5).
        """
        self._everything = True
        self._retry_at = now + RETRY
        self._told = None
        replies = [effect for effect in fact.dropped if isinstance(effect, Reply)]
        if isinstance(fact.effect, Reply):
            replies = []
        if replies and self._undo:
            self._retry_at = now  # the old state is put back at once
            for undo in reversed(self._undo):
                if isinstance(undo, reconfigure.Before):
                    reconfigure.restore(self.state, undo)
                else:
                    commands.revert(self.state, undo)
        self._undo = []
        undone = (fact.effect, *fact.dropped)
        self._owed += [e for e in undone if isinstance(e, Remember) and e.command.who == "agent"]
        self._forget_what_was_written(undone)
        effects: list[Effect] = []
        if self._trace_failed(undone):
            self.state.trace = None
            effects.append(StopTrace("its command failed"))
        effects += [
            effect
            for effect in fact.dropped
            if isinstance(effect, Emit) and not isinstance(effect.body, ChangeEvent | RouteEvent)
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

    def _trace_failed(self, undone: Sequence[Effect]) -> bool:
        """The program's filter is not known, or it is that of a command that is taken back."""
        id_ = self.state.trace.id if self.state.trace else None
        return any(
            isinstance(effect, StartTrace | StopTrace)
            or (isinstance(effect, Reply) and effect.answer.id == id_)
            for effect in undone
        )

    def _forget_what_was_written(self, undone: Sequence[Effect]) -> None:
        for vip in self.state.vips.values():
            vip.placed = vip.found = None
            vip.written = vip.quic_ids_written = None
            vip.ring_at = self._now
            for real in vip.reals.values():
                real.written = None
        unsent = sum(isinstance(effect, Advertise) for effect in undone)
        self.state.announced = self._advertised[-1 - unsent]
        for effect in undone:
            if isinstance(effect, Emit) and isinstance(effect.body, RouteEvent):
                self._routes_told ^= {effect.body.address}
            if isinstance(effect, RemoveVip):
                self.state.leftover_vips.add(effect.key)
                self._removals_first = True  # its number may have another VIP by now
            elif isinstance(effect, FreeReal):
                self.state.leftover_reals.add(effect.real_num)

    # ---- what should be, against what was written

    def _routes(self, vips: Sequence[VipState]) -> dict[maglev.Address, Route]:
        """What to announce; `vips`: those of which something may be new."""
        state = self.state
        leaving = state.shutdown
        if self._stopping or (leaving and leaving.phase is not Phase.SHUTTING):
            return {}
        self._review(vips)
        routes = rib.routes(self._services.values(), state.announced)
        if leaving:
            return {a: shutdown.shut(route, state.listed.drain) for a, route in routes.items()}
        return routes

    def _review(self, vips: Iterable[VipState]) -> None:
        """What the routes depend on: not of all 4,000 reals for each change of one."""
        state, bgp = self.state, self.state.listed.bgp
        default = bgp.announce if bgp else Announce()
        for vip in vips:
            announced = vip.listed.address in state.announced
            self._services[vip.listed.name] = _service(vip, state, default, announced=announced)

    def _settle(self, budget: Budget) -> list[Effect]:
        state = self.state
        vips = self._to_settle()
        still = self._routes(vips)
        kept = {address: r for address, r in state.announced.items() if address in still}
        effects: list[Effect] = []
        self._advertised = [state.announced]
        if kept != state.announced:
            effects.append(self._advertise(kept))
        if self._told is not state.listed:
            effects.append(Configure(state.listed))
        if self._removals_first:
            self._removals_first = False
            effects += self._remove_vips()
        for vip in vips:
            effects += self._settle_vip(vip, budget)
        for vip in vips:
            if vip.placed is not None:
                effects += self._placing(vip)
        effects += self._remove_vips()
        effects += self._free_reals()
        if self._told is not state.listed:
            self._told = state.listed
            effects.append(Probe(state.checks()))  # those of new VIPs go by their maps
        wanted = self._routes(vips)  # now that the rings are there
        if wanted != kept:
            effects.append(self._advertise(wanted))
        effects += self._route_events(wanted)
        flipped = wanted.keys() ^ state.announced.keys()
        state.announced = wanted
        if flipped:
            self._review(vip for vip in state.vips.values() if vip.listed.address in flipped)
        return effects

    def _to_settle(self) -> list[VipState]:
        vips = self.state.vips
        found = list(vips.values())
        if self._everything:
            self._services.clear()
        else:
            found = [vips[name] for name in vips if name in self._touched]
        self._everything = False
        self._touched.clear()
        return found

    def _placing(self, vip: VipState) -> list[Effect]:
        """Its options, and with them the VIP itself if it is new."""
        effects: list[Effect] = []
        if vip.written != vip.placing:
            if vip.written and vip.written.tracking is Tracking.COMPUTE:
                # none of its flows was stored: none is where the ring before would have it
                effects.append(ForgetPrevious(vip.vip_num))
            vip.written = vip.placing
            effects.append(PutVip(vip.listed.key, vip.vip_num, vip.placing))
        if (vip.quic_ids_written or {}) != vip.quic_ids:
            effects.append(PutQuicIds(vip.vip_num, vip.quic_ids))
        vip.quic_ids_written = vip.quic_ids
        return effects

    def _forget_previous(self, now: float) -> list[Effect]:
        """A ring that stood for as long as a silent flow lasts forgets the one before."""
        effects: list[Effect] = []
        for vip in self.state.vips.values():
            if vip.ring_at is not None and now - vip.ring_at >= self.state.listed.node.flow_idle:
                vip.ring_at = None
                effects.append(ForgetPrevious(vip.vip_num))
        return effects

    def _advertise(self, routes: dict[maglev.Address, Route]) -> Advertise:
        self._advertised.append(routes)
        return Advertise(routes)

    def _remove_vips(self) -> list[Effect]:
        if not self.state.leftover_vips:
            return []
        here = {vip.listed.key for vip in self.state.vips.values()}
        gone = sorted(self.state.leftover_vips - here, key=str)
        self.state.leftover_vips.clear()
        return [RemoveVip(key) for key in gone]

    def _free_reals(self) -> list[Effect]:
        if not self.state.leftover_reals:
            return []
        vips = self.state.vips.values()
        here = {real.number.real_num for vip in vips for real in vip.reals.values()}
        gone = sorted(self.state.leftover_reals - here)
        self.state.leftover_reals.clear()
        return [FreeReal(number) for number in gone]

    def _settle_vip(self, vip: VipState, budget: Budget) -> list[Effect]:
        effects = self._note_panic(vip)
        fails_open = vip.fails_open
        for real in vip.reals.values():
            flags = vip.flags_of(real, fails_open=fails_open)
            if real.written is None:
                effects.append(PutReal(real.number._replace(flags=flags)))
            elif real.written != flags:
                effects.append(SetFlags(real.number.real_num, flags))
            real.written = flags
        members = vip.members
        if vip.placed == members or (vip.placed is not None and not vip.warm):
            return effects  # while the first verdicts come in, one ring at their end, not one each
        if budget.spent():
            self._touched.add(vip.listed.name)
            return effects
        ring = maglev.ring(members, vip.seed, fill=self._fill)
        vip.placed, vip.shares, vip.ring_digest = members, ring.counts(), ring.digest
        found, vip.found = vip.found, None
        wanted = SetRing(vip.vip_num, ring.slots, vip.numbers(ring))
        if found is None or not np.array_equal(wanted.real_nums, found):
            effects.append(wanted)
            vip.ring_changes += 1
            vip.ring_at = self._now
        return effects

    def _note_panic(self, vip: VipState) -> list[Effect]:
        was, vip.panicked = vip.panicked, vip.panicking
        if was is vip.panicked:
            return []
        up, of = vip.serving, len(vip.reals)
        what = f"{vip.listed.name}: {vip.listed.all_down}"
        result = f"{'in force' if vip.panicked else 'over'}, {up} of {of} reals up"
        return [Emit(ChangeEvent("agent", what, result, self.state.revision))]

    def _route_events(self, wanted: Iterable[maglev.Address]) -> list[Effect]:
        was, now = self._routes_told, frozenset(map(str, wanted))
        self._routes_told = now
        why = "node draining" if self.state.shutdown else "quorum lost"
        if self._stopping:
            why = "agent stops"
        return [
            *(Emit(RouteEvent(a, announced=False, why=why)) for a in sorted(was - now)),
            *(Emit(RouteEvent(a, announced=True, why="quorum met")) for a in sorted(now - was)),
        ]


def _service(vip: VipState, state: NodeState, default: Announce, *, announced: bool) -> rib.Service:
    listed, leaving = vip.listed, vip.shutdown
    attracts = policy.attracts(
        listed.all_down,
        serving=vip.serving,
        announced=announced,
        announce_at=listed.comes_at,
        withdraw_below=listed.leaves_below,
        panicking=vip.panicking,
        placed=bool(vip.shares and vip.members),
    )
    route = rib.route(listed.address, default, listed.announce)._replace(length=listed.length)
    if leaving and not state.shutdown:
        route = shutdown.shut(route, state.listed.drain)
    return rib.Service(
        address=listed.address,
        wants=attracts and (leaving is None or leaving.phase is Phase.SHUTTING),
        ready=vip.warm and bool(vip.shares),
        route=route,
        leaving=leaving is not None,
        needed=rib.needed(default, listed.announce),
    )


def _result(answer: Answer) -> str:
    return answer.status if not answer.error else f"{answer.status}: {answer.error}"
