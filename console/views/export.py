# SPDX-License-Identifier: Apache-2.0
"""Rows of a table -> CSV, JSON lines or Markdown, as they are on show.  Pure.

Known records are written as `remora get -o json` writes them (raw numbers, units in the keys),
others by their columns.  Totals that stand in the place of rates come behind, as numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from console.model.records import Drop, Node, Real, Vip
from console.views import items, pcapng
from console.views.columns import Column
from console.views.everywhere import OnNode
from console.views.items import Item
from console.views.tail_rows import TailRow
from console.views.written import comma_separated
from shared.messages import DropEvent

Format = Literal["csv", "jsonl", "md", "pcapng"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "md")
"""Of any table; events have their dropped packets, too."""


def item(row: Any, columns: Sequence[Column[Any]]) -> Item:  # noqa: ANN401  # any record
    totals = {f"{c.title.lower()}_total": c.order(row) for c in columns if c.of}
    return {**_item(row, columns), **totals}


def _item(row: Any, columns: Sequence[Column[Any]]) -> Item:  # noqa: ANN401
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
        case "md" | "pcapng":
            return _markdown(rows, columns)


def packets(rows: Sequence[Any]) -> bytes:
    """The dropped packets among them, for Wireshark; nothing when there is none."""
    events = [row.line.event for row in rows if isinstance(row, TailRow) and row.line.event]
    dropped = [(event, event.body) for event in events if isinstance(event.body, DropEvent)]
    nodes = list(dict.fromkeys(event.node for event, _ in dropped))
    if not dropped:
        return b""
    return b"".join(
        [
            pcapng.drops_opening(),
            *(pcapng.drops_interface(node) for node in nodes),
            *(pcapng.dropped(e, body, node=nodes.index(e.node)) for e, body in dropped),
        ]
    )


def _markdown(rows: Sequence[Any], columns: Sequence[Column[Any]]) -> str:
    lines = [[column.title for column in columns], ["--:" if c.right else "--" for c in columns]]
    lines += [[_cell(column.cell(row).text) for column in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|")
