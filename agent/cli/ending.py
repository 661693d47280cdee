# SPDX-License-Identifier: Apache-2.0
"""`remora-agent stop` and `detach`: the agent ends, its data plane too if asked."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent.cli import verb
from agent.config import file as config


def add_verbs(verbs: verb.Verbs) -> None:
    stop = verb.add(
        verbs, "stop", _stop, "end the agent: routes are withdrawn, packets still served"
    )
    how = stop.add_mutually_exclusive_group()
    how.add_argument(
        "--keep-dataplane",
        action="store_true",
        help="withdraw nothing: the next agent adopts data plane, ExaBGP and routes",
    )
    how.add_argument(
        "--detach",
        action="store_true",
        help="then remove program, maps and sockets: the host as it was found",
    )
    verb.add(verbs, "detach", _detach, "take the program off the interface and remove its maps")


def _detach(options: argparse.Namespace) -> int:
    listed = config.read(options.config)
    from agent import bring_up
    from agent.boundary import EffectError
    from agent.dataplane import loader
    from agent.host import one_agent

    try:
        with one_agent.only_one(Path(listed.node.run_dir)):
            loader.detach(bring_up.pins(listed.node))
    except (EffectError, loader.LoadError) as error:
        return verb.fail(error, 1)
    print(f"{listed.node.interface}: program detached, maps removed")
    return 0


def _stop(options: argparse.Namespace) -> int:
    listed = config.read(options.config)
    import signal

    from agent import bring_up
    from agent.boundary import EffectError
    from agent.dataplane import loader
    from agent.host import one_agent

    run_dir = Path(listed.node.run_dir)
    how = one_agent.HAND_OVER if options.keep_dataplane else signal.SIGTERM
    try:
        ended = one_agent.end(run_dir, how)
        if options.detach:
            with one_agent.only_one(run_dir):
                for pins in loader.versions(bring_up.pins(listed.node)):
                    loader.detach(pins)
            one_agent.tidy(run_dir)
    except (EffectError, loader.LoadError) as error:
        return verb.fail(error, 1)
    print(f"{listed.node.name}: {'stopped' if ended else 'no agent is running'}", end="")
    print("; program detached, maps removed" if options.detach else "")
    return 0
