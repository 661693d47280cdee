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

from agent import difference, forecast, guard, maglev, reconfigure
from agent.boundary import Override, Proposed
from agent.state import NodeState, RealState
from shared.messages import (
    Action,
    Answer,
    Batch,
    Command,
    Drain,
    Look,
    ReadAudit,
    ReadHistory,
    Reload,
    Replay,
    RingOf,
    Rollback,
    Undrain,
    Weight,
)
from shared.model import Admin

MAX_WEIGHT = 1000


class Outcome(NamedTuple):
    answer: Answer
    overrides: tuple[Override, ...] = ()
    """To apply; empty: nothing changes."""
    following: reconfigure.Next | None = None
    """To install: the state under another config."""


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
        case Reload():
            return "reload"
        case Rollback(generation):
            return f"rollback to {generation or 'the last config'}"
        case Batch(actions):
            return ", ".join(in_words(each) for each in actions)
        case ReadAudit():
            return "audit"
        case ReadHistory():
            return "history"
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
    blank, no = _blank(state, command)
    if no is not None:
        return Outcome(no)
    try:
        overrides = tuple(o for o in _wanted(state, command.action) if _differs(state, o))
    except Refused as error:
        return Outcome(_refused(blank, str(error)))
    if not overrides:
        return Outcome(blank)
    answer = _judged(blank, command, forecast.of_overrides(state, overrides, fill))
    return Outcome(answer, overrides if answer.status == "applied" else ())


def decide_config(state: NodeState, fact: Proposed, fill: maglev.Fill, now: float) -> Outcome:
    """Plan the change to another config.  Touches nothing."""
    blank, no = _blank(state, fact.command)
    if no is not None:
        return Outcome(no)
    if fact.config is None:
        return Outcome(_refused(blank, fact.error))
    if fact.config == state.listed:
        return Outcome(blank)
    restart = tuple(
        filter(difference.needs_restart, difference.settings(state.listed, fact.config))
    )
    if restart:
        keys = "; ".join(map(str, restart))
        return Outcome(_refused(blank, f"comes into force with a restart only: {keys}", "restart"))
    try:
        following = reconfigure.prepare(state, fact.config, now)
    except IndexError:
        return Outcome(
            _refused(blank, "the maps have no numbers left; remove VIPs or reals first, then add")
        )
    answer = _judged(blank, fact.command, forecast.of_config(state, following, fill))
    if answer.status != "applied":
        return Outcome(answer)
    note = fact.instead_of and "the config file is passed over until it changes or is reloaded"
    answer = msgspec.structs.replace(answer, generation=following.generation, note=note)
    return Outcome(answer, following=following)


def _blank(state: NodeState, command: Command) -> tuple[Answer, Answer | None]:
    """An answer that says `unchanged`, and the refusal if the command cannot even be planned."""
    node, revision = state.listed.node.name, state.revision
    blank = Answer(
        id=command.id,
        node=node,
        status="unchanged",
        revision=revision,
        generation=state.generation,
    )
    if command.expect_revision not in (None, revision):
        why = (
            f"expected revision {command.expect_revision}, {node} is at {revision}; "
            "look again, then repeat the command"
        )
        return blank, _refused(blank, why, "revision")
    if wrong := guard.wrongly_allowed(command.allow, command.why):
        return blank, _refused(blank, wrong)
    return blank, None


def _refused(answer: Answer, why: str, name: str = "") -> Answer:
    return msgspec.structs.replace(answer, status="refused", guard=name, error=why)


def _judged(answer: Answer, command: Command, would: forecast.Forecast) -> Answer:
    """With the plan, and what the guards say to it."""
    answer = msgspec.structs.replace(answer, changes=would.changes)
    refusals = (no for impact in would.impacts for no in guard.check(impact))
    no = guard.first(refusals, command.allow)
    if no is not None:
        return _refused(answer, no.why, no.guard)
    return msgspec.structs.replace(answer, status="planned" if command.dry_run else "applied")


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
        case Reload() | Rollback() | Look() | Replay() | RingOf() | ReadAudit() | ReadHistory():
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
