# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows, cell by cell, so that only cells that differ are sent to it.

Textual sends every dirty span whole, each piece with its full colours; most of that the terminal
has already.  The compositor's update classes are not Textual's public API: its minor version is
pinned, and a test holds this output equal to Textual's own on an emulated terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

Glyph = tuple[str, str]
"""(character, SGR parameters); the cell behind a wide character has an empty character."""
JOINED = 4
"""Equal cells between two that differ which are sent along: a cursor address is no shorter."""


class Shadow:
    """Remembers what was written; what it has forgotten is written again."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Glyph | None]] = {}
        self._sgr: dict[Style, str] = {}

    def forget(self) -> None:
        """The terminal may show anything: it was resized, used by somebody else, or cleared."""
        self._lines.clear()

    def difference(self, update: CompositorUpdate, console: Console) -> str | None:
        """The characters that bring the terminal to this update; empty when it is there already.

        None: an update of a kind that is not known here.
        """
        pieces = _pieces(update)
        if pieces is None:
            return None
        system = console._color_system or ColorSystem.TRUECOLOR
        pen = _Pen()
        for y, x, strip in pieces:
            self._paint(y, x, self._glyphs(strip, system), pen)
        return pen.finish()

    def _glyphs(self, strip: Strip, system: ColorSystem) -> list[Glyph]:
        found: list[Glyph] = []
        for given, style, control in strip:
            if control:
                continue
            sgr = self._codes(style, system)
            # The last place before the terminal: what is shown must not steer it.
            text = given if given.isprintable() else "".join(filter(str.isprintable, given))
            if text.isascii():
                found += [(character, sgr) for character in text]
            else:
                _spread(text, sgr, found)
        return found

    def _codes(self, style: Style | None, system: ColorSystem) -> str:
        if style is None:
            return ""
        if style not in self._sgr:
            self._sgr[style] = style._make_ansi_codes(system)
        return self._sgr[style]

    def _paint(self, y: int, x: int, glyphs: list[Glyph], pen: _Pen) -> None:
        """Writes the cells of a piece of a line that are not as they should be."""
        line = self._lines.setdefault(y, [])
        end = x + len(glyphs)
        line += [None] * (end - len(line))
        old = line[x:end]
        if old == glyphs:
            return
        for start, stop in _runs(old, glyphs):
            pen.write(y, x + start, glyphs[start:stop])
        # A terminal blanks the other half of a wide character that was cut: no longer known.
        if old and old[0] is not None and old[0][0] == "" and old[0] != glyphs[0] and x:
            line[x - 1] = None
        if end < len(line) and (after := line[end]) is not None and after[0] == "":
            line[end] = None
        line[x:end] = glyphs


def _pieces(update: CompositorUpdate) -> Iterable[tuple[int, int, Strip]] | None:
    """(line, column, what stands there from that column on)."""
    if isinstance(update, ChopsUpdate):
        return _of_chops(update)
    return _of_layout(update) if isinstance(update, LayoutUpdate) else None


def _of_chops(update: ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, first, last in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is not None and x < last and end > first:
                yield y, x, strip


def _of_layout(update: LayoutUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, line in enumerate(update.strips, update.region.y):
        x = update.region.x
        for strip in line:
            yield y, x, strip
            x += strip.cell_length


def _spread(text: str, sgr: str, found: list[Glyph]) -> None:
    """A character to its cell; a wide one to two, a combining one to that of the one before."""
    for character in text:
        width = cell_len(character)
        if width:
            found += [(character, sgr), *[("", sgr)] * (width - 1)]
        else:
            # Behind a wide character: to its first cell.
            at = next((i for i in range(len(found) - 1, -1, -1) if found[i][0]), None)
            if at is not None:
                found[at] = (found[at][0] + character, found[at][1])


def _runs(old: list[Glyph | None], new: list[Glyph]) -> Iterator[tuple[int, int]]:
    """Where the lines differ, as [start, stop); short equal parts between are joined to them."""
    differing = [i for i, (was, is_) in enumerate(zip(old, new, strict=True)) if was != is_]
    start = stop = -1
    for i in differing:
        if start >= 0 and i - stop > JOINED:
            yield _whole(new, start, stop)
            start = -1
        start, stop = (i if start < 0 else start), i + 1
    if start >= 0:
        yield _whole(new, start, stop)


def _whole(line: list[Glyph], start: int, stop: int) -> tuple[int, int]:
    """No half of a wide character is written alone."""
    while start > 0 and line[start][0] == "":
        start -= 1
    while stop < len(line) and line[stop][0] == "":
        stop += 1
    return start, stop


class _Pen:
    """Collects output; colours are written when they change."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._sgr = ""

    def write(self, y: int, x: int, glyphs: Iterable[Glyph]) -> None:
        self._out.append(f"\x1b[{y + 1};{x + 1}H")
        for character, sgr in glyphs:
            if sgr != self._sgr:
                self._out.append(f"\x1b[0;{sgr}m" if sgr else "\x1b[0m")
                self._sgr = sgr
            self._out.append(character)

    def finish(self) -> str:
        if self._sgr:
            self._out.append("\x1b[0m")
        return "".join(self._out)
