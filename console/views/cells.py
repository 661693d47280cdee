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


def rule(title: str, width: int) -> TextLine:
    return line((f"─ {title} " if title else "").ljust(width, "─"), "rule")
