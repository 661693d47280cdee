# SPDX-License-Identifier: Apache-2.0
"""argparse for a command of many verbs that is to answer at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias, cast

from shared.usage import Parser

Verbs: TypeAlias = "argparse._SubParsersAction[Verb]"


class Help(argparse.HelpFormatter):
    """argparse makes one for every flag and asks shutil for the width, which imports all that
    compresses: 2 ms."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


class RawHelp(Help, argparse.RawDescriptionHelpFormatter):
    """The lines of description and epilog stay as they are."""


class Verb(Parser):
    """The flags of one verb.

    Unless it is among the `asked` words (None: all are) only its name and its place in the list are
    kept: to declare the flags of all verbs takes 10 ms, of one half a millisecond.
    """

    def __init__(self, *, prog: str, asked: Collection[str] | None, **options: object) -> None:
        self._words = asked
        self.asked = asked is None or prog.rpartition(" ")[2] in asked
        super().__init__(prog=prog, add_help=self.asked, formatter_class=Help, **options)

    def add_argument(self, *names: str, **options: object) -> argparse.Action:
        if self.asked:
            return super().add_argument(*names, **options)  # type: ignore[arg-type]
        return argparse.Action([], "")

    def add_verbs(self) -> Verbs:
        """Of this one; one has to be there."""
        made = _of(self._words if self.asked else ())
        return self.add_subparsers(
            dest="verb", metavar="VERB", prog=self.prog, required=True, parser_class=made
        )


def add_verbs(top: Parser, asked: Collection[str] | None) -> Verbs:
    # With a name given none is made of the usage.
    return top.add_subparsers(
        dest="verb", metavar="VERB", title="verbs", prog=top.prog, parser_class=_of(asked)
    )


class Before(argparse.Action):
    """`-o json` before the verb: what its own -o is when nothing is said behind it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        del option_string
        setattr(namespace, self.dest, values)
        for verb in _verbs(parser):
            own = written(verb)
            if own and own.choices and values in own.choices:
                verb.set_defaults(output=values)


def written(verb: argparse.ArgumentParser) -> argparse.Action | None:
    """The -o of a verb that has one."""
    return next((action for action in verb._actions if action.dest == "output"), None)


def _verbs(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Those of `plan`, too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield verb
                yield from _verbs(verb)


def _of(asked: Collection[str] | None) -> type[Verb]:
    return cast("type[Verb]", partial(Verb, asked=asked))


def _columns() -> int:
    """COLUMNS, else the terminal's, else 80."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    with suppress(AttributeError, OSError, ValueError):
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    return 80
