# SPDX-License-Identifier: Apache-2.0
"""What is seen of reals, peers and load, and what the state makes of it.  Pure.

The part of the director that listens: verdicts and slow starts from checks, sessions from BGP,
pressure and drains from the counters.  What a VIP's ring or flags may depend on, it names by
`touch`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.boundary import Counted, Effect, Emit, PeerChanged, Probed
from agent.core import clockwork, policy, pressure
from agent.core.health import RAMP_STEPS, held, judge, ramp_step
from agent.core.state import NodeState, RealState, VipState
from agent.dataplane.abi import MAX_VIPS
from agent.nouns import Address
from shared.messages import ChangeEvent, HealthEvent, PeerEvent
from shared.model import Admin, Health, Protocol

SILENT = 10.0
"""Seconds without a session after which a peer's silence is an error."""
NO_ANSWER = "no session: nobody answers at its address and port, or the TCP MD5 passwords differ"


class Observing:
    """Takes the facts that nobody waits for.  `touch(name, *reals)`: this VIP is to be settled,
    and these of its reals were judged anew."""

    def __init__(self, state: NodeState, touch: Callable[..., None]) -> None:
        self._state = state
        self._touch = touch
        self._counted: tuple[float, NDArray[np.uint64], NDArray[np.uint64] | None] | None = None
        """When new flows were counted last, and how many of them, and packets, by vip_num."""
        self._ramping: dict[tuple[str, Address], None] = {}
        """Reals in a slow start."""

    # ---- checks

    def probed(self, fact: Probed, now: float) -> list[Effect]:
        """One more result of a check."""
        vip = self._state.vips.get(fact.target.vip)
        real = vip.reals.get(fact.target.real) if vip else None
        if vip is None or real is None:
            return []
        was, before = real.verdict.health, (real.verdict, real.check)
        _judge(vip, real, fact, now)
        self._state.check_ms[real.number.real_num] = fact.ms
        if (real.verdict, real.check) != before:  # seldom
            self._state.touch(vip)
        if fact.ok:
            self._listen(vip, real, fact, now)
        if vip.panicked:
            self._await_others(vip, now)
        if real.verdict.health is was:
            return []
        self._touch(vip.listed.name, real)
        real.changed = now
        self._start_ramp(vip, real, was, now)
        return [
            Emit(HealthEvent(vip.listed.name, real.name, was, real.verdict.health, fact.detail))
        ]

    def _await_others(self, vip: VipState, now: float) -> None:
        """A fail-open ends when enough are up, and the others had their chance: `rise` rounds."""
        was, check = vip.awaits_others, vip.listed.check
        if vip.listed.all_down != "fail-open" or vip.too_few:
            vip.relieved, vip.awaits_others = None, False
        else:
            vip.relieved = now if vip.relieved is None else vip.relieved
            longest = (check.rise + 1) * (check.interval + check.timeout)
            vip.awaits_others = now - vip.relieved < longest and any(
                policy.follows(
                    up=real.serving,
                    passed=real.verdict.against,
                    asked=real.checked - vip.relieved,
                )
                for real in vip.reals.values()
                if real.admin is Admin.ENABLED
            )
        if vip.awaits_others is not was:
            self._touch(vip.listed.name)

    def _listen(self, vip: VipState, real: RealState, fact: Probed, now: float) -> None:
        """To the weight that the real asks for."""
        percent = policy.heard(fact.weight, real.percent, waited=now - real.percent_from)
        if percent != real.percent:
            real.percent, real.percent_from = percent, now
            self._touch(vip.listed.name)

    def _start_ramp(self, vip: VipState, real: RealState, was: Health, now: float) -> None:
        """Not at a start of the node: then all begin alike."""
        rises = real.verdict.health is Health.UP and (was is Health.DOWN or real.added)
        real.added = False
        if rises and vip.listed.ramp:
            real.ramp_from = now
            self._ramping[vip.listed.name, real.listed.address] = None

    def ramp(self, now: float) -> None:
        """The slow starts' steps that are due."""
        for name, address in list(self._ramping):
            vip = self._state.vips.get(name)
            real = vip.reals.get(address) if vip else None
            if vip is None or real is None or not real.serving:
                del self._ramping[name, address]
                if real:
                    real.step = RAMP_STEPS
                continue
            step = ramp_step(real.ramp_from, vip.listed.ramp, now)
            if step != real.step:
                real.step = step
                self._touch(name)
            if step == RAMP_STEPS:
                del self._ramping[name, address]

    # ---- peers

    def peer(self, fact: PeerChanged, now: float) -> list[Effect]:
        """A session came or went."""
        peer = self._state.peers.get(fact.peer)
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
        for peer in self._state.peers.values():
            if peer.state == "down" and not peer.error and now - peer.since > SILENT:
                peer.error, peer.failed = NO_ANSWER, now

    # ---- counters

    def counted(self, fact: Counted, now: float) -> list[Effect]:
        """New figures of the data plane."""
        self._note_silent_peers(now)
        return clockwork.counted(self._state, fact, now) + self._judge_pressure(fact, now)

    def _judge_pressure(self, fact: Counted, now: float) -> list[Effect]:
        turnover = self._state.listed.node.turnover
        if fact.new_flows is None or not turnover:
            return []
        before, self._counted = self._counted, (now, fact.new_flows, fact.packets)
        if before is None or now <= before[0]:
            return []
        passed = now - before[0]
        packets = _grown(fact.packets, before[2]) / passed
        rates = self._estimated(_grown(fact.new_flows, before[1]) / passed, packets)
        effects: list[Effect] = []
        for vip in self._state.vips.values():
            was, rate = vip.pressure.on, float(rates[vip.vip_num])
            vip.pressure = pressure.judge(
                vip.pressure,
                rate=rate,
                node_rate=float(rates.sum()),
                limit=fact.entries / turnover,
                now=now,
                passed=passed,
            )
            if was or vip.pressure.on:
                self._state.touch(vip)
            if vip.pressure.on is not was:
                known = float(packets[vip.vip_num]) - rate
                vip.pressure = vip.pressure._replace(known=max(0.0, known))
                self._touch(vip.listed.name)
                effects.append(self._pressure_event(vip, rate))
        return effects

    def _estimated(
        self, rates: NDArray[np.float64], packets: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """New flows by vip_num where the program cannot tell them: under pressure a first packet of
        UDP looks like any other.  Those are what comes beyond the packets of known flows."""
        rates[0] = 0.0  # of VIPs that are no more
        for vip in self._state.vips.values():
            if vip.pressure.on and vip.listed.protocol is Protocol.UDP:
                more = float(packets[vip.vip_num]) - vip.pressure.known
                rates[vip.vip_num] = max(float(rates[vip.vip_num]), more)
        return rates

    def _pressure_event(self, vip: VipState, rate: float) -> Emit:
        what = f"{vip.listed.name}: new-flow pressure"
        result = f"{'on' if vip.pressure.on else 'over'}, {rate:.0f} new flows/s"
        return Emit(ChangeEvent("agent", what, result, self._state.revision))


def _grown(now: NDArray[np.uint64] | None, before: NDArray[np.uint64] | None) -> NDArray[Any]:
    """Since the last count; a number that has another VIP now begins at 0 again."""
    if now is None or before is None:
        return np.zeros(MAX_VIPS)
    return np.maximum(now.astype(np.int64) - before.astype(np.int64), 0)


def _judge(vip: VipState, real: RealState, fact: Probed, now: float) -> None:
    check = vip.listed.check
    # Damping never costs the VIP its route: a flapping real is better than too few.
    down = real.verdict.health is Health.DOWN
    spared = down and fact.ok and vip.serving >= vip.listed.leaves_below
    hold = check.hold if spared else 0.0
    real.verdict = judge(
        real.verdict, ok=fact.ok, rise=check.rise, fall=check.fall, now=now, first_hold=hold
    )
    real.check, real.check_ms, real.checked = fact.detail, fact.ms, now
    if wait := held(real.verdict, now, hold):
        real.check = f"{fact.detail}; fell {real.verdict.falls} times, held {wait:.0f} s more"
