# SPDX-License-Identifier: Apache-2.0
"""7: what would happen if; every node's own plan, and nothing is done.

And where a flow goes, many by chance, or those of a capture: now, and after that change.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Label

from console.exits import VerbError
from console.model.objects import Verb
from console.model.store import Reply
from console.planning.arming import ONLY_LOOKS
from console.planning.asking import Asking, Sender
from console.planning.flow_asking import Question, question
from console.planning.plan import Answered, refused, to_do
from console.planning.spread import completed
from console.planning.wish import Target, Wish, wish
from console.tui import command
from console.tui.screens import asks
from console.tui.screens.live import LiveScreen
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views import flow_places, one_flow
from console.views.cells import Cell, line, rule
from console.views.flow_places import Summary
from console.views.one_flow import Found
from console.views.plan_lines import plan_lines, verdict_lines
from console.views.targets import named_target
from console.views.view import View
from console.views.what_if import PLANS, NodePlan, node_plans
from console.wire.captures import Beginning, of_capture
from shared.flows import Flow
from shared.messages import Supposed

ASK = "Enter, a change, Enter: the nodes say what it does"
CAPTURE = Beginning(packets=50_000, octets=16_000_000)
"""Of a capture, 0.4 s at most; `remora flow --pcap` reads all."""
FLOW_LINES, MORE_FLOW_LINES = 5, 12
"""Of the answer about flows, on small screens and on large ones."""


class WhatIfScreen(LiveScreen):
    TOPICS = frozenset({"real"})
    FOOTER = (
        *("enter", "up", "pane", "drain", "undrain", "weight", "fleet", "vips", "filter"),
        "sort",
    )

    def __init__(self, sender: Sender, text: str = "") -> None:
        """`text`: what to begin with, `drain real/10.3.1.2@web`, or of a flow
        `flow 198.51.100.7:40000 vip/web if drain ...`."""
        super().__init__()
        self._asking = Asking(sender)
        self._flow_asking = Asking(sender)
        self._change, self._flow = _parts(text)
        self._given = bool(text)
        """To be asked as soon as there is a view."""
        self._asked = ""
        self._planned: list[Answered] = []
        self._known: tuple[tuple[str, str], ...] = ()
        """As Wish.known."""
        self._question: Question | None = None
        self._told: list[Answered] = []
        """What the nodes say of the flow."""
        self._summary: Summary | None = None
        """Of that, where many flows were asked about: too much to count at every frame."""

    def crumb(self) -> str:
        return "What if: nothing is done"

    def body(self) -> ComposeResult:
        with Horizontal(classes="field", id="question"):
            yield Label(" if ")
            yield _field(self._change, "if", "drain real/10.3.1.2@web   Enter asks")
            yield Label(" flow ")
            yield _field(self._flow, "flow", "Tab: 198.51.100.7:40000 vip/web, pcap FILE")
        yield Painted(id="flow_rule", classes="section")
        yield Painted(id="places")
        yield Painted(id="answer_rule", classes="section")
        yield LineTable[NodePlan](PLANS, empty=ASK)
        yield Painted(id="plan_rule", classes="section")
        yield Painted(id="plan")

    def draw(self, view: View) -> None:
        if self._given:
            self._given = False
            self._ask(view, self._change, self._flow)
        elif not isinstance(self.focused, Input) and self._untouched:
            self.query_one("#if", Input).focus()
        self._draw_flow()
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

    @property
    def _untouched(self) -> bool:
        """Nothing was asked, and nothing is about to be."""
        typed = self.query_one("#if", Input).value
        return not (self._asked or self._question or typed)

    def _draw_flow(self) -> None:
        """Only where one was asked about."""
        asked = self._question
        self.set_class(asked is not None, "-flow")
        if asked is None:
            return
        self.pane("flow_rule", [rule(asked.said, self.size.width)])
        answers = [(each.node, each.answer) for each in self._told if each.answer]
        room = MORE_FLOW_LINES if self.has_class("large") else FLOW_LINES
        changed = bool(self._asked)
        if not self._told:
            lines = [line(" asking the nodes …", "dim")]
        elif wrong := [f"{node}: {a.error or 'too old to say'}" for node, a in answers
                       if not (a.flow or a.flows)]:  # fmt: skip
            lines = [line(f" {wrong[0]}", "bad")]
        elif asked.many:
            found = self._summary
            lines = flow_places.lines(found, supposed=changed, room=room) if found else []
        else:
            places = [Found(node, a.flow) for node, a in answers if a.flow]
            lines = one_flow.lines(places, changed=changed)[:room]
        silent = [each.node for each in self._told if each.answer is None]
        if silent:
            lines = [*lines[: room - 1], line(f" no answer from {', '.join(silent)}", "stale")]
        self.pane("places", lines)

    @on(Input.Submitted, "#if")
    @on(Input.Submitted, "#flow")
    def _submitted(self) -> None:
        change, flow = (self.query_one(name, Input).value for name in ("#if", "#flow"))
        if self.view is not None and self._ask(self.view, change.strip(), flow.strip()):
            self.table.focus()

    def _ask(self, view: View, change: str, flow: str) -> bool:
        """Asks the nodes, or says why that is no question."""
        if view.past is not None:
            self.say("this is the past: nobody can be asked what if; t is now")
            return False
        if not change and not flow:
            self.say("a change, such as drain real/10.3.1.2@web; a flow; or both")
            return False
        try:
            wanted = self._wish(view, change) if change else None
            asked = question(flow, view.agents, Random(), self._captured) if flow else None
        except VerbError as error:
            self.say(str(error), "bad")
            return False
        live = [agent for agent in view.agents if agent.fresh(view.now, "node")]
        if asked and not live:
            self.say("no node is live: nobody can say where a flow goes", "bad")
            return False
        self.say("")
        orders = wanted.orders if wanted else ()
        self._known = wanted.known if wanted else ()
        self._asked, self._planned, self._question, self._told = change, [], asked, []
        self._summary = None
        if orders:
            self._asking.dry_run(orders)
        if asked:
            actions = {o.address: o.action for o in orders if isinstance(o.action, Supposed)}
            self._flow_asking.question(asked.orders(live, actions))
        return True

    def _captured(self, file: str, most: int) -> tuple[str, Sequence[Flow]]:
        """Raises VerbError; in a browser the file would be the server's."""
        if self.view is not None and self.view.arming.served:
            raise VerbError(ONLY_LOOKS)
        return of_capture(file, most, CAPTURE)

    @staticmethod
    def _wish(view: View, text: str) -> Wish:
        """Raises VerbError for what is no change."""
        order = command.parse(text, view.agents)
        if not isinstance(order, command.Plan):
            raise VerbError(f"{text}: no change; drain, undrain or weight would be one")
        found = [named_target(view, target) for target in order.targets]
        targets = [target for target in found if isinstance(target, Target)]
        if len(targets) < len(found):
            raise VerbError(next(each for each in found if isinstance(each, str)))
        return completed(wish(order.verb, targets, order.weight or 0), view.agents, view.now)

    def take(self, reply: Reply) -> None:
        if self._asking.take(reply):
            self._planned = self._asking.answered()
        if self._flow_asking.take(reply):
            self._told = self._flow_asking.answered()
            self._summary = _summary(self._told)

    def action_enter(self) -> None:
        self.query_one("#if", Input).focus()

    def action_pane(self) -> None:
        """The other field."""
        there = self.focused is self.query_one("#if", Input)
        self.query_one("#flow" if there else "#if", Input).focus()

    def action_up(self) -> None:
        asked = self._asked or self._question
        if isinstance(self.focused, Input) and asked:
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


def _summary(answered: Sequence[Answered]) -> Summary | None:
    """None: no node says where many flows go."""
    told = [
        flow_places.told(each.node, [each.answer.flows])
        for each in answered
        if each.answer and each.answer.flows
    ]
    return flow_places.summary(told) if told else None


def _field(value: str, name: str, placeholder: str) -> Input:
    field = Input(value, id=name, placeholder=placeholder)
    field.cursor_blink = False
    return field


def _parts(text: str) -> tuple[str, str]:
    """(change, flow) of `flow A:P VIP if CHANGE`, or of a change alone."""
    first, _, rest = text.partition(" ")
    if first != "flow":
        return text, ""
    flow, _, change = rest.partition(" if ")
    return change.strip(), flow.strip()
