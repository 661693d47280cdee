# SPDX-License-Identifier: Apache-2.0
"""Actions, objects and what takes a change back, as the CLI writes them.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import assert_never

import msgspec

from agent.core.state import NodeState
from agent.nouns import Override
from shared.messages import (
    Action,
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
)
from shared.model import Admin

_VERBS = {Admin.ENABLED: "undrain", Admin.DRAINING: "drain", Admin.DISABLED: "maint"}


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
        case (
            Untrace() | ConfigOf() | FlowOf() | FlowsOf() | FlowAges() | ReadAudit()
            | ReadHistory() | Look() | Reload()
        ):  # fmt: skip
            return str(type(action).__struct_config__.tag)
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
    if isinstance(action, Drain) and action.real and action.deadline:
        return (f"{words} --deadline {action.deadline:.12g}s --then {action.then}",)
    return (f"{words}/{node}" if isinstance(action, Drain | Undrain) and action.node else words,)


def _object(real: str, vip: str) -> str:
    if not real:
        return f"vip/{vip}"
    return f"real/{real}@{vip}" if vip else f"real/{real}"


def named(vip: str, real: str, node: str) -> str:
    """An override's object: real/10.3.1.2@web, vip/web or, both empty, node/NAME."""
    if real:
        return f"real/{real}@{vip}"
    return f"vip/{vip}" if vip else f"node/{node}"


def inverse(state: NodeState, were: Iterable[Override], are: Iterable[Override]) -> tuple[str, ...]:
    """Lines of the CLI that take a change back; none where a line could not."""
    lines: list[str] = []
    for before, after in zip(were, are, strict=True):
        name = named(before.vip, before.real, state.listed.node.name)
        if before.admin is not after.admin:
            lines.append(f"{_VERBS[before.admin]} {name}")
        if before.weight != after.weight:
            listed = state.vips[before.vip].reals[ip_address(before.real)].listed.weight
            lines.append(f"weight {name} {listed if before.weight is None else before.weight}")
    return tuple(lines)
