# SPDX-License-Identifier: Apache-2.0
"""The man page, from the parser that --help is made of.  Pure.

Format: man(7) macros, as groff and mandoc read them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from console.cli.grammar.words import ALL_VERBS


def page(parser: argparse.ArgumentParser, version: str, epilog: str) -> str:
    """remora(1)."""
    lines = [
        f'.TH REMORA 1 "" "remora {_quoted(version)}" "remora"',
        ".SH NAME",
        "remora \\- console and commands of the remora load balancer",
        ".SH SYNOPSIS",
        ".B remora",
        "[OPTIONS] [VERB ...]",
        ".SH DESCRIPTION",
        _escaped(parser.description or ""),
        ".SH OPTIONS",
        *_options(parser),
        ".PP",
        f"{_escaped(', '.join(_everywhere(parser)))} may stand behind the verb as well.",
        ".SH VERBS",
        *_verbs(parser),
        *_sections(epilog),
        ".SH SEE ALSO",
        ".BR remora-agent (1)",
    ]
    return "\n".join(lines) + "\n"


def _verbs(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        for name, verb in action.choices.items():
            if verb.description == argparse.SUPPRESS:
                continue
            positionals = [_positional(a) for a in verb._actions if not a.option_strings]
            yield f'.SS "{_quoted(" ".join([name, *positionals]))}"'
            yield _escaped(verb.description or "")
            yield from _options(verb)


def _everywhere(parser: argparse.ArgumentParser) -> list[str]:
    """The long names of what each verb repeats."""
    verb = next(
        each for a in parser._actions if isinstance(a, argparse._SubParsersAction)
        for each in a.choices.values()
    )  # fmt: skip
    return [action.option_strings[-1] for action in _of_all_verbs(verb)]


def _of_all_verbs(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    groups = [group for group in parser._action_groups if group.title == ALL_VERBS]
    return groups[0]._group_actions if groups else []


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or "|".join(map(str, action.choices or [action.dest])))
    return f"[{name}]" if action.nargs in ("?", "*") else name


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    said_once = _of_all_verbs(parser)
    for action in parser._actions:
        hidden = action.help == argparse.SUPPRESS or action in said_once
        if not action.option_strings or hidden:
            continue
        value = "" if action.nargs == 0 else _value(action)
        yield ".TP"
        yield f".B {_escaped(', '.join(action.option_strings))}{value}"
        yield _escaped(action.help or "")


def _value(action: argparse.Action) -> str:
    if action.choices:
        return " " + _escaped("{" + ",".join(map(str, action.choices)) + "}")
    return " " + _escaped(str(action.metavar or action.dest.upper()))


def _sections(epilog: str) -> Iterator[str]:
    """`examples:` and what follows it as it stands."""
    for part in epilog.strip().split("\n\n"):
        first, _, rest = part.partition("\n")
        if first.endswith(":") and rest:
            yield f'.SH "{_quoted(first.rstrip(":").upper())}"'
            yield ".nf"
            yield from (_escaped(text) for text in rest.splitlines())
            yield ".fi"
        else:
            yield ".PP"
            yield _escaped(part.replace("\n", " "))


def _escaped(text: str) -> str:
    """No request and no escape by accident."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', "\\(dq")
