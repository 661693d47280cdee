# SPDX-License-Identifier: Apache-2.0
"""A table whose cursor is bound to a row's key: a re-sort never moves it to another row.

Records come in raw; only the rows on screen are formatted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from textual.events import MouseScrollDown, MouseScrollUp, Resize
from textual.message import Message

from console import format as fmt
from console.tui.widgets.painted import Painted
from console.views.cells import Cell, TextLine
from console.views.columns import (
    Column,
    Labelled,
    fitting,
    matching,
    of_its_own,
    ordered,
    split,
    standing,
    widths,
)

R = TypeVar("R")
MEASURED = 600
"""Rows whose names are measured at every frame; of more only when their number changes."""


class LineTable(Painted, Generic[R]):
    can_focus = True

    class Moved(Message):
        """The cursor is on another row."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineTable.Moved)

    def __init__(
        self,
        columns: Sequence[Column[R]],
        *,
        empty: str,
        id: str | None = None,
        by_urgency: bool = True,
        follows: bool = False,
        labelled: Labelled[R] = of_its_own,
    ) -> None:
        """`by_urgency`: unsorted rows stand worst first; else as they come.

        `follows`: the cursor stays on the newest row until it is moved away from there.
        `labelled`: how the filter's `label:` judges a row, where not by its own labels.
        """
        super().__init__(id=id)
        self._by_urgency = by_urgency
        self._follows = follows
        self._labelled = labelled
        self.following = follows
        self._columns = columns
        self._other = False
        """Other columns than those of the last `show`."""
        self._empty = empty
        self._records: Sequence[R] = ()
        self._rows: list[R] = []
        self._written: dict[int, list[Cell]] = {}
        """id of a record -> its cells, once they were on screen: a key writes none anew."""
        self._shown: list[tuple[Column[R], int]] = []
        """The columns for which there is room, and how wide they are."""
        self._wants: dict[str, int] = {}
        """Title -> the longest text that ever was there, of columns that grow: none gets narrower
        while one looks at it."""
        self._measured = -1
        """Rows of which that is known."""
        self._top = 0
        self._steered = False
        """The cursor was moved: until then the first row is on show, if the cursor's is, too."""
        self._key = ""
        self._at = 0
        """Where its row was last: there the cursor goes on when that is gone."""
        self._chosen: frozenset[str] | None = None
        self._totals = False
        """Totals in the place of rates."""
        self._sort: Column[R] | None = None
        self._reverse = False
        self.words = ""
        self._sought = ""
        """What `seek` looks for: the words of the filter, or of the last one there was."""
        self.marks: set[str] = set()
        """Keys of the rows that are marked, those too that the filter hides."""
        self.active = True
        """Keys move its cursor: not so of the other table of a screen that has two."""

    # ---- what it shows

    @property
    def columns(self) -> list[Column[R]]:
        """Those that were chosen, with or without room for them; all, where none of them is."""
        there = standing(self._columns, totals=self._totals)
        return [c for c in there if self._chosen is None or c.place in self._chosen] or there

    @property
    def titles(self) -> list[str]:
        """Of all columns that there are."""
        return [column.title for column in standing(self._columns, totals=self._totals)]

    @property
    def has_totals(self) -> bool:
        return any(column.of for column in self._columns)

    @property
    def rows(self) -> list[R]:
        """As they are on show, those too for which there is no room."""
        return list(self._rows)

    def choose(self, titles: frozenset[str] | None) -> None:
        """Only these columns; None: all."""
        places = {column.title: column.place for column in self._columns}
        self._chosen = None if titles is None else frozenset(places.get(t, t) for t in titles)
        self._draw()

    def show_totals(self, wanted: bool) -> None:
        """In the place of rates, or no more; where it was sorted by one, by the other then."""
        if wanted == self._totals:
            return
        self._totals = wanted
        if self._sort is not None:
            place = self._sort.place
            there = standing(self._columns, totals=wanted)
            self._sort = next((column for column in there if column.place == place), None)
        self._other = True

    def use(self, columns: Sequence[Column[R]]) -> None:
        """Other columns from the next `show` on."""
        if self._sort not in columns:
            self._sort = None
        self._other = columns is not self._columns
        self._columns = columns
        self._wants, self._measured = {}, -1

    def select(self, key: str) -> None:
        """The cursor to this row, now or when it appears."""
        self._key = key

    def show(self, records: Sequence[R], empty: str = "") -> None:
        """`empty`: what stands there without rows, where that depends on what is known."""
        if records and records is self._records and empty in ("", self._empty) and not self._other:
            return  # what a key changes it has drawn already
        self._records, self._written, self._other = records, {}, False
        self._empty = empty or self._empty
        if len(records) <= MEASURED or len(records) != self._measured:
            self._measured = len(records)
            self._measure("name", records)
        self._arrange()

    @property
    def current(self) -> R | None:
        """The row under the cursor."""
        return next((row for row in self._rows if _key(row) == self._key), None)

    @property
    def marked(self) -> list[R]:
        """The marked rows that are on show, in their order."""
        return [row for row in self._rows if _key(row) in self.marks]

    @property
    def summary(self) -> str:
        """Sort, filter and how many rows: for the crumb line."""
        usual = "problem" if self._by_urgency else "time"
        sort = self._sort.title.lower() if self._sort else usual
        arrow = "▲" if self._reverse else "▼"
        rows, all_ = len(self._rows), len(self._records)
        counted = f"{all_}" if rows == all_ else f"{rows} of {all_}"
        counted += " row" if all_ == 1 else " rows"
        totals = "totals  " if self._totals and self.has_totals else ""
        return f"{self._marks()}{totals}sort {sort}{arrow}  filter {self.words or '-'}  {counted}"

    def _marks(self) -> str:
        if not self.marks:
            return ""
        hidden = len(self.marks) - len(self.marked)
        return f"{len(self.marks)} marked" + (f", {hidden} hidden  " if hidden else "  ")

    # ---- keys

    def filter(self, words: str) -> None:
        """What the operator hides is left at once: the cursor goes to the first row on show."""
        self.words = words
        self._sought = words or self._sought
        self._arrange()
        if self._rows and self.current is None:
            self._go(0)

    def sort_next(self) -> None:
        """Problem first, then by each visible column in turn."""
        choices: list[Column[R] | None] = [None, *self._visible()]
        index = choices.index(self._sort) if self._sort in choices else 0
        self._sort = choices[(index + 1) % len(choices)]
        self._reverse = False
        self._arrange()

    def reverse(self) -> None:
        self._reverse = not self._reverse
        self._arrange()

    def follow(self) -> None:
        """On, and to the newest row; or off."""
        self.following = self._follows and not self.following
        self._arrange()

    def mark(self) -> None:
        """The row under the cursor, or no more; then the next row."""
        if self.current is not None:
            self.marks ^= {self._key}
            self.move(1)
            self._draw()

    def mark_all(self) -> None:
        self.marks |= {_key(row) for row in self._rows}
        self._draw()

    def mark_where(self, meant: Callable[[R], bool]) -> int:
        """Of the rows on show; returns how many."""
        keys = {_key(row) for row in self._rows if meant(row)}
        self.marks |= keys
        self._draw()
        return len(keys)

    def unmark(self) -> None:
        self.marks.clear()
        self._draw()

    def move(self, rows: int) -> None:
        if self._rows:
            by = rows if self.current is not None or abs(rows) > 1 else 0
            index = min(len(self._rows) - 1, max(0, self._index() + by))
            self._go(index)

    def page(self, pages: int) -> None:
        self.move(pages * max(1, self._height() - 1))

    def edge(self, which: int) -> None:
        self.move(which * len(self._rows))

    def seek(self, by: int) -> str:
        """The cursor to the next row (-1: the one before) that has the words of the filter, or of
        the last one where none is on, round the end; returns what there is to say."""
        if not self._sought:
            return "type / and words first: n and N go from one row that has them to the next"
        rows = self._matching(self._rows, self._sought)
        those = {id(row) for row in rows}
        places = [index for index, row in enumerate(self._rows) if id(row) in those]
        if not places:
            return f"no row has {self._sought!r}"
        at = self._index()
        beyond = [index for index in places if (index - at) * by > 0]
        there = (beyond or places)[0 if by > 0 else -1]
        self._go(there)
        again = "" if beyond else ", from the top" if by > 0 else ", from the end"
        return f"{self._sought}: {places.index(there) + 1} of {len(places)}{again}"

    # ---- inside

    def _matching(self, rows: Sequence[R], words: str) -> list[R]:
        return matching(rows, self._columns, words, self._labelled, totals=self._totals)

    def _arrange(self) -> None:
        if self.marks:
            # A mark goes with its row: none may come back on another one.
            self.marks &= {_key(row) for row in self._records}
        rows = self._matching(self._records, self.words)
        if self._sort is None:
            if self._by_urgency:
                rows.sort(key=_urgency, reverse=self._reverse)
            self._rows = rows if self._by_urgency or not self._reverse else rows[::-1]
        else:
            self._rows = ordered(rows, self._sort, reverse=self._reverse)
        if self._rows and self.following:
            self._key = _key(self._rows[-1])
        elif self._rows and not self._key:
            self._key = _key(self._rows[0])
            self.post_message(self.Moved())
        # A row that is gone leaves no cursor until a key moves it: whoever is about to press D must
        # not get a plan for another one.
        self._draw()

    def _index(self) -> int:
        """Of the cursor's row; without one of where it was."""
        found = next((i for i, row in enumerate(self._rows) if _key(row) == self._key), None)
        self._at = min(self._at, max(0, len(self._rows) - 1)) if found is None else found
        return self._at

    def _go(self, index: int) -> None:
        self._steered = True
        self.following = self._follows and index == len(self._rows) - 1
        self._key = _key(self._rows[index])
        self._draw()
        self.post_message(self.Moved())

    def _height(self) -> int:
        return max(0, self.size.height - 1)

    def _visible(self) -> list[Column[R]]:
        return fitting(self.columns, self.size.width, self._wants)

    def _measure(self, kind: str, rows: Sequence[R]) -> None:
        for column in self._columns:
            if column.grows == kind and rows:
                longest = max([len(column.cell(row).text) for row in rows])
                self._wants[column.title] = max(longest, self._wants.get(column.title, 0))

    def _draw(self) -> None:
        height, index = self._height(), self._index()
        if not self._steered:
            self._top = 0  # at the start rows change places while agents answer
        self._top = max(0, min(self._top, index, len(self._rows) - height))
        if height and index >= self._top + height:
            self._top = index - height + 1
        shown = self._rows[self._top : self._top + height]
        self._measure("prose", [row for row in shown if id(row) not in self._written])
        columns = self._visible()
        sized = list(zip(columns, widths(columns, self.size.width, self._wants), strict=True))
        if sized != self._shown:
            self._shown, self._written = sized, {}
        lines = [_heading(sized), *(self._row(row) for row in shown)]
        if not self._rows:
            lines.append((Cell(f" {self._nothing()}", "dim"),))
        self.paint(lines)

    def _nothing(self) -> str:
        """Why there is no row."""
        if not self._records:
            return self._empty
        has_none = self._labelled is of_its_own and not hasattr(self._records[0], "labels")
        if has_none and split(self.words)[1]:
            return "these rows have no labels that could be meant; Esc clears"
        return f"no row has {self.words!r}; Esc clears"

    def _row(self, row: R) -> TextLine:
        key = _key(row)
        chosen = self.active and key == self._key
        cells = self._written.get(id(row))
        if cells is None:
            cells = self._written[id(row)] = [_fitted(row, *sized) for sized in self._shown]
        if cells and key in self.marks:
            first = cells[0]
            cells = [Cell(f"{first.text[:-1]}*", first.tone), *cells[1:]]
        if not chosen:
            return (Cell(" "), *cells)
        return tuple(Cell(c.text, f"{c.tone} cursor".strip()) for c in (Cell(">"), *cells))

    def on_resize(self, _: Resize) -> None:
        self._draw()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        event.stop()
        self.move(1)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        event.stop()
        self.move(-1)


def _fitted(row: R, column: Column[R], width: int) -> Cell:
    text, tone = column.cell(row)
    return Cell(fmt.fit(text, width, right=column.right) + " ", tone)


def _heading(sized: Sequence[tuple[Column[Any], int]]) -> TextLine:
    titles = [fmt.fit(column.title, width, right=column.right) + " " for column, width in sized]
    return (Cell(" " + "".join(titles), "head"),)


def _key(row: Any) -> str:  # noqa: ANN401  # every record has one
    return str(row.key)


def _urgency(row: Any) -> float:  # noqa: ANN401  # a Drop has no state: the most frequent first
    state = getattr(row, "state", None)
    return -state.urgency if state is not None else -(row.pps.value or 0.0)
