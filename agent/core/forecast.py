# SPDX-License-Identifier: Apache-2.0
"""What a change would do: the lines of a plan, and what the guards are asked about.  Pure.

The same state and the same rings as the change itself makes, so what was planned is what happens
(K3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from agent.config import difference
from agent.config.tree import Real
from agent.core import maglev, reconfigure
from agent.core.guard import Impact
from agent.core.reconfigure import Next
from agent.core.route_forecast import of_routes
from agent.core.state import NodeState, RealState, VipState
from agent.core.supposing import supposed
from agent.core.unknown_flows import SPARSE
from agent.nouns import Address, Override, Tracking
from shared.messages import Change
from shared.model import RING_SLOTS, Admin, Health

RINGS = 16
"""VIPs whose rings are built for one plan: the checks that wait meanwhile must not time out."""
ABSENT = "absent"
NOWHERE: Mapping[str, int] = MappingProxyType({})

Members = Mapping[Address, int]


class Forecast(NamedTuple):
    changes: tuple[Change, ...]
    impacts: tuple[Impact, ...]


def of_overrides(
    state: NodeState,
    overrides: tuple[Override, ...],
    fill: maglev.Fill | None,
    elsewhere: Mapping[str, int] = NOWHERE,
) -> Forecast:
    """What becomes of each real, VIP, the node, and of routes; `elsewhere`: as Withdraw has it."""
    routes = [override for override in overrides if override.route]
    routed, lost = of_routes(state, routes, elsewhere) if routes else ([], [])
    whole = tuple(_of_whole(state, o) for o in overrides if not (o.real or o.route))
    by_vip: dict[str, list[Override]] = {}
    for override in filter(lambda each: each.real, overrides):
        by_vip.setdefault(override.vip, []).append(override)
    made = [_of_vip_overrides(state, state.vips[name], of, fill) for name, of in by_vip.items()]
    changes = tuple(change for found, _ in made for change in found)
    impacts = (*(impact for _, impact in made), *lost)
    return Forecast((*whole, *changes, *routed), impacts)


def _of_whole(state: NodeState, override: Override) -> Change:
    """Of the node, or of a VIP on it."""
    vips = [state.vips[override.vip]] if override.vip else list(state.vips.values())
    was = vips[0].admin if override.vip else state.admin
    live = sum(_live(vip.reals.values()) for vip in vips)
    left = vips[0].serving if override.vip else 0
    return Change(override.vip, "", was, override.admin, 0, 0, 0, live, left)


def impacts(state: NodeState, overrides: tuple[Override, ...]) -> tuple[Impact, ...]:
    """What the guards are asked about a change of reals, without building a ring."""
    reals = tuple(override for override in overrides if override.real)
    return of_overrides(state, reals, None).impacts if reals else ()


def _of_vip_overrides(
    state: NodeState, vip: VipState, overrides: list[Override], fill: maglev.Fill | None
) -> tuple[list[Change], Impact]:
    """All overrides of a VIP together."""
    reals = {o: vip.reals[ip_address(o.real)] for o in overrides}
    was = {o: str(real) for o, real in reals.items()}
    serving_before = vip.serving
    with supposed(state, overrides):
        now, members, serving = {o: _wish(r) for o, r in reals.items()}, vip.members, vip.serving
    after = _shares(members)
    moved = _moved(vip.placed or {}, members, vip.seed, fill)
    changes = [
        Change(
            vip=override.vip,
            real=override.real,
            was=was[override],
            now=now[override],
            slots_before=vip.shares.get(real.listed.address, 0),
            slots_after=after.get(real.listed.address, 0),
            slots_moved=moved,
            live_flows=real.live_flows,
            reals_left=serving,
        )
        for override, real in reals.items()
    ]
    quorum = vip.listed.leaves_below
    cut = [r for o, r in reals.items() if o.admin is Admin.DISABLED is not r.admin]
    return changes, Impact(
        vip.listed.name,
        serving_before,
        serving,
        quorum,
        quorum,
        _live(cut),
        _uncounted(state, vip, cut),
        state.unsure_of(vip).why,
        _hands(vip, moved - _of_comers(vip, members, moved)),
        _overloaded(state, vip, vip.shares, after),
        tuple(map(str, after)),
    )


def _wish(real: RealState) -> str:
    unknown = real.admin is not Admin.DISABLED and real.verdict.health is Health.UNKNOWN
    return f"{real}, from its first good check on" if unknown else str(real)


def of_config(state: NodeState, following: Next, fill: maglev.Fill) -> Forecast:
    """What becomes of settings, VIPs and reals under another config."""
    changes = [
        Change("", "", setting.was, setting.now, 0, 0, 0, 0, 0, what=setting.key)
        for setting in difference.settings(state.listed, following.listed)
    ]
    impacts = []
    present = {vip.listed.key: vip for vip in state.vips.values()}
    rings = RINGS
    for vip in following.vips.values():
        old = present.pop(vip.listed.key, None)
        if old is vip:
            continue
        if old is None:
            changes.append(_vip_change(vip, ABSENT, _in_words(vip)))
            continue
        rings -= 1
        found, impact = _of_vip(state, old, vip, fill if rings >= 0 else None)
        changes += found
        if not reconfigure.labelled_anew(old.listed, vip.listed):
            impacts.append(impact)
    for old in present.values():
        changes.append(_vip_change(old, _in_words(old), ABSENT))
        live, more = _live(old.reals.values()), _traffic(state, old)
        impacts.append(
            Impact(
                old.listed.name, 0, 0, 0, 0,
                cut_flows=live, uncounted=more, unsure=state.unsure_of(old).why or SPARSE,
            )
        )  # fmt: skip
    return Forecast(tuple(changes), tuple(impacts))


def _vip_change(vip: VipState, was: str, now: str) -> Change:
    left = vip.serving if now != ABSENT else 0
    return Change(
        vip.listed.name, "", was, now, 0, 0, 0, _live(vip.reals.values()), left, what="vips"
    )


def _in_words(vip: VipState) -> str:
    count = len(vip.reals)
    return f"{vip.listed.key}, {count} real{'' if count == 1 else 's'}"


def _of_vip(
    state: NodeState, old: VipState, new: VipState, fill: maglev.Fill | None
) -> tuple[list[Change], Impact]:
    """Of a VIP that stays; without `fill` the movement is a lower bound."""
    after = _shares(new.members)
    rehashed = old.listed.hash is not new.listed.hash
    moved = RING_SLOTS if rehashed else _moved(old.placed or {}, new.members, new.seed, fill)
    gone = [real for address, real in old.reals.items() if address not in new.reals]
    cut = gone + _strayed(old, new)
    changes = [
        *_of_settings(old, new),
        *_of_reals(old, new, after, moved=moved, at_least=fill is None),
    ]
    return changes, Impact(
        new.listed.name,
        old.serving,
        new.serving,
        old.listed.leaves_below,
        new.listed.leaves_below,
        _live(cut),
        _uncounted(state, old, old.reals.values() if rehashed else cut),
        state.unsure_of(old).why,
        _hands(old, moved - (0 if rehashed else _of_comers(old, new.members, moved))),
        _overloaded(state, new, old.shares, after),
        tuple(map(str, after)),
    )


def _strayed(old: VipState, new: VipState) -> list[RealState]:
    """Reals that stay, but not their flows: without the table those go where the ring says."""
    if new.listed.flow_table is not Tracking.COMPUTE or old.listed.flow_table is Tracking.COMPUTE:
        return []
    there = {} if old.listed.hash is not new.listed.hash else new.members
    return [r for a, r in old.reals.items() if a in new.reals and a not in there]


def _of_settings(old: VipState, new: VipState) -> Iterator[Change]:
    """Of all that the config says of the VIP but its reals."""
    for key in new.listed.__struct_fields__:
        if key == "reals":
            continue
        was, now = getattr(old.listed, key), getattr(new.listed, key)
        for s in difference.differences(f"vips.{key}", was, now):
            yield Change(new.listed.name, "", s.was, s.now, 0, 0, 0, 0, new.serving, what=s.key)


def _of_reals(
    old: VipState, new: VipState, after: Members, *, moved: int, at_least: bool
) -> Iterator[Change]:
    """Of those that stay as they are none; of another label alone a change of that."""
    for address in [*old.reals, *(a for a in new.reals if a not in old.reals)]:
        was, now = old.reals.get(address), new.reals.get(address)
        if was is now:
            continue
        if was and now and was.listed.labels != now.listed.labels:
            yield _labelled(new, was.listed, now.listed)
            if reconfigure.labelled_anew(was.listed, now.listed):
                continue
        real = now or was
        assert real is not None
        yield Change(
            vip=new.listed.name,
            real=real.name,
            was=_real_in_words(was),
            now=_real_in_words(now),
            slots_before=old.shares.get(address, 0),
            slots_after=after.get(address, 0),
            slots_moved=moved,
            live_flows=real.live_flows,
            reals_left=new.serving,
            slots_at_least=at_least,
        )


def _labelled(vip: VipState, was: Real, now: Real) -> Change:
    key = f"vips.reals.{now.address}.labels"
    said = str(was.labels), str(now.labels)
    return Change(vip.listed.name, "", *said, 0, 0, 0, 0, vip.serving, what=key)


def _of_comers(vip: VipState, after: Members, moved: int) -> int:
    """Of the slots that move: those that reals which come would take if nothing else changed, so
    that who brings reals back is not held up, and nothing else goes along with them."""
    before = vip.placed or {}
    coming = {a: weight for a, weight in after.items() if not before.get(a)}
    alone = {**before, **coming}
    if alone == after:
        return moved
    taken = _shares(alone)
    return min(moved, sum(taken.get(a, 0) for a in coming))


def _hands(vip: VipState, moved: int) -> float:
    """Share of the ring that changes hands; a ring of nobody has none."""
    return moved / RING_SLOTS if vip.placed else 0.0


def _overloaded(
    state: NodeState, vip: VipState, before: Members, after: Members
) -> tuple[str, ...]:
    """Reals that get more than before and more than their `capacity`, at the VIP's present rate."""
    if state.rates is None:
        return ()
    rate = float(state.rates[vip.vip_num])
    found = []
    for address, slots in after.items():
        limit = vip.reals[address].listed.capacity
        expected = rate * slots / RING_SLOTS
        if limit and expected > limit and slots > before.get(address, 0):
            found.append(f"{address} ({expected:.0f} packets/s, capacity {limit})")
    return tuple(found)


def _real_in_words(real: RealState | None) -> str:
    return ABSENT if real is None else f"{real}, {real.listed.encap}"


def _live(reals: Iterable[RealState]) -> int:
    return sum(real.live_flows for real in reals)


def _uncounted(state: NodeState, vip: VipState, reals: Iterable[RealState]) -> tuple[str, ...]:
    """Who may have flows that have no entry."""
    if not state.unsure_of(vip).until:
        return ()
    up = [r for r in reals if r.admin is not Admin.DISABLED and r.verdict.health is Health.UP]
    return tuple(r.name for r in up if not (r.emptying and r.emptying.empty_at))


def _traffic(state: NodeState, vip: VipState) -> tuple[str, ...]:
    """Of a VIP whose flows are not all stored: what still comes to it."""
    counted = vip.listed.flow_table is Tracking.TRACK and not state.unsure_of(vip).until
    if counted or state.rates is None:
        return ()
    rate = float(state.rates[vip.vip_num])
    return (f"{rate:.0f} packets/s",) if rate > state.listed.drain.floor else ()


def _shares(members: Members) -> dict[Address, int]:
    """{address: slots} of a ring, without building it."""
    turns = sorted((a for a in members if members[a]), key=lambda a: (a.version, a.packed))
    if not turns:
        return {}
    counts = maglev.quotas([members[a] for a in turns], RING_SLOTS)
    return dict(zip(turns, np.asarray(counts).tolist(), strict=True))


def _moved(before: Members, after: Members, seed: bytes, fill: maglev.Fill | None) -> int:
    if before == after:
        return 0
    if fill is not None:
        rings = [maglev.ring(members, seed, fill=fill) for members in (before, after)]
        return maglev.moved(*rings)
    old, new = _shares(before), _shares(after)
    gained = sum(max(0, slots - old.get(a, 0)) for a, slots in new.items())
    return gained if new else RING_SLOTS * bool(old)
