# SPDX-License-Identifier: Apache-2.0
"""Limits of the operator's own (`[alerts]` in the config), beside what is always wrong.  Pure.

`node = ["drop/s>1k", "miss>20%"]`: a column of that table by its title, as in a filter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from console.exits import VerbError
from console.model import rows
from console.model.store import Agent
from console.views import tables
from console.views.columns import Column
from console.views.fields import Comparison, parsed
from console.views.problems import Problem

HOLDS = 5.0
"""Seconds for which it must be so: one odd second is no alert."""
COLUMNS: Mapping[str, Sequence[Column[Any]]] = {"node": tables.NODES, "vip": tables.VIPS}


class LimitError(VerbError):
    """A limit that can never be judged; the text says which and what would do."""


class Limit(NamedTuple):
    kind: str
    """`node` or `vip`"""
    text: str
    column: Column[Any]
    test: Comparison


def limits(table: Mapping[str, Sequence[str]]) -> tuple[Limit, ...]:
    """Raises LimitError."""
    return tuple(_limit(kind, text) for kind, texts in table.items() for text in texts)


def _limit(kind: str, text: str) -> Limit:
    if kind not in COLUMNS:
        raise LimitError(f"alerts: {kind}: there are limits of {' and '.join(COLUMNS)}")
    test = parsed(text)
    column = next(
        (c for c in COLUMNS[kind] if test and c.title.lower() == test.field.lower()), None
    )
    if test is None or column is None:
        titles = ", ".join(column.title.lower() for column in COLUMNS[kind])
        raise LimitError(
            f"alerts: {kind}: {text!r}: must be like 'drop/s>1k', about one of {titles}"
        )
    return Limit(kind, text, column, test)


class Overrun:
    """Which limits are passed, and since when."""

    def __init__(self, found: Sequence[Limit] = ()) -> None:
        self._limits = tuple(found)
        self._since: dict[tuple[str, str], float] = {}

    def take(self, agents: Sequence[Agent], now: float) -> list[Problem]:
        """Those that have been passed for so long that it is no chance; of values that are live."""
        if not self._limits:
            return []
        since, found = self._since, []
        self._since = {}
        by_kind = {limit.kind: list(_rows(limit.kind, agents, now)) for limit in self._limits}
        for limit in self._limits:
            for name, row in by_kind[limit.kind]:
                shown = limit.column.cell(row).text
                if not _passed(limit, limit.column.order(row), shown):
                    continue
                key = limit.text, f"{limit.kind}/{name}"
                began = self._since[key] = min(now, since.get(key, now))
                if now - began >= HOLDS:
                    text = f"{limit.column.title.lower()} is {shown}: its limit is {limit.text}"
                    age = now - began
                    found.append(Problem(False, key[1], text, "limit", age, with_whom=limit.text))
        return found


def _passed(limit: Limit, value: object, shown: str) -> bool:
    """Of a sum that some nodes are missing from it is known only that it is no less."""
    partial = isinstance(value, int | float) and shown.endswith("?")
    return (not partial or limit.test.sign in (">", ">=")) and limit.test.holds(value, shown)


def _rows(kind: str, agents: Sequence[Agent], now: float) -> Iterator[tuple[str, Any]]:
    if kind == "node":
        yield from ((node.name, node) for node in rows.nodes(agents, now) if node.live)
    else:
        yield from ((vip.name, vip) for vip in rows.vips(agents, now) if not vip.stale)
