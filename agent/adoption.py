# SPDX-License-Identifier: Apache-2.0
"""The start: the config laid over what the maps hold.  Pure.

Nothing moves that need not (F5): who was in the maps keeps number, flags, health and ring.  A
number that is given to somebody else gets another generation, and the program checks the owner of
every number that it reads, so an old ring never reaches a new owner (F3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from agent import commands, maglev
from agent.abi import MAX_REALS, MAX_VIPS, REAL_DOWN, REAL_DRAINING
from agent.boundary import Adopted, Effect, FreeReal, OwnedReal, PutReal, PutVip, RemoveVip, VipKey
from agent.config import Vip
from agent.health import Verdict
from agent.state import NodeState, PeerState, RealNumbers, RealState, VipState
from shared.model import Health

Owned = dict[tuple[int, maglev.Address], OwnedReal]
"""(vip_num, address) -> the number in use for it."""


class Layout(NamedTuple):
    """What the maps need besides rings and flags; idempotent, so it can be written again."""

    before: tuple[Effect, ...]
    """Ahead of the rings: removed VIPs, new reals."""
    behind: tuple[Effect, ...]
    """After the rings: new VIPs, freed reals."""


def adopt(state: NodeState, fact: Adopted, now: float) -> Layout:
    """Fill an empty state from its config, the maps and the journal."""
    owned: Owned = {(r.vip_num, r.address): r for r in fact.reals if r.vip_num}
    numbers = RealNumbers(fact.reals, MAX_REALS)
    unlisted = _unlisted(state, fact, owned)
    for real in unlisted:
        numbers.give_back(real.real_num)
    gone = [key for key in fact.vips if key not in {vip.key for vip in state.listed.vips}]
    vip_nums = _vip_nums(fact, gone)
    for vip in state.listed.vips:
        vip_num = fact.vips.get(vip.key) or next(vip_nums)
        state.vips[vip.name] = _lay_out(vip, vip_num, owned, fact, numbers, now=now)
    if state.listed.bgp:
        state.peers = {
            str(peer.address): PeerState(peer.asn, since=now) for peer in state.listed.bgp.peers
        }
    commands.apply(state, fact.overrides, now, revision=fact.revision)
    reals = [real for vip in state.vips.values() for real in vip.reals.values()]
    taken = {real.number.real_num for real in reals}
    return Layout(
        before=(
            *(RemoveVip(key) for key in gone),
            *(PutReal(r.number._replace(flags=r.flags)) for r in reals if r.written is None),
        ),
        behind=(
            *(PutVip(vip.listed.key, vip.vip_num) for vip in state.vips.values()),
            *(FreeReal(real.real_num) for real in unlisted if real.real_num not in taken),
        ),
    )


def _unlisted(state: NodeState, fact: Adopted, owned: Owned) -> list[OwnedReal]:
    """Reals in the maps that the config does not have any more."""
    listed = {
        (fact.vips.get(vip.key), real.address) for vip in state.listed.vips for real in vip.reals
    }
    return [real for key, real in owned.items() if key not in listed]


def _vip_nums(fact: Adopted, gone: list[VipKey]) -> Iterator[int]:
    """Numbers for new VIPs: those of removed ones last (they are removed before any ring)."""
    yield from sorted(set(range(1, MAX_VIPS)) - set(fact.vips.values()))
    yield from (fact.vips[key] for key in gone)


def _lay_out(
    vip: Vip, vip_num: int, owned: Owned, fact: Adopted, numbers: RealNumbers, *, now: float
) -> VipState:
    """A VIP's state from the config, with the numbers, flags and ring that the maps have."""
    row = fact.rings.get(vip_num) if vip.key in fact.vips else None
    in_ring = set(np.unique(row).tolist()) if row is not None else set()
    reals: dict[maglev.Address, RealState] = {}
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
            written=number.flags if as_written else None,
        )
    return VipState(vip, vip_num, reals, row)


def _as_before(mine: OwnedReal | None, in_ring: set[int]) -> Verdict:
    """The health that the maps imply: a restarted agent moves no flow before it has a reason."""
    if mine is None:
        return Verdict(Health.UNKNOWN)
    if mine.flags & REAL_DOWN:
        return Verdict(Health.DOWN)
    if mine.flags & REAL_DRAINING or mine.real_num in in_ring:
        return Verdict(Health.UP)
    return Verdict(Health.UNKNOWN)
