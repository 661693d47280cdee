# SPDX-License-Identifier: Apache-2.0
"""What all screens share: five bands (header, crumb, body, message, keys) and the keys.

A screen computes nothing: `frame` gets a view, the pure modules make rows and lines of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from console.model.objects import Verb
from console.model.store import Reply
from console.model.underway import Underway
from console.planning.wish import Target
from console.tui.appearance import Appearance
from console.tui.command import History, completions
from console.tui.keys import KEYS, footer
from console.tui.trail import START
from console.tui.widgets.command_line import CommandLine
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views import export
from console.views.cells import Cell, line
from console.views.view import View, header, tiny

LARGE = 140
"""Columns from which a screen shows two panes side by side."""
SMALLEST = (60, 16)
"""Columns and lines under which there is one line about the cluster only."""


class LiveScreen(Screen[None]):
    BINDINGS: ClassVar[list[Any]] = [
        Binding(key.keys, key.action, key.label or key.help, id=key.id, show=False) for key in KEYS
    ]
    AUTO_FOCUS = "LineTable"
    TOPICS: ClassVar[frozenset[str]] = frozenset()
    """What it shows beyond what the header needs."""
    TABLES: ClassVar[tuple[str, ...]] = ()
    """Ids of its tables, where there are several: Tab changes the one that the keys move."""
    FOOTER: ClassVar[tuple[str, ...]] = ("enter", "up", "fleet", "vips", "drops", "filter", "sort")

    class Planned(Message):
        """The operator wants a plan for what was marked or under the cursor at that moment."""

        def __init__(self, verb: Verb, targets: list[Target]) -> None:
            super().__init__()
            self.verb = verb
            self.targets = targets

    class Opened(Message):
        """Another place: one of the keys' places, `up`, or a `node` (by address) or `vip`."""

        def __init__(self, place: str, name: str = "", row: str = "") -> None:
            super().__init__()
            self.place = place
            self.name = name
            self.row = row
            """Key of the row that the cursor is wanted on; empty: the first."""

    class Walked(Message):
        """-1 back, +1 forward, 0 the last two in turn."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class Left(Message):
        """One level up; from the top, out."""

    class UndoWanted(Message):
        """What each node said that takes a change back: (address, node, lines)."""

        def __init__(self, undo: list[tuple[str, str, tuple[str, ...]]], title: str) -> None:
            super().__init__()
            self.undo = undo
            self.title = title

    class Steer(Message):
        """What is wanted with an operation that comes to its nodes one after the other."""

        def __init__(self, order: Literal["hold", "resume", "revert"], each: Underway) -> None:
            super().__init__()
            self.order = order
            self.each = each

    class ArmWanted(Message):
        """Plans are wanted for a while, or no more."""

    class CommandWanted(Message):
        """The operator wants to type one."""

    class Commanded(Message):
        """A line was given to the command bar; an empty one: the bar was closed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class ColumnsWanted(Message):
        """Other columns for the table."""

    class ExportWanted(Message):
        """The table into a file."""

    class Freeze(Message):
        """Hold the display, or go on."""

    class Repaint(Message):
        """The terminal may show something else: send everything again."""

    def __init__(self) -> None:
        super().__init__()
        self.chosen = self.TABLES[0] if self.TABLES else ""
        self.place = START[0]
        """Set by whoever puts it on show."""
        self.view: View | None = None
        self.planned: View | None = None
        """What was on show when a plan was opened: it stays while the dialog is there."""

    # ---- what a screen says about itself

    def crumb(self) -> str:
        raise NotImplementedError

    def body(self) -> ComposeResult:
        raise NotImplementedError

    def draw(self, view: View) -> None:
        """Fills the body."""
        raise NotImplementedError

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

    def open(self) -> Opened | None:
        """Where Enter leads."""
        return None

    # ---- bands

    def compose(self) -> ComposeResult:
        yield Painted(id="tiny")
        yield Painted(id="header")
        yield Painted(id="crumb")
        yield from self.body()
        yield Painted(id="message")
        yield CommandLine(id="command")
        yield Input(id="filter", placeholder="words; !word excludes; Enter keeps, Esc clears")
        yield Painted(id="keys")

    @property
    def composed(self) -> bool:
        """Its bands are there: not so before it is shown first, nor while the app leaves."""
        return bool(self.query("#header")) and self.is_running

    @property
    def table(self) -> LineTable[Any]:
        """The one that the keys move."""
        return self.query_one(f"#{self.chosen}" if self.chosen else "LineTable", LineTable)

    def choose(self, table: str) -> None:
        """Another table for the keys; a filter belongs to the one that it was typed for."""
        self.chosen = table
        self.query_one("#filter", Input).value = self.table.words
        self._redraw()

    def frame(self, view: View) -> None:
        self.view = view
        self.query_one("#header", Painted).paint([header(view, self.size.width)])
        for name in self.TABLES:
            self.query_one(f"#{name}", LineTable).active = name == self.chosen
        self.query_one("#tiny", Painted).paint(tiny(view))
        self.draw(view)
        self._draw_crumb()

    def hold(self, view: View) -> None:
        """The display is held: only the header goes on, which says so."""
        self.view = view
        self.query_one("#header", Painted).paint([header(view, self.size.width)])

    def say(self, text: str, tone: str = "warn") -> None:
        self.query_one("#message", Painted).paint([line(f" {text}", tone)])

    def pane(self, name: str, lines: Sequence[Any]) -> None:
        self.query_one(f"#{name}", Painted).paint(lines)

    def _draw_crumb(self) -> None:
        summary = f"{self.table.summary} " if self.table.titles else ""
        left, right = f" {self.crumb()}", summary
        gap = max(1, self.size.width - len(left) - len(right))
        cells = (Cell(left, "strong"), Cell(" " * gap), Cell(right, "dim"))
        self.query_one("#crumb", Painted).paint([cells])

    def _draw_keys(self) -> None:
        cells = [Cell(" ")]
        look: Appearance = getattr(self.app, "appearance", Appearance())
        for key, label in footer(self.FOOTER, self.size.width, look.keys):
            cells += [Cell(key, "strong"), Cell(f" {label}  ")]
        self.query_one("#keys", Painted).paint([tuple(cells)])

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width >= LARGE, "large")
        small = event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1]
        self.set_class(small, "too-small")
        self._draw_keys()
        # The new sizes hold after the layout, not yet now.
        self.call_after_refresh(self._redraw)

    @on(LineTable.Moved)
    def _redraw(self) -> None:
        if self.view is not None and self.composed:
            self.frame(self.view)

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

    def action_enter(self) -> None:
        opened = self.open()
        if opened is not None:
            self.post_message(opened)

    def action_up(self) -> None:
        if self.table.words:
            self._filter("")
        else:
            self.post_message(self.Opened("up"))

    def action_place(self, name: str) -> None:
        wanted = {"node": self.node, "what-if": self.question}.get(name)
        self.post_message(self.Opened(name, wanted() if wanted else ""))

    def question(self) -> str:
        """What `7` begins with: the drain of what is under the cursor."""
        target = self.target(self.view) if self.view else ""
        return f"drain {target}" if isinstance(target, Target) else ""

    def vip_name(self) -> str:
        """The VIP that is meant here; empty: none."""
        return ""

    def action_ring(self) -> None:
        if self.vip_name():
            self.post_message(self.Opened("ring", self.vip_name()))
        else:
            self.say("a ring is a VIP's: open one (3)")

    def action_undo(self) -> None:
        self.say("operations (9) say what can be taken back")

    def action_resume(self) -> None:
        self.say("operations (9) say what can go on")

    def action_abort(self) -> None:
        self.say("operations (9) say what can be held or taken back")

    def action_walk(self, by: int) -> None:
        self.post_message(self.Walked(by))

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
        self.post_message(self.ColumnsWanted())

    def action_export(self) -> None:
        self.post_message(self.ExportWanted())

    def action_copy(self, kind: str) -> None:
        """The row under the cursor, to the clipboard of whoever sits at the terminal (OSC 52)."""
        row = self.table.current
        if row is None:
            self.say("no row under the cursor")
            return
        columns = self.table.columns
        as_json = json.dumps(export.item(row, columns)) if kind == "json" else ""
        self.app.copy_to_clipboard(as_json or export.text(row, columns))
        self.say(f"{'JSON' if as_json else 'row'} to the clipboard, if your terminal allows it")

    def action_freeze(self) -> None:
        self.post_message(self.Freeze())

    def action_repaint(self) -> None:
        self.post_message(self.Repaint())

    def action_help(self) -> None:
        self.post_message(self.Opened("help"))

    def action_leave(self) -> None:
        self.post_message(self.Left())

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
        self.post_message(self.ArmWanted())

    def refusal(self) -> str:
        """Why no plan can be opened now; empty: one can."""
        if self.view is None:
            return "nothing is known yet"
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
            self.post_message(self.Planned(verb, targets))

    def _targets(self) -> list[Target] | str:
        """Of the rows that are marked and on show, else of what is under the cursor."""
        assert self.view is not None
        marked = self.table.marked
        if not marked and self.table.marks:
            return f"{len(self.table.marks)} marked, all hidden by the filter; \\ clears them"
        view = self.view
        found = [self.target_of(view, row) for row in marked] if marked else [self.target(view)]
        wrong = [one for one in found if isinstance(one, str)]
        return wrong[0] if wrong else [one for one in found if isinstance(one, Target)]

    # ---- command bar

    def action_command(self) -> None:
        self.post_message(self.CommandWanted())

    def open_command(self, history: History) -> None:
        self.say("")
        self.query_one("#command", CommandLine).open(self._completions, history)

    def close_command(self) -> None:
        self.query_one("#command", CommandLine).close()
        self.table.focus()

    def _completions(self, text: str) -> list[str]:
        return completions(text, self.view.agents) if self.view else []

    @on(CommandLine.Choices)
    def _choices(self, message: CommandLine.Choices) -> None:
        self.say("  ".join(message.choices), "dim")

    @on(Input.Submitted, "#command")
    def _command_given(self, event: Input.Submitted) -> None:
        self.post_message(self.Commanded(event.value.strip()))

    @on(CommandLine.Closed)
    def _command_closed(self) -> None:
        self.say("")
        self.post_message(self.Commanded(""))

    # ---- filter

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.add_class("open")
        field.cursor_blink = False
        field.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self.table.filter(event.value)
        self._redraw()

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self.query_one("#filter", Input).remove_class("open")
        self.table.focus()

    def _filter(self, words: str) -> None:
        field = self.query_one("#filter", Input)
        field.value = words
        field.remove_class("open")
        self.table.filter(words)
        self.table.focus()
        self._redraw()
