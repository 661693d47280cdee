# SPDX-License-Identifier: Apache-2.0
"""D U W Z: what would happen, said by the agents; then, by the button only, the command.

The wish was made when the key was pressed and does not change any more.  Each node is asked for a
dry run first; the command expects the revision at which that node planned.  Keys that were pressed
before the dialog was there are not for it: for a moment it takes none but Esc.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from console.model.objects import ObjectError
from console.model.store import Reply
from console.planning import plan
from console.planning.asking import Asking, Sender, Terms
from console.planning.plan import Answered
from console.planning.proposal import Proposal
from console.planning.rollout import Start
from console.planning.staging import Staging
from console.planning.wish import Order
from console.tui.screens.bands import LARGE
from console.tui.widgets.fields import DIALOG_KEYS
from console.tui.widgets.painted import Painted
from console.tui.widgets.plan_form import PLANNED, WORDS, PlanForm
from console.views.cells import line
from console.views.plan_lines import cli_line, plan_lines, result_lines, verdict_lines

VALID = 60.0
"""Seconds after which a plan is too old to be sent: much may have changed that no revision says."""


class PlanDialog(ModalScreen[None]):
    AUTO_FOCUS = "#cancel"
    BINDINGS: ClassVar = DIALOG_KEYS
    DEAF: ClassVar = 0.3
    """Seconds for which it takes no key but Esc: repeats and pastes were meant for elsewhere."""

    def __init__(
        self,
        client: Sender,
        proposal: Proposal,
        *,
        armed: Callable[[], bool],
        begin: Callable[[Start], None],
    ) -> None:
        """`begin`: starts it node after node; raises ObjectError."""
        super().__init__()
        self.wish = proposal.make(proposal.weight or 0)
        self._proposal = proposal
        self._form = PlanForm(proposal, self.wish)
        self._armed = armed
        self._begin = begin
        self._asking = Asking(client)
        self._terms = Terms(expires=proposal.expires)
        self._planned: list[Answered] = []
        self._ready = False
        self._as_planned: tuple[str, ...] = ()
        self._round = 0
        self._sent = False
        self._begun = False
        """It comes to its nodes one after the other, without this dialog."""
        self._deaf = True

    def compose(self) -> ComposeResult:
        yield self._form

    def on_mount(self) -> None:
        self.set_class(self.app.size.width >= LARGE, "large")
        self.set_timer(self.DEAF, self._listen)
        # There is nothing to plan until the operator has said which weight.
        if self._proposal.at_once:
            self._plan()
        else:
            self._form.show([line(" say the weight (1 to 1000), then Plan", "dim")])
            self._show_cli()

    def _listen(self) -> None:
        self._deaf = False
        text = " Tab field   Enter on a button   Esc cancel   PgUp PgDn the plan"
        self.query_one("#keys", Painted).paint([line(text, "dim")])

    async def on_event(self, event: events.Event) -> None:
        deaf = self._deaf and isinstance(event, events.Key | events.Paste)
        if deaf and getattr(event, "key", "") != "escape":
            event.stop()
            return
        await super().on_event(event)

    def key_pageup(self) -> None:
        self.query_one("#scroll", VerticalScroll).scroll_page_up(animate=False)

    def key_pagedown(self) -> None:
        self.query_one("#scroll", VerticalScroll).scroll_page_down(animate=False)

    # ---- the dry run

    @on(Button.Pressed, "#replan")
    def _replan(self) -> None:
        try:
            self.wish = self._proposal.make(self._form.weight())
            self._terms = self._form.terms()
        except ObjectError as error:
            self._unready()
            self._form.show([line(f" {error}", "bad")])
            return
        self._plan()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        """The button always does what the plan on show says, and what the fields say."""
        if event.input.id in (*PLANNED, "confirm"):
            self._show_go()
        elif event.input.id in WORDS:
            self._show_cli()

    def _plan(self) -> None:
        self._unready()
        self._as_planned = self._form.planned
        self._round += 1
        self._form.show([line(f" asking {', '.join(o.node for o in self.wish.orders)} …", "dim")])
        self._show_cli()
        self._asking.dry_run(
            self.wish.orders,
            why=self._form.why,
            operation=self._proposal.operation,
            terms=self._terms,
        )
        self.set_timer(VALID, lambda planned=self._round: self._expire(planned))

    def _expire(self, planned: int) -> None:
        if not self._sent and planned == self._round:
            self._unready()
            self._form.show([line(" this plan is a minute old: Esc, then plan again", "warn")])

    def take(self, reply: Reply) -> None:
        if self._begun:
            return  # the answers are the operation's, not ours
        all_answered = self._asking.take(reply)
        answered = self._asking.answered()
        if self._sent and answered:
            self._show_result(answered)
        if self._sent and all_answered:
            self._proposal.finished(answered)
        if self._sent or not all_answered:
            return
        self._planned = answered
        self._ready = bool(plan.to_do(answered)) and not plan.refused(answered)
        self._form.show(
            [
                *plan_lines(answered, self._width(), self.wish.left_out),
                *verdict_lines(answered, ready=self._ready),
            ]
        )
        self._form.ask_for(self.wanted if self._ready else "")
        self._show_go()

    # ---- the command

    @on(Button.Pressed, "#go")
    def _go(self) -> None:
        if self._sent:
            return
        if not self._armed():
            self._unready()
            self._form.show([line(" no longer armed, nothing was sent: Esc, A, then again", "bad")])
            return
        try:
            how = self._form.staging()
            if how is not None:
                self._start(how)
        except ObjectError as error:
            self._form.show([*self._form.lines, line(f" {error}", "bad")])
            return
        self._sent = True
        self._form.close()
        if how is not None:
            self._begun = True
            text = " begun: 9 shows it, node by node; it goes on when this is closed"
            self._form.show([line(text, "ok")])
            return
        self._form.show([line(" sent, waiting for the nodes …", "dim")])
        self._asking.change(
            self._todo,
            plan.revisions(self._planned),
            why=self._form.why,
            operation=self._proposal.operation or uuid.uuid4().hex[:12],
            terms=self._terms,
        )

    @property
    def _todo(self) -> list[Order]:
        todo = {answered.address for answered in plan.to_do(self._planned)}
        return [order for order in self.wish.orders if order.address in todo]

    def _start(self, how: Staging) -> None:
        """Raises ObjectError."""
        self._begin(
            Start(
                self._proposal.operation or uuid.uuid4().hex[:12],
                self.wish.lines,
                tuple(self._todo),
                plan.revisions(self._planned),
                how,
                self._form.why,
                self._terms,
                self._proposal.go_on,
                tuple(set(self._proposal.seats) - {order.address for order in self._todo}),
            )
        )

    def _show_result(self, answered: list[Answered]) -> None:
        self._form.show(
            [
                *result_lines(answered, self._asking.asked),
                line(" the row changes when the nodes' telemetry says so", "dim"),
            ]
        )

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss()

    # ---- drawing

    def _show_cli(self) -> None:
        try:
            how, wrong = self._form.staging(), ""
        except ObjectError as error:
            how, wrong = None, f"   {error}"
        said = f" {how.short}" if how else wrong
        self._form.show_cli(cli_line(self.wish, said, self._terms, self._form.why))

    @property
    def wanted(self) -> str:
        """What has to be typed; empty: the button will do."""
        return self.wish.confirm if plan.wants_typing(self.wish, self._planned) else ""

    def _unready(self) -> None:
        self._ready = False
        self._show_go()

    def _show_go(self) -> None:
        said = self._form.confirmed(self.wanted) and self._form.planned == self._as_planned
        self._form.enable(go=self._ready and not self._sent and said)

    def _width(self) -> int:
        return (110 if self.app.size.width >= LARGE else min(76, self.app.size.width)) - 4
