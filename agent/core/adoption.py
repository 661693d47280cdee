# SPDX-License-Identifier: Apache-2.0
"""The start: the config laid over what the maps hold.  Pure.

Nothing moves that need not (F5): who was in the maps keeps number, flags, health and ring.  A
number that is given to somebody else gets another generation, and the program checks the owner of
every number that it reads, so an old ring never reaches a new owner (F3).
"""

from __future__ import annotations

import numpy as np

from agent.boundary import Adopted, Effect, Emit, Remember
from agent.config.tree import Vip
from agent.core import overrides, pending, rollouts, unknown_flows, wording
from agent.core.clockwork import AGENT
from agent.core.health import Verdict
from agent.core.numbers import RealNumbers, VipNumbers
from agent.core.pending import Due
from agent.core.shutdown import Phase, Shutdown
from agent.core.state import NodeState, PeerState, RealState, VipState
from agent.dataplane.abi import MAX_REALS, MAX_VIPS, REAL_DOWN, REAL_DRAINING
from agent.nouns import Address, Override, OwnedReal, Pending
from shared.messages import ChangeEvent, Command, Look
from shared.model import Admin, Health

Owned = dict[tuple[int, Address], OwnedReal]
"""(vip_num, address) -> the number in use for it."""
NAMED = 8
"""Objects in one event."""


def adopt(state: NodeState, fact: Adopted, now: float) -> list[Effect]:
    """Fill an empty state from its config, the maps and the journal; returns what that must forget,
    as it does when a reload removes something: should one of its name ever come back, it is new."""
    owned: Owned = {(r.vip_num, r.address): r for r in fact.reals if r.vip_num}
    state.numbers = RealNumbers(fact.reals, MAX_REALS)
    state.vip_numbers = VipNumbers(fact.vips.values(), MAX_VIPS)
    unlisted = _unlisted(state, fact, owned)
    for real in unlisted:
        state.numbers.give_back(real.real_num)
    listed = {vip.key for vip in state.listed.vips}
    state.leftover_vips = {key for key in fact.vips if key not in listed}
    for key in fact.vips:  # their numbers serve again last: they are removed before any ring
        if key in state.leftover_vips:
            state.vip_numbers.give_back(fact.vips[key])
    for vip in state.listed.vips:
        vip_num = fact.vips.get(vip.key) or state.vip_numbers.take()
        state.vips[vip.name] = _lay_out(vip, vip_num, owned, fact, state.numbers, now=now)
    if state.listed.bgp:
        state.peers = {
            str(peer.address): PeerState(peer.asn, since=now) for peer in state.listed.bgp.peers
        }
    state.generation, state.newest_generation = fact.generation, fact.newest_generation
    overrides.apply(state, fact.overrides, now, revision=fact.revision)
    there = overrides.objects(state.vips, state.peers)
    known = [Due(each, now + each.left) for each in fact.pending]
    state.pending = list(pending.carried(known, {name: name for name in ("", *state.vips)}, there))
    state.rollouts = rollouts.adopted(fact.rollouts, now)
    for name, phase in fact.phases.items():
        _resume(state, name, Shutdown(Phase(phase), now, "as before the restart"))
    state.leftover_reals = {real.real_num for real in unlisted}
    state.unsure = unknown_flows.noted(
        state.unsure,
        warm_in=fact.warm_in,
        unstored=False,
        idle=state.listed.node.flow_idle,
        now=now,
    )
    gone = [o for o in fact.overrides if not o.plain and o.object not in there]
    return _forget(state, gone, *pending.journalled(known, state.pending, now))


def _forget(
    state: NodeState, gone: list[Override], changed: tuple[Pending, ...], settled: tuple[str, ...]
) -> list[Effect]:
    if not (gone or changed or settled):
        return []
    names = sorted({wording.object_of(o, state.listed.node.name) for o in gone}) or ["a time limit"]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    result = f"forgot {', '.join(names[:NAMED])}{more}: not in the config any more"
    plain = tuple(Override(o.vip, o.real, Admin.ENABLED, None, o.route) for o in gone)
    command = Command(id="", who=AGENT, action=Look())
    entry = Remember(
        command, result, state.revision, plain, pending=changed, settled=settled, what="start"
    )
    return [Emit(ChangeEvent(AGENT, "start", result, state.revision)), entry]


def _resume(state: NodeState, name: str, where: Shutdown) -> None:
    """A shutdown goes on where it was: a route that was withdrawn is not announced again."""
    vip = state.vips.get(name)
    if not name and state.shutdown:
        state.shutdown = where
    elif vip is not None and vip.shutdown:
        vip.shutdown = where


def _unlisted(state: NodeState, fact: Adopted, owned: Owned) -> list[OwnedReal]:
    """Reals in the maps that the config does not have any more."""
    listed = {
        (fact.vips.get(vip.key), real.address) for vip in state.listed.vips for real in vip.reals
    }
    return [real for key, real in owned.items() if key not in listed]


def _lay_out(
    vip: Vip, vip_num: int, owned: Owned, fact: Adopted, numbers: RealNumbers, *, now: float
) -> VipState:
    """A VIP's state from the config, with the numbers, flags and ring that the maps have."""
    row = fact.rings.get(vip_num) if vip.key in fact.vips else None
    in_ring = set(np.flatnonzero(np.bincount(row)).tolist()) if row is not None else set()
    reals: dict[Address, RealState] = {}
    for listed in vip.reals:
        mine = owned.get((vip_num, listed.address)) if row is not None else None
        number = mine or numbers.take(vip_num, listed.address, listed.encap)
        as_written = mine is not None and mine.encap is listed.encap
        reals[listed.address] = RealState(
            listed,
            number._replace(encap=listed.encap),
            str(listed.address),
            verdict=_as_before(mine, in_ring),
            changed=now,
            checked=now,
            written=number.flags if as_written else None,
        )
    return VipState(vip, vip_num, reals, row, ring_at=None if row is None else now)


def _as_before(mine: OwnedReal | None, in_ring: set[int]) -> Verdict:
    """The health that the maps imply: a restarted agent moves no flow before it has a reason."""
    if mine is None:
        return Verdict(Health.UNKNOWN)
    if mine.flags & REAL_DOWN:
        return Verdict(Health.DOWN)
    if mine.flags & REAL_DRAINING or mine.real_num in in_ring:
        return Verdict(Health.UP)
    return Verdict(Health.UNKNOWN)
