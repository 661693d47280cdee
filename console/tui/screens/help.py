# SPDX-License-Identifier: Apache-2.0
"""?: every key, from the one table."""

from __future__ import annotations

from itertools import zip_longest
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from console.tui.keys import KEYS, SHORT, Key
from console.tui.widgets.painted import Painted
from console.views.cells import Cell, TextLine, line


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
        lines = help_lines(self._keys)
        page = self.query_one("#help_lines", Painted)
        page.styles.height = len(lines)
        page.paint(lines)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#help", VerticalScroll).scroll_relative(y=lines, animate=False)


def help_lines(keys: tuple[Key, ...]) -> list[TextLine]:
    short = [key for key in keys if key.group in SHORT]
    lines = [
        (*_entry(one, 30), *_entry(other, 0)) for one, other in zip_longest(short[::2], short[1::2])
    ]
    lines += [_entry(key, 0) for key in keys if key not in short]
    return [
        *lines,
        line(" upper case opens a plan (A first); only its button sends", "dim"),
    ]


def _entry(key: Key | None, width: int) -> TextLine:
    if key is None:
        return ()
    return (Cell(f" {key.shown:<6}", "strong"), Cell(key.help.ljust(width)))
