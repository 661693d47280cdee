# SPDX-License-Identifier: Apache-2.0
"""`remora-agent`: the command of the edge node.

Exit codes: 0 done, 1 failed (the world said no), 2 usage or config, 130 interrupted; those of
plan, reload and rollback are in cli_change.py.
Only what a verb needs is imported: `check` runs on a machine without BPF parts.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.cli import change as cli_change
from agent.cli import preflight as cli_preflight
from agent.config import file as config

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
    verb: Callable[[argparse.Namespace], int] = options.verb
    try:
        return verb(options)
    except config.ConfigError as error:
        return _fail(error, 2)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="remora-agent",
        description="The agent of a remora edge node: data plane, health checks, BGP, telemetry.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=importlib.metadata.version("remora"))
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    run = _verb(verbs, "run", _run, "serve until SIGTERM or Ctrl-C")
    run.add_argument("--debug", action="store_true", help="log every fact")

    check = verbs.add_parser("check", help="read a config file and say what is wrong with it")
    check.add_argument("config", type=Path, metavar="FILE")
    check.set_defaults(verb=_check)

    simulate = _verb(verbs, "simulate", _simulate, "run frames through the program, off the wire")
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
    conforms = _verb(verbs, "conformance", _conformance, "try packets of all kinds, off the wire")
    conforms.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    cli_change.add_verbs(verbs)
    _fleet_options(verbs.add_parser("simulate-fleet", help="many made-up agents, for consoles"))
    cli_preflight.add_verb(verbs)
    stop = _verb(verbs, "stop", _stop, "end the agent: routes are withdrawn, packets still served")
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
    _verb(verbs, "detach", _detach, "take the program off the interface and remove its maps")
    return parser


def _fleet_options(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Publish made-up telemetry of many agents, marked SIMULATED, until Ctrl-C: for the "
        "development of consoles, and for load tests."
    )
    parser.add_argument("-n", dest="agents", type=int, default=10, metavar="AGENTS")
    parser.add_argument("--vips", type=int, default=64, metavar="N", help="each (64)")
    parser.add_argument("--reals", type=int, default=8, metavar="N", help="of each VIP (8)")
    parser.add_argument("--hz", type=float, default=1.0, help="snapshots a second (1)")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--run-dir", default="", metavar="DIR", help="at ipc://DIR/sim-000, ...")
    where.add_argument("--listen", default="", metavar="HOST:PORT", help="two ports each")
    parser.add_argument("--secret-key", default="", metavar="FILE", help="of all of them")
    parser.add_argument("--authorized-keys", default="", metavar="FILE")
    parser.add_argument(
        "--write-config", type=Path, metavar="FILE", help="for `remora --config FILE`: them all"
    )
    parser.set_defaults(verb=_simulate_fleet)


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    call: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text)
    parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE")
    parser.set_defaults(verb=call)
    return parser


def _fail(error: object, code: int) -> int:
    print(f"remora-agent: {error}", file=sys.stderr)
    return code


def _check(options: argparse.Namespace) -> int:
    listed = config.read(options.config)
    reals = sum(len(vip.reals) for vip in listed.vips)
    print(
        f"{options.config}: ok: node {listed.node.name}, {len(listed.vips)} VIPs, {reals} reals, "
        f"{len(listed.bgp.peers) if listed.bgp else 0} BGP peers"
    )
    return 0


def _run(options: argparse.Namespace) -> int:
    from agent.host import supervisor

    supervisor.log_to_stderr(logging.DEBUG if options.debug else logging.INFO)
    from agent import runtime
    from agent.boundary import EffectError
    from agent.dataplane.loader import LoadError

    try:
        asyncio.run(runtime.run(options.config))
    except (EffectError, LoadError) as error:
        return _fail(error, 1)
    return 0


def _simulate(options: argparse.Namespace) -> int:
    listed = config.read(options.config)
    from agent.boundary import EffectError
    from agent.conformance import simulation
    from agent.dataplane.loader import LoadError

    try:
        frames = [bytes.fromhex(text) for text in _frames(options.hex)]
        results = simulation.simulate(listed, frames, frozenset(options.down))
    except ValueError as error:
        return _fail(f"--hex: {error}; a frame is an even number of hex digits", 2)
    except (EffectError, LoadError) as error:
        return _fail(error, 1)
    if options.json:
        print(json.dumps([result.as_json() for result in results], indent=1))
        return 0
    for result in results:
        print(result)
    return 0


def _conformance(options: argparse.Namespace) -> int:
    from agent.cli.conformance import conformance

    return conformance(options)


def _simulate_fleet(options: argparse.Namespace) -> int:
    from agent.boundary import EffectError
    from agent.host import supervisor
    from agent.wire import fleet

    if bool(options.secret_key) != bool(options.authorized_keys):
        return _fail("--secret-key and --authorized-keys go together", 2)
    fields = {name: getattr(options, name) for name in fleet.Plan._fields}
    plan = fleet.Plan(**fields)
    try:
        agents = [plan.address(number) for number in range(plan.agents)]
        if options.write_config:
            listed = "".join(f"  {json.dumps(address)},\n" for address in agents)
            options.write_config.write_text(f'cluster = "fleet"\nagents = [\n{listed}]\n')
        supervisor.log_to_stderr(logging.INFO)
        asyncio.run(fleet.run(plan))
    except (EffectError, OSError, ValueError) as error:
        return _fail(error, 1)
    return 0


def _frames(given: Sequence[str]) -> list[str]:
    return sys.stdin.read().split() if list(given) == ["-"] else list(given)


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
        return _fail(error, 1)
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
        return _fail(error, 1)
    print(f"{listed.node.name}: {'stopped' if ended else 'no agent is running'}", end="")
    print("; program detached, maps removed" if options.detach else "")
    return 0
