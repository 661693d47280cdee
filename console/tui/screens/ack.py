# SPDX-License-Identifier: Apache-2.0
"""v: an alert has been seen, and why it may wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from console.format import shown
from console.tui.widgets.fields import DIALOG_KEYS
from console.tui.widgets.painted import Painted
from console.views.cells import line


class AckDialog(ModalScreen[None]):
    AUTO_FOCUS = "#why"
    BINDINGS: ClassVar = DIALOG_KEYS

    def __init__(self, title: str, acknowledge: Callable[[str], None]) -> None:
        """`acknowledge` takes the reason."""
        super().__init__()
        self._title = title
        self._acknowledge = acknowledge

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(f"Acknowledge: {shown(self._title)}")  # no markup
            yield Painted(id="about")
            with Horizontal(classes="field"):
                yield Label("reason")
                yield Input(id="why", placeholder="for whoever sits here next; may be empty")
            with Horizontal(id="buttons"):
                yield Button(Content("[ Cancel ]"), id="cancel", compact=True)
                yield Button(Content("[ Acknowledge ]"), id="go", compact=True)

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False
        text = " in this console, while it runs and the alert lasts; nothing is sent"
        self.query_one("#about", Painted).paint([line(text, "dim")])

    @on(Input.Submitted)
    @on(Button.Pressed, "#go")
    def _go(self) -> None:
        self._acknowledge(self.query_one(Input).value.strip())
        self.dismiss()

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss()
