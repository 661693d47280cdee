# SPDX-License-Identifier: Apache-2.0
"""Text with a meaning: what a terminal colours, a pipe just gets the words.  Pure."""

from __future__ import annotations

from typing import NamedTuple


class Cell(NamedTuple):
    text: str
    tone: str = ""
    """ok | warn | bad | stale | dim | hot, or empty: plain."""


TextLine = tuple[Cell, ...]


def line(text: str, tone_: str = "") -> TextLine:
    return (Cell(text, tone_),)


def cut(cells: TextLine, width: int) -> TextLine:
    """As much as there is room for; what is cut ends in `…`, so that nobody takes it for all."""
    if len("".join(cell.text for cell in cells).rstrip()) <= width:
        return cells
    left, kept = max(0, width - 1), []
    for cell in cells:
        kept.append(cell._replace(text=cell.text[:left]))
        left -= len(kept[-1].text)
    return (*kept, Cell("…"))


def rule(title: str, width: int) -> TextLine:
    return line((f"─ {title} " if title else "").ljust(width, "─"), "rule")
