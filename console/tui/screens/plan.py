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
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from console.format import shown
from console.model.objects import ObjectError
from console.model.store import Reply
from console.planning import plan
from console.planning.asking import Asking, Sender, Terms
from console.planning.plan import Answered
from console.planning.rollout import Start
from console.planning.staging import Staging, staging
from console.planning.wish import Order, Wish, seconds_of, weight_of
from console.tui.screens.bands import LARGE
from console.tui.widgets.fields import DIALOG_KEYS
from console.tui.widgets.painted import Painted
from console.views.cells import TextLine, line
from console.views.plan_lines import plan_lines, result_lines, verdict_lines

Begin = Callable[[Start], None]
"""Begins a change that comes to its nodes one after the other.  Raises ObjectError."""
STAGING = ("canary", "soak", "batch", "stop")
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
        make: Callable[[int], Wish],
        *,
        armed: Callable[[], bool],
        weight: int | None = None,
        why: str = "",
        at_once: bool = True,
        operation: str = "",
        begin: Begin | None = None,
        how: Staging | None = None,
        seats: tuple[str, ...] = (),
        go_on: bool = False,
        expires: float = 0.0,
        finished: Callable[[list[Answered]], None] = lambda answered: None,
    ) -> None:
        """`weight`: the usual one, where one is asked for; `at_once`: it was said already.
        `operation`: that it is a part of.  `begin`: starts it node after node, as `how` is or as is
        typed; `seats`: addresses of all its nodes, if there are more; `go_on`: some had their
        turn; `expires`: seconds after which it goes back.  `finished`: is told what became of it at
        once."""
        super().__init__()
        self.wish = make(weight or 0)
        self._make = make
        self._armed = armed
        self._weight = weight
        self._why = why
        self._at_once = at_once
        self._operation = operation
        self._begin = begin
        self._how = how
        self._seats = seats
        self._go_on = go_on
        self._finished = finished
        self._asking = Asking(client)
        self._terms = Terms(expires=expires)
        self._planned: list[Answered] = []
        self._lines: list[TextLine] = []
        """On show."""
        self._ready = False
        self._as_planned: tuple[str, ...] = ()
        self._round = 0
        self._sent = False
        self._begun = False
        """It comes to its nodes one after the other, without this dialog."""
        self._deaf = True

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(f"Plan: {shown(self.wish.title)}")  # no markup
            with Horizontal(classes="field" if self._weight is not None else "field hidden"):
                yield Label("weight")
                yield Input(str(self._weight or ""), id="weight", type="integer", max_length=4)
            with VerticalScroll(id="scroll", can_focus=False):
                yield Painted(id="plan")
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
            with Horizontal(classes="field hidden", id="confirming"):
                yield Label(id="wanted")
                yield Input(id="confirm")
            yield Painted(id="cli")
            with Horizontal(id="buttons"):
                yield Button(Content("[ Cancel ]"), id="cancel", compact=True)
                label = Content(f"[ {self.wish.verb.capitalize()} ]")
                yield Button(label, id="go", variant="warning", compact=True, disabled=True)
            yield Painted(id="keys")

    @property
    def _in_turn(self) -> bool:
        """Its nodes may have their turn one after the other."""
        return self._begin is not None and (self._go_on or len(self.wish.orders) > 1)

    @property
    def _usual(self) -> tuple[str, str, str, str]:
        """What stands in the fields of STAGING at first."""
        return (self._how or Staging("")).words

    def _staging(self) -> Staging | None:
        """As typed; None: all at once.  Raises ObjectError."""
        if not self._in_turn:
            return None
        canary, *rest = (self.query_one(f"#{name}", Input).value for name in STAGING)
        if not canary.strip() and tuple(rest) == self._usual[1:]:
            return None
        return staging(canary, *rest)

    def on_mount(self) -> None:
        self.set_class(self.app.size.width >= LARGE, "large")
        for field in self.query(Input):
            field.cursor_blink = False
        self.set_timer(self.DEAF, self._listen)
        # There is nothing to plan until the operator has said which weight.
        if self._at_once:
            self._plan()
        else:
            self._show([line(" say the weight (1 to 1000), then Plan", "dim")])
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

    @property
    def _span(self) -> str:
        return f"{self._terms.expires:g}s" if self._terms.expires else ""

    # ---- the dry run

    @on(Button.Pressed, "#replan")
    def _replan(self) -> None:
        try:
            if self._weight is not None:
                self._weight = weight_of(self.query_one("#weight", Input).value)
            self.wish = self._make(self._weight or 0)
            seconds = seconds_of(self.query_one("#for", Input).value)
        except ObjectError as error:
            self._unready()
            self._show([line(f" {error}", "bad")])
            return
        guards = self.query_one("#allow", Input).value.replace(",", " ").split()
        self._terms = Terms(tuple(guards), seconds)
        self._plan()

    @on(Input.Changed, "#weight")
    @on(Input.Changed, "#for")
    @on(Input.Changed, "#allow")
    def _other_terms(self) -> None:
        """The button always does what the plan on show says, and what the fields say."""
        self._show_go()

    @property
    def _typed(self) -> tuple[str, ...]:
        """All that a plan is made of."""
        return tuple(self.query_one(f"#{name}", Input).value for name in ("weight", "for", "allow"))

    @on(Input.Changed, "#why")
    @on(Input.Changed, "#canary")
    @on(Input.Changed, "#soak")
    @on(Input.Changed, "#batch")
    @on(Input.Changed, "#stop")
    def _other_words(self) -> None:
        self._show_cli()

    @on(Input.Changed, "#confirm")
    def _confirmed(self) -> None:
        self._show_go()

    def _plan(self) -> None:
        self._unready()
        self._as_planned = self._typed
        self._round += 1
        self._show([line(f" asking {', '.join(o.node for o in self.wish.orders)} …", "dim")])
        self._show_cli()
        why = self.query_one("#why", Input).value
        self._asking.dry_run(
            self.wish.orders, why=why, operation=self._operation, terms=self._terms
        )
        self.set_timer(VALID, lambda planned=self._round: self._expire(planned))

    def _expire(self, planned: int) -> None:
        if not self._sent and planned == self._round:
            self._unready()
            self._show([line(" this plan is a minute old: Esc, then plan again", "warn")])

    def take(self, reply: Reply) -> None:
        if self._begun:
            return  # the answers are the operation's, not ours
        all_answered = self._asking.take(reply)
        answered = self._asking.answered()
        if self._sent and answered:
            self._show_result(answered)
        if self._sent and all_answered:
            self._finished(answered)
        if self._sent or not all_answered:
            return
        self._planned = answered
        self._ready = bool(plan.to_do(answered)) and not plan.refused(answered)
        self._show(
            [
                *plan_lines(answered, self._width(), self.wish.left_out),
                *verdict_lines(answered, ready=self._ready),
            ]
        )
        self._show_confirm()
        self._show_go()

    # ---- the command

    @on(Button.Pressed, "#go")
    def _go(self) -> None:
        if self._sent:
            return
        if not self._armed():
            self._unready()
            self._show([line(" no longer armed, nothing was sent: Esc, A, then again", "bad")])
            return
        try:
            how = self._staging()
            if how is not None:
                self._start(how)
        except ObjectError as error:
            self._show([*self._lines, line(f" {error}", "bad")])
            return
        self._sent = True
        self.query_one("#go", Button).disabled = True
        self.query_one("#replan", Button).disabled = True
        self.query_one("#cancel", Button).label = Content("[ Close ]")
        self.query_one("#cancel", Button).focus()
        if how is not None:
            self._begun = True
            text = " begun: 9 shows it, node by node; it goes on when this is closed"
            self._show([line(text, "ok")])
            return
        self._show([line(" sent, waiting for the nodes …", "dim")])
        self._asking.change(
            self._todo,
            plan.revisions(self._planned),
            why=self.query_one("#why", Input).value,
            operation=self._operation or uuid.uuid4().hex[:12],
            terms=self._terms,
        )

    @property
    def _todo(self) -> list[Order]:
        todo = {answered.address for answered in plan.to_do(self._planned)}
        return [order for order in self.wish.orders if order.address in todo]

    def _start(self, how: Staging) -> None:
        """Raises ObjectError."""
        assert self._begin is not None
        self._begin(
            Start(
                self._operation or uuid.uuid4().hex[:12],
                self.wish.lines,
                tuple(self._todo),
                plan.revisions(self._planned),
                how,
                self.query_one("#why", Input).value,
                self._terms,
                self._go_on,
                tuple(set(self._seats) - {order.address for order in self._todo}),
            )
        )

    def _show_result(self, answered: list[Answered]) -> None:
        self._show(
            [
                *result_lines(answered, self._asking.asked),
                line(" the row changes when the nodes' telemetry says so", "dim"),
            ]
        )

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss()

    # ---- drawing

    def _show(self, lines: list[TextLine]) -> None:
        self._lines = lines
        pane = self.query_one("#plan", Painted)
        pane.styles.height = max(2, len(lines))
        pane.paint(lines)

    def _show_cli(self) -> None:
        reason = self.query_one("#why", Input).value
        why = self._in_turn_text()
        why += "".join(f" --node {name}" for name in self.wish.only)
        why += "".join(f" --allow {guard}" for guard in self._terms.allow)
        why += f" --for {self._terms.expires:.0f}s" if self._terms.expires else ""
        why += f" --reason {_quoted(reason)}" if reason else ""
        first, *more = [f"as CLI   remora {text}{why}" for text in self.wish.lines]
        first += f"   and {len(more)} more" if more else ""
        self.query_one("#cli", Painted).paint([line(first, "dim")])

    def _in_turn_text(self) -> str:
        try:
            how = self._staging()
        except ObjectError as error:
            return f"   {error}"
        return f" {how.short}" if how else ""

    @property
    def wanted(self) -> str:
        """What has to be typed; empty: the button will do."""
        return self.wish.confirm if plan.wants_typing(self.wish, self._planned) else ""

    def _show_confirm(self) -> None:
        wanted = self.wanted if self._ready else ""
        self.query_one("#confirming").set_class(not wanted, "hidden")
        self.query_one("#wanted", Label).update(Content(f"type {shown(wanted)} to go on "))

    def _unready(self) -> None:
        self._ready = False
        self._show_go()

    def _show_go(self) -> None:
        typed = self.query_one("#confirm", Input).value.strip()
        said = not self.wanted or typed == self.wanted
        enabled = self._ready and not self._sent and said and self._typed == self._as_planned
        self.query_one("#go", Button).disabled = not enabled

    def _width(self) -> int:
        return (110 if self.app.size.width >= LARGE else min(76, self.app.size.width)) - 4


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
