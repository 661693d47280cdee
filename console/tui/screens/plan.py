# SPDX-License-Identifier: Apache-2.0
"""D U W Z: what would happen, said by the agents; then, by the button only, the command.

The wish was made when the key was pressed and does not change any more.  Each node is asked for a
dry run first; the command expects the revision at which that node planned.  Keys that were pressed
before the dialog was there are not for it: for a moment it takes none but Esc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from console.format import shown
from console.model.objects import ObjectError
from console.model.store import Reply
from console.planning.asking import Sender
from console.planning.proposal import Begin, Opening, Proposal
from console.tui.files import copied
from console.tui.screens.bands import LARGE
from console.tui.screens.plan_form import PlanForm
from console.tui.widgets.fields import DIALOG_KEYS
from console.tui.widgets.painted import Painted
from console.views.cells import TextLine, line
from console.views.plan_lines import as_cli, plan_lines, result_lines, verdict_lines

VALID = 60.0
"""Seconds after which a plan is too old to be sent: much may have changed that no revision says."""


class PlanDialog(ModalScreen[None]):
    AUTO_FOCUS = "#cancel"
    BINDINGS: ClassVar = DIALOG_KEYS
    DEAF: ClassVar = 0.3
    """Seconds for which it takes no key but Esc: repeats and pastes were meant for elsewhere."""

    class Sent(Message):
        """The command left: what is behind need no longer stand still."""

    def __init__(
        self, client: Sender, opening: Opening, *, armed: Callable[[], bool], begin: Begin
    ) -> None:
        """`begin`: starts it node after node."""
        super().__init__()
        self.proposal = Proposal(client, opening)
        self.form = PlanForm(opening, in_turn=self.proposal.stageable)
        self._opening = opening
        self._armed = armed
        self._begin = begin
        self._lines: list[TextLine] = []
        """On show."""
        self._as_planned: tuple[str, ...] = ()
        self._round = 0
        self._deaf = True

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(f"Plan: {shown(self.proposal.wish.title)}")  # no markup
            with VerticalScroll(id="scroll", can_focus=False):
                yield Painted(id="plan")
            yield self.form
            with Horizontal(classes="field hidden", id="confirming"):
                yield Label(id="wanted")
                yield Input(id="confirm", select_on_focus=False)
            yield Painted(id="cli")
            with Horizontal(id="buttons"):
                yield Button(Content("[ Cancel ]"), id="cancel", compact=True)
                label = Content(f"[ {self.proposal.wish.verb.capitalize()} ]")
                yield Button(label, id="go", variant="warning", compact=True, disabled=True)
                yield Button(Content("[ Copy as CLI ]"), id="copy", compact=True)
            yield Painted(id="keys")

    def on_mount(self) -> None:
        self.set_class(self.app.size.width >= LARGE, "large")
        for field in self.query(Input):
            field.cursor_blink = False
        self.set_timer(self.DEAF, self._listen)
        # There is nothing to plan until the operator has said which weight.
        if self._opening.at_once:
            self._plan()
        else:
            self._show([line(" say the weight (1 to 1000), then Plan", "dim")])
            self._show_cli()

    # ---- keys

    def _listen(self) -> None:
        self._deaf = False
        self._say_keys("Tab field   Enter on a button   Esc cancel   PgUp PgDn the plan")

    def _say_keys(self, text: str) -> None:
        self.query_one("#keys", Painted).paint([line(f" {text}", "dim")])

    async def on_event(self, event: events.Event) -> None:
        deaf = self._deaf and isinstance(event, events.Key | events.Paste)
        if deaf and getattr(event, "key", "") != "escape":
            event.stop()
            return
        await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        """What has to be typed may be typed on a button too: there is but one place for it."""
        field = self.query_one("#confirm", Input)
        letter = event.character if event.is_printable and event.character != " " else None
        if letter and isinstance(self.focused, Button) and self.proposal.wanted:
            field.focus()
            field.insert_text_at_cursor(letter)

    def key_pageup(self) -> None:
        self.query_one("#scroll", VerticalScroll).scroll_page_up(animate=False)

    def key_pagedown(self) -> None:
        self.query_one("#scroll", VerticalScroll).scroll_page_down(animate=False)

    # ---- the dry run

    @on(PlanForm.Planned)
    def _plan(self) -> None:
        try:
            wish, terms = self._opening.make(self.form.weight()), self.form.terms()
        except ObjectError as error:
            self._unready(f" {error}", "bad")
            return
        self._as_planned = self.form.plans
        self.proposal.ask(wish, terms, self.form.why)
        self._unready(f" asking {', '.join(o.node for o in wish.orders)} …", "dim")
        self._round += 1
        self.set_timer(VALID, lambda planned=self._round: self._expire(planned))

    @on(PlanForm.Changed)
    def _typed(self) -> None:
        """The button always does what the plan on show says, and what the fields say."""
        self._show_cli()
        self._show_go()

    @on(Input.Changed, "#confirm")
    def _confirmed(self) -> None:
        self._show_go()

    def _expire(self, planned: int) -> None:
        if not self.proposal.sent and planned == self._round:
            self._unready(" this plan is a minute old: press Plan for one of now", "warn")

    def _unready(self, why: str, tone: str) -> None:
        self.proposal.ready = False
        self._show([line(why, tone)])
        self._show_cli()
        self._show_go()

    def take(self, reply: Reply) -> None:
        proposal = self.proposal
        if not proposal.take(reply):
            return
        if proposal.sent:
            self._show(
                [
                    *result_lines(proposal.answered, proposal.asked),
                    line(" the row changes when the nodes' telemetry says so", "dim"),
                ]
            )
            return
        self._show(
            [
                *plan_lines(
                    proposal.answered,
                    self._width(),
                    proposal.wish.left_out,
                    proposal.wish.known,
                ),
                *verdict_lines(proposal.answered, ready=proposal.ready),
            ]
        )
        self._show_confirm()
        self._show_go()

    # ---- the command

    @on(Button.Pressed, "#go")
    def _go(self) -> None:
        if self.proposal.sent:
            return
        if not self._armed():
            self._unready(" no longer armed, nothing was sent: Esc, A, then again", "bad")
            return
        try:
            how = self.form.staging()
            if how is not None:
                self.proposal.start(self._begin, how, self.form.why)
            else:
                self.proposal.send(self.form.why)
        except ObjectError as error:
            self._show([*self._lines, line(f" {error}", "bad")])
            return
        self._is_sent()

    def _is_sent(self) -> None:
        """Nothing is left to type, and what is behind moves again."""
        for over in ("PlanForm", "#confirming", "#go"):
            self.query_one(over).display = False
        cancel = self.query_one("#cancel", Button)
        cancel.label = Content("[ Close ]")
        cancel.focus()
        self._say_keys("Enter, Esc close")
        self.post_message(self.Sent())
        if self.proposal.in_turn:
            text = " begun: 9 shows it, node by node; it goes on when this is closed"
            self._show([line(text, "ok")])
        else:
            self._show([line(" sent, waiting for the nodes …", "dim")])

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss()

    @on(Button.Pressed, "#copy")
    def _copy(self) -> None:
        """To the clipboard of whoever sits at the terminal (OSC 52)."""
        try:
            text = "\n".join(self._cli())
        except ObjectError as error:
            self._say_keys(str(error))
        else:
            self._say_keys(copied("commands", text, self.app.copy_to_clipboard))

    # ---- drawing

    def _show(self, lines: list[TextLine]) -> None:
        self._lines = lines
        pane = self.query_one("#plan", Painted)
        pane.styles.height = max(2, len(lines))
        pane.paint(lines)

    def _cli(self) -> list[str]:
        """Raises ObjectError."""
        how = self.form.staging()
        proposal = self.proposal
        return as_cli(proposal.wish, proposal.terms, self.form.why, how.short if how else "")

    def _show_cli(self) -> None:
        try:
            first, *more = self._cli()
        except ObjectError as error:
            first, more = str(error), []
        first += f"   and {len(more)} more" if more else ""
        self.query_one("#cli", Painted).paint([line(f"as CLI   {first}", "dim")])

    def _show_confirm(self) -> None:
        wanted = self.proposal.wanted
        self.query_one("#confirming").set_class(not wanted, "hidden")
        self.query_one("#wanted", Label).update(Content(f"type {shown(wanted)} to go on "))

    def _show_go(self) -> None:
        proposal, typed = self.proposal, self.query_one("#confirm", Input).value.strip()
        said = typed == proposal.wanted or not proposal.wanted
        enabled = proposal.ready and not proposal.sent and self.form.plans == self._as_planned
        self.query_one("#go", Button).disabled = not (enabled and said)

    def _width(self) -> int:
        return (110 if self.app.size.width >= LARGE else min(76, self.app.size.width)) - 4
