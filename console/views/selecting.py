# SPDX-License-Identifier: Apache-2.0
"""Which rows of a list, in which order: `--state`, `--field "miss>1%"`, `--sort`.  Pure.

A field is a column by its title, in any case, or a key of the JSON.  Selectors that select nothing
are an error of whoever gave them: never everything, never quietly nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from console.exits import VerbError
from console.model.labels import LOCATIONS, silent_of_labels, unlabelled
from console.model.selectors import Selector
from console.model.store import Agent
from console.views import fields
from console.views.columns import Column, labels_match, ordered
from console.views.items import word
from console.views.lists import Kind, Rows


class NothingError(VerbError):
    """Selectors that select nothing now; the text names them."""


class Selection(NamedTuple):
    """As given; all of it together."""

    names: tuple[str, ...] = ()
    """`lb1`, `10.3.1.2`, `10.3.1.2@web`: as `-o name` has them, or how those begin."""
    states: tuple[str, ...] = ()
    vip: str = ""
    fields: tuple[str, ...] = ()
    sort: str = ""
    """A column's title: largest or A first."""
    reverse: bool = False
    labels: Selector = Selector()

    @property
    def narrows(self) -> bool:
        return bool(self.names or self.states or self.vip or self.fields or self.labels)


def nodes(agents: Sequence[Agent], patterns: Sequence[str]) -> list[Agent]:
    """Those with a name like one of `lb1`, `lb-0[1-4]`, `edge*`, or at `@r2`.  Raises VerbError for
    one that is like none."""
    wanted = set()
    for pattern in patterns or ("*",):
        found = at(agents, pattern) if pattern.startswith("@") else [
            agent.address for agent in agents if fnmatchcase(agent.name, pattern)
        ]  # fmt: skip
        if agents and not found:
            known = ", ".join(sorted(agent.name for agent in agents))
            raise VerbError(f"--node {pattern}: no such node; there is {known}")
        wanted.update(found)
    return [agent for agent in agents if agent.address in wanted]


def absent_of(agents: Sequence[Agent], patterns: Sequence[str], absent: Sequence[str]) -> list[str]:
    """Which of the absent addresses are meant: of one that never answered nobody knows at which
    place (`@r2`) it is, so there all of them.  Raises VerbError."""
    if any(pattern.startswith("@") for pattern in patterns):
        return list(absent)
    meant = {agent.address for agent in nodes(agents, patterns)}
    return [address for address in absent if address in meant]


def at(agents: Sequence[Agent], place: str) -> list[str]:
    """Addresses of the agents of the nodes at `@r2`: whose rack, row, zone ... is called so.

    Raises VerbError where there is none, where the word means two things, and where a node that
    answers does not say where it is.
    """
    value, silent = place[1:], [agent.name for agent in silent_of_labels(agents)]
    if silent:
        raise VerbError(f"{place}: {unlabelled(silent)}; name the nodes instead")
    found: dict[str, list[str]] = {}
    for agent in agents:
        for key in LOCATIONS if agent.own_labels else ():
            if agent.own_labels[0].get(key) == value:
                found.setdefault(key, []).append(agent.address)
    if len(found) > 1:
        ways = " or ".join(f"{key}={value}" for key in found)
        raise VerbError(f"{place}: ambiguous: it is the {' and the '.join(found)}: write -l {ways}")
    if not found:
        places = [f"@{a.own_labels[0][key]}" for a in agents for key in LOCATIONS
                  if a.own_labels and key in a.own_labels[0]]  # fmt: skip
        there = ", ".join(dict.fromkeys(places)) or f"none: no node has a label {LOCATIONS[0]}"
        raise VerbError(f"{place}: no node is there; there is {there}")
    return next(iter(found.values()))


def labelled(agents: Sequence[Agent], wanted: Selector) -> list[Agent]:
    """Those of the nodes of which it holds.  Raises VerbError when there is none."""
    found = [a for a in agents if any(wanted.matches(labels) for labels in a.own_labels)]
    if not found:
        raise VerbError(f"nothing matches -l '{wanted}'")
    return found


def all_labelled(agents: Sequence[Agent], wanted: Selector, absent: Sequence[str]) -> list[Agent]:
    """As `labelled`, with those that are absent: they may be meant.  Raises VerbError, too, where
    a node that answers does not say whether it is."""
    there = [agent for agent in agents if agent.address not in absent]
    if silent := [agent.name for agent in silent_of_labels(there)]:
        raise VerbError(f"-l '{wanted}': {unlabelled(silent)}, so that whether it is meant is not "
                        "known: choose nodes with --node")  # fmt: skip
    return [*labelled(there, wanted), *(agent for agent in agents if agent.address in absent)]


def select(found: Rows, kind: Kind, selection: Selection) -> Rows:
    """Raises VerbError for a name or field that is not there, NothingError when nothing is left."""
    tests = [_test(text, kind, found) for text in selection.fields]
    chosen = [
        row
        for row in _named(found, kind, selection.names)
        if _in_state(row, selection.states)
        and labels_match(row, selection.labels)
        and selection.vip in ("", _vip_of(row))
        and all(test(row) for test in tests)
    ]
    if selection.narrows and found and not chosen:
        raise NothingError(f"nothing matches {_said(selection)}")
    if not selection.sort:
        return chosen
    column = _column(selection.sort, kind)
    if column is None:
        there = titles(kind.columns)
        raise VerbError(f"--sort {selection.sort}: no such column; there is {there}")
    return ordered(chosen, column, reverse=selection.reverse)


def _named(found: Rows, kind: Kind, names: Sequence[str]) -> Rows:
    """Raises VerbError for a name that is none of theirs."""
    if not names:
        return found
    there = [(*kind.label(row).partition("/"), row) for row in found]
    for name in names:
        if not any(kind.called(label, name) for _, _, label, _ in there):
            known = ", ".join(f"{prefix}/{label}" for prefix, _, label, _ in there[:6])
            more = " and more" if there[6:] else ""
            raise VerbError(f"{name}: there is none; there is {known or 'nothing'}{more}")
    return [row for _, _, label, row in there if any(kind.called(label, name) for name in names)]


def columns(kind: Kind, wanted: str) -> list[Column[Any]]:
    """`node,pps,age` -> these columns in this order.  Raises VerbError."""
    found = []
    for name in wanted.split(","):
        column = _column(name.strip(), kind)
        if column is None:
            raise VerbError(f"--columns {name}: no such column; there is {titles(kind.columns)}")
        found.append(column)
    return found


def titles(columns: Sequence[Column[Any]]) -> str:
    return ", ".join(column.title.lower() for column in columns)


def _column(name: str, kind: Kind) -> Column[Any] | None:
    return next((c for c in kind.columns if c.title.lower() == name.lower()), None)


def _in_state(row: object, states: Sequence[str]) -> bool:
    """`down`, `drain` and `draining` alike: a state's words begin with it or it with them."""
    state = getattr(row, "state", None)
    text = word(state).lower() if state is not None else ""
    first = text.split()[0] if text else ""
    return not states or any(
        text.startswith(each.lower()) or bool(first and each.lower().startswith(first))
        for each in states
    )


def _vip_of(row: object) -> str:
    """Of a VIP its name; what belongs to none has none."""
    about = getattr(row, "real", row)
    return str(getattr(about, "vip", getattr(about, "name", "")))


def _test(text: str, kind: Kind, found: Rows) -> Callable[[object], bool]:
    test = fields.parsed(text)
    if test is None:
        raise VerbError(f"--field {text!r}: must be like 'pps>1k', 'miss>=1%', 'check=refused'")
    name = test.field
    column = _column(name, kind)
    keys = kind.item(found[0]) if found else {}
    if column is None and name not in keys and found:
        raise VerbError(
            f"--field {name}: no such field; there is {titles(kind.columns)}, {', '.join(keys)}"
        )

    def holds(row: object) -> bool:
        value = column.order(row) if column else kind.item(row).get(name)
        return test.holds(value, column.cell(row).text if column else str(value))

    return holds


def _said(selection: Selection) -> str:
    return " ".join(
        [
            *selection.names,
            *(f"--state {state}" for state in selection.states),
            *([f"--vip {selection.vip}"] if selection.vip else []),
            *(f"--field {field!r}" for field in selection.fields),
            *([f"-l {str(selection.labels)!r}"] if selection.labels else []),
        ]
    )
