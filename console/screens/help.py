# SPDX-License-Identifier: Apache-2.0
"""?: every key, from the one table."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.screen import ModalScreen

from console.columns import Cell
from console.keys import KEYS, MOVE, PLACE, Key
from console.view import TextLine, line
from console.widgets.painted import Painted


class HelpScreen(ModalScreen[None]):
    BINDINGS: ClassVar = [("escape,q,question_mark,enter", "dismiss", "close")]

    def compose(self) -> ComposeResult:
        yield Painted(id="help")

    def on_mount(self) -> None:
        lines = help_lines()
        page = self.query_one("#help", Painted)
        page.styles.height = len(lines) + 2
        page.paint(lines)


def help_lines() -> list[TextLine]:
    short = [key for key in KEYS if key.group in (PLACE, MOVE)]
    lines = [
        (*_entry(one, 30), *_entry(other, 0))
        for one, other in zip(short[::2], short[1::2], strict=True)
    ]
    lines += [_entry(key, 0) for key in KEYS if key not in short]
    return [
        *lines,
        line(" upper case opens a plan; only its button sends.  ? marks old values", "dim"),
    ]


def _entry(key: Key, width: int) -> TextLine:
    return (Cell(f" {key.shown:<6}", "strong"), Cell(key.help.ljust(width)))
