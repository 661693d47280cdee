# SPDX-License-Identifier: Apache-2.0
"""What happens because time passes: shutdowns step on, drains empty, pending changes end.  Pure.

Called by the director, which settles and writes what changes here; `now` is seconds, monotonic.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agent.boundary import Counted, Effect, Emit, Remember
from agent.core import (
    emptying,
    guard,
    overrides,
    pending,
    rollouts,
    shutdown,
    unknown_flows,
    wording,
)
from agent.core.forecast import impacts
from agent.core.pending import Due
from agent.core.shutdown import Shutdown
from agent.core.state import NodeState, RealState, VipState
from agent.nouns import Override
from shared.messages import ChangeEvent, Command, Look
from shared.model import Admin

AGENT = "agent"
LASTING = guard.Limits(blast_radius=0, fresh=0)
"""Of what goes back by itself: it was decided long ago, only the last reals are guarded."""


class Passed(NamedTuple):
    """What time brought."""

    effects: list[Effect]
    moved: bool
    """Routes, rings or flags may differ now."""


def counted(state: NodeState, fact: Counted, now: float) -> list[Effect]:
    """New figures: live flows, packet rates, and what they say about drains."""
    effects: list[Effect] = []
    _note_unknown(state, fact, now)
    state.live_flows[:] = fact.live_flows
    live = fact.live_flows.tolist()  # one step from numpy to Python for all
    for vip in state.vips.values():
        for real in vip.reals.values():
            real.live_flows = live[real.number.real_num]
            if real.emptying is not None:
                effects += _watch(state, vip, real, fact, now)
                state.touch(vip)
    if fact.packets is not None:
        _note_rates(state, fact, now)
    return effects


def _note_unknown(state: NodeState, fact: Counted, now: float) -> None:
    before, state.unstored = state.unstored, fact.unstored
    state.unsure = unknown_flows.noted(
        state.unsure,
        warm_in=fact.warm_in,
        unstored=fact.unstored > before,  # at a start: whenever that was
        idle=state.listed.node.flow_idle,
        now=now,
    )


def _watch(
    state: NodeState, vip: VipState, real: RealState, fact: Counted, now: float
) -> list[Effect]:
    assert real.emptying is not None
    was = real.emptying
    real.emptying = emptying.counted(
        was,
        real.live_flows,
        now,
        fact.silence.get(real.number.real_num),
        unsure=unknown_flows.of_drain(
            state.unsure_of(vip),
            since=was.since,
            in_ring=bool(vip.shares.get(real.listed.address)),
            idle=state.listed.node.flow_idle,
            now=now,
        ),
    )
    if not real.emptying.empty_at or was.empty_at:
        return []
    seconds = now - was.since
    what = f"drain real/{real.name}@{vip.listed.name}"
    return [_told(state, what, f"empty after {seconds:.0f} s, {was.at_start} flows ended")]


def _note_rates(state: NodeState, fact: Counted, now: float) -> None:
    assert fact.packets is not None
    before, at = state.packets, state.packets_at
    state.packets, state.packets_at = fact.packets, now
    if before is None or now <= at or len(before) != len(fact.packets):
        return
    grown = fact.packets.astype(np.int64) - before.astype(np.int64)
    state.rates = np.maximum(grown, 0) / (now - at)


def passed(state: NodeState, now: float) -> Passed:
    """Everything that is due."""
    stepped = _step_shutdowns(state, now)
    ended = _end_pending(state, now)
    left = _hold_rollouts(state, now)
    return Passed(stepped + ended + left, bool(stepped or ended))


def _hold_rollouts(state: NodeState, now: float) -> list[Effect]:
    held = rollouts.timed_out(state.rollouts, now)
    if held is None:
        return []
    state.rollouts = held
    command = Command(id="", who=AGENT, action=Look())
    result = f"held: {rollouts.SILENT}"
    return [Remember(command, result, state.revision, what="rollout", rollouts=held)]


# ---- shutdowns


def _step_shutdowns(state: NodeState, now: float) -> list[Effect]:
    effects: list[Effect] = []
    settings = state.listed.drain
    if state.shutdown:
        total = None if state.rates is None else float(state.rates[1:].sum())
        after = shutdown.step(state.shutdown, settings, total, now)
        if after is not state.shutdown:
            state.shutdown = after
            effects += _stepped(state, "", after)
    for name, vip in state.vips.items():
        if vip.shutdown:
            rate = None if state.rates is None else float(state.rates[vip.vip_num])
            after = shutdown.step(vip.shutdown, settings, rate, now)
            if after is not vip.shutdown:
                vip.shutdown = after
                effects += _stepped(state, name, after)
    return effects


def _stepped(state: NodeState, name: str, now_in: Shutdown) -> list[Effect]:
    what = f"drain {wording.named(name, '', state.listed.node.name)}"
    result = f"{now_in.phase}: {now_in.why}"
    command = Command(id="", who=AGENT, action=Look())
    entry = Remember(command, result, state.revision, phase=(name, now_in.phase.value), what=what)
    return [entry, _told(state, what, result)]


# ---- pending changes


def _end_pending(state: NodeState, now: float) -> list[Effect]:
    effects: list[Effect] = []
    for due in [due for due in state.pending if due.at <= now]:
        state.pending.remove(due)
        effects += _end(state, due, now)
    return effects


def _end(state: NodeState, due: Due, now: float) -> list[Effect]:
    kind = due.pending.kind
    if kind == "wait":
        return _closed(state, due, f"deadline passed, {_left(state, due)} flows left, waiting on")
    if kind == "kill":
        ending = tuple(o for o in _disabled(state, due) if overrides.differs(state, o))
        result = f"deadline passed, {_left(state, due)} flows lost their real"
    else:
        ending = tuple(o for o in due.pending.back if overrides.differs(state, o))
        result = "time is over, back as before" if kind == "expire" else "not confirmed, taken back"
    refusals = (no for impact in impacts(state, ending) for no in guard.check(impact, LASTING))
    no = None if kind == "kill" else guard.first(refusals, ())
    if no is not None:
        return _closed(state, due, f"kept: {no.guard}: {no.why}")
    if not ending:
        return _closed(state, due, "nothing left to do")
    overrides.apply(state, ending, now)
    return _closed(state, due, result, ending)


def _closed(
    state: NodeState, due: Due, result: str, ending: tuple[Override, ...] = ()
) -> list[Effect]:
    node = state.listed.node.name
    objects = ", ".join(wording.object_of(o, node) for o in due.pending.back)
    what = f"{due.pending.kind} {objects}"
    command = Command(id=due.pending.id, who=AGENT, action=Look(), operation=due.pending.operation)
    entry = Remember(command, result, state.revision, ending, settled=(due.pending.id,), what=what)
    return [entry, _told(state, what, result, due.pending.operation)]


def _disabled(state: NodeState, due: Due) -> list[Override]:
    """Those of its reals that still drain and still have flows."""
    found = []
    for vip, real in _reals(state, due):
        if real.admin is Admin.DRAINING and real.live_flows:
            found.append(Override(vip.listed.name, real.name, Admin.DISABLED, real.override))
    return found


def _left(state: NodeState, due: Due) -> int:
    return sum(real.live_flows for _, real in _reals(state, due))


def _reals(state: NodeState, due: Due) -> list[tuple[VipState, RealState]]:
    wanted = pending.objects(due.pending.back)
    return [
        (vip, real)
        for name, vip in state.vips.items()
        for real in vip.reals.values()
        if (name, real.name, "") in wanted
    ]


def _told(state: NodeState, what: str, result: str, operation: str = "") -> Emit:
    return Emit(
        ChangeEvent(
            who=AGENT, what=what, result=result, revision=state.revision, operation=operation
        )
    )
