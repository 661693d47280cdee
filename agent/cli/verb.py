# SPDX-License-Identifier: Apache-2.0
"""What the verbs have alike: a config file to work by, and how they say that they failed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from shared.usage import Parser

Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What argparse gives for add_subparsers()."""


def add(
    verbs: Verbs,
    name: str,
    call: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text)
    parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE")
    parser.set_defaults(verb=call)
    return parser


def fail(error: object, code: int) -> int:
    print(f"remora-agent: {error}", file=sys.stderr)
    return code
