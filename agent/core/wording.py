# SPDX-License-Identifier: Apache-2.0
"""Actions, objects and what takes a change back, as the CLI writes them.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import assert_never

import msgspec

from agent.core.state import NodeState
from agent.nouns import ROUTES, Override
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

_VERBS = {Admin.ENABLED: "undrain", Admin.DRAINING: "drain", Admin.DISABLED: "maint"}


def in_words(action: Action) -> str:  # one line per action
    """`drain real/10.3.1.2@web`: the action as the CLI writes it."""
    match action:
        case Drain() | Undrain() | Withdraw() | Announce():
            return f"{_tag(action)} {_whole_or_part(action)}"
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
        case (
            Untrace() | ConfigOf() | FlowOf() | FlowsOf() | FlowAges() | ReadAudit()
            | ReadHistory() | Look() | Reload()
        ):  # fmt: skip
            return _tag(action)
        case RingOf(vip):
            return f"ring of {vip}"
        case Replay(sequence):
            return f"replay from {sequence}"
        case _:
            assert_never(action)


def lines(action: Action, node: str) -> tuple[str, ...]:
    """As in_words, a line each, with the node's name and a drain's deadline: what the CLI takes."""
    if isinstance(action, Batch):
        return tuple(line for each in action.actions for line in lines(each, node))
    words = in_words(action)
    if isinstance(action, Withdraw | Announce):
        return (f"{_tag(action)} {_routes_of(action.vip, action.peer, node)}",)
    if isinstance(action, Drain) and action.real and action.deadline:
        return (f"{words} --deadline {action.deadline:.12g}s --then {action.then}",)
    return (f"{words}/{node}" if isinstance(action, Drain | Undrain) and action.node else words,)


def _object(real: str, vip: str) -> str:
    if not real:
        return f"vip/{vip}"
    return f"real/{real}@{vip}" if vip else f"real/{real}"


def _whole_or_part(action: Drain | Undrain | Withdraw | Announce) -> str:
    if isinstance(action, Withdraw | Announce):
        return _routes_of(action.vip, action.peer, "")
    return "node" if action.node else _object(action.real, action.vip)


def _tag(action: Action) -> str:
    return str(type(action).__struct_config__.tag)


def _routes_of(vip: str, peer: str, node: str) -> str:
    """`vip/web`, `peer/lb1/10.2.1.1`, `node/lb1`; without its name `peer/10.2.1.1`, `node`."""
    if peer:
        return "/".join(part for part in ("peer", node, peer) if part)
    return f"vip/{vip}" if vip else f"node/{node}" if node else "node"


def object_of(override: Override, node: str) -> str:
    """What an override is about, as the CLI names it."""
    if override.route:
        return _routes_of(override.vip, override.route.strip(ROUTES), node)
    return named(override.vip, override.real, node)


def named(vip: str, real: str, node: str) -> str:
    """An override's object: real/10.3.1.2@web, vip/web or, both empty, node/NAME."""
    if real:
        return f"real/{real}@{vip}"
    return f"vip/{vip}" if vip else f"node/{node}"


def inverse(state: NodeState, were: Iterable[Override], are: Iterable[Override]) -> tuple[str, ...]:
    """Lines of the CLI that take a change back; none where a line could not."""
    lines: list[str] = []
    for before, after in zip(were, are, strict=True):
        name = object_of(before, state.listed.node.name)
        if bool(before.withdrawn) is not bool(after.withdrawn):
            lines.append(f"{'withdraw' if before.withdrawn else 'announce'} {name}")
        if before.admin is not after.admin:
            lines.append(f"{_VERBS[before.admin]} {name}")
        if before.weight != after.weight:
            listed = state.vips[before.vip].reals[ip_address(before.real)].listed.weight
            lines.append(f"weight {name} {listed if before.weight is None else before.weight}")
    return tuple(lines)
