# SPDX-License-Identifier: Apache-2.0
"""D U W: what would happen, said by the agents; then, by the button only, the command.

The target was taken when the key was pressed and does not change any more.  Each node is asked for
a dry run first; the command expects the revision at which that node planned.
"""

from __future__ import annotations

from typing import Protocol

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from console import objects, plan
from console.columns import Cell
from console.objects import Object
from console.plan import Answered
from console.screens.live import LARGE
from console.store import Reply
from console.view import Target, TextLine, line, result_lines
from console.widgets.painted import Painted
from shared.messages import Action, Answer

LABEL = 12
"""Columns of the plan's left side."""


class Sender(Protocol):
    """The client, as far as a plan needs it."""

    def send(
        self,
        address: str,
        action: Action,
        *,
        why: str = "",
        dry_run: bool = False,
        expect_revision: int | None = None,
    ) -> str: ...


class PlanDialog(ModalScreen[None]):
    AUTO_FOCUS = "#cancel"
    BINDINGS = [("escape", "dismiss", "close")]  # noqa: RUF012  # Textual's own declaration

    def __init__(
        self, client: Sender, verb: str, target: Target, *, why: str = "", at_once: bool = False
    ) -> None:
        """`at_once`: the weight was said already."""
        super().__init__()
        self._why = why
        self._at_once = at_once
        self.client = client
        self.verb = verb
        self.target = target
        self.weight = target.weight
        self._asked: dict[str, str] = {}
        """Command id -> address, of the commands whose answers are awaited."""
        self._answers: dict[str, Answer | None] = {}
        self._planned: list[Answered] = []
        self._sent = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = f"Plan: {self.verb} {self.target}"
            with Horizontal(classes="field" if self.verb == "weight" else "field hidden"):
                yield Label("weight")
                yield Input(str(self.weight), id="weight", type="integer", max_length=4)
                yield Button(Content("[ Plan ]"), id="replan", compact=True)
            yield Painted(id="plan")
            with Horizontal(classes="field"):
                yield Label("reason")
                yield Input(self._why, id="why", placeholder="for the nodes' journals")
            yield Painted(id="cli")
            with Horizontal(id="buttons"):
                yield Button(Content("[ Cancel ]"), id="cancel", compact=True)
                label = Content(f"[ {self.verb.capitalize()} ]")
                yield Button(label, id="go", variant="warning", compact=True, disabled=True)

    def on_mount(self) -> None:
        self.set_class(self.app.size.width >= LARGE, "large")
        for field in self.query(Input):
            field.cursor_blink = False
        # There is nothing to plan until the operator has said which weight.
        if self.verb == "weight" and not self._at_once:
            self._show([line(" say the weight (1 to 1000), then Plan", "dim")])
            self._show_cli()
        else:
            self._plan()

    # ---- the dry run

    @on(Button.Pressed, "#replan")
    def _replan(self) -> None:
        text = self.query_one("#weight", Input).value
        if not text.isdecimal() or not 1 <= int(text) <= 1000:
            self._show(
                [line(f" weight {text!r}: must be 1 to 1000; to send none, drain it", "bad")]
            )
            self._set_go(enabled=False)
            return
        self.weight = int(text)
        self._plan()

    @on(Input.Changed, "#weight")
    def _other_weight(self, event: Input.Changed) -> None:
        """The button always does what the plan on show says."""
        if event.value != str(self.weight):
            self._set_go(enabled=False)

    @on(Input.Changed, "#why")
    def _other_reason(self) -> None:
        self._show_cli()

    def _plan(self) -> None:
        self._set_go(enabled=False)
        nodes = ", ".join(name for _, name in self.target.agents)
        self._show([line(f" asking {nodes} …", "dim")])
        self._show_cli()
        self._ask({address: None for address, _ in self.target.agents}, dry_run=True)

    def _ask(self, revisions: dict[str, int | None], *, dry_run: bool) -> None:
        self._answers = {}
        why = self.query_one("#why", Input).value
        self._asked = {
            self.client.send(
                address, self._action(), why=why, dry_run=dry_run, expect_revision=revision
            ): address
            for address, revision in revisions.items()
        }

    def _action(self) -> Action:
        kind: objects.Kind = "node" if self.target.kind == "node" else "real"
        verb: objects.Verb = self.verb  # type: ignore[assignment]  # one of the keys' three
        return objects.action(verb, Object(kind, self.target.name, self.target.vip), self.weight)

    def take(self, reply: Reply) -> None:
        """An answer to any command; others' are passed over."""
        address = self._asked.pop(reply.id, None)
        if address is None:
            return
        self._answers[address] = reply.answer
        if not self._asked:
            self._all_answered()

    def _all_answered(self) -> None:
        answered = [
            Answered(address, name, self._answers[address])
            for address, name in self.target.agents
            if address in self._answers
        ]
        if self._sent:
            self._show_result(answered)
            return
        self._planned = answered
        ready = bool(plan.to_do(answered)) and not plan.refused(answered)
        self._show([*_plan_lines(answered, self._width()), *_verdict(answered, ready=ready)])
        self._set_go(enabled=ready)

    # ---- the command

    @on(Button.Pressed, "#go")
    def _go(self) -> None:
        if self._sent:
            return
        self._sent = True
        self._set_go(enabled=False)
        self.query_one("#replan", Button).disabled = True
        self.query_one("#cancel", Button).label = Content("[ Close ]")
        self.query_one("#cancel", Button).focus()
        self._show([line(" sent, waiting for the nodes …", "dim")])
        revisions = plan.revisions(self._planned)
        todo = {a.address: revisions[a.address] for a in plan.to_do(self._planned)}
        self._ask(dict(todo), dry_run=False)

    def _show_result(self, answered: list[Answered]) -> None:
        self._show(
            [
                *result_lines(answered),
                line(" the row changes when the nodes' telemetry says so", "dim"),
            ]
        )

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss()

    # ---- drawing

    def _show(self, lines: list[TextLine]) -> None:
        pane = self.query_one("#plan", Painted)
        pane.styles.height = max(2, len(lines))
        pane.paint(lines)

    def _show_cli(self) -> None:
        reason = self.query_one("#why", Input).value
        weight = f" {self.weight}" if self.verb == "weight" else ""
        why = f" --reason {_quoted(reason)}" if reason else ""
        text = f"as CLI   remora {self.verb} {self.target}{weight}{why}"
        self.query_one("#cli", Painted).paint([line(text, "dim")])

    def _set_go(self, *, enabled: bool) -> None:
        self.query_one("#go", Button).disabled = not enabled

    def _width(self) -> int:
        return (110 if self.app.size.width >= LARGE else min(76, self.app.size.width)) - 4


def _plan_lines(answered: list[Answered], width: int) -> list[TextLine]:
    lines: list[TextLine] = []
    for label, text in plan.lines(answered):
        tone = "bad" if text.startswith("✕") else ""
        for index, part in enumerate(_wrapped(text, width - LABEL)):
            lines.append((Cell(f"{label if index == 0 else '':<{LABEL}}", "dim"), Cell(part, tone)))
    return lines


def _verdict(answered: list[Answered], *, ready: bool) -> list[TextLine]:
    if ready:
        return []
    if plan.refused(answered):
        return [line("refused: nothing was sent", "bad")]
    if all(a.answer is None for a in answered):
        return [line("no node answered: nothing was sent", "bad")]
    return [line("nothing to do: it is so already", "ok")]


def _wrapped(text: str, width: int) -> list[str]:
    lines, current = [], ""
    for word in text.split():
        if current and len(current) + 1 + len(word) > width:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}".strip()
    return [*lines, current]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
