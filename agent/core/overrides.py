# SPDX-License-Identifier: Apache-2.0
"""Overrides: what an action asks for, whether it would change anything, the change, the way back.

wanted() and differs() touch nothing; apply() changes the state and says how it was; revert() takes
that back.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import NamedTuple, assert_never

from agent.config.drain_table import DrainTable
from agent.core import emptying, shutdown, withdrawal, wording
from agent.core.emptying import Emptying
from agent.core.health import Verdict
from agent.core.pending import Due
from agent.core.refused import Refused
from agent.core.shutdown import Shutdown
from agent.core.state import NodeState, RealState, VipState
from agent.nouns import ROUTES, Address, Override, Part, Withdrawal
from shared.messages import (
    Action,
    Announce,
    Batch,
    ConfigOf,
    Confirm,
    Disable,
    Drain,
    FlowAges,
    FlowOf,
    FlowsOf,
    Look,
    ReadAudit,
    ReadHistory,
    Reload,
    Replay,
    RingOf,
    Rollback,
    Rollout,
    Trace,
    Undrain,
    Untrace,
    Weight,
    Withdraw,
)
from shared.model import Admin

MAX_WEIGHT = 1000


class Aside(NamedTuple):
    """What a change of a real's state sets anew."""

    vip: str
    real: Address
    changed: float
    emptying: Emptying | None
    judged: tuple[Verdict, str] | None
    """Verdict and check of one that was not checked; of others the checks have gone on."""


class Undo(NamedTuple):
    """How it was before the last change."""

    overrides: tuple[Override, ...]
    asides: tuple[Aside, ...]
    revision: int
    shutdowns: tuple[tuple[str, Shutdown | None], ...]
    """By VIP name; of the node: empty."""
    pending: tuple[Due, ...]
    rollouts: tuple[Part, ...]


# ---- what an action asks for

_ADMIN = {Drain: Admin.DRAINING, Undrain: Admin.ENABLED, Disable: Admin.DISABLED}


def wanted(state: NodeState, action: Action, by: Withdrawal) -> list[Override]:
    """The overrides that an action asks for; `by`: what a withdrawal keeps of who gave it.  Raises
    Refused."""
    match action:
        case Withdraw() | Announce():
            return [withdrawal.wanted(state, action, by)]
        case Drain(node=True):
            return [Override("", "", Admin.DRAINING, None)]
        case Undrain(node=True):
            return [Override("", "", Admin.ENABLED, None)]
        case Drain(real="", vip=vip) | Undrain(real="", vip=vip) if vip:
            if vip not in state.vips:
                raise Refused(f"no VIP {vip!r} here; there are {', '.join(sorted(state.vips))}")
            return [Override(vip, "", _ADMIN[type(action)], None)]
        case Drain() | Undrain() | Disable():
            admin = _ADMIN[type(action)]
            return [
                Override(name, str(real.listed.address), admin, real.override)
                for name, real in reals_named(state, action.real, action.vip)
            ]
        case Weight(weight=weight):
            if not 1 <= weight <= MAX_WEIGHT:
                raise Refused(
                    f"weight {weight}: must be 1 to {MAX_WEIGHT}; to send no new flows, drain it"
                )
            return [
                Override(name, str(real.listed.address), real.admin, _weight(real, weight))
                for name, real in reals_named(state, action.real, action.vip)
            ]
        case Batch(actions):
            return _wanted_together(state, actions, by)
        case Confirm() | Rollout() | Reload() | Rollback() | Trace() | Untrace():
            raise Refused("not a change of state or weight")
        case (
            Look()
            | Replay()
            | RingOf()
            | ConfigOf()
            | ReadAudit()
            | ReadHistory()
            | (FlowOf() | FlowsOf() | FlowAges())
        ):
            raise Refused("not a change")
        case _:
            assert_never(action)


def _wanted_together(
    state: NodeState,
    actions: Iterable[Drain | Undrain | Disable | Weight | Withdraw | Announce],
    by: Withdrawal,
) -> list[Override]:
    """A real may be named twice: once for its state and once for its weight.  Raises Refused."""
    states: dict[tuple[str, str, str], Override] = {}
    weights: dict[tuple[str, str, str], Override] = {}
    for action in actions:
        found = weights if isinstance(action, Weight) else states
        for override in wanted(state, action, by):
            key = override.object
            if key in found:
                name = wording.object_of(override, state.listed.node.name)
                raise Refused(f"{name} is named twice; once will do")
            found[key] = override
    both = {
        key: states[key]._replace(weight=override.weight)
        for key, override in weights.items()
        if key in states
    }
    return list({**states, **weights, **both}.values())


def _weight(real: RealState, weight: int) -> int | None:
    return None if weight == real.listed.weight else weight


def reals_named(state: NodeState, real: str, vip: str) -> list[tuple[str, RealState]]:
    """The reals that `real` (an address) of `vip` (a name; empty: all) means.  Raises Refused."""
    try:
        address = ip_address(real)
    except ValueError:
        raise Refused(f"{real!r} is not an IP address; name a real by its address") from None
    if vip and vip not in state.vips:
        raise Refused(f"no VIP {vip!r} here; there are {', '.join(sorted(state.vips))}")
    names = [vip] if vip else list(state.vips)
    found = [
        (name, state.vips[name].reals[address])
        for name in names
        if address in state.vips[name].reals
    ]
    if not found:
        raise Refused(f"no real {address} {f'behind {vip}' if vip else 'behind any VIP'} here")
    return found


def differs(state: NodeState, override: Override) -> bool:
    """Whether it would change anything; what is not there any more cannot be changed."""
    if override.route:
        return withdrawal.differs(state, override)
    if not override.vip:
        return state.admin is not override.admin
    vip = state.vips.get(override.vip)
    if vip is None or not override.real:
        return vip is not None and vip.admin is not override.admin
    real = vip.reals.get(ip_address(override.real))
    return real is not None and (real.admin, real.override) != (override.admin, override.weight)


def objects(vips: Mapping[str, VipState], peers: Iterable[str]) -> frozenset[tuple[str, str, str]]:
    """All that an override can be about."""
    reals = ((name, real.name, "") for name, vip in vips.items() for real in vip.reals.values())
    whole = ((name, "", route) for name in ("", *vips) for route in ("", ROUTES))
    return frozenset([*reals, *whole, *(("", "", peer) for peer in peers)])


# ---- the change


def as_it_is(state: NodeState) -> Undo:
    """What of the state changes without an override: revision, what is pending, rollouts."""
    return Undo((), (), state.revision, (), tuple(state.pending), state.rollouts)


def apply(
    state: NodeState, overrides: Iterable[Override], now: float, *, revision: int | None = None
) -> Undo:
    """Change the state.  Overrides of reals that are not in the config any more are passed over."""
    overrides = list(overrides)
    before = []
    asides = tuple(_asides(state, overrides))
    shutdowns = (("", state.shutdown), *((n, vip.shutdown) for n, vip in state.vips.items()))
    undo = as_it_is(state)._replace(asides=asides, shutdowns=shutdowns)
    for override in overrides:
        was = _apply(state, override, now)
        if was is not None:
            before.append(was)
    state.revision = state.revision + 1 if revision is None else revision
    return undo._replace(overrides=tuple(before))


def forgets(real: RealState, admin: Admin) -> bool:
    """Whether the verdict is of no use in that state: nobody asked a real that was disabled."""
    return real.admin is Admin.DISABLED and admin is not Admin.DISABLED


def _asides(state: NodeState, overrides: Iterable[Override]) -> Iterator[Aside]:
    for override in overrides:
        vip = state.vips.get(override.vip) if override.real else None
        address = ip_address(override.real) if vip else None
        real = vip.reals.get(address) if vip and address else None
        if real and address:
            judged = (real.verdict, real.check) if forgets(real, override.admin) else None
            yield Aside(override.vip, address, real.changed, real.emptying, judged)


def _apply(state: NodeState, override: Override, now: float) -> Override | None:
    """Returns how it was; None: there is no such thing any more."""
    if override.route:
        return withdrawal.put(state, override)
    if not override.vip:
        was, state.admin = state.admin, override.admin
        state.shutdown = _shutdown(state.shutdown, override.admin, state.listed.drain, now)
        return Override("", "", was, None)
    vip = state.vips.get(override.vip)
    if vip is not None and not override.real:
        was, vip.admin = vip.admin, override.admin
        vip.shutdown = _shutdown(vip.shutdown, override.admin, state.listed.drain, now)
        return Override(override.vip, "", was, None)
    real = vip.reals.get(ip_address(override.real)) if vip else None
    if real is None:
        return None
    before = Override(override.vip, override.real, real.admin, real.override)
    if forgets(real, override.admin):
        real.recall()
    real.admin, real.override, real.changed = override.admin, override.weight, now
    if real.admin is not Admin.DRAINING:
        real.emptying = None
    elif real.emptying is None:
        real.emptying = emptying.begin(now, real.live_flows)
    return before


def _shutdown(
    now_in: Shutdown | None, admin: Admin, settings: DrainTable, now: float
) -> Shutdown | None:
    if admin is Admin.ENABLED:
        return None
    return now_in or shutdown.begin(settings, now)


def revert(state: NodeState, undo: Undo) -> None:
    apply(state, undo.overrides, 0.0, revision=undo.revision)
    for aside in undo.asides:
        real = state.vips[aside.vip].reals.get(aside.real) if aside.vip in state.vips else None
        if real is not None:
            real.changed, real.emptying = aside.changed, aside.emptying
            if aside.judged:
                real.verdict, real.check = aside.judged
    for name, was in undo.shutdowns:
        if not name:
            state.shutdown = was
        elif name in state.vips:
            state.vips[name].shutdown = was
    state.pending = list(undo.pending)
    state.rollouts = undo.rollouts
