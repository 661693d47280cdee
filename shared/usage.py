# SPDX-License-Identifier: Apache-2.0
"""Command lines that cannot be: one line says why, with the word that may have been meant.

argparse prints all flags of a verb first, and its reason below them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

_NO_CHOICE = re.compile(r"argument (.+): invalid choice: '(.*)' \(choose from (.*)\)")
_UNEXPECTED = re.compile(r"unrecognized arguments: (\S+).*")
_QUOTED = re.compile(r"'([^']*)'")
FEW = 12
"""Choices that are all named where none of them is like the word."""


class Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # argparse's
        """Flags are written out: a new one must not change what half of an old one means."""
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Leaves with exit code 2."""
        self.exit(2, f"{self.prog}: {self._said(message)}\nsee {self.prog} --help\n")

    def _said(self, message: str) -> str:
        if found := _NO_CHOICE.fullmatch(message):
            name, word, choices = found.groups()
            words = _QUOTED.findall(choices)
            few = f"; there is {', '.join(words)}" if len(words) <= FEW else ""
            return f"{name}: no {word!r}{_meant(word, words) or few}"
        if found := _UNEXPECTED.fullmatch(message):
            word = found[1].partition("=")[0]
            flags = [flag for action in self._actions for flag in action.option_strings]
            return f"{word}: not known here{_meant(word, flags)}"
        return message


def _meant(word: str, words: Sequence[str]) -> str:
    """Empty: none is like it."""
    import difflib  # noqa: PLC0415  # 3 ms that only a wrong word takes

    close = difflib.get_close_matches(word, words, 1)
    return f"; did you mean {close[0]}?" if close else ""
