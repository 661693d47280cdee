# SPDX-License-Identifier: Apache-2.0
"""?: every key, from the one table."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.screen import ModalScreen

from console.columns import Cell
from console.keys import KEYS
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
    lines: list[TextLine] = []
    for key in KEYS:
        lines.append((Cell(f" {key.shown:<6}", "strong"), Cell(f"{key.group:<5} {key.help}")))
    return [
        *lines,
        line(" upper case opens a plan; only its button sends.  ? marks old values", "dim"),
    ]
