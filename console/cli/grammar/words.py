# SPDX-License-Identifier: Apache-2.0
"""What several verbs have in common: the connection, a moment of the past, spans of time."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Any

from console.cli.grammar.verb import Verb, Verbs

UNTIL = re.compile(r"applied|verified|drained|gone|quiet:\d{1,9}")
"""What can be waited for."""


def duration(text: str) -> float:
    """`90`, `90s`, `500ms`, `30m`, `2h`, `1d` -> seconds, more than 0."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|[smhd])?", text)
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a time like 500ms, 90s, 30m, 2h")
    return float(found[1]) * _SECONDS[found[2]]


_SECONDS: Mapping[str | None, float] = {
    "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, None: 1,
}  # fmt: skip
ALL_VERBS = "options of all verbs, here or before the verb"
EVERYWHERE: Mapping[str, Mapping[str, Any]] = {
    "-q --quiet": {
        "action": "store_true",
        "help": "no progress on stderr: errors and questions only",
    },
    "-v --verbose": {
        "action": "store_true",
        "help": "on stderr: what is asked of which agent, what it answers, how long that takes",
    },
    "-C --context": {"default": "", "metavar": "NAME", "help": "of the config file"},
    "--config": {"metavar": "FILE", "help": "instead of the default config file"},
    "--connect-timeout": {
        "type": duration,
        "default": 2.0,
        "metavar": "TIME",
        "help": "how long to wait for an agent's answer to a look or a plan: 500ms (2s)",
    },
    "--max-age": {
        "type": duration,
        "metavar": "TIME",
        "help": "older telemetry counts as missing: 3s; with none that is young enough, exit 6",
    },
    "--no-input": {"action": "store_true", "help": "never ask; as without a terminal"},
    "--local": {
        "action": "store_true",
        "help": "times in this machine's zone, those that are typed too (else UTC); JSON stays UTC",
    },
    "--utc": {
        "action": "store_false",
        "dest": "local",
        "default": False,
        "help": "times in UTC, as without --local: the last of the two holds",
    },
    "--units": {
        "choices": ("si", "iec", "raw"),
        "help": "of numbers in tables: 1.31M (si), 1.25Mi (iec), 1312345 (raw)",
    },
    "--color": {
        "choices": ("auto", "always", "never"),
        "default": "auto",
        "help": "of tables and lines: auto is on a terminal, without NO_COLOR",
    },
    "--plain": {
        "action": "store_true",
        "help": "for screen readers and logs: states in words only, no colours, never clears the "
        "screen",
    },
}
"""Flags that stand before the verb or behind it, and what they are to argparse."""


def add_connection(to: argparse._ActionsContainer, *, suffix: str) -> None:
    to.add_argument(
        "-a",
        "--agent",
        action="append",
        default=[],
        metavar="ADDR",
        dest=f"agents{suffix}",
        help="an agent's address, ipc:///run/remora/NODE; repeatable",
    )
    unsaid: Mapping[str, Any] = {"default": argparse.SUPPRESS} if suffix else {}
    for names, options in EVERYWHERE.items():
        to.add_argument(*names.split(), **{**options, **unsaid})


def add_verb(verbs: Verbs, name: str, text: str) -> Verb:
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    if verb.asked:
        add_connection(verb.add_argument_group(ALL_VERBS), suffix="_after")
    return verb


def add_at(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--at",
        metavar="TIME",
        help="as it was: 14:02:30 or 5m (ago), from the agents' last hour",
    )
    verb.add_argument(
        "--from", dest="recording", metavar="FILE", help="from a recording (default: its end)"
    )


def add_labels(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "-l", "--selector", action="append", default=[], dest="labels", metavar="SELECTOR",
        help="by labels: rack=r2, tier!=web, 'rack in (r1,r2)', canary, '!canary'; commas: all of "
        "them",
    )  # fmt: skip


def patience(text: str) -> float:
    """A duration, or 0."""
    return 0.0 if text == "0" else duration(text)


def factor(text: str) -> float:
    """`2`, `0.5`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number, more than 0")
    return value


def positive(text: str) -> int:
    """How many, 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number, 1 or more")
    return int(text)


def weight(text: str) -> str:
    """`50`, `50%`, `+10`, `-10`; what it comes to is for whoever knows the present one."""
    plain = text.isascii() and text.isdecimal()
    if not re.fullmatch(r"[+-]?\d{1,4}|\d{1,4}%", text) or (plain and int(text) > 1000):
        raise argparse.ArgumentTypeError(f"{text!r}: must be 1 to 1000, or like 50%, +10, -10")
    return text


def key(text: str) -> str:
    if not 1 <= len(text) <= 64 or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r}: must be 1 to 64 characters")
    return text


def until(text: str) -> str:
    if not UNTIL.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be applied, verified, drained or quiet:N")
    return "drained" if text == "gone" else text
