# SPDX-License-Identifier: Apache-2.0
"""Records -> text for a pipe or a terminal: table, wide, json, jsonl, csv, yaml, name.  Pure but
for the clock in `now_text`."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from console.views.cells import Cell
from console.views.columns import Column
from console.views.items import Item, listing

R = TypeVar("R")
FORMATS = ("table", "wide", "json", "jsonl", "csv", "yaml", "name")
Paint = Callable[[str, str], str]
"""(text, its tone as in Cell) -> what is written."""
SGR = {"ok": "32", "warn": "33", "bad": "31;1", "hot": "36", "stale": "2", "dim": "2", "head": "1"}
"""Tone -> the sixteen colours that every terminal has; what a tone says is said in words too."""


HOME = "\x1b[H\x1b[2J"
"""Clears the screen; at the start of a text only."""
_OURS = "|".join({*SGR.values(), ""})
_STEERS = re.compile(
    rf"(?!\x1b\[(?:{_OURS})m)[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def harmless(text: str) -> str:
    """Without what would steer a terminal, but for the colours of `coloured`: names, reasons and
    error texts are those of agents and of other operators."""
    start = HOME if text.startswith(HOME) else ""
    return start + _STEERS.sub("?", text.removeprefix(start))


def plain(text: str, tone: str) -> str:
    del tone
    return text


def coloured(text: str, tone: str) -> str:
    code = SGR.get(tone)
    return f"\x1b[{code}m{text}\x1b[m" if code and text.strip() else text


SIGNS = ("● ", "◐ ", "○ ", "▲ ", "✕ ", "· ", "? ")
"""Before a state; a screen reader would spell them out."""
_IN_LINES = re.compile("[●◐○▲✕] ")


def unsigned(text: str) -> str:
    """Lines of text without the signs."""
    return _IN_LINES.sub("", text)


def in_words(column: Column[Any]) -> Column[Any]:
    """Its cells without the sign before a state."""
    cell = column.cell

    def worded(row: object) -> Cell:
        shown = cell(row)
        return shown._replace(text=shown.text[2:]) if shown.text[:2] in SIGNS else shown

    return column._replace(cell=worded)


def table(
    rows: Sequence[R],
    columns: Sequence[Column[R]],
    *,
    headers: bool = True,
    paint: Paint = plain,
) -> str:
    """As wide as its content, headings included; no trailing spaces."""
    heads = [[Cell(column.title, "head") for column in columns]] if headers else []
    lines = [*heads, *([column.cell(row) for column in columns] for row in rows)]
    widths = [max((len(line[i].text) for line in lines), default=0) for i in range(len(columns))]
    return "\n".join(_line(line, widths, columns, paint) for line in lines)


def _line(
    cells: Sequence[Cell], widths: Sequence[int], columns: Sequence[Column[Any]], paint: Paint
) -> str:
    last = max((i for i, cell in enumerate(cells) if cell.text.strip()), default=-1)
    return "  ".join(
        paint(_padded(cell.text, width, right=column.right, last=i == last), cell.tone)
        for i, (cell, width, column) in enumerate(zip(cells, widths, columns, strict=True))
        if i <= last
    )


def _padded(text: str, width: int, *, right: bool, last: bool) -> str:
    if right:
        return text.rjust(width)
    return text.rstrip() if last else text.ljust(width)


def items_as(
    items: Sequence[Item], output: str, *, kind: str, missing: Sequence[str], at: str
) -> str:
    """As json, jsonl, csv or yaml."""
    match output:
        case "jsonl":
            return "\n".join(json.dumps(one) for one in items)
        case "csv":
            return comma_separated(items)
    wrapped = listing(kind, items, at=at, missing=missing)
    return "\n".join(_yaml(wrapped)) if output == "yaml" else json.dumps(wrapped, indent=2)


def _yaml(value: Item, indent: str = "") -> Iterator[str]:
    """Block style of what JSON can say.  Strings are JSON's, which YAML 1.2 reads as they are."""
    for key, each in value.items():
        if isinstance(each, dict) and each:
            yield f"{indent}{key}:"
            yield from _yaml(each, indent + "  ")
        elif isinstance(each, list) and any(isinstance(one, dict) for one in each):
            yield f"{indent}{key}:"
            for one in each:
                first, *rest = _yaml(one, indent + "  ")
                yield f"{indent}- {first[len(indent) + 2 :]}"
                yield from rest
        else:
            yield f"{indent}{key}: {json.dumps(each)}"


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
