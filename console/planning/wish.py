# SPDX-License-Identifier: Apache-2.0
"""What the operator wants done, before any agent was asked: orders per node, and the same in words.

Made when the key is pressed, from the rows that were marked then.  Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from console.model import objects
from console.model.objects import Kind, Object, ObjectError, Part, Verb
from shared.messages import Action, Batch, Drain, Withdraw


class Target(NamedTuple):
    """What a plan is about, as it was when the key was pressed."""

    kind: str
    """`real`, `vip`, `node` or `peer`"""
    name: str
    vip: str
    agents: tuple[tuple[str, str], ...]
    """(address, node) of the live agents that carry it."""
    weight: int
    left_out: tuple[str, ...] = ()
    """Nodes that carry it, or may, and are not live."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" + (f"@{self.vip}" if self.vip else "")

    @property
    def object(self) -> Object:
        kinds: dict[str, Kind] = {"node": "node", "vip": "vip", "peer": "peer"}
        return Object(kinds.get(self.kind, "real"), self.name, self.vip)


class Order(NamedTuple):
    address: str
    node: str
    action: Action


class Wish(NamedTuple):
    verb: str
    """What the button says."""
    title: str
    objects: tuple[str, ...]
    orders: tuple[Order, ...]
    """One per node."""
    lines: tuple[str, ...]
    """The same as CLI, without `remora`."""
    only: tuple[str, ...] = ()
    """Nodes that are meant, where others carry the objects too."""
    left_out: tuple[str, ...] = ()
    """Nodes that should be meant and are not asked: they are not live."""
    known: tuple[tuple[str, str], ...] = ()
    """(label, text): what of its consequences no agent knows, for the head of the plan."""

    @property
    def withdraws(self) -> bool:
        """Whether any route is to go."""
        return any(isinstance(p, Withdraw) for o in self.orders for p in parts_of(o.action))

    @property
    def confirm(self) -> str:
        """What is typed to confirm: the object's name, or how many there are."""
        if len(self.objects) > 1:
            return str(len(self.objects))
        return self.objects[0].partition("/")[2].partition("@")[0] if self.objects else ""


def wish(verb: Verb, targets: Sequence[Target], weight: int = 0) -> Wish:
    """Raises ObjectError when the verb makes no sense for an object."""
    parts = [(target.agents, objects.action(verb, target.object, weight)) for target in targets]
    names = tuple(str(target) for target in targets)
    said = f" {weight}" if verb == "weight" and weight else ""
    return Wish(
        verb=verb,
        title=f"{verb} {names[0]}" if len(names) == 1 else f"{verb} {len(names)} objects",
        objects=names,
        orders=_orders(parts),
        lines=(f"{verb} {' '.join(names)}{said}",),
        left_out=tuple(dict.fromkeys(name for target in targets for name in target.left_out)),
    )


def weight_of(text: str) -> int:
    """Raises ObjectError."""
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ObjectError(f"weight {text!r}: must be 1 to 1000; to send none, drain it")
    return int(text)


_SPAN = re.compile(r"(\d{1,6})\s*([smhd]?)")


def seconds_of(text: str) -> float:
    """`30m`, `2h`, `90` -> seconds; nothing: 0.  Raises ObjectError."""
    found = _SPAN.fullmatch(text.strip()) if text.strip() else None
    if text.strip() and found is None:
        raise ObjectError(f"for {text!r}: must be a time like 90s, 30m, 2h")
    units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
    return float(found[1]) * units[found[2]] if found else 0.0


def as_told(
    lines_by_node: Sequence[tuple[str, str, Sequence[str]]], title: str, verb: str = "undo"
) -> Wish:
    """What the agents said, that takes a change back or goes on: (address, node, lines) of each.

    Raises ObjectError for a line of a newer agent that means nothing here.
    """
    parts = [
        (((address, node),), _part(text))
        for address, node, lines in lines_by_node
        for text in lines
    ]
    if not parts:
        raise ObjectError(f"{title}: the nodes do not say how")
    lines = tuple(dict.fromkeys(text for _, _, each in lines_by_node for text in each))
    names = tuple(dict.fromkeys(text.split()[1] for text in lines))
    return Wish(verb, title, names, _orders(parts), lines)


_VERBS = ("drain", "undrain", "maint", "weight", "announce", "withdraw")


def _part(text: str) -> Part:
    verb, name, *more = [*text.split(), "", ""] if len(text.split()) < 2 else text.split()
    kind, _, rest = name.partition("/")
    name, _, vip = rest.partition("@")
    if verb not in _VERBS or kind not in ("real", "vip", "node", "peer"):
        raise ObjectError(f"{text}: this console cannot do that; upgrade it")
    weight = int(more[0]) if more and more[0].isdecimal() else 0
    action = objects.action(verb, Object(kind, name, vip), weight)  # type: ignore[arg-type]
    return _by(action, more, text) if isinstance(action, Drain) and more else action


def _by(drain: Drain, flags: Sequence[str], text: str) -> Drain:
    """With `--deadline 600s --then kill`.  Raises ObjectError for any other flag or value."""
    given: dict[str, Any] = dict(zip(flags[::2], flags[1::2], strict=False))
    try:
        left = float(given.pop("--deadline").removesuffix("s"))
        fields = {"deadline": left, "then": given.pop("--then", "wait")}
        timed = msgspec.convert({**msgspec.to_builtins(drain), **fields}, Drain)
    except (KeyError, ValueError, msgspec.ValidationError):
        left = 0.0
    if given or len(flags) % 2 or not 0 < left < float("inf"):
        raise ObjectError(f"{text}: this console cannot do that; upgrade it")
    return timed


def parts_of(action: Action) -> tuple[Action, ...]:
    """What `together` made one of."""
    return action.actions if isinstance(action, Batch) else (action,)


def together(actions: Sequence[Part]) -> Action:
    """One change of them all."""
    return actions[0] if len(actions) == 1 else Batch(tuple(actions))


def _orders(parts: Iterable[tuple[Sequence[tuple[str, str]], Part]]) -> tuple[Order, ...]:
    """Per node: its one action, or all of its actions as one batch."""
    by_node: dict[tuple[str, str], list[Part]] = {}
    for agents, part in parts:
        for agent in agents:
            by_node.setdefault(agent, []).append(part)
    return tuple(
        Order(address, node, together(actions)) for (address, node), actions in by_node.items()
    )
