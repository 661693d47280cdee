# SPDX-License-Identifier: Apache-2.0
"""What should be, against what was written: the effects between the two.  Pure.

The other half of the director: it changes the state, this brings the world up to it.  Nothing is
done by difference to what was asked before, so the same code serves a start, a failure, a command
and a retry.  The order is: flags, withdraw, rings, new VIPs, what is gone, announce.  A real that
went down gets not one packet more (F4), whatever the routers do; traffic is never attracted that a
ring cannot place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from agent.boundary import (
    Configure,
    Effect,
    Emit,
    ForgetPrevious,
    FreeReal,
    Probe,
    PutQuicIds,
    PutReal,
    PutVip,
    RemoveVip,
    SetFlags,
    SetRing,
)
from agent.config.tree import Config
from agent.core import maglev, unknown_flows
from agent.core.announcing import Announcing
from agent.core.state import NodeState, RealState, VipState
from agent.nouns import Target, Tracking
from shared.messages import ChangeEvent

FORGOTTEN_AT_ONCE = 32
"""Rings, 6 to 10 ms; the others, a second later."""


class Budget:
    """How many rings may still be built in this call."""

    def __init__(self, rings: int) -> None:
        self.left = rings

    def spent(self) -> bool:
        self.left -= 1
        return self.left < 0


class Settling:
    """What was written, as far as it is not in the state, and what is to be looked at."""

    def __init__(self, state: NodeState, fill: maglev.Fill) -> None:
        self._state = state
        self._announcing = Announcing(state)
        self._fill = fill
        self._everything = True
        """All VIPs are to be compared with what was written..."""
        self._touched: dict[str, list[RealState]] = {}
        """...or these only, and which of their reals were judged anew."""
        self._waiting: dict[str, None] = {}
        """All but their rings is written; who waits longest is first."""
        self._flags_alone = False
        """The last pass was one of flags."""
        self._told: Config | None = None
        """The config that prober and program work by..."""
        self._unasked: frozenset[Target] = frozenset()
        """...and whom the prober leaves alone."""
        self._removals_first = False
        """The numbers of removed VIPs may serve again at once."""

    @property
    def due(self) -> bool:
        """Whether there is anything to compare."""
        return self._everything or bool(self._touched) or bool(self._waiting)

    @property
    def unsettled(self) -> bool:
        """Whether something is left for the next pass."""
        return self._flags_alone or bool(self._waiting)

    def touch(self, name: str, *judged: RealState) -> None:
        """Compare this VIP; only of these reals the flags may be others."""
        self._touched.setdefault(name, []).extend(judged)

    def touch_all(self) -> None:
        self._everything = True

    def stop(self) -> None:
        """Nothing is to be announced any more."""
        self._everything = self._announcing.stopping = True

    def adopted(self) -> None:
        """The state was just laid over what the maps hold."""
        self._everything = self._removals_first = True
        self._told, self._unasked = self._state.listed, self._state.unasked()

    # ---- one pass

    def flags(self) -> list[Effect]:
        """What changed of reals that the maps hold, to be written before anything is computed.

        A ring takes milliseconds; a real that failed is avoided with the next packet.
        """
        changed = self._flags()
        self._flags_alone = bool(changed)
        return changed

    def settle(self, budget: Budget, now: float) -> list[Effect]:
        """All that is to be written so that the world is as the state says."""
        state = self._state
        effects, everything = self._flags(), self._everything
        vips = self._to_settle(budget.left)
        effects += self._announcing.withdraw(vips)
        told = self._told is state.listed
        unasked = state.unasked() if everything else self._unasked
        asks = told and unasked == self._unasked
        if not told:
            effects.append(Configure(state.listed))
        if self._removals_first:
            self._removals_first = False
            effects += self._remove_vips()
        for vip in vips:
            effects += self._note_panic(vip)
            effects += _new_reals(vip)
            effects += self._place(vip, budget, now)
        for vip in vips:
            if vip.placed is not None:
                self._note_unknown(vip, now)
                effects += _placing(vip)
        effects += self._remove_vips()
        effects += self._free_reals()
        if not asks:
            self._told, self._unasked = state.listed, unasked
            effects.append(Probe(state.checks()))  # those of new VIPs go by their maps
        return effects + self._announcing.announce(vips)

    def _to_settle(self, rings: int) -> list[VipState]:
        """Of those that only wait for their ring as many as may get one."""
        vips = self._state.vips
        names = {*islice(self._waiting, rings), *self._touched}
        if self._everything:
            self._announcing.review_all()
            names = {*vips, *self._waiting}
        for name in names:
            self._waiting.pop(name, None)
        self._everything = self._flags_alone = False
        self._touched.clear()
        return [vip for name, vip in vips.items() if name in names]

    def _flags(self) -> list[Effect]:
        """Of all that changed at once: when a real fails behind 500 VIPs each step counts."""
        vips, changed = self._state.vips, dict[int, int]()
        if self._everything:
            for vip in vips.values():
                _note_flags(vip, vip.reals.values(), changed)
        else:
            for name, judged in self._touched.items():
                if name in vips:
                    _note_flags(vips[name], judged, changed)
        return [SetFlags(changed)] if changed else []

    # ---- a VIP

    def _place(self, vip: VipState, budget: Budget, now: float) -> list[Effect]:
        members = vip.members
        if vip.placed == members:
            vip.obeyed = vip.wishes
            return []
        if vip.awaits_verdicts:
            return []
        if budget.spent():
            self._waiting[vip.listed.name] = None
            return []
        ring = maglev.ring(members, vip.seed, fill=self._fill)
        vip.placed, vip.shares, vip.ring_digest = members, ring.counts(), ring.digest
        vip.obeyed = vip.wishes
        found, vip.found = vip.found, None
        wanted = SetRing(vip.vip_num, ring.slots, vip.numbers(ring))
        if found is not None and np.array_equal(wanted.real_nums, found):
            return []
        vip.ring_changes += 1
        vip.ring_at = now
        return [wanted]

    def _note_unknown(self, vip: VipState, now: float) -> None:
        """All flows of the VIP are stored from now on: those that are silent have no entry yet."""
        was, protocol = vip.written, vip.listed.protocol
        if was is None or was.stores_all(protocol) or not vip.placing.stores_all(protocol):
            return
        idle = self._state.listed.node.flow_idle
        self._state.unsure = unknown_flows.noted(
            self._state.unsure, warm_in=idle, unstored=False, idle=idle, now=now
        )

    def _note_panic(self, vip: VipState) -> list[Effect]:
        was, vip.panicked = vip.panicked, vip.panicking
        if was is vip.panicked:
            return []
        if was:  # whatever ended it: a drain, a reload, others that had their chance
            vip.relieved, vip.awaits_others = None, False
        up, of = vip.serving, len(vip.reals)
        what = f"{vip.listed.name}: {vip.listed.all_down}"
        result = f"{'in force' if vip.panicked else 'over'}, {up} of {of} reals up"
        return [Emit(ChangeEvent("agent", what, result, self._state.revision))]

    def forget_previous(self, now: float) -> list[Effect]:
        """Rings that stood for as long as a silent flow lasts forget the ones before."""
        idle = self._state.listed.node.flow_idle
        vips = self._state.vips.values()
        due = (vip for vip in vips if vip.ring_at is not None and now - vip.ring_at >= idle)
        effects: list[Effect] = []
        for vip in islice(due, FORGOTTEN_AT_ONCE):
            vip.ring_at = None
            effects.append(ForgetPrevious(vip.vip_num))
        return effects

    # ---- what is gone

    def _remove_vips(self) -> list[Effect]:
        if not self._state.leftover_vips:
            return []
        here = {vip.listed.key for vip in self._state.vips.values()}
        gone = sorted(self._state.leftover_vips - here, key=str)
        self._state.leftover_vips.clear()
        return [RemoveVip(key) for key in gone]

    def _free_reals(self) -> list[Effect]:
        if not self._state.leftover_reals:
            return []
        vips = self._state.vips.values()
        here = {real.number.real_num for vip in vips for real in vip.reals.values()}
        gone = sorted(self._state.leftover_reals - here)
        self._state.leftover_reals.clear()
        return [FreeReal(number) for number in gone]

    # ---- a failure

    def forget(self, undone: Sequence[Effect], now: float) -> None:
        """These were not performed, or failed: what is written is not known any more."""
        self._everything = True
        self._told = None
        for vip in self._state.vips.values():
            vip.placed = vip.found = None
            vip.written = vip.quic_ids_written = None
            vip.ring_at = now
            for real in vip.reals.values():
                real.written = None
        self._announcing.forget(undone)
        for effect in undone:
            if isinstance(effect, RemoveVip):
                self._state.leftover_vips.add(effect.key)
                self._removals_first = True  # its number may have another VIP by now
            elif isinstance(effect, FreeReal):
                self._state.leftover_reals.add(effect.real_num)


def _note_flags(vip: VipState, judged: Iterable[RealState], changed: dict[int, int]) -> None:
    """Of the reals that the maps know.  Failing open is all reals' or nobody's."""
    fails_open = vip.fails_open
    for real in vip.reals.values() if vip.listed.all_down == "fail-open" else judged:
        flags = vip.flags_of(real, fails_open=True) if fails_open else real.flags
        if real.written != flags and real.written is not None:
            changed[real.number.real_num] = real.written = flags


def _new_reals(vip: VipState) -> list[Effect]:
    effects: list[Effect] = []
    fails_open = vip.fails_open
    for real in vip.reals.values():
        if real.written is None:
            real.written = vip.flags_of(real, fails_open=fails_open)
            effects.append(PutReal(real.number._replace(flags=real.written)))
    return effects


def _placing(vip: VipState) -> list[Effect]:
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
