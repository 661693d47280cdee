# SPDX-License-Identifier: Apache-2.0
"""What a withdrawal, or the end of one, would do to the routes of this node.  Pure.

It asks the same functions as the change itself does.  How many other nodes announce a VIP no agent
knows: the command says it (Withdraw.elsewhere), and where it does not nobody does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from agent.core import announcing, rib, withdrawal
from agent.core.guard import Impact
from agent.core.state import NodeState, VipState
from agent.nouns import ROUTES, Address, Override
from shared.messages import Change
from shared.model import RING_SLOTS

ROUTE = "route"
"""Change.what of these lines."""
Why = dict[str, str]
"""VIP name -> why its address is not announced; empty: it is."""


def of_routes(
    state: NodeState, overrides: Sequence[Override], elsewhere: Mapping[str, int]
) -> tuple[list[Change], list[Impact]]:
    """The lines of the plan, and what the guards are asked about."""
    vips = _concerned(state, overrides)
    before = _why(state, vips)
    with _as_if(state, overrides):
        after = _why(state, vips)
    changes = [_change(state, override, before, after) for override in overrides]
    gone = [vip for vip in vips if not before[vip.listed.name] and after[vip.listed.name]]
    return changes, [_impact(state, vip, elsewhere.get(vip.listed.name, 0)) for vip in gone]


def why_not(state: NodeState, overrides: Iterable[Override]) -> str:
    """What keeps the routes of these objects away besides; empty: nothing."""
    vips = _concerned(state, list(overrides))
    why = _why(state, vips)
    away = [name for name, reason in why.items() if reason]
    if not away:
        return ""
    reasons = list(dict.fromkeys(why[name] for name in away))
    some = ", ".join(away[:_NAMED]) + (
        f" and {len(away) - _NAMED} more" if len(away) > _NAMED else ""
    )
    return f"not announced: {some}: {'; '.join(reasons[:_NAMED])}"


_NAMED = 3
"""VIPs, and reasons, that a sentence has room for."""


def _concerned(state: NodeState, overrides: Sequence[Override]) -> list[VipState]:
    """Whose routes may change: those of an address go together."""
    if any(not override.vip for override in overrides):
        return list(state.vips.values())
    named = {override.vip for override in overrides}
    addresses = {state.vips[name].listed.address for name in named if name in state.vips}
    return [vip for vip in state.vips.values() if vip.listed.address in addresses]


@contextmanager
def _as_if(state: NodeState, overrides: Iterable[Override]) -> Iterator[None]:
    before = [withdrawal.put(state, override) for override in overrides]
    try:
        yield
    finally:
        for was in filter(None, reversed(before)):
            withdrawal.put(state, was)


def _why(state: NodeState, vips: Sequence[VipState]) -> Why:
    whole = announcing.whole_node(state)
    if whole:
        return {vip.listed.name: whole for vip in vips}
    default = announcing.defaults(state)
    by_address: dict[Address, list[VipState]] = {}
    for vip in vips:
        by_address.setdefault(vip.listed.address, []).append(vip)
    routes = rib.routes(
        (
            announcing.service_of(v, state, default, announced=v.listed.address in state.announced)
            for v in vips
        ),
        state.announced,
    )
    return {
        vip.listed.name: "" if address in routes else announcing.why_none(there, state)
        for address, there in by_address.items()
        for vip in there
    }


def _change(state: NodeState, override: Override, before: Why, after: Why) -> Change:
    if override.route != ROUTES:
        was, now = _of_peer(state, override, after)
        live = 0
    elif override.vip:
        was, now = _of_vip(state, state.vips[override.vip], override, before, after)
        live = _live([state.vips[override.vip]]) if override.withdrawn else 0
    else:
        was, now = _of_node(override, before, after)
        live = _live(state.vips.values()) if override.withdrawn else 0
    vip = state.vips.get(override.vip)
    left = vip.serving if vip else 0
    return Change(override.vip, "", was, now, 0, 0, 0, live, left, what=ROUTE)


def _of_vip(
    state: NodeState, vip: VipState, override: Override, before: Why, after: Why
) -> tuple[str, str]:
    name, address = vip.listed.name, vip.listed.address
    was = str(vip.withdrawn) if vip.withdrawn else before[name] or "announced"
    if override.withdrawn is None:
        return was, f"still not announced: {after[name]}" if after[name] else "announced"
    if after[name]:
        taken = [o for o in before if o != name and not before[o] and after[o]]
        return was, "withdrawn" + (f", and {', '.join(taken)} with it" if taken else "")
    others = [o.listed.name for o in state.vips.values()
              if o.listed.address == address and o is not vip and not o.withdrawn]  # fmt: skip
    return was, f"withdrawn, but {address} stays announced for {', '.join(others)}"


def _of_node(override: Override, before: Why, after: Why) -> tuple[str, str]:
    was = _count(before)
    if override.withdrawn:
        return was, "withdrawn: announces nothing"
    reasons = list(dict.fromkeys(filter(None, after.values())))
    return was, _count(after) + (f": {'; '.join(reasons[:_NAMED])}" if reasons else "")


def _of_peer(state: NodeState, override: Override, after: Why) -> tuple[str, str]:
    there = {v.listed.address for v in state.vips.values() if not after[v.listed.name]}
    count = len(state.announced if override.withdrawn else there)
    told = f"is told {count} route" + ("" if count == 1 else "s")
    whom = f"peer {override.route}"
    away = f"{whom} is told no route"
    return (f"{whom} {told}", away) if override.withdrawn else (away, f"{whom} {told}")


def _count(why: Why) -> str:
    there = sum(not each for each in why.values())
    return f"announces {there} of {len(why)} VIPs"


def _impact(state: NodeState, vip: VipState, elsewhere: int) -> Impact:
    serving, quorum = vip.serving, vip.listed.leaves_below
    return Impact(
        vip.listed.name,
        serving,
        serving,
        quorum,
        quorum,
        overloaded=_overloaded(state, vip, elsewhere),
        elsewhere=elsewhere,
    )


def _overloaded(state: NodeState, vip: VipState, elsewhere: int) -> tuple[str, ...]:
    """Reals that each node that goes on would send more than their `capacity`: routers spread
    evenly, so what comes here now comes to each of them, and its part of this node's besides."""
    if state.rates is None or not elsewhere:
        return ()
    rate = float(state.rates[vip.vip_num]) * (elsewhere + 1) / elsewhere
    found = []
    for address, slots in vip.shares.items():
        limit = vip.reals[address].listed.capacity if address in vip.reals else 0
        expected = rate * slots / RING_SLOTS
        if limit and expected > limit:
            found.append(
                f"{address} ({expected:.0f} packets/s of each node that is left, capacity {limit})"
            )
    return tuple(found)


def _live(vips: Iterable[VipState]) -> int:
    return sum(real.live_flows for vip in vips for real in vip.reals.values())
