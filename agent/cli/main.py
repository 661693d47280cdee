# SPDX-License-Identifier: Apache-2.0
"""`remora-agent`: the command of the edge node.

Exit codes: 0 done, 1 failed (the world said no), 2 usage or config, 130 interrupted; those of
plan, reload and rollback are in change.py.
Only what a verb needs is imported: `check` runs on a machine without BPF parts.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.cli import change, conformance, ending, fleet, preflight, simulate, verb
from agent.config import file as config
from agent.config.tree import Config
from agent.host import lean
from shared.usage import Parser
from shared.version import VERSION

EPILOG = """\
examples:
  remora-agent check /etc/remora/agent.toml      is the config right? says what to change
  remora-agent run -c /etc/remora/agent.toml     serve until SIGTERM, then withdraw the routes
  remora-agent plan FILE                         what would this file change? (asks the agent)
  remora-agent reload -c FILE                    bring the file into force, all of it or nothing
  remora-agent rollback -c FILE                  back to the config before
  remora-agent simulate -c FILE --hex 0200...    where would this frame go? (the same program)
  remora-agent conformance -c FILE               does the program do what it must, here?
  remora-agent preflight -c FILE                 what must be put right before traffic? says how
  remora-agent preflight -c FILE --fix           and does what is safe of it (--undo: back)
  remora-agent simulate-fleet -n 500 --run-dir /tmp/sim    500 made-up agents for a console
  remora-agent detach -c FILE                    take the data plane off the interface
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    call: Callable[[argparse.Namespace], int] = options.verb
    try:
        code = call(options)
        if sys.stdout is not None:  # closed by whoever called: >&-
            sys.stdout.flush()
        return code
    except config.ConfigError as error:
        return verb.fail(error, 2)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename or error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # Of the output.  Python's own flush at exit must not complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return verb.fail(f"output: {error.strerror}", 1)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="remora-agent",
        description="The agent of a remora edge node: data plane, health checks, BGP, telemetry.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    run = verb.add(verbs, "run", _run, "serve until SIGTERM or Ctrl-C")
    run.add_argument("--debug", action="store_true", help="log every fact")
    check = verbs.add_parser("check", help="read a config file and say what is wrong with it")
    check.add_argument("config", type=Path, metavar="FILE")
    check.set_defaults(verb=_check)
    simulate.add_verb(verbs)
    conformance.add_verb(verbs)
    change.add_verbs(verbs)
    fleet.add_verb(verbs)
    preflight.add_verb(verbs)
    ending.add_verbs(verbs)
    return parser


def _check(options: argparse.Namespace) -> int:
    listed = config.read(options.config)
    reals = sum(len(vip.reals) for vip in listed.vips)
    print(
        f"{options.config}: ok: node {listed.node.name}, {len(listed.vips)} VIPs, {reals} reals, "
        f"{len(listed.bgp.peers) if listed.bgp else 0} BGP peers"
    )
    if said := _labels(listed):
        print(f"labels: {said}")
    return 0


def _labels(listed: Config) -> str:
    """The node's, and of how many VIPs and reals which keys; empty: there are none."""
    reals = [real for vip in listed.vips for real in vip.reals]
    found = [f"node {listed.node.labels}"] if listed.node.labels else []
    for name, group in (("VIPs", listed.vips), ("reals", reals)):
        labelled = [each.labels for each in group if each.labels]
        keys = sorted({key for labels in labelled for key in labels})
        if labelled:
            found.append(f"{', '.join(keys)} on {len(labelled)} of {len(group)} {name}")
    return "; ".join(found)


def _run(options: argparse.Namespace) -> int:
    lean.prepare()
    import asyncio
    import logging

    from agent.host import supervisor

    supervisor.log_to_stderr(logging.DEBUG if options.debug else logging.INFO)
    from agent import runtime
    from agent.boundary import EffectError
    from agent.dataplane.loader import LoadError

    try:
        asyncio.run(runtime.run(options.config))
    except (EffectError, LoadError) as error:
        return verb.fail(error, 1)
    return 0
