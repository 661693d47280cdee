# SPDX-License-Identifier: Apache-2.0
"""How records are written: columns with fixed widths, the same for screen and CLI.  Pure.

A column has a priority: where there is no room the highest numbers go first, none is squeezed, so
that a changing number never moves its neighbours.  Names get the room that the longest of them
needs, before others do (two names that are cut look alike); prose gets what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from console.model.labels import UNKNOWN, Said
from console.model.selectors import Requirement, Selector, SelectorError, selector
from console.views.cells import Cell
from console.views.fields import Comparison, parsed

R = TypeVar("R")


class Column(NamedTuple, Generic[R]):
    title: str
    width: int
    cell: Callable[[R], Cell]
    order: Callable[[R], Any]
    """What sorting compares; numbers sort largest first."""
    priority: int = 0
    """0: always there."""
    right: bool = False
    wide: bool = False
    """Only in `-o wide`: needs rates, or says more than most want."""
    grows: Literal["", "name", "prose"] = ""
    """A name: as wide as the longest, up to a third of the screen, even where others go for that.
    Prose: as wide as what is left."""
    of: str = ""
    """Of a total: title of the rate in whose place it stands while totals are wanted."""

    @property
    def place(self) -> str:
        """By this title it is chosen, whichever of the two stands there."""
        return self.of or self.title


def standing(columns: Sequence[Column[R]], *, totals: bool) -> list[Column[R]]:
    """Those of now: rates, or totals in the place of those that have any."""
    instead = {column.of: column for column in columns if totals and column.of}
    return [instead.get(column.title, column) for column in columns if not column.of]


Wants = Mapping[str, int]
"""Title -> characters of the longest text, of columns that grow."""
NONE: Wants = {}


def fitting(columns: Sequence[Column[R]], width: int, wants: Wants = NONE) -> list[Column[R]]:
    """The columns for which `width` has room (one cell between them, one at each end)."""
    chosen = list(columns)
    while _room(chosen, width, wants) > width:
        least = max(chosen, key=lambda column: column.priority)
        if least.priority == 0:
            break
        chosen.remove(least)
    return chosen


def widths(chosen: Sequence[Column[R]], width: int, wants: Wants) -> list[int]:
    """Of each column that is on show."""
    found = [_least(column, width, wants) for column in chosen]
    left = width - _room(chosen, width, wants)
    for index, column in enumerate(chosen):
        more = {
            "name": min(0, max(left, column.width - found[index])),
            "prose": max(0, min(left, wants.get(column.title, 0) - column.width)),
        }.get(column.grows, 0)
        found[index] += more
        left -= more
    return found


def _room(columns: Sequence[Column[R]], width: int, wants: Wants) -> int:
    return 1 + sum(_least(column, width, wants) + 1 for column in columns)


def _least(column: Column[R], width: int, wants: Wants) -> int:
    if column.grows != "name":
        return column.width
    return max(column.width, min(wants.get(column.title, 0), width // 3))


def ordered(rows: Sequence[R], column: Column[R], *, reverse: bool = False) -> list[R]:
    """Sorted by a column: words from A, numbers from the largest, unknown last either way."""
    known = [row for row in rows if column.order(row) is not None]
    unknown = [row for row in rows if column.order(row) is None]
    numbers = bool(known) and not isinstance(column.order(known[0]), str | tuple)
    return sorted(known, key=column.order, reverse=numbers != reverse) + unknown


Labelled = Callable[[Selector], Callable[[R], bool]]
"""What is wanted of labels -> whether that holds of a row."""


def of_its_own(wanted: Selector) -> Callable[[object], bool]:
    """By the labels that the row has itself."""
    return lambda row: labels_match(row, wanted)


def matching(
    rows: Sequence[R],
    columns: Sequence[Column[R]],
    words: str,
    labelled: Labelled[R] = of_its_own,
    *,
    totals: bool = False,
) -> list[R]:
    """Rows in which every word of the filter occurs (`!word`: does not), in any column that stands
    now; of which `pps>1k` holds, where that is the title of any; with `label:rack=r2`, or
    `-l SELECTOR` at its end, those of which that holds.  While a selector is being typed it hides
    nothing."""
    plain, wanted = split(words)
    if not plain and not wanted:
        return list(rows)
    found = {word: _test(word, columns) for word in plain}
    tests = [test for test in found.values() if test is not None]
    texts = [word.lower() for word, test in found.items() if test is None]
    meant, stand = labelled(wanted), standing(columns, totals=totals)
    return [
        row
        for row in rows
        if meant(row)
        and all(test.holds(column.order(row), column.cell(row).text) for column, test in tests)
        and _matches(row, stand, texts)
    ]


def _test(word: str, columns: Sequence[Column[R]]) -> tuple[Column[R], Comparison] | None:
    """Of a word that is one, about a column that there is."""
    test = parsed(word)
    if test is None:
        return None
    column = next((c for c in columns if c.title.lower() == test.field.lower()), None)
    return None if column is None else (column, test)


def split(words: str) -> tuple[list[str], Selector]:
    """(plain words, what is wanted of labels)."""
    before, flag, after = f" {words}".partition(" -l ")
    texts = [after] if flag else []
    plain = []
    for word in before.split():
        kind, colon, text = word.partition(":")
        if kind.lower() == "label" and colon:
            texts.append(text)
        else:
            plain.append(word)
    parts: list[Requirement] = []
    for text in texts:
        with suppress(SelectorError):
            parts += selector(text).requirements
    return plain, Selector(tuple(parts))


def labels_match(row: object, wanted: Selector) -> bool:
    """Of what any node says of them; what has none to say, or is not known, is not meant."""
    said: Said = getattr(row, "labels", UNKNOWN)
    return not wanted or any(wanted.matches(labels) for labels in said)


def _matches(row: R, columns: Sequence[Column[R]], wanted: Sequence[str]) -> bool:
    text = " ".join(column.cell(row).text for column in columns).lower()
    return all(
        (word[1:] not in text) if word.startswith("!") and word[1:] else (word in text)
        for word in wanted
    )
