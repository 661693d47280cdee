# SPDX-License-Identifier: Apache-2.0
"""What the keys do on every screen, most of it to the table that is on show."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from textual.binding import Binding

from console.model.labels import Said
from console.model.objects import Verb
from console.model.selectors import Selector
from console.model.store import Reply
from console.planning import routes
from console.planning.wish import Target, Wish
from console.tui.files import copied
from console.tui.keys import KEYS
from console.tui.screens import asks
from console.tui.screens.bands import BandedScreen
from console.views import export
from console.views.rings import differing
from console.views.view import View


class LiveScreen(BandedScreen):
    BINDINGS: ClassVar[list[Any]] = [
        Binding(key.keys, key.action, key.label or key.help, id=key.id, show=False) for key in KEYS
    ]

    WITHOUT_TOTALS: ClassVar = "no totals of this table: 1, 3 and what they open have them"

    # ---- what a screen says about itself

    def target(self, view: View) -> Target | str:
        """What a plan would be about, or why there is none."""
        del view
        return "nothing here can be drained: open a node (1) or a VIP (3)"

    def target_of(self, view: View, row: Any) -> Target | str:  # noqa: ANN401  # its table's record
        """As `target`, of a row that is marked."""
        del row
        return self.target(view)

    def node(self) -> str:
        """Address of the node that is meant here, for `2`; empty: none."""
        return ""

    def take(self, reply: Reply) -> None:
        """An answer; most screens ask nothing."""
        del reply

    def open(self) -> asks.Opened | None:
        """Where Enter leads."""
        return None

    # ---- keys

    def action_cursor(self, rows: int) -> None:
        self.table.move(rows)

    def action_page(self, pages: int) -> None:
        self.table.page(pages)

    def action_edge(self, which: int) -> None:
        self.table.edge(which)

    def action_sort(self) -> None:
        self.table.sort_next()
        self._draw_crumb()

    def action_reverse(self) -> None:
        self.table.reverse()
        self._draw_crumb()

    def action_seek(self, by: int) -> None:
        self.say(self.table.seek(by), "dim")

    def action_acknowledge(self) -> None:
        self.say("alerts (8) can be acknowledged")

    def action_enter(self) -> None:
        opened = self.open()
        if opened is not None:
            self.post_message(opened)

    def action_up(self) -> None:
        if self.table.words:
            self._filter("")
        else:
            self.post_message(asks.Opened("up"))

    def action_place(self, name: str) -> None:
        wanted = {"node": self.node, "what-if": self.question}.get(name)
        self.post_message(asks.Opened(name, wanted() if wanted else ""))

    def question(self) -> str:
        """What `7` begins with: the drain of what is under the cursor."""
        target = self.target(self.view) if self.view else ""
        return f"drain {target}" if isinstance(target, Target) else ""

    def vip_name(self) -> str:
        """The VIP that is meant here; empty: none."""
        return ""

    def ring_name(self) -> str:
        """The VIP whose ring is meant; empty: none."""
        return self.vip_name() or (self._differing() if self.node() else "")

    def _differing(self) -> str:
        agent = self.view.store.agents.get(self.node()) if self.view else None
        return differing(agent, self.view.agents, self.view.now) if agent and self.view else ""

    def action_ring(self) -> None:
        if self.ring_name():
            self.post_message(asks.Opened("ring", self.ring_name()))
        else:
            self.say("a ring is a VIP's, and none differs here: open one (3)")

    def routed(self, view: View) -> Wish | str:
        """What B plans, or why it plans nothing: here, of the VIP that is meant, on all nodes."""
        if not self.vip_name():
            return "a route is a VIP's, or a node's: 3 has VIPs, 1 nodes"
        return routes.of_vip(self.vip_name(), view.agents, view.now)

    def action_route(self) -> None:
        wrong = self.refusal()
        made = wrong if wrong or self.view is None else self.routed(self.view)
        if not wrong and self.table.marks:
            made = "B is of one at a time: \\ clears the marks"
        if isinstance(made, str):
            self.say(made)
        else:
            self.say("")
            self.post_message(asks.Wished(made))

    def action_undo(self) -> None:
        self.say("operations (9) say what can be taken back")

    def action_resume(self) -> None:
        self.say("operations (9) say what can go on")

    def action_abort(self) -> None:
        self.say("operations (9) say what can be held or taken back")

    def action_walk(self, by: int) -> None:
        self.post_message(asks.Walked(by))

    def action_totals(self) -> None:
        if self.table.has_totals:
            self.post_message(asks.TotalsWanted())
        else:
            self.say(self.WITHOUT_TOTALS)

    def action_metric(self) -> None:
        self.say("only heat (5) has metrics")

    def action_pane(self) -> None:
        if self.TABLES:
            at = self.TABLES.index(self.chosen) + 1
            self.choose(self.TABLES[at % len(self.TABLES)])
        else:
            self.say("there is one table here")

    def action_follow(self) -> None:
        self.say("only the events (4) are followed")

    def action_columns(self) -> None:
        self.post_message(asks.ColumnsWanted())

    def action_export(self) -> None:
        self.post_message(asks.ExportWanted())

    def action_copy(self, kind: str) -> None:
        """The row under the cursor, to the clipboard of whoever sits at the terminal (OSC 52)."""
        row = self.table.current
        if row is None:
            self.say("no row under the cursor")
            return
        columns = self.table.columns
        as_json = json.dumps(export.item(row, columns)) if kind == "json" else ""
        what, text = ("JSON", as_json) if as_json else ("row", export.text(row, columns))
        keep = self.view is not None and not self.view.arming.served
        self.say(copied(what, text, self.app.copy_to_clipboard, keep=keep))

    def action_time(self, seconds: int) -> None:
        self.post_message(asks.Scrubbed(seconds))

    def action_record(self) -> None:
        self.post_message(asks.Recorded())

    def action_freeze(self) -> None:
        self.post_message(asks.Freeze())

    def action_repaint(self) -> None:
        self.post_message(asks.Repaint())

    def action_help(self) -> None:
        self.post_message(asks.Opened("help"))

    def action_leave(self) -> None:
        self.post_message(asks.Left())

    def action_mark(self) -> None:
        self.table.mark()
        self._draw_crumb()

    def action_mark_all(self) -> None:
        self.table.mark_all()
        self._draw_crumb()

    def action_unmark(self) -> None:
        self.table.unmark()
        self._draw_crumb()

    def action_arm(self) -> None:
        self.post_message(asks.ArmWanted())

    def refusal(self) -> str:
        """Why no plan can be opened now; empty: one can."""
        if self.view is None:
            return "nothing is known yet"
        if self.view.past is not None:
            return "this is the past: t is now, then plan"
        if self.view.held is not None:
            return "the display is held: p goes on, then plan"
        return "" if self.view.arming.armed(self.view.now) else self.view.arming.refusal()

    def action_plan(self, verb: Verb) -> None:
        wrong = self.refusal()
        targets = [] if wrong else self._targets()
        if wrong or isinstance(targets, str):
            self.say(wrong or str(targets))
        elif verb in ("weight", "maint") and any(target.kind != "real" for target in targets):
            self.say(f"{targets[0]}: {verb} is for reals; open a VIP (3)")
        else:
            self.say("")
            self.post_message(asks.Planned(verb, targets))

    def mark_labelled(self, wanted: Selector) -> str:
        """Marks the rows on show of which it holds, on all nodes; returns why there is none."""
        count = self.table.mark_where(lambda row: _all_say(getattr(row, "labels", ()), wanted))
        return "" if count else f"nothing on show is labelled {wanted}"

    def _targets(self) -> list[Target] | str:
        """Of the rows that are marked and on show, each once, else of what is under the cursor."""
        assert self.view is not None
        marked = self.table.marked
        if not marked and self.table.marks:
            return f"{len(self.table.marks)} marked, all hidden by the filter; \\ clears them"
        view = self.view
        found = [self.target_of(view, row) for row in marked] if marked else [self.target(view)]
        wrong = [one for one in found if isinstance(one, str)]
        if wrong:
            return wrong[0]
        return list(dict.fromkeys(one for one in found if isinstance(one, Target)))


def _all_say(said: Said, wanted: Selector) -> bool:
    return bool(said) and all(wanted.matches(labels) for labels in said)
