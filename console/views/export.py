# SPDX-License-Identifier: Apache-2.0
"""Rows of a table -> CSV, JSON lines or Markdown, as they are on show.  Pure.

Known records are written as `remora get -o json` writes them (raw numbers, units in the keys),
others by their columns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from console.model.records import Drop, Node, Real, Vip
from console.views import items
from console.views.columns import Column
from console.views.everywhere import OnNode
from console.views.items import Item
from console.views.written import comma_separated

Format = Literal["csv", "jsonl", "md"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "md")


def item(row: Any, columns: Sequence[Column[Any]]) -> Item:  # noqa: ANN401  # any record
    match row:
        case Node():
            return items.node(row)
        case Vip():
            return items.vip(row)
        case Real():
            return items.real(row)
        case Drop():
            return items.drop(row)
        case OnNode():
            return {"node": row.node, **items.real(row.real)}
    return {column.title.lower(): column.cell(row).text for column in columns}


def text(row: Any, columns: Sequence[Column[Any]]) -> str:  # noqa: ANN401
    """One row for the clipboard: cells with tabs between."""
    return "\t".join(column.cell(row).text.strip() for column in columns)


def export(rows: Sequence[Any], columns: Sequence[Column[Any]], kind: Format) -> str:
    match kind:
        case "csv":
            return comma_separated([item(row, columns) for row in rows]) + "\n"
        case "jsonl":
            return "".join(json.dumps(item(row, columns)) + "\n" for row in rows)
        case "md":
            return _markdown(rows, columns)


def _markdown(rows: Sequence[Any], columns: Sequence[Column[Any]]) -> str:
    lines = [[column.title for column in columns], ["--:" if c.right else "--" for c in columns]]
    lines += [[_cell(column.cell(row).text) for column in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|")
