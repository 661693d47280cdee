# SPDX-License-Identifier: Apache-2.0
"""Commands: what they would change (the plan), whether they may, and the change itself.

One path for every change: decide() plans and asks the guards and touches nothing; apply() changes
the state; revert() takes it back.  The director does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple, assert_never

import msgspec

from agent import guard, maglev
from agent.boundary import Override
from agent.state import NodeState, RealState, VipState
from shared.messages import (
    Action,
    Answer,
    Batch,
    Change,
    Command,
    Drain,
    Look,
    Replay,
    RingOf,
    Undrain,
    Weight,
)
from shared.model import Admin

MAX_WEIGHT = 1000


class Outcome(NamedTuple):
    answer: Answer
    overrides: tuple[Override, ...] = ()
    """To apply; empty: nothing changes."""


class Undo(NamedTuple):
    """How it was before the last change."""

    overrides: tuple[Override, ...]
    revision: int


class Refused(Exception):
    """A command that cannot be taken; the text says why and what would do."""


def in_words(action: Action) -> str:
    """`drain real/10.3.1.2@web`: the action as the CLI writes it."""
    match action:
        case Drain(real=real, vip=vip) | Undrain(real=real, vip=vip):
            verb = "drain" if isinstance(action, Drain) else "undrain"
            return f"{verb} {'node' if action.node else _object(real, vip)}"
        case Weight(real=real, weight=weight, vip=vip):
            return f"weight {_object(real, vip)} {weight}"
        case Batch(actions):
            return ", ".join(in_words(each) for each in actions)
        case Look():
            return "look"
        case RingOf(vip):
            return f"ring of {vip}"
        case Replay(sequence):
            return f"replay from {sequence}"
        case _:
            assert_never(action)


def _object(real: str, vip: str) -> str:
    return f"real/{real}@{vip}" if vip else f"real/{real}"


def decide(state: NodeState, command: Command, fill: maglev.Fill) -> Outcome:
    """Plan a command.  Touches nothing."""
    node, revision = state.listed.node.name, state.revision
    answer = Answer(id=command.id, node=node, status="unchanged", revision=revision)
    if command.expect_revision not in (None, revision):
        return Outcome(
            msgspec.structs.replace(
                answer,
                status="refused",
                guard="revision",
                error=f"expected revision {command.expect_revision}, {node} is at {revision}; "
                "look again, then repeat the command",
            )
        )
    try:
        overrides = tuple(o for o in _wanted(state, command.action) if _differs(state, o))
    except Refused as error:
        return Outcome(msgspec.structs.replace(answer, status="refused", error=str(error)))
    if not overrides:
        return Outcome(answer)
    changes, no = _plan(state, overrides, fill)
    if no is not None:
        return Outcome(
            msgspec.structs.replace(
                answer, status="refused", guard=no.guard, error=no.why, changes=changes
            )
        )
    if command.dry_run:
        return Outcome(msgspec.structs.replace(answer, status="planned", changes=changes))
    return Outcome(msgspec.structs.replace(answer, status="applied", changes=changes), overrides)


def revised(answer: Answer, revision: int) -> Answer:
    return msgspec.structs.replace(answer, revision=revision)


def apply(
    state: NodeState, overrides: Iterable[Override], now: float, *, revision: int | None = None
) -> Undo:
    """Change the state.  Overrides of reals that are not in the config any more are passed over."""
    before = []
    for override in overrides:
        if not override.real:
            before.append(Override("", "", state.admin, None))
            state.admin = override.admin
            continue
        vip = state.vips.get(override.vip)
        real = vip.reals.get(ip_address(override.real)) if vip else None
        if real is None:
            continue
        before.append(Override(override.vip, override.real, real.admin, real.override))
        real.admin, real.override, real.changed = override.admin, override.weight, now
    undo = Undo(tuple(before), state.revision)
    state.revision = state.revision + 1 if revision is None else revision
    return undo


def inverse(state: NodeState, undo: Undo, done: Iterable[Override]) -> tuple[str, ...]:
    """Lines of the CLI that take a change back; none where a line could not."""
    lines: list[str] = []
    for before, after in zip(undo.overrides, done, strict=True):
        name = f"real/{before.real}@{before.vip}" if before.real else f"node/{_node(state)}"
        if before.admin is not after.admin:
            verb = {Admin.ENABLED: "undrain", Admin.DRAINING: "drain"}.get(before.admin)
            if verb is None:
                return ()
            lines.append(f"{verb} {name}")
        if before.weight != after.weight:
            listed = state.vips[before.vip].reals[ip_address(before.real)].listed.weight
            lines.append(f"weight {name} {listed if before.weight is None else before.weight}")
    return tuple(lines)


def _node(state: NodeState) -> str:
    return state.listed.node.name


def revert(state: NodeState, undo: Undo) -> None:
    apply(state, undo.overrides, 0.0, revision=undo.revision)


def _wanted(state: NodeState, action: Action) -> list[Override]:
    """The overrides that an action asks for.  Raises Refused."""
    match action:
        case Drain(node=True):
            return [Override("", "", Admin.DRAINING, None)]
        case Undrain(node=True):
            return [Override("", "", Admin.ENABLED, None)]
        case Drain() | Undrain():
            admin = Admin.DRAINING if isinstance(action, Drain) else Admin.ENABLED
            return [
                Override(name, str(real.listed.address), admin, real.override)
                for name, real in _reals(state, action.real, action.vip)
            ]
        case Weight(weight=weight):
            if not 1 <= weight <= MAX_WEIGHT:
                raise Refused(
                    f"weight {weight}: must be 1 to {MAX_WEIGHT}; to send no new flows, drain it"
                )
            return [
                Override(name, str(real.listed.address), real.admin, _weight(real, weight))
                for name, real in _reals(state, action.real, action.vip)
            ]
        case Batch(actions):
            return _wanted_together(state, actions)
        case Look() | Replay() | RingOf():
            raise Refused("not a change")
        case _:
            assert_never(action)


def _wanted_together(
    state: NodeState, actions: Iterable[Drain | Undrain | Weight]
) -> list[Override]:
    found: dict[tuple[str, str], Override] = {}
    for action in actions:
        for override in _wanted(state, action):
            key = override.vip, override.real
            if not override.real:
                raise Refused("a node is drained by a command of its own, not among reals")
            if key in found:
                raise Refused(f"real/{override.real}@{override.vip} is named twice; once will do")
            found[key] = override
    return list(found.values())


def _weight(real: RealState, weight: int) -> int | None:
    return None if weight == real.listed.weight else weight


def _reals(state: NodeState, real: str, vip: str) -> list[tuple[str, RealState]]:
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


def _differs(state: NodeState, override: Override) -> bool:
    if not override.real:
        return state.admin is not override.admin
    real = state.vips[override.vip].reals[ip_address(override.real)]
    return (real.admin, real.override) != (override.admin, override.weight)


def _plan(
    state: NodeState, overrides: tuple[Override, ...], fill: maglev.Fill
) -> tuple[tuple[Change, ...], guard.Refusal | None]:
    """What would become of each real, and the first guard that says no."""
    if not overrides[0].real:
        was, now = state.admin, overrides[0].admin
        live = sum(r.live_flows for v in state.vips.values() for r in v.reals.values())
        return (Change("", "", was, now, 0, 0, 0, live, 0),), None
    by_vip: dict[str, list[Override]] = {}
    for override in overrides:
        by_vip.setdefault(override.vip, []).append(override)
    changes: list[Change] = []
    refusal = None
    for name, wanted in by_vip.items():
        vip = state.vips[name]
        planned, serving = _plan_vip(vip, wanted, fill)
        changes += planned
        refusal = refusal or guard.check(
            vip=name,
            serving_before=vip.serving,
            serving_after=serving,
            quorum=vip.listed.quorum,
        )
    return tuple(changes), refusal


def _plan_vip(
    vip: VipState, overrides: list[Override], fill: maglev.Fill
) -> tuple[list[Change], int]:
    """(what becomes of each real, reals that then take new flows), all overrides together."""
    reals = {o: vip.reals[ip_address(o.real)] for o in overrides}
    before = maglev.ring(vip.placed or {}, vip.seed, fill=fill)
    was = {o: (str(real), real.admin, real.override) for o, real in reals.items()}
    for override, real in reals.items():
        real.admin, real.override = override.admin, override.weight
    try:
        ring = maglev.ring(vip.members, vip.seed, fill=fill)
        now, serving = {o: str(real) for o, real in reals.items()}, vip.serving
    finally:
        for override, real in reals.items():
            _, real.admin, real.override = was[override]
    counts, moved = ring.counts(), maglev.moved(before, ring)
    changes = [
        Change(
            vip=override.vip,
            real=override.real,
            was=was[override][0],
            now=now[override],
            slots_before=vip.shares.get(real.listed.address, 0),
            slots_after=counts.get(real.listed.address, 0),
            slots_moved=moved,
            live_flows=real.live_flows,
            reals_left=serving,
        )
        for override, real in reals.items()
    ]
    return changes, serving
