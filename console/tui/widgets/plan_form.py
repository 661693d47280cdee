# SPDX-License-Identifier: Apache-2.0
"""What a plan looks like: its pane, its fields and buttons; and what was typed into them.

It sends nothing and knows of no answer: plan.py does.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Label

from console.format import shown
from console.planning.asking import Terms
from console.planning.proposal import Proposal
from console.planning.staging import Staging, staging
from console.planning.wish import Wish, seconds_of, weight_of
from console.tui.widgets.painted import Painted
from console.views.cells import TextLine, line

PLANNED = ("weight", "for", "allow")
"""Fields that a plan is made of."""
WORDS = ("why", "canary", "soak", "batch", "stop")
"""Those that go with the command, whatever the plan."""
STAGING = WORDS[1:]


class PlanForm(Vertical):
    def __init__(self, proposal: Proposal, wish: Wish) -> None:
        super().__init__(id="box")
        self.border_title = Content(f"Plan: {shown(wish.title)}")  # no markup
        self._proposal = proposal
        self._verb = wish.verb
        self._in_turn = proposal.staged and (proposal.go_on or len(wish.orders) > 1)
        """Its nodes may have their turn one after the other."""
        self._usual = (proposal.how or Staging("")).words
        """What stands in the fields of STAGING at first."""
        self.lines: list[TextLine] = []
        """On show."""

    def compose(self) -> ComposeResult:
        usual = self._proposal
        with Horizontal(classes=_shown_if(usual.weight is not None)):
            yield Label("weight")
            yield Input(str(usual.weight or ""), id="weight", type="integer", max_length=4)
        with VerticalScroll(id="scroll", can_focus=False):
            yield Painted(id="plan")
        with Horizontal(classes="field"):
            yield Label("reason")
            yield Input(usual.why, id="why", placeholder="for the nodes' journals")
        with Horizontal(classes="field", id="terms"):
            yield Label("for")
            span = f"{usual.expires:g}s" if usual.expires else ""
            yield Input(span, id="for", placeholder="until undone; 30m")
            yield Label("allow")
            yield Input(id="allow", placeholder="guards by name")
            yield Button(Content("[ Plan ]"), id="replan", compact=True)
        yield from self._staging_fields()
        with Horizontal(classes="field hidden", id="confirming"):
            yield Label(id="wanted")
            yield Input(id="confirm")
        yield Painted(id="cli")
        with Horizontal(id="buttons"):
            yield Button(Content("[ Cancel ]"), id="cancel", compact=True)
            label = Content(f"[ {self._verb.capitalize()} ]")
            yield Button(label, id="go", variant="warning", compact=True, disabled=True)
        yield Painted(id="keys")

    def _staging_fields(self) -> ComposeResult:
        canary, soak, batch, stop = self._usual
        with Horizontal(classes=_shown_if(self._in_turn), id="staging"):
            yield Label("canary")
            yield Input(canary, id="canary", placeholder="all at once")
            yield Label("soak")
            yield Input(soak, id="soak")
            yield Label("then")
            yield Input(batch, id="batch", type="integer")
            yield Label("stop on")
            yield Input(stop, id="stop")

    def on_mount(self) -> None:
        for field in self.query(Input):
            field.cursor_blink = False

    # ---- what was typed

    def _text(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value

    @property
    def why(self) -> str:
        return self._text("why")

    @property
    def planned(self) -> tuple[str, ...]:
        """The texts that a plan is made of."""
        return tuple(map(self._text, PLANNED))

    def weight(self) -> int:
        """0: none is asked for.  Raises ObjectError."""
        return 0 if self._proposal.weight is None else weight_of(self._text("weight"))

    def terms(self) -> Terms:
        """Raises ObjectError."""
        guards = self._text("allow").replace(",", " ").split()
        return Terms(tuple(guards), seconds_of(self._text("for")))

    def staging(self) -> Staging | None:
        """None: all at once.  Raises ObjectError."""
        if not self._in_turn:
            return None
        canary, *rest = map(self._text, STAGING)
        if not canary.strip() and tuple(rest) == self._usual[1:]:
            return None
        return staging(canary, *rest)

    def confirmed(self, wanted: str) -> bool:
        return not wanted or self._text("confirm").strip() == wanted

    # ---- what is shown

    def show(self, lines: Sequence[TextLine]) -> None:
        """In the pane, instead of what is there."""
        self.lines = list(lines)
        pane = self.query_one("#plan", Painted)
        pane.styles.height = max(2, len(lines))
        pane.paint(lines)

    def show_cli(self, text: str) -> None:
        self.query_one("#cli", Painted).paint([line(text, "dim")])

    def ask_for(self, wanted: str) -> None:
        """To be typed before the button; empty: the button will do."""
        self.query_one("#confirming").set_class(not wanted, "hidden")
        self.query_one("#wanted", Label).update(Content(f"type {shown(wanted)} to go on "))

    def enable(self, *, go: bool) -> None:
        self.query_one("#go", Button).disabled = not go

    def close(self) -> None:
        """It was sent: there is nothing left to do but to look."""
        self.enable(go=False)
        self.query_one("#replan", Button).disabled = True
        cancel = self.query_one("#cancel", Button)
        cancel.label = Content("[ Close ]")
        cancel.focus()


def _shown_if(there: bool) -> str:  # read as a sentence
    return "field" if there else "field hidden"
