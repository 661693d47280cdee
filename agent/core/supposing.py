# SPDX-License-Identifier: Apache-2.0
"""A change that is thought through and not done: what it would make of the state.  Pure.

The state is changed for as long as somebody looks, and is what it was afterwards: whoever looks
must not wait meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import NamedTuple

from agent.core import announcing, overrides
from agent.core.state import NodeState, VipState
from agent.nouns import ROUTES, Address, Override, Withdrawal
from shared.messages import Supposed
from shared.model import Admin

NOBODY = Withdrawal("", 0.0)
"""Who withdraws a route in thought."""


class Thought(NamedTuple):
    """What would become of a VIP."""

    members: Mapping[Address, int] | None
    """Of its next ring; None: it keeps the one in force."""
    flags: Mapping[int, int]
    """By real number (enum lb_real_flag)."""
    leaves: bool
    """Its route would not stand any more."""


@contextmanager
def supposed(state: NodeState, changed: Sequence[Override]) -> Iterator[None]:
    """As if the reals among these were so.  They must be there."""
    reals = [(o, state.vips[o.vip].reals[ip_address(o.real)]) for o in changed if o.real]
    before = [(r, r.admin, r.override, r.verdict, r.recalled, r.check) for _, r in reals]
    for override, real in reals:
        if overrides.forgets(real, override.admin):
            real.recall()
        real.admin, real.override = override.admin, override.weight
    try:
        yield
    finally:
        for real, admin, weight, verdict, recalled, check in before:
            real.admin, real.override, real.verdict = admin, weight, verdict
            real.recalled, real.check = recalled, check


def thoughts(state: NodeState, action: Supposed, vips: Sequence[VipState]) -> dict[str, Thought]:
    """By name of the VIP, of these.  Raises Refused when the action makes no sense here."""
    changed = overrides.wanted(state, action, NOBODY)
    before = {vip.listed.name: _attracts(vip) for vip in vips}
    with supposed(state, changed):
        return {
            vip.listed.name: _thought(vip, changed, attracted=before[vip.listed.name])
            for vip in vips
        }


def _thought(vip: VipState, changed: Sequence[Override], *, attracted: bool) -> Thought:
    name, fails_open = vip.listed.name, vip.fails_open
    shut = any(
        not o.real and o.vip in ("", name) and (o.admin is not Admin.ENABLED or _away(o))
        for o in changed
    )
    members = vip.members
    flags = {
        real.number.real_num: vip.flags_of(real, fails_open=fails_open)
        for real in vip.reals.values()
    }
    same = members == vip.placed or vip.awaits_verdicts
    leaves = shut or (attracted and not _attracts(vip))
    return Thought(None if same else members, flags, leaves)


def _away(override: Override) -> bool:
    """Of one peer alone it is not: the others still send."""
    return override.route == ROUTES and override.withdrawn is not None


def _attracts(vip: VipState) -> bool:
    return announcing.attracts(vip, announced=True)
