# SPDX-License-Identifier: Apache-2.0
"""Lines of cells on the screen; only lines that changed are sent to the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from console.format import shown
from console.tui.widgets.signs import TABLE
from console.views.cells import TextLine

TONES = ("ok", "warn", "bad", "stale", "dim", "hot", "strong", "rule", "head", "cursor")


class Painted(Widget):
    """Shows what `paint` was given last, cut or padded to its size."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"painted--{tone}" for tone in TONES}

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: Sequence[TextLine] = ()
        self._styles_of: dict[str, Style] = {}

    def paint(self, lines: Sequence[TextLine]) -> None:
        """Replaces what is shown."""
        before, self._lines = self._lines, tuple(lines)
        for y in range(max(len(before), len(self._lines))):
            old = before[y] if y < len(before) else None
            new = self._lines[y] if y < len(self._lines) else None
            if old != new and y < self.size.height:
                self.refresh(Region(0, y, self.size.width, 1))

    @property
    def text(self) -> str:
        """What is shown, without tones."""
        return "\n".join("".join(cell.text for cell in one).rstrip() for one in self._lines)

    def render_line(self, y: int) -> Strip:
        cells = self._lines[y] if y < len(self._lines) else ()
        plain = getattr(self.app, "ascii_only", False)
        segments = [
            Segment(
                shown(cell.text).translate(TABLE) if plain else shown(cell.text),
                self._style(cell.tone),
            )
            for cell in cells
        ]
        return Strip(segments).adjust_cell_length(self.size.width, self._style(""))

    def notify_style_update(self) -> None:
        self._styles_of.clear()
        super().notify_style_update()

    def _style(self, tone: str) -> Style:
        """Looked up late: component styles do not exist yet when a widget is made."""
        if tone not in self._styles_of:
            style = self.rich_style
            for part in tone.split():
                style += self.get_component_rich_style(f"painted--{part}", partial=True)
            self._styles_of[tone] = style
        return self._styles_of[tone]
