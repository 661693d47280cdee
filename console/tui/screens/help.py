# SPDX-License-Identifier: Apache-2.0
"""?: every key, from the one table."""

from __future__ import annotations

from itertools import zip_longest
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from console.tui.keys import GO, KEYS, LOOK, MOVE, PLACE, PLAN, SHORT, TIME, Key
from console.tui.widgets.painted import Painted
from console.views.cells import Cell, TextLine, line

SHORT_HALF, HALF = 37, 64
WIDE = 2 * HALF
"""Columns of all groups side by side."""


class HelpScreen(ModalScreen[None]):
    BINDINGS: ClassVar = [
        ("escape,q,question_mark,enter", "dismiss", "close"),
        ("j,down", "scroll(1)", "down"),
        ("k,up", "scroll(-1)", "up"),
        ("pagedown,space", "scroll(10)", "page down"),
        ("pageup", "scroll(-10)", "page up"),
    ]

    def __init__(self, keys: tuple[Key, ...] = KEYS) -> None:
        """`keys`: as they are in force."""
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help", can_focus=False) as page:
            page.border_title = "Keys"
            page.border_subtitle = "j k scroll   Esc closes"
            yield Painted(id="help_lines")

    def on_mount(self) -> None:
        wide = self.app.size.width >= WIDE + 4
        self.set_class(wide, "wide")
        lines = side_by_side(self._keys) if wide else help_lines(self._keys)
        page = self.query_one("#help_lines", Painted)
        page.styles.height = len(lines)
        page.paint(lines)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#help", VerticalScroll).scroll_relative(y=lines, animate=False)


def help_lines(keys: tuple[Key, ...]) -> list[TextLine]:
    """Group after group; those of short texts in two columns."""
    lines: list[TextLine] = []
    for group in (GO, PLACE, MOVE, LOOK, TIME, PLAN):
        entries = _entries(keys, group)
        if group in SHORT:
            entries = _beside(entries[::2], entries[1::2], SHORT_HALF)
        lines += [line(f" {group}", "dim"), *entries]
    return lines


def side_by_side(keys: tuple[Key, ...]) -> list[TextLine]:
    """All of it at once, for a wide screen."""
    left, right = (
        [one for group in groups for one in [line(f" {group}", "dim"), *_entries(keys, group), ()]]
        for groups in ((GO, PLACE, MOVE), (LOOK, TIME, PLAN))
    )
    return _beside(left, right[:-1], HALF)


def _entries(keys: tuple[Key, ...], group: str) -> list[TextLine]:
    return [
        (Cell(f" {key.shown:<6}", "strong"), Cell(key.help)) for key in keys if key.group == group
    ]


def _beside(left: list[TextLine], right: list[TextLine], width: int) -> list[TextLine]:
    """`width`: columns of the left ones."""
    return [
        (*one, Cell(" " * (width - sum(len(cell.text) for cell in one))), *other)
        for one, other in zip_longest(left, right, fillvalue=())
    ]
