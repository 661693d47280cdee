# SPDX-License-Identifier: Apache-2.0
"""Records -> text for a pipe or a terminal: table, wide, json, jsonl, csv, name.  Pure but for the
clock in `now_text`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from console.views.columns import Column
from console.views.items import Item, listing

R = TypeVar("R")
FORMATS = ("table", "wide", "json", "jsonl", "csv", "name")


def table(rows: Sequence[R], columns: Sequence[Column[R]]) -> str:
    """As wide as its content, headings included; no trailing spaces."""
    cells = [[column.cell(row).text for column in columns] for row in rows]
    lines = [[column.title for column in columns], *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(_line(line, widths, columns) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column[Any]]) -> str:
    return "  ".join(
        cell.rjust(width) if column.right else cell.ljust(width)
        for cell, width, column in zip(cells, widths, columns, strict=True)
    ).rstrip()


def records(
    rows: Sequence[R],
    columns: Sequence[Column[R]],
    *,
    kind: str,
    item: Callable[[R], Item],
    name: Callable[[R], str],
    missing: Sequence[str],
    output: str,
) -> str:
    """The records in the format that was asked for."""
    items = [item(row) for row in rows]
    match output:
        case "json":
            return json.dumps(listing(kind, items, at=now_text(), missing=missing), indent=2)
        case "jsonl":
            return "\n".join(json.dumps(one) for one in items)
        case "csv":
            return comma_separated(items)
        case "name":
            return "\n".join(name(row) for row in rows)
    shown = [c for c in columns if output == "wide" or not c.wide]
    # A history needs a minute of watching: the console has it, one look has not.
    return table(rows, [c for c in shown if c.title != "60s"])


def comma_separated(items: Sequence[Item]) -> str:
    if not items:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(items[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _flat(v) for k, v in one.items()} for one in items)
    return text.getvalue().rstrip("\n")


def _flat(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | dict) else value


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
