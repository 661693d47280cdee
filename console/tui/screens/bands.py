# SPDX-License-Identifier: Apache-2.0
"""What is on every screen: five bands (header, crumb, body, message, keys) and what is typed.

A screen computes nothing: `frame` gets a view, the pure modules make rows and lines of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.events import Resize
from textual.geometry import Size
from textual.screen import Screen
from textual.widgets import Input

from console.tui.appearance import Appearance
from console.tui.command import History, completions
from console.tui.keys import footer
from console.tui.saying import Saying
from console.tui.screens import asks
from console.tui.trail import START
from console.tui.widgets.command_line import CommandLine
from console.tui.widgets.painted import Painted
from console.tui.widgets.table import LineTable
from console.views.cells import Cell, TextLine, cut, line
from console.views.standing import standing
from console.views.view import View, header, tiny

R = TypeVar("R")
LARGE = 140
"""Columns from which a screen shows two panes side by side."""
TABLE, BANDS = 3, 4
"""Lines: of a table, at the least (as in console.tcss); of header, crumb, message and keys."""
SMALLEST = (60, 16)
"""Columns and lines under which there is one line about the cluster only."""


class BandedScreen(Screen[None]):
    AUTO_FOCUS = "LineTable"
    TOPICS: ClassVar[frozenset[str]] = frozenset()
    """What it shows beyond what the header needs."""
    TABLES: ClassVar[tuple[str, ...]] = ()
    """Ids of its tables, where there are several: Tab changes the one that the keys move."""
    FOOTER: ClassVar[tuple[str, ...]] = ("enter", "up", "fleet", "vips", "drops", "filter", "sort")

    def __init__(self) -> None:
        super().__init__()
        self.chosen = self.TABLES[0] if self.TABLES else ""
        self.place = START[0]
        """Set by whoever puts it on show."""
        self.view: View | None = None
        self._rows: tuple[View, Any] | None = None
        self._said = Saying()
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

    def moved(self, view: View) -> None:
        """Fills what says more of the row that the cursor came to; the table is drawn already."""
        self.draw(view)

    # ---- bands

    def compose(self) -> ComposeResult:
        self._shape(self.app.size)  # once its parts are there that would style all of them anew
        yield Painted(id="tiny")
        yield Painted(id="header")
        yield Painted(id="crumb")
        yield from self.body()
        yield Painted(id="message")
        yield CommandLine(id="command")
        yield Input(
            id="filter",
            placeholder="words; !word; pps>1k; state=down; label:rack=r2; Enter keeps, Esc clears",
        )
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
        for table in self.query(LineTable):
            table.show_totals(view.totals)
        if self.has_class("too-small"):
            self.query_one("#tiny", Painted).paint(tiny(view))
        self.draw(view)
        self._draw_crumb()
        self._draw_message()

    def hold(self, view: View) -> None:
        """The display is held: only the header goes on, which says so."""
        self.view = view
        self.query_one("#header", Painted).paint([header(view, self.size.width)])

    def say(self, text: str, tone: str = "warn") -> None:
        """`bad` is an error, `hot` is news; all else answers a key (saying.py)."""
        self._said = Saying(text, tone)
        self._draw_message()

    def lapse(self, now: float) -> None:
        """To be called at every tick: a message may have been there long enough."""
        if self._said.lapse(now):
            self._draw_message()

    def pressed(self, now: float) -> None:
        """To be called at every key, before it does anything."""
        if self._said.pressed(now):
            self._draw_message()

    def standing(self, view: View) -> TextLine:
        """What the message line says while there is no message."""
        return standing(view, self.size.width)

    def _draw_message(self) -> None:
        if self._said.text:
            text = line(f" {self._said.text}", self._said.tone)
        else:
            text = self.standing(self.view) if self.view is not None else ()
        self.query_one("#message", Painted).paint([text])

    def pane(self, name: str, lines: Sequence[Any]) -> None:
        pane = self.query_one(f"#{name}", Painted)
        pane.paint([cut(one, pane.size.width or self.size.width) for one in lines])

    def fitted(self, name: str, lines: Sequence[Any]) -> None:
        """A pane as high as what it says."""
        self.high(name, len(lines))
        self.pane(name, lines)

    def below(self, name: str, rows: int, least: int) -> int:
        """Lines that a short table leaves go to the pane below it; returns how many it has."""
        lines = max(least, self.size.height - BANDS - 1 - max(TABLE, rows + 1))
        self.high(name, lines)
        return lines

    def high(self, name: str, lines: int) -> None:
        pane = self.query_one(f"#{name}", Painted)
        if pane.styles.height is None or pane.styles.height.value != lines:
            pane.styles.height = lines

    def rows(self, view: View, make: Callable[[], list[R]]) -> list[R]:
        """Made once of a view: a key that moves the cursor draws the same rows again."""
        if self._rows is None or self._rows[0] is not view:
            self._rows = view, make()
        found: list[R] = self._rows[1]
        return found

    def room(self, name: str) -> int:
        """Lines of a pane; before the first layout one."""
        return self.query_one(f"#{name}", Painted).size.height or 1

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

    def _shape(self, size: Size) -> None:
        self.set_class(size.width >= LARGE, "large")
        self.set_class(size.width < SMALLEST[0] or size.height < SMALLEST[1], "too-small")

    def on_resize(self, event: Resize) -> None:
        self._shape(event.size)
        self._draw_keys()
        # The new sizes hold after the layout, not yet now.
        self.call_after_refresh(self._redraw)

    @on(LineTable.Moved)
    def _moved(self) -> None:
        if self.view is not None and self.composed:
            self.moved(self.view)
            self._draw_crumb()

    def _redraw(self) -> None:
        if self.view is not None and self.composed:
            self.frame(self.view)

    # ---- command bar

    def action_command(self) -> None:
        self.post_message(asks.CommandWanted())

    def open_command(self, history: History) -> None:
        self.say("")
        self.query_one("#command", CommandLine).open(self._completions, history)

    def close_command(self) -> None:
        self.query_one("#command", CommandLine).close()
        self.set_focus(self.table)

    def _completions(self, text: str) -> list[str]:
        return completions(text, self.view.agents) if self.view else []

    @on(CommandLine.Choices)
    def _choices(self, message: CommandLine.Choices) -> None:
        self.say("  ".join(message.choices), "dim")

    @on(Input.Submitted, "#command")
    def _command_given(self, event: Input.Submitted) -> None:
        self.post_message(asks.Commanded(event.value.strip()))

    @on(CommandLine.Closed)
    def _command_closed(self) -> None:
        self.say("")
        self.post_message(asks.Commanded(""))

    # ---- filter

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.add_class("open")
        field.cursor_blink = False
        self.set_focus(field)  # now, not after the keys that are waiting

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self.table.filter(event.value)
        self._redraw()

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self.query_one("#filter", Input).remove_class("open")
        self.set_focus(self.table)

    def _filter(self, words: str) -> None:
        field = self.query_one("#filter", Input)
        field.value = words
        field.remove_class("open")
        self.table.filter(words)
        self.set_focus(self.table)
        self._redraw()
