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

from agent.bgp import text as bgp_text
from agent.boundary import Proposed
from agent.config import difference
from agent.config.drain_table import DrainTable
from agent.config.tree import Config
from agent.core import emptying, forecast, guard, maglev, pending, reconfigure, rollouts, shutdown
from agent.core.pending import Due
from agent.core.shutdown import Shutdown
from agent.core.state import NodeState, RealState
from agent.nouns import Override, Part
from shared.messages import (
    Action,
    Answer,
    Batch,
    Command,
    Confirm,
    Disable,
    Drain,
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
    shutdowns: tuple[tuple[str, Shutdown | None], ...]
    """By VIP name; of the node: empty."""
    pending: tuple[Due, ...]
    rollouts: tuple[Part, ...]


class Refused(Exception):
    """A command that cannot be taken; the text says why and what would do."""


def in_words(action: Action) -> str:  # one line per action
    """`drain real/10.3.1.2@web`: the action as the CLI writes it."""
    match action:
        case Drain(real=real, vip=vip) | Undrain(real=real, vip=vip):
            verb = "drain" if isinstance(action, Drain) else "undrain"
            return f"{verb} {'node' if action.node else _object(real, vip)}"
        case Disable(real=real, vip=vip):
            return f"maint {_object(real, vip)}"
        case Confirm(operation):
            return f"confirm {operation or 'what is pending'}"
        case Weight(real=real, weight=weight, vip=vip):
            return f"weight {_object(real, vip)} {weight}"
        case Rollout(state):
            return f"rollout {state}" + (f": {action.said}" if action.said else "")
        case Rollback(generation):
            return f"rollback to {generation or 'the last config'}"
        case Batch(actions):
            return ", ".join(in_words(each) for each in actions)
        case Trace():
            given = msgspec.to_builtins(action)
            return " ".join(["trace", *(f"{k}={v}" for k, v in given.items() if k != "type")])
        case Untrace() | ReadAudit() | ReadHistory() | Look() | Reload():
            return str(type(action).__struct_config__.tag)
        case RingOf(vip):
            return f"ring of {vip}"
        case Replay(sequence):
            return f"replay from {sequence}"
        case _:
            assert_never(action)


def _lines(action: Action, node: str) -> tuple[str, ...]:
    """As in_words, a line each, with the node's name and a drain's deadline: what the CLI takes."""
    if isinstance(action, Batch):
        return tuple(line for each in action.actions for line in _lines(each, node))
    words = in_words(action)
    if isinstance(action, Drain) and action.real and action.deadline:
        return (f"{words} --deadline {action.deadline:.12g}s --then {action.then}",)
    return (f"{words}/{node}" if isinstance(action, Drain | Undrain) and action.node else words,)


def _object(real: str, vip: str) -> str:
    if not real:
        return f"vip/{vip}"
    return f"real/{real}@{vip}" if vip else f"real/{real}"


def decide(state: NodeState, command: Command, fill: maglev.Fill, now: float) -> Outcome:
    """Plan a command.  Touches nothing."""
    blank, no = blank_answer(state, command)
    if no is not None:
        return Outcome(no)
    try:
        overrides = tuple(o for o in _wanted(state, command.action) if differs(state, o))
    except Refused as error:
        return Outcome(_refused(blank, str(error)))
    if not overrides:
        return Outcome(blank)
    answer = _judged(state, blank, command, forecast.of_overrides(state, overrides, fill), now)
    return Outcome(answer, overrides if answer.status == "applied" else ())


def decide_config(state: NodeState, fact: Proposed, fill: maglev.Fill, now: float) -> Outcome:
    """Plan the change to another config.  Touches nothing."""
    blank, no = blank_answer(state, fact.command)
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
    would = forecast.of_config(state, following, fill)
    answer = _judged(state, blank, fact.command, would, now)
    answer = msgspec.structs.replace(answer, note=_note(state.listed, fact.config, fact.instead_of))
    if answer.status != "applied":
        return Outcome(answer)
    answer = msgspec.structs.replace(answer, generation=following.generation)
    return Outcome(answer, following=following)


def _note(old: Config, new: Config, instead_of: str) -> str:
    notes = []
    if instead_of:
        notes.append("the config file is passed over until it changes or is reloaded")
    if old.bgp and new.bgp and (anew := bgp_text.begin_anew(old.bgp, new.bgp)):
        notes.append(f"BGP sessions that begin anew, with their routes: {', '.join(anew)}")
    return "; ".join(notes)


def decide_rollout(
    state: NodeState, command: Command, action: Rollout, now: float
) -> tuple[Answer, tuple[Part, ...] | None]:
    """What a node is told of an operation over several nodes: (answer, the parts after it; None: as
    before).  Touches nothing."""
    blank, no = blank_answer(state, command)
    if no is not None:
        return no, None
    found = state.rollouts
    wrong = rollouts.wrong(command, action, found)
    try:
        touched = _wanted(state, action.action) if action.action else []
    except Refused as error:
        wrong = wrong or str(error)
    if wrong:
        return _refused(blank, wrong), None
    vips = tuple(sorted({o.vip for o in touched if o.vip}))
    busy = [other for vip in vips or state.vips for other in rollouts.others(found, vip, command)]
    if action.action and busy and action.state == "running":
        why = f"{busy[0]} is not over yet; go on with it or take it back first (remora op)"
        return _refused(blank, why, guard.OTHER_OP), None
    lines = _lines(action.action, _node(state)) if action.action else ()
    after = rollouts.told(found, command, action, lines=lines, vips=vips, now=now)
    if after == found:
        return blank, None
    return msgspec.structs.replace(blank, status="planned" if command.dry_run else "applied"), after


def blank_answer(state: NodeState, command: Command) -> tuple[Answer, Answer | None]:
    """An answer that says `unchanged`, and the refusal if the command cannot even be planned."""
    node, revision = state.listed.node.name, state.revision
    blank = Answer(
        id=command.id,
        node=node,
        status="unchanged",
        revision=revision,
        generation=state.generation,
        keyed=bool(command.idempotency_key),
    )
    if command.expect_revision not in (None, revision):
        why = (
            f"expected revision {command.expect_revision}, {node} is at {revision}; "
            "look again, then repeat the command"
        )
        return blank, _refused(blank, why, "revision")
    if wrong := guard.wrongly_allowed(command.allow, command.why) or pending.wrong(command):
        return blank, _refused(blank, wrong)
    return blank, None


def _refused(answer: Answer, why: str, name: str = "") -> Answer:
    return msgspec.structs.replace(answer, status="refused", guard=name, error=why)


def _judged(
    state: NodeState, answer: Answer, command: Command, would: forecast.Forecast, now: float
) -> Answer:
    """With the plan, and what the guards say to it."""
    answer = msgspec.structs.replace(answer, changes=would.changes)
    limits = state.listed.guards
    impacts = [_with_doubts(state, impact, command, limits, now) for impact in would.impacts]
    refusals = (no for impact in impacts for no in guard.check(impact, limits))
    no = guard.first(refusals, command.allow)
    if no is not None:
        return _refused(answer, no.why, no.guard)
    return msgspec.structs.replace(answer, status="planned" if command.dry_run else "applied")


def _with_doubts(
    state: NodeState, impact: guard.Impact, command: Command, limits: guard.Limits, now: float
) -> guard.Impact:
    """What the moment has against it: checks that stand still, what others have under way."""
    vip = state.vips.get(impact.vip)
    reals = vip.reals.values() if vip else ()
    stale = tuple(
        real.name
        for real in reals
        if real.name in impact.carriers and limits.fresh and now - real.checked > limits.fresh
    )
    others = tuple(
        f"{due.pending.kind} of {due.pending.who}"
        for due in state.pending
        if due.pending.who != command.who and any(o.vip == impact.vip for o in due.pending.back)
    )
    others += rollouts.others(state.rollouts, impact.vip, command)
    return impact._replace(stale=stale, others=others)


def revised(answer: Answer, revision: int) -> Answer:
    return msgspec.structs.replace(answer, revision=revision)


def apply(
    state: NodeState, overrides: Iterable[Override], now: float, *, revision: int | None = None
) -> Undo:
    """Change the state.  Overrides of reals that are not in the config any more are passed over."""
    before = []
    shutdowns = (("", state.shutdown), *((n, vip.shutdown) for n, vip in state.vips.items()))
    undo = Undo((), state.revision, shutdowns, tuple(state.pending), state.rollouts)
    for override in overrides:
        was = _apply(state, override, now)
        if was is not None:
            before.append(was)
    state.revision = state.revision + 1 if revision is None else revision
    return undo._replace(overrides=tuple(before))


def _apply(state: NodeState, override: Override, now: float) -> Override | None:
    """Returns how it was; None: there is no such thing any more."""
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


def inverse(state: NodeState, undo: Undo, done: Iterable[Override]) -> tuple[str, ...]:
    """Lines of the CLI that take a change back; none where a line could not."""
    lines: list[str] = []
    for before, after in zip(undo.overrides, done, strict=True):
        name = _named(state, before)
        if before.admin is not after.admin:
            lines.append(f"{_VERBS[before.admin]} {name}")
        if before.weight != after.weight:
            listed = state.vips[before.vip].reals[ip_address(before.real)].listed.weight
            lines.append(f"weight {name} {listed if before.weight is None else before.weight}")
    return tuple(lines)


def _named(state: NodeState, override: Override) -> str:
    if override.real:
        return f"real/{override.real}@{override.vip}"
    return f"vip/{override.vip}" if override.vip else f"node/{_node(state)}"


_VERBS = {Admin.ENABLED: "undrain", Admin.DRAINING: "drain", Admin.DISABLED: "maint"}


def _node(state: NodeState) -> str:
    return state.listed.node.name


def revert(state: NodeState, undo: Undo) -> None:
    apply(state, undo.overrides, 0.0, revision=undo.revision)
    for name, was in undo.shutdowns:
        if not name:
            state.shutdown = was
        elif name in state.vips:
            state.vips[name].shutdown = was
    state.pending = list(undo.pending)
    state.rollouts = undo.rollouts


_ADMIN = {Drain: Admin.DRAINING, Undrain: Admin.ENABLED, Disable: Admin.DISABLED}


def _wanted(state: NodeState, action: Action) -> list[Override]:
    """The overrides that an action asks for.  Raises Refused."""
    match action:
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
        case Confirm() | Rollout() | Reload() | Rollback() | Trace() | Untrace():
            raise Refused("not a change of state or weight")
        case Look() | Replay() | RingOf() | ReadAudit() | ReadHistory():
            raise Refused("not a change")
        case _:
            assert_never(action)


def _wanted_together(
    state: NodeState, actions: Iterable[Drain | Undrain | Disable | Weight]
) -> list[Override]:
    """A real may be named twice: once for its state and once for its weight.  Raises Refused."""
    states: dict[tuple[str, str], Override] = {}
    weights: dict[tuple[str, str], Override] = {}
    for action in actions:
        found = weights if isinstance(action, Weight) else states
        for override in _wanted(state, action):
            key = override.vip, override.real
            if key in found:
                raise Refused(f"{_named(state, override)} is named twice; once will do")
            found[key] = override
    both = {
        key: states[key]._replace(weight=o.weight) for key, o in weights.items() if key in states
    }
    return list({**states, **weights, **both}.values())


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


def differs(state: NodeState, override: Override) -> bool:
    """Whether it would change anything; what is not there any more cannot be changed."""
    if not override.vip:
        return state.admin is not override.admin
    vip = state.vips.get(override.vip)
    if vip is None or not override.real:
        return vip is not None and vip.admin is not override.admin
    real = vip.reals.get(ip_address(override.real))
    return real is not None and (real.admin, real.override) != (override.admin, override.weight)
