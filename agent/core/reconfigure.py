# SPDX-License-Identifier: Apache-2.0
"""Another config while the agent runs: the state that it makes, and what that changes.  Pure.

prepare() makes the next state beside the present one and touches nothing; install() swaps it in,
restore() swaps it back.  Who stays keeps number, generation, health, drain and ring: the director
then writes only what differs (F5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from agent.config.tree import Config, Real, Vip
from agent.core.numbers import RealNumbers, VipNumbers
from agent.core.overrides import objects
from agent.core.pending import Due, carried
from agent.core.state import NodeState, PeerState, RealState, VipState
from agent.nouns import Override, VipKey, of_route
from shared.labels import NO_LABELS
from shared.model import Admin


class Next(NamedTuple):
    """The state under another config."""

    listed: Config
    generation: int
    vips: dict[str, VipState]
    numbers: RealNumbers
    vip_numbers: VipNumbers
    peers: dict[str, PeerState]
    gone_vips: frozenset[VipKey]
    gone_reals: frozenset[int]
    overrides: tuple[Override, ...]
    """For the journal: what it must forget, and what goes on under another VIP's name."""
    pending: tuple[Due, ...]
    phases: dict[str, str]
    """For the journal, too: VIP name -> phase, of shutdowns that go on under another name."""


class Before(NamedTuple):
    """How it was before install()."""

    listed: Config
    generation: int
    revision: int
    vips: dict[str, VipState]
    numbers: RealNumbers
    vip_numbers: VipNumbers
    peers: dict[str, PeerState]
    pending: Sequence[Due]


def prepare(state: NodeState, listed: Config, now: float) -> Next:
    """Raises IndexError when the maps have no number left for a VIP or real."""
    numbers, vip_numbers = state.numbers.copy(), state.vip_numbers.copy()
    present = {vip.listed.key: vip for vip in state.vips.values()}
    vips = {}
    for vip in listed.vips:
        old = present.get(vip.key)
        if old is not None and old.listed == vip:
            vips[vip.name] = old
            continue
        bare = VipState(vip, vip_numbers.take(), {}) if old is None else old
        vips[vip.name] = _relist(bare, vip, numbers, now)
    wanted = {vip.listed.key for vip in vips.values()}
    gone_vips = tuple(key for key in present if key not in wanted)
    kept = {real.number.real_num for vip in vips.values() for real in vip.reals.values()}
    gone_reals = frozenset(
        real.number.real_num
        for vip in state.vips.values()
        for real in vip.reals.values()
        if real.number.real_num not in kept
    )
    for number in sorted(gone_reals):
        numbers.give_back(number)
    for key in gone_vips:
        vip_numbers.give_back(present[key].vip_num)
    peers = _peers(state, listed, now)
    overrides = _overrides(_overridden(state.vips, state.peers), _overridden(vips, peers))
    generation = state.newest_generation + 1
    return Next(
        listed=listed,
        generation=generation,
        vips=vips,
        numbers=numbers,
        vip_numbers=vip_numbers,
        peers=peers,
        gone_vips=frozenset(gone_vips),
        gone_reals=gone_reals,
        overrides=overrides,
        pending=carried(state.pending, _names(state, vips), objects(vips, peers)),
        phases=_phases(state.vips, vips),
    )


def install(state: NodeState, following: Next) -> Before:
    """The next state is the present one; what it has not any more is to be removed."""
    before = Before(
        state.listed,
        state.generation,
        state.revision,
        state.vips,
        state.numbers,
        state.vip_numbers,
        state.peers,
        state.pending,
    )
    _put(state, before._replace(**{f: getattr(following, f) for f in _SAME}))
    state.revision += 1
    state.newest_generation = following.generation
    state.leftover_vips |= following.gone_vips
    state.leftover_reals |= following.gone_reals
    return before


_SAME = ("listed", "generation", "vips", "numbers", "vip_numbers", "peers", "pending")


def restore(state: NodeState, before: Before) -> None:
    """As it was before install(); what was written meanwhile is to be removed."""
    written = list(state.vips.values())
    state.leftover_vips |= {vip.listed.key for vip in written}
    state.leftover_reals |= {r.number.real_num for vip in written for r in vip.reals.values()}
    _put(state, before)


def _put(state: NodeState, fields: Before) -> None:
    # In place: what snapshots are made from holds on to the dictionary's owner, the state.
    state.listed, state.generation, state.revision = fields[:3]
    state.vips, state.numbers, state.vip_numbers, state.peers = fields[3:7]
    state.pending = list(fields.pending)
    state.number_anew()


def _peers(state: NodeState, listed: Config, now: float) -> dict[str, PeerState]:
    """Those who stay with what is known of them; in another AS one is withdrawn as before."""
    peers: dict[str, PeerState] = {}
    for peer in listed.bgp.peers if listed.bgp else ():
        found = state.peers.get(str(peer.address))
        withdrawn = found.withdrawn if found else None
        stays = found if found and found.asn == peer.asn else None
        anew = PeerState(peer.asn, since=now, withdrawn=withdrawn)
        peers[str(peer.address)] = stays or anew
    return peers


def _relist(old: VipState, vip: Vip, numbers: RealNumbers, now: float) -> VipState:
    """A VIP as the config has it now, with what is known of it and of the reals that stay."""
    reals = {real.address: _relist_real(old, real, numbers, now) for real in vip.reals}
    ring_stands = all(address in reals for address in old.placed or ())
    return replace(old, listed=vip, reals=reals, placed=old.placed if ring_stands else None)


def _relist_real(old: VipState, listed: Real, numbers: RealNumbers, now: float) -> RealState:
    real = old.reals.get(listed.address)
    if real is None:
        number = numbers.take(old.vip_num, listed.address, listed.encap)
        return RealState(listed, number, str(listed.address), changed=now, added=bool(old.reals))
    if real.listed == listed:
        return real
    return replace(
        real,
        listed=listed,
        number=real.number._replace(encap=listed.encap),
        changed=real.changed if labelled_anew(real.listed, listed) else now,
        written=real.written if real.listed.encap is listed.encap else None,
    )


Listed = TypeVar("Listed", Vip, Real)


def labelled_anew(old: Listed, new: Listed) -> bool:
    """They differ in labels alone: nothing of the data plane, of checks or routes is another."""
    return old != new and _unlabelled(old) == _unlabelled(new)


def _unlabelled(listed: Vip | Real) -> Vip | Real:
    reals = {"reals": tuple(map(_unlabelled, listed.reals))} if isinstance(listed, Vip) else {}
    return replace(listed, labels=NO_LABELS, **reals)


def _names(state: NodeState, vips: dict[str, VipState]) -> dict[str, str]:
    """Old name -> new one of each VIP that stays; the node has none."""
    now = {vip.listed.key: name for name, vip in vips.items()}
    stay = ((name, vip.listed.key) for name, vip in state.vips.items() if vip.listed.key in now)
    return {"": "", **{name: now[key] for name, key in stay}}


def _phases(before: dict[str, VipState], after: dict[str, VipState]) -> dict[str, str]:
    keys = {name: vip.listed.key for name, vip in before.items()}
    return {
        name: vip.shutdown.phase.value
        for name, vip in after.items()
        if vip.shutdown and keys.get(name) != vip.listed.key
    }


Overridden = dict[tuple[str, str, str], Override]
"""By what each is about."""


def _overrides(before: Overridden, after: Overridden) -> tuple[Override, ...]:
    """What the journal must learn, so that a restart finds what is in force now: a real or peer
    that is gone is forgotten, one whose VIP has another name goes on under that."""
    return tuple(
        after.get(whose) or Override(whose[0], whose[1], Admin.ENABLED, None, whose[2])
        for whose in [*before, *(whose for whose in after if whose not in before)]
        if before.get(whose) != after.get(whose)
    )


def _overridden(vips: dict[str, VipState], peers: dict[str, PeerState]) -> Overridden:
    found = [
        *(
            Override(name, real.name, real.admin, real.override)
            for name, vip in vips.items()
            for real in vip.reals.values()
        ),
        *(Override(name, "", vip.admin, None) for name, vip in vips.items()),
        *(of_route(name, vip.withdrawn) for name, vip in vips.items()),
        *(of_route("", peer.withdrawn, address) for address, peer in peers.items()),
    ]
    return {override.object: override for override in found if not override.plain}
