# SPDX-License-Identifier: Apache-2.0
"""Two small choices: which columns a table shows, and in which format it is written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, SelectionList
from textual.widgets.option_list import Option
from textual.widgets.selection_list import Selection

from console.tui.widgets.painted import Painted
from console.views.cells import line
from console.views.export import FORMATS, Format

MEANS = {
    "csv": "comma-separated values",
    "jsonl": "JSON, one row a line",
    "md": "Markdown table",
    "pcapng": "the dropped packets, for Wireshark",
}


class ColumnsDialog(ModalScreen[frozenset[str] | None]):
    """Dismissed with the titles that are wanted, or None: as they were."""

    BINDINGS: ClassVar = [
        ("escape,q", "dismiss", "close"),
        ("enter", "take", "take"),
        ("a", "all", "all"),
    ]

    def __init__(self, titles: Sequence[str], chosen: Sequence[str]) -> None:
        super().__init__()
        self._titles = titles
        self._chosen = set(chosen)

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = "Columns"
            yield Choices(
                *(Selection(title, title, title in self._chosen) for title in self._titles),
                id="choices",
            )
            yield Painted(id="arm_about")

    def on_mount(self) -> None:
        text = " Space on or off   a all   Enter take   Esc as they were"
        self.query_one("#arm_about", Painted).paint([line(text, "dim")])

    def action_take(self) -> None:
        self.dismiss(frozenset(self.query_one(SelectionList).selected))

    def action_all(self) -> None:
        self.dismiss(frozenset(self._titles))


class Choices(SelectionList[str]):
    """Enter is the dialog's: it takes what is chosen."""

    BINDINGS: ClassVar = [("j", "cursor_down"), ("k", "cursor_up"), ("enter", "screen.take")]


class ExportDialog(ModalScreen[Format | None]):
    BINDINGS: ClassVar = [("escape,q", "dismiss", "close")]

    def __init__(self, *, packets: bool = False) -> None:
        """`packets`: there are some among its rows."""
        super().__init__()
        self._formats: tuple[Format, ...] = (*FORMATS, "pcapng") if packets else FORMATS

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = "Write this table to a file"
            yield OptionList(
                *(Option(f"{kind:<6} {MEANS[kind]}", id=kind) for kind in self._formats),
                id="choices",
            )

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        kind = event.option.id
        self.dismiss(next(known for known in self._formats if known == kind))
