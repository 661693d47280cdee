# SPDX-License-Identifier: Apache-2.0
"""A: for how many minutes plans may be opened, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from console.planning import arming
from console.planning.arming import USUAL_MINUTES, ArmingError
from console.tui.widgets.fields import DIALOG_KEYS
from console.tui.widgets.painted import Painted
from console.views.cells import line


class ArmDialog(ModalScreen[None]):
    AUTO_FOCUS = "#why"
    BINDINGS: ClassVar = DIALOG_KEYS

    def __init__(self, arm: Callable[[int, str], None]) -> None:
        """`arm` takes minutes and reason; raises ArmingError."""
        super().__init__()
        self._arm = arm

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = "Arm: upper-case keys open plans"
            yield Painted(id="arm_about")
            with Horizontal(classes="field"):
                yield Label("for")
                yield Input(f"{USUAL_MINUTES}m", id="minutes", max_length=5)
            with Horizontal(classes="field"):
                yield Label("reason")
                yield Input(id="why", placeholder="becomes the reason of the plans")
            with Horizontal(id="buttons"):
                yield Button(Content("[ Cancel ]"), id="cancel", compact=True)
                yield Button(Content("[ Arm ]"), id="go", variant="warning", compact=True)

    def on_mount(self) -> None:
        for field in self.query(Input):
            field.cursor_blink = False
        self._say("a plan still sends nothing by itself: only its button does", "dim")

    def _say(self, text: str, tone: str) -> None:
        self.query_one("#arm_about", Painted).paint([line(f" {text}", tone)])

    @on(Input.Submitted)
    @on(Button.Pressed, "#go")
    def _go(self) -> None:
        try:
            span = arming.minutes(self.query_one("#minutes", Input).value)
            self._arm(span, self.query_one("#why", Input).value)
        except ArmingError as error:
            self._say(str(error), "bad")
            return
        self.dismiss()

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss()
