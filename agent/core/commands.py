# SPDX-License-Identifier: Apache-2.0
"""Commands: what they would change (the plan), and whether they may.  Touches nothing.  Pure.

What an action asks for and the change itself are in overrides.py; answering.py does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from agent.bgp import text as bgp_text
from agent.boundary import Proposed
from agent.config import difference
from agent.config.tree import Config
from agent.core import (
    forecast,
    guard,
    maglev,
    pending,
    reconfigure,
    rollouts,
    route_forecast,
    withdrawal,
    wording,
)
from agent.core.overrides import differs, wanted
from agent.core.refused import Refused
from agent.core.state import NodeState
from agent.nouns import Override, Part
from shared import guards
from shared.messages import Answer, Command, Rollout


class Outcome(NamedTuple):
    answer: Answer
    overrides: tuple[Override, ...] = ()
    """To apply; empty: nothing changes."""
    following: reconfigure.Next | None = None
    """To install: the state under another config."""


def decide(state: NodeState, command: Command, fill: maglev.Fill, now: float) -> Outcome:
    """Plan a command."""
    blank, no = blank_answer(state, command)
    if no is not None:
        return Outcome(no)
    try:
        asked = wanted(state, command.action, withdrawal.said(command))
    except Refused as error:
        return Outcome(refused(blank, str(error)))
    overrides = tuple(
        override
        for override in asked
        if differs(state, override) or pending.has_deadline(command, override)
    )
    if not overrides:
        return Outcome(msgspec.structs.replace(blank, note=_already(state, asked)))
    elsewhere = withdrawal.elsewhere(command.action)
    would = forecast.of_overrides(state, overrides, fill, elsewhere)
    answer = _judged(state, blank, command, would, now)
    return Outcome(answer, overrides if answer.status == "applied" else ())


def _already(state: NodeState, asked: Iterable[Override]) -> str:
    """What there is to say of routes that were so already; of all else nothing."""
    notes = []
    routes = [override for override in asked if override.route]
    for override in routes:
        found = withdrawal.holder(state, override)
        name = wording.object_of(override, state.listed.node.name)
        if found is not None and found.withdrawn:
            notes.append(f"{name} is already {found.withdrawn}")
    back = [override for override in routes if override.withdrawn is None]
    if back:
        why = route_forecast.why_not(state, back)
        notes.append(f"no operator's withdrawal is in force; {why or 'announced'}")
    return "; ".join(notes)


def decide_config(state: NodeState, fact: Proposed, fill: maglev.Fill, now: float) -> Outcome:
    """Plan the change to another config."""
    blank, no = blank_answer(state, fact.command)
    if no is not None:
        return Outcome(no)
    if fact.config is None:
        return Outcome(refused(blank, fact.error))
    if fact.config == state.listed:
        return Outcome(blank)
    restart = tuple(
        filter(difference.needs_restart, difference.settings(state.listed, fact.config))
    )
    if restart:
        keys = "; ".join(map(str, restart))
        return Outcome(refused(blank, f"comes into force with a restart only: {keys}", "restart"))
    try:
        following = reconfigure.prepare(state, fact.config, now)
    except IndexError:
        return Outcome(
            refused(blank, "the maps have no numbers left; remove VIPs or reals first, then add")
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
    before)."""
    blank, no = blank_answer(state, command)
    if no is not None:
        return no, None
    found = state.rollouts
    wrong = rollouts.wrong(command, action, found)
    try:
        by = withdrawal.said(command)
        touched = wanted(state, action.action, by) if action.action else []
    except Refused as error:
        wrong = wrong or str(error)
    if wrong:
        return refused(blank, wrong), None
    if other := rollouts.taken(command, action, found):
        return refused(blank, other, guards.STEERED), None
    vips = tuple(sorted({o.vip for o in touched if o.vip}))
    busy = [other for vip in vips or state.vips for other in rollouts.others(found, vip, command)]
    if action.action and busy and action.state == "running":
        why = f"{busy[0]} is not over yet; go on with it or take it back first (remora op)"
        return refused(blank, why, guards.OTHER_OP), None
    lines = wording.lines(action.action, state.listed.node.name) if action.action else ()
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
        return blank, refused(blank, why, "revision")
    if wrong := guard.wrongly_allowed(command.allow, command.why) or pending.wrong(command):
        return blank, refused(blank, wrong)
    return blank, None


def refused(answer: Answer, why: str, name: str = "") -> Answer:
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
        return refused(answer, no.why, no.guard)
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
