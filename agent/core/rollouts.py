# SPDX-License-Identifier: Apache-2.0
"""Operations that come to their nodes one after the other, as far as this node is in them.  Pure.

A console steers them; what it has told every node is all that any console needs to see one, to go
on with it or to take it back.  One that steers no more (it died, its network broke) leaves the
operation held: the time within which it must tell again is over.  `now` is seconds, monotonic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.nouns import Part
from shared.messages import Command, Rollout, RolloutRow

MOST = 8
"""Operations at a time."""
LONGEST = 3600.0
"""Seconds within which a node must be told again, at most."""
REJOIN = 60.0
"""Seconds for a console to tell a restarted agent again."""
SILENT = "nobody steers it any more: its console went, or does not reach this node"


def is_part_of(command: Command, part: Part) -> bool:
    """Whether a command is the operation's own: its turn here, or that taken back."""
    name = command.operation
    return name == part.operation or name.startswith(f"{part.operation}/")


def wrong(command: Command, rollout: Rollout, parts: Sequence[Part]) -> str:
    """What is wrong with a message about an operation; empty: nothing."""
    if not command.operation or "/" in command.operation:
        return "`operation` must name it, without a /"
    if rollout.state == "running" and not 1 <= rollout.within <= LONGEST:
        return f"within {rollout.within:g} s: must be 1 to {LONGEST:.0f}"
    known = any(part.operation == command.operation for part in parts)
    if not known and rollout.state != "over" and rollout.action is None:
        return f"operation {command.operation} is not known here: say its action"
    if not known and rollout.state != "over" and len(parts) >= MOST:
        return f"{MOST} operations are under way here; end one of them first (remora get op)"
    return ""


def taken(command: Command, rollout: Rollout, parts: Sequence[Part]) -> str:
    """Who steers it already, in words; empty: nobody else.  Any console may hold it."""
    part = next((part for part in parts if part.operation == command.operation), None)
    if part is None or part.held or rollout.state != "running":
        return ""
    if not (part.steers and rollout.steers) or part.steers == rollout.steers:
        return ""
    return f"already resumed by {part.steered_by}; hold it first (remora op hold {part.operation})"


def told(
    parts: Sequence[Part],
    command: Command,
    rollout: Rollout,
    *,
    lines: tuple[str, ...],
    vips: tuple[str, ...],
    now: float,
) -> tuple[Part, ...]:
    """The parts after a console told of one operation; `lines`, `vips`: as in Part."""
    old = next((part for part in parts if part.operation == command.operation), None)
    others = tuple(part for part in parts if part is not old)
    if rollout.state == "over":
        return others
    held = rollout.state == "held"
    part = old or Part(command.operation, command.who, (), (), held, now, now, command.why)
    if rollout.action is not None:
        part = part._replace(lines=lines, vips=vips)
    return (
        *others,
        part._replace(
            held=held,
            said=rollout.said if held else "",
            terms=rollout.terms or part.terms,
            since=now,
            until=now + rollout.within,
            steers="" if held else rollout.steers,
            steered_by=part.steered_by if held else command.who,
        ),
    )


def after(
    parts: Sequence[Part], command: Command, undo: tuple[str, ...]
) -> tuple[Part, ...] | None:
    """The parts after a command was carried out; None: it is of none of them."""
    if not any(is_part_of(command, part) for part in parts):
        return None

    def turn(part: Part) -> Part:
        if not is_part_of(command, part):
            return part
        done = command.operation == part.operation
        return part._replace(done=done, undo=(undo or part.undo) if done else ())

    return tuple(map(turn, parts))


def timed_out(parts: Sequence[Part], now: float) -> tuple[Part, ...] | None:
    """The parts with those held that nobody steers any more; None: there are none such."""
    if not any(now >= part.until and not part.held for part in parts):
        return None
    return tuple(
        part if part.held or now < part.until else part._replace(held=True, said=SILENT, since=now)
        for part in parts
    )


def adopted(parts: Iterable[Part], now: float) -> tuple[Part, ...]:
    """As the journal has them; its clock may be that of another boot."""
    return tuple(part._replace(since=now, until=now + REJOIN) for part in parts)


def others(parts: Iterable[Part], vip: str, command: Command) -> tuple[str, ...]:
    """Operations on the VIP that a command is no part of, in words."""
    return tuple(
        f"operation {part.operation} of {part.who} ({', '.join(part.lines)})"
        for part in parts
        if not is_part_of(command, part) and (not part.vips or vip in part.vips)
    )


def row(part: Part) -> RolloutRow:
    return RolloutRow(
        operation=part.operation,
        who=part.who,
        lines=part.lines,
        state="held" if part.held else "running",
        since=part.since,
        until=0.0 if part.held else part.until,
        done=part.done,
        undo=part.undo,
        why=part.why,
        terms=part.terms,
        said=part.said,
        steered_by=part.steered_by,
    )
