# SPDX-License-Identifier: Apache-2.0
"""The line of the command bar: history, a grey suggestion, completion; knows no grammar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import ClassVar

from textual.binding import Binding
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from console.tui.command import History

Completions = Callable[[str], list[str]]
"""A line -> the lines that it may become."""


class CommandLine(Input):
    BINDINGS: ClassVar = [
        Binding("up", "older", show=False),
        Binding("down", "newer", show=False),
        Binding("tab", "complete", show=False),
        Binding("escape", "close", show=False),
    ]

    class Closed(Message):
        """The operator wants no command."""

    class Choices(Message):
        """There are several ways to go on."""

        def __init__(self, choices: list[str]) -> None:
            super().__init__()
            self.choices = choices

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, placeholder="drain, undrain, weight, or a place; Tab completes")
        self.cursor_blink = False
        self.completions: Completions = lambda _: []
        self._history = History()
        self.suggester = _First(self)

    def open(self, completions: Completions, history: History) -> None:
        self.completions = completions
        self._history = history
        self.value = ""
        self.add_class("open")
        self.screen.set_focus(self)  # now, not after the keys that are waiting

    def close(self) -> None:
        self.remove_class("open")

    def action_older(self) -> None:
        self._replace(self._history.older(self.value))

    def action_newer(self) -> None:
        self._replace(self._history.newer(self.value))

    def action_complete(self) -> None:
        """As far as there is one way only; after that the ways are shown."""
        found = self.completions(self.value)
        if len(found) == 1:
            self._replace(f"{found[0]} ")
        elif found:
            common = _common(found)
            if common == self.value:
                self.post_message(self.Choices([one.rpartition(" ")[2] for one in found]))
            self._replace(common)

    def action_close(self) -> None:
        self.post_message(self.Closed())

    def _replace(self, text: str) -> None:
        self.value = text
        self.cursor_position = len(text)


def _common(lines: Sequence[str]) -> str:
    """What all of them begin with."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*lines, strict=False))
    return "".join(letters[0] for letters in same)


class _First(Suggester):
    def __init__(self, line: CommandLine) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._line = line

    async def get_suggestion(self, value: str) -> str | None:
        found = self._line.completions(value)
        return found[0] if found and value else None
