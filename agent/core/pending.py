# SPDX-License-Identifier: Apache-2.0
"""Changes that end by themselves: they expire, must be confirmed, or have a deadline.  Pure.

What is due is decided by `now`; the director carries it out as a change like any other, in the
name of who asked for it.  A later change of the same object takes it out of what is pending: nobody
wants his decision taken back by an older one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from agent.nouns import Override, Pending
from shared.messages import Batch, Command, Confirm, Drain, Reload, Rollback


class Due(NamedTuple):
    """A pending change and its time."""

    pending: Pending
    at: float
    """Seconds, monotonic."""


Object = tuple[str, str, str]
"""As Override.object: a drain of a VIP and a withdrawal of its route are of two."""


def armed(command: Command, before: Iterable[Override], now: float) -> tuple[Due, ...]:
    """What a command that was applied leaves behind; `before` is how it was."""
    back = tuple(before)
    found = []
    if command.confirm:
        found.append(_due(command, "confirm", command.confirm, back, now))
    if command.expires:
        found.append(_due(command, "expire", command.expires, back, now))
    for n, action in enumerate(_with_deadline(command)):
        mine = tuple(o for o in back if o.real and _is_about(action, o))
        found.append(_due(command, action.then, action.deadline, mine, now, nth=f".{n}"))
    return tuple(found)


def _due(
    command: Command,
    kind: str,
    left: float,
    back: tuple[Override, ...],
    now: float,
    *,
    nth: str = "",
) -> Due:
    pending = Pending(f"{command.id}/{kind}{nth}", kind, command.who, left, back, command.operation)
    return Due(pending, now + left)


def has_deadline(command: Command, override: Override) -> bool:
    """Whether a command gives this real a deadline: news, even of one that drains already."""
    return bool(override.real) and any(_is_about(d, override) for d in _with_deadline(command))


def _with_deadline(command: Command) -> list[Drain]:
    actions = command.action.actions if isinstance(command.action, Batch) else (command.action,)
    return [action for action in actions if isinstance(action, Drain) and action.deadline]


def _is_about(action: Drain, override: Override) -> bool:
    """An IPv6 address has more than one text."""
    same_real = not action.real or ip_address(action.real) == ip_address(override.real)
    return same_real and action.vip in ("", override.vip)


def without(pending: Iterable[Due], objects: Iterable[Object]) -> list[Due]:
    """What is still pending."""
    taken = set(objects)
    left = []
    for due in pending:
        back = tuple(o for o in due.pending.back if o.object not in taken)
        if back:
            left.append(due._replace(pending=due.pending._replace(back=back)))
    return left


def carried(
    pending: Iterable[Due], names: Mapping[str, str], there: frozenset[Object]
) -> tuple[Due, ...]:
    """What is pending when VIPs have other names (`names`: old -> new) and only `there` is left: of
    an object that is gone nothing, should one of its name ever come back."""
    found = []
    for due in pending:
        named = (o._replace(vip=names[o.vip]) for o in due.pending.back if o.vip in names)
        back = tuple(o for o in named if o.object in there)
        if back:
            found.append(due._replace(pending=due.pending._replace(back=back)))
    return tuple(found)


def journalled(
    before: Iterable[Due], after: Iterable[Due], now: float
) -> tuple[tuple[Pending, ...], tuple[str, ...]]:
    """(what is new or another, ids of what is over): what the journal must learn, so that a restart
    finds what is pending now."""
    before, after = tuple(before), tuple(after)
    left = {due.pending.id for due in after}
    changed = tuple(d.pending._replace(left=d.at - now) for d in after if d not in before)
    return changed, tuple(d.pending.id for d in before if d.pending.id not in left)


def confirmed(pending: Iterable[Due], command: Command, action: Confirm) -> list[Due]:
    """Those that it confirms: of its operation, or all of who sent it."""

    def meant(due: Due) -> bool:
        if action.operation:
            return due.pending.operation == action.operation
        return due.pending.who == command.who

    return [due for due in pending if due.pending.kind == "confirm" and meant(due)]


def objects(overrides: Iterable[Override]) -> frozenset[Object]:
    return frozenset(override.object for override in overrides)


def wrong(command: Command) -> str:
    """What is wrong with a command's times; empty: nothing."""
    given = [("--for", command.expires), ("--confirm-within", command.confirm)]
    given += [("--deadline", action.deadline) for action in _with_deadline(command)]
    for name, seconds in given:
        if seconds and not 1 <= seconds <= 30 * 86400:
            return f"{name} {seconds:g}: must be 1 second to 30 days"
        if seconds and isinstance(command.action, Reload | Rollback):
            return f"{name} {seconds:g}: a config does not go back by itself; roll it back"
    return ""
