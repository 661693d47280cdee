# SPDX-License-Identifier: Apache-2.0
"""The app as far as changes are concerned: plans, operations, arming, and when there are none."""

from __future__ import annotations

from textual import on

from console.exits import VerbError
from console.model import objects
from console.model.moment import moment
from console.model.underway import Underway
from console.planning.operating import going_on, taking_back
from console.planning.proposal import Opening
from console.planning.rollout import Start
from console.planning.spread import completed
from console.planning.staging import Staging, expires_of, of_terms
from console.planning.wish import Target, Wish, as_told, wish
from console.tui import command
from console.tui.places import PlacesApp
from console.tui.screens import asks
from console.tui.screens.arm import ArmDialog
from console.tui.screens.live import LiveScreen
from console.tui.screens.plan import PlanDialog
from console.tui.scrub import FIRST_STEP
from console.views.operations import operations, undoable
from console.views.targets import named_target


class PlansApp(PlacesApp):
    @on(asks.Planned)
    def _plan(self, message: asks.Planned) -> None:
        self._plan_for(message.verb, message.targets)

    def _plan_for(
        self,
        verb: objects.Verb,
        targets: list[Target],
        *,
        weight: int = 0,
        why: str = "",
        how: Staging | None = None,
    ) -> None:
        def make(weight: int) -> Wish:
            return wish(verb, targets, weight)

        usual = weight or targets[0].weight if verb == "weight" else None
        at_once = bool(weight) or verb != "weight"
        self._open_plan(Opening(make, usual, at_once, why, how=how))

    @on(asks.Wished)
    def _plan_wish(self, message: asks.Wished) -> None:
        self._open_plan(Opening(lambda _: message.wish))

    @on(asks.UndoWanted)
    def _undo(self, message: asks.UndoWanted) -> None:
        """A plan too: what the nodes said that takes the change back."""
        try:
            made = as_told(message.undo, message.title)
        except VerbError as error:
            self._say(str(error), "bad")
            return
        self._open_plan(Opening(lambda _: made))

    def _open_plan(self, opening: Opening) -> None:
        def anew(made: Wish) -> Wish:
            return completed(made, list(self.store.agents.values()), self._clock())

        dialog = PlanDialog(
            self.source,
            opening._replace(
                make=lambda weight: anew(opening.make(weight)),
                anew=anew,
                why=opening.why or self.arming.reason,
            ),
            armed=lambda: self.arming.armed(self._clock()),
            begin=self._begin,
        )
        if isinstance(self.screen, LiveScreen):
            self.screen.planned = self.screen.view
        self.push_screen(dialog, lambda _: self._redraw_soon())

    @on(PlanDialog.Sent)
    def _move_again(self) -> None:
        behind = self.screen_stack[-2]
        if isinstance(behind, LiveScreen):
            behind.planned = None

    def _begin(self, start: Start) -> None:
        self.steering.start(start, self._clock())

    @on(asks.Steer)
    def _steer(self, message: asks.Steer) -> None:
        each = message.each
        try:
            if message.order == "hold":
                self.steering.hold(each, f"held by {self.source.who}")
            elif message.order == "resume":
                self._go_on_with(each)
            else:
                self._take_back(each)
        except VerbError as error:
            self._say(str(error), "bad")

    def _go_on_with(self, each: Underway) -> None:
        made, how = going_on(each), of_terms(each.terms) or Staging("1")
        self._open_plan(
            Opening(
                lambda _: made,
                why=each.why,
                operation=each.operation,
                how=how,
                seats=tuple(seat.address for seat in each.seats),
                go_on=bool(each.done),
                expires=expires_of(each.terms),
            )
        )

    def _take_back(self, each: Underway) -> None:
        made = taking_back(each)
        if made is None:
            self.steering.over(each)
            self._say(f"op {each.operation[:8]} is over: no node had anything to take back", "ok")
            return
        self._open_plan(
            Opening(
                lambda _: made,
                why=each.why,
                operation=f"{each.operation}/revert",
                staged=False,
                finished=lambda answered: self.steering.over_if_taken_back(each, answered),
            )
        )

    def _redraw_soon(self) -> None:
        self.call_after_refresh(self.draw)

    @on(asks.ArmWanted)
    def _arm(self) -> None:
        if self.arming.armed(self._clock()):
            self.arming = self.arming.disarmed()
            self._say("disarmed: nothing can be changed")
            self.draw()
        elif self.arming.never:
            self._say(self.arming.refusal())
        else:
            self.push_screen(ArmDialog(self._arm_for), lambda _: self._redraw_soon())

    def _arm_for(self, minutes: int, reason: str) -> None:
        """Raises ArmingError."""
        self.arming = self.arming.for_minutes(minutes, reason, self._clock())

    def _operate(self, screen: LiveScreen, wanted: str, name: str) -> str:
        refusal = screen.refusal()
        if refusal:
            return refusal
        found = [o for o in operations(list(self.store.agents.values()), self._clock())
                 if o.key.startswith(name) and "/" not in o.key]  # fmt: skip
        if len(found) != 1:
            return f"{name}: {'no operation' if not found else 'more than one'} of that name (9)"
        one = found[0]
        if wanted == "undo":
            if undoable(one) != "yes":
                return f"{one.what} cannot be taken back: {undoable(one)}"
            self._undo(asks.UndoWanted(one.undo, f"undo {one.what}"))
        elif one.underway is None:
            return f"{name}: is over; undo takes it back"
        elif wanted in ("resume", "revert") and not one.underway.held:
            return f"{name}: is not held; op hold first"
        else:
            self._steer(asks.Steer(wanted, one.underway))  # type: ignore[arg-type]
        return ""

    def _do_plan(self, screen: LiveScreen, order: command.Plan) -> str:
        refusal = screen.refusal()
        if refusal:
            return refusal
        assert screen.view is not None
        found = [named_target(screen.view, target) for target in order.targets]
        targets = [target for target in found if isinstance(target, Target)]
        if len(targets) < len(found):
            return next(each for each in found if isinstance(each, str))
        self._plan_for(
            order.verb, targets, weight=order.weight or 0, why=order.reason, how=order.how
        )
        return ""

    # ---- the past

    @on(asks.Scrubbed)
    def _scrub(self, message: asks.Scrubbed) -> None:
        if message.seconds:
            self.to_moment(message.seconds)
        elif self.scrub.wanted:
            self.scrub.leave()
        else:
            self.to_moment(-FIRST_STEP)
        self.draw()

    def to_moment(self, seconds: float) -> None:
        """So many seconds on, or back."""
        if self._frozen is not None:
            self._say("the display is held: p goes on, then t")
        else:
            self.scrub.step(seconds)

    def _to(self, when: str) -> None:
        """Raises VerbError."""
        if when:
            self.scrub.to(moment(when, self._wall()))
        else:
            self.scrub.leave()
        self.draw()
