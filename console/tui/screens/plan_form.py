# SPDX-License-Identifier: Apache-2.0
"""What is typed beside a plan: a weight, a reason, terms, and how its nodes have their turns."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Input, Label

from console.planning.asking import Terms
from console.planning.proposal import Opening
from console.planning.staging import Staging, staging
from console.planning.wish import seconds_of, weight_of

STAGING = ("canary", "soak", "batch", "stop")


class PlanForm(Vertical):
    class Planned(Message):
        """The Plan button: what is typed now is to be planned."""

    class Changed(Message):
        """Something was typed."""

    def __init__(self, opening: Opening, *, in_turn: bool) -> None:
        """`in_turn`: the nodes may have their turns one after the other."""
        super().__init__()
        self._weight = opening.weight
        self._why = opening.why
        self._span = f"{opening.expires:g}s" if opening.expires else ""
        self._usual = (opening.how or Staging("")).words
        self._in_turn = in_turn

    def compose(self) -> ComposeResult:
        with Horizontal(classes="field" if self._weight is not None else "field hidden"):
            yield Label("weight")
            yield Input(str(self._weight or ""), id="weight", type="integer", max_length=4)
        with Horizontal(classes="field"):
            yield Label("reason")
            yield Input(self._why, id="why", placeholder="for the nodes' journals")
        with Horizontal(classes="field", id="terms"):
            yield Label("for")
            yield Input(self._span, id="for", placeholder="until undone; 30m")
            yield Label("allow")
            yield Input(id="allow", placeholder="guards by name")
            yield Button(Content("[ Plan ]"), id="replan", compact=True)
        with Horizontal(classes="field" if self._in_turn else "field hidden", id="staging"):
            canary, soak, batch, stop = self._usual
            yield Label("canary")
            yield Input(canary, id="canary", placeholder="all at once")
            yield Label("soak")
            yield Input(soak, id="soak")
            yield Label("then")
            yield Input(batch, id="batch", type="integer")
            yield Label("stop on")
            yield Input(stop, id="stop")

    def _text(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value

    # ---- what is typed

    @property
    def plans(self) -> tuple[str, ...]:
        """All that a plan is made of: while it is as it was, the plan on show is of it."""
        return tuple(map(self._text, ("weight", "for", "allow")))

    @property
    def why(self) -> str:
        return self._text("why")

    def weight(self) -> int:
        """0: none is asked for.  Raises ObjectError."""
        return 0 if self._weight is None else weight_of(self._text("weight"))

    def terms(self) -> Terms:
        """Raises ObjectError."""
        guards = self._text("allow").replace(",", " ").split()
        return Terms(tuple(guards), seconds_of(self._text("for")))

    def staging(self) -> Staging | None:
        """None: all nodes at once.  Raises ObjectError."""
        if not self._in_turn:
            return None
        canary, *rest = map(self._text, STAGING)
        if not canary.strip() and tuple(rest) == self._usual[1:]:
            return None
        return staging(canary, *rest)

    # ---- that it was

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed())

    @on(Button.Pressed, "#replan")
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.post_message(self.Planned())
