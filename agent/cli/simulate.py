# SPDX-License-Identifier: Apache-2.0
"""`remora-agent simulate`: frames through the program, off the wire."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from agent.cli import verb
from agent.config import file as config


def add_verb(verbs: verb.Verbs) -> None:
    simulate = verb.add(
        verbs, "simulate", _simulate, "run frames through the program, off the wire"
    )
    simulate.add_argument(
        "--hex",
        nargs="+",
        required=True,
        metavar="FRAME",
        help="Ethernet frames in hex; - reads one per line from standard input",
    )
    simulate.add_argument("--json", action="store_true", help="one JSON array instead of lines")
    simulate.add_argument(
        "--down",
        action="append",
        default=[],
        metavar="REAL",
        help="count this real (an address) as down; all others count as up (repeatable)",
    )


def _simulate(options: argparse.Namespace) -> int:
    listed = config.read(options.config)
    from agent.boundary import EffectError
    from agent.conformance import simulation
    from agent.dataplane.loader import LoadError

    try:
        frames = [bytes.fromhex(text) for text in _frames(options.hex)]
        results = simulation.simulate(listed, frames, frozenset(options.down))
    except ValueError as error:
        return verb.fail(f"--hex: {error}; a frame is an even number of hex digits", 2)
    except (EffectError, LoadError) as error:
        return verb.fail(error, 1)
    if options.json:
        print(json.dumps([result.as_json() for result in results], indent=1))
        return 0
    for result in results:
        print(result)
    return 0


def _frames(given: Sequence[str]) -> list[str]:
    return sys.stdin.read().split() if list(given) == ["-"] else list(given)
