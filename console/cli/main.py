# SPDX-License-Identifier: Apache-2.0
"""The command `remora`: from its words to a verb and its arguments, and from errors to exit codes.

Each verb imports what it needs and no more (routes.py): it answers in a few hundredths of a second.
"""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import io
import itertools
import os
import sys
import time
from collections.abc import Sequence

from console.cli import routes
from console.cli.grammar.top import parser
from console.cli.grammar.verb import written
from console.cli.grammar.words import UNTIL
from console.exits import Exit, VerbError
from shared.usage import Parser

IMPORTED = 100_000
"""Objects, more than a verb imports: Python's collector looks when so many have come."""


UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EFBIG)
"""Errors without a file's name that are about what a verb writes; others may be a socket's."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code; usage errors leave through argparse with 2."""
    # What is imported is no cyclic rubbish: looking for some meanwhile takes 5 ms, at the end 7.
    gc.set_threshold(IMPORTED)
    atexit.register(gc.freeze)
    _never_mind_the_locale()
    given = _with_values(argv or sys.argv[1:])
    if given[:1] == ["complete"]:
        return _complete(given[1:])
    arguments = _parsed(given)
    arguments.agents += getattr(arguments, "agents_after", [])
    _write_in(arguments)
    try:
        code = routes.run(arguments)
        sys.stdout.flush()
        return code
    except VerbError as error:
        return _fail(str(error), error.code)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _say_no_more()  # the reader of a pipe has left
        return Exit.FAILED if arguments.verb in CHANGES else Exit.DONE
    except OSError as error:
        where = error.filename
        if not where and error.errno in UNWRITABLE:
            where = "output"
            _say_no_more()
        text = error.strerror or str(error)
        return _fail(f"{where}: {text}" if where else text, Exit.FAILED)


def _say_no_more() -> None:
    """Python's own flush at exit must not complain about what cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _never_mind_the_locale() -> None:
    """A sign that its encoding has not is `?`, not the end of the verb."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever called: >&-
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


REST = {"get": "names", "top": "names", "diff": "about", "watch": "filter", "trace": "filter",
        "drain": "object", "undrain": "object", "maint": "object", "reload": "object",
        "flow": "flow"}  # fmt: skip
"""Verb -> its last words, which may stand behind flags too: argparse takes those before only."""


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    grammar = parser(given)
    arguments, more = grammar.parse_known_args(given)
    rest = REST.get(arguments.verb)
    if more and (rest is None or any(word.startswith("-") for word in more)):
        from console.cli.completion import verb_of

        verb, _ = verb_of(grammar, given)
        verb.error(f"unrecognized arguments: {' '.join(more)}")
    if arguments.before:
        _check_output(grammar, given, arguments)
    if more and rest:
        setattr(arguments, rest, [*getattr(arguments, rest), *more])
    return arguments


def _check_output(grammar: Parser, given: Sequence[str], arguments: argparse.Namespace) -> None:
    """Leaves with 2 where the verb has no such -o: that before the verb is for all of them."""
    from console.cli.completion import verb_of

    if arguments.verb is None:
        grammar.error("-o: of the answer of a verb; the console has none")
    verb, _ = verb_of(grammar, given)
    own = written(verb)
    if own is None:
        verb.error("unrecognized arguments: -o")
    if arguments.before not in (own.choices or ()):
        choices = ", ".join(map(repr, own.choices or ()))
        verb.error(f"argument -o: invalid choice: {arguments.before!r} (choose from {choices})")


def _write_in(arguments: argparse.Namespace) -> None:
    """How numbers and times are written, all of them."""
    from console import format as fmt

    offset = _ahead if arguments.local else None
    units: fmt.Units = (arguments.units or "si") if arguments.verb not in SCREENS else "si"
    fmt.write_in(fmt.Style(units, offset))


CHANGES = (
    "drain", "undrain", "maint", "weight", "announce", "withdraw", "reload", "rollback", "confirm",
    "apply", "undo", "op",
)  # fmt: skip
"""Verbs of which nobody may be told that all is well when nobody read what they said."""
SCREENS = (None, "console", "replay")
"""Columns there have their widths: --units is of what is written."""


def _ahead(unix: float) -> float:
    return float(time.localtime(unix).tm_gmtoff)


def _with_values(given: Sequence[str]) -> list[str]:
    """A bare `--wait` or `--dry-run` must not take the object behind it for its value."""
    pairs = itertools.zip_longest(given, given[1:], fillvalue="")
    return [_with_value(word, behind) for word, behind in pairs]


def _with_value(word: str, behind: str) -> str:
    if word == "--wait" and not UNTIL.fullmatch(behind):
        return "--wait=verified"
    return "--dry-run=agent" if word == "--dry-run" else word


def _complete(given: Sequence[str]) -> int:
    """The shell asks at every Tab: names of the last look, and of contexts; no agent."""
    from console import config_file
    from console.cli import completion, names

    words = list(given[1:] if given[:1] == ["--"] else given)
    known = names.kept()
    if {"-C", "--context"} & {flag.partition("=")[0] for flag in words[-2:]}:
        files = dict(itertools.pairwise(words))
        files |= dict(word.split("=", 1) for word in words if "=" in word)
        known["context"] = [
            f"context/{name}" for name in config_file.contexts(files.get("--config"))
        ]
    for word in completion.words(parser(words[:-1]), words, known):
        print(word)
    return Exit.DONE


def _fail(text: str, code: int) -> int:
    from console.format import shown

    print(*map(shown, f"remora: {text}".split("\n")), sep="\n", file=sys.stderr)
    return code
