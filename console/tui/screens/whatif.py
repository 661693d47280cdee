# SPDX-License-Identifier: Apache-2.0
"""7: what would happen if; every node's own plan, and nothing is done."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Label

from console.exits import VerbError
from console.model.objects import Verb
from console.model.store import Reply
from console.planning.asking import Asking, Sender
from console.planning.plan import Answered, refused, to_do
from console.planning.spread import completed
from console.planning.wish import Target, wish
from console.tui import command
from console.tui.screens import asks
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views.cells import Cell, line, rule
from console.views.plan_lines import plan_lines, verdict_lines
from console.views.targets import named_target
from console.views.view import View
from console.views.what_if import PLANS, NodePlan, node_plans

ASK = "Enter, a change, Enter: the nodes say what it does"


class WhatIfScreen(LiveScreen):
    TOPICS = frozenset({"real"})
    FOOTER = ("enter", "up", "fleet", "vips", "filter", "sort")

    def __init__(self, sender: Sender, text: str = "") -> None:
        """`text`: what to begin with, `drain real/10.3.1.2@web`."""
        super().__init__()
        self._asking = Asking(sender)
        self._text = text
        self._asked = ""
        self._planned: list[Answered] = []
        self._known: tuple[tuple[str, str], ...] = ()
        """As Wish.known."""

    def crumb(self) -> str:
        return "What if: nothing is done"

    def body(self) -> ComposeResult:
        with Horizontal(classes="field", id="question"):
            yield Label(" if ")
            field = Input(self._text, id="if", placeholder="drain real/10.3.1.2@web   Enter asks")
            field.cursor_blink = False
            yield field
        yield Painted(id="answer_rule", classes="section")
        yield LineTable[NodePlan](PLANS, empty=ASK)
        yield Painted(id="plan_rule", classes="section")
        yield Painted(id="plan")

    def draw(self, view: View) -> None:
        if self._text:
            self._ask(view, self._text)
            self._text = ""
        elif not self._asked and not self.query_one("#if", Input).value:
            self.query_one("#if", Input).focus()
        self.pane(
            "answer_rule", [rule(f"if: {self._asked}" if self._asked else "", self.size.width)]
        )
        empty = "the nodes are being asked" if self._asked else ASK
        self.table.show(node_plans(self._planned), empty)
        self.pane("plan_rule", [rule("all nodes together", self.size.width)])
        if self._planned:
            ready = bool(to_do(self._planned)) and not refused(self._planned)
            lines = plan_lines(self._planned, self.size.width - 2, known=self._known)
            lines = [*lines, *verdict_lines(self._planned, ready=ready)]
            self.pane("plan", [(Cell(" "), *one) for one in lines])
        else:
            self.pane("plan", [line(" asking the nodes …", "dim")] if self._asked else [])

    @on(Input.Submitted, "#if")
    def _given(self, event: Input.Submitted) -> None:
        if self.view is not None and self._ask(self.view, event.value):
            self.table.focus()

    def _ask(self, view: View, text: str) -> bool:
        """Asks the nodes, or says why that is no question."""
        if view.past is not None:
            self.say("this is the past: nobody can be asked what if; t is now")
            return False
        try:
            order = command.parse(text, view.agents)
            if not isinstance(order, command.Plan):
                self.say(f"{text}: no change; drain, undrain or weight would be one", "bad")
                return False
            found = [named_target(view, target) for target in order.targets]
            targets = [target for target in found if isinstance(target, Target)]
            if len(targets) < len(found):
                self.say(next(each for each in found if isinstance(each, str)), "bad")
                return False
            made = wish(order.verb, targets, order.weight or 0)
            made = completed(made, view.agents, view.now)
        except VerbError as error:
            self.say(str(error), "bad")
            return False
        self.say("")
        self._asked, self._planned, self._known = text, [], made.known
        self._asking.dry_run(made.orders)
        return True

    def take(self, reply: Reply) -> None:
        if self._asking.take(reply):
            self._planned = self._asking.answered()

    def action_enter(self) -> None:
        self.query_one("#if", Input).focus()

    def action_up(self) -> None:
        if self.focused is self.query_one("#if", Input) and self._asked:
            self.table.focus()
        else:
            super().action_up()

    def action_plan(self, verb: Verb) -> None:
        """What was asked, as a plan that has a button; by the key of what was asked only."""
        asked = next((word for word in self._asked.split() if word != "remora"), "")
        if not asked:
            self.say("ask first: Enter, then a change")
        elif asked != verb:
            self.say(f"what was asked is {asked}, not {verb}: its own key plans it")
        else:
            self.post_message(asks.Commanded(self._asked))
