# SPDX-License-Identifier: Apache-2.0
"""The journal's lines -> what is still in force of them, and the line that says it all.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from agent.core.once import KEPT, LIFE
from agent.nouns import Keyed, Override, Part, Pending
from shared.model import Admin

FORMAT = 1
"""Of a line.  Another one is a newer agent's: reported and passed over."""


class Entry(msgspec.Struct, frozen=True):
    """Of a line what outlives the agent; `who`, `what`, `why` and `result` are for people."""

    revision: int
    overrides: tuple[Override, ...]
    v: int = FORMAT
    at: float = 0.0
    """Unix seconds."""
    generation: int = 0
    instead_of: str = ""
    pending: tuple[Pending, ...] = ()
    settled: tuple[str, ...] = ()
    phase: tuple[str, str] | None = None
    rollouts: tuple[Part, ...] | None = None
    keyed: tuple[Keyed, ...] = ()
    phases: dict[str, str] = {}
    """Of a line that carries over what an older file said, or what a VIP's old name had."""


class Recalled(NamedTuple):
    """What the journal knows at start."""

    overrides: tuple[Override, ...]
    """The last one of each real, VIP and of the node."""
    revision: int
    damaged: tuple[int, ...]
    """Numbers of the lines that could not be read."""
    generation: int = 0
    """Of the config that was last in force; 0: not known."""
    instead_of: str = ""
    """If that was a rollback: digest of the file that it passed over."""
    pending: tuple[Pending, ...] = ()
    """Changes that end by themselves, with the seconds that are left."""
    phases: Mapping[str, str] = MappingProxyType({})
    """VIP name (the node: empty) -> phase of its shutdown."""
    rollouts: tuple[Part, ...] = ()
    keyed: tuple[Keyed, ...] = ()
    """Done under idempotency keys that are not forgotten yet, oldest first."""


def recall(lines: Iterable[bytes], wall: float) -> Recalled:
    """`wall`: Unix seconds now."""
    last: dict[tuple[str, str, str], Override] = {}
    pending: dict[str, Pending] = {}
    phases: dict[str, str] = {}
    rollouts: tuple[Part, ...] = ()
    keyed: dict[str, Keyed] = {}
    revision, generation, instead_of = 0, 0, ""
    damaged = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        entry = _entry(line)
        if entry is None:
            damaged.append(number)
            continue
        revision = entry.revision
        if entry.generation:
            generation, instead_of = entry.generation, entry.instead_of
        for override in entry.overrides:
            last[override.object] = override
            if not (override.real or override.route) and override.admin is Admin.ENABLED:
                phases.pop(override.vip, None)
        phases.update(entry.phases)
        phases.update([entry.phase] if entry.phase else [])
        rollouts = rollouts if entry.rollouts is None else entry.rollouts
        for each in entry.pending:
            pending[each.id] = each._replace(left=max(0.0, entry.at + each.left - wall))
        for done in entry.keyed:
            keyed[done.key] = done._replace(age=max(0.0, wall - entry.at + done.age))
        for id in entry.settled:
            pending.pop(id, None)
    return Recalled(
        tuple(last.values()),
        revision,
        tuple(damaged),
        generation,
        instead_of,
        tuple(pending.values()),
        phases,
        rollouts,
        tuple(done for done in keyed.values() if done.age <= LIFE)[-KEPT:],
    )


def carried_over(recalled: Recalled, wall: float) -> bytes:
    """What a new file begins with: one line that says all of it; withdrawals, which an agent of
    0.1.0 cannot read, in another before it."""
    kept = tuple(o for o in recalled.overrides if not o.plain)
    routes = tuple(o for o in kept if o.route)
    before = b""
    if routes:
        before = _carried(Entry(recalled.revision, routes, at=wall))
    entry = Entry(
        revision=recalled.revision,
        overrides=tuple(o for o in kept if not o.route),
        at=wall,
        generation=recalled.generation,
        instead_of=recalled.instead_of,
        pending=recalled.pending,
        phases=dict(recalled.phases),
        rollouts=recalled.rollouts,
        keyed=recalled.keyed,
    )
    return before + _carried(entry)


def _carried(entry: Entry) -> bytes:
    people = {"who": "agent", "what": "journal", "result": "carried over from the older file"}
    kept = {"overrides": plainly(entry.overrides)}
    pending = {"pending": [plainly_pending(each) for each in entry.pending]}
    return line(people | msgspec.to_builtins(entry) | kept | pending)


def plainly(overrides: Iterable[Override]) -> list[Any]:
    """As they are written: of those that an agent of 0.1.0 can read what it would write."""
    return [msgspec.to_builtins(o if o.route else tuple(o)[:_OF_STATE]) for o in overrides]


def plainly_pending(each: Pending) -> list[Any]:
    return [plainly(each.back) if name == "back" else of for name, of in each._asdict().items()]


_OF_STATE = 4
"""Fields of an Override about state and weight."""


def line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _entry(text: bytes) -> Entry | None:
    try:
        entry = msgspec.convert(json.loads(text), Entry)
    except (ValueError, TypeError, RecursionError):
        return None
    return entry if entry.v == FORMAT else None
