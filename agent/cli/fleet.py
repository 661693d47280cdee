# SPDX-License-Identifier: Apache-2.0
"""`remora-agent simulate-fleet`: made-up agents, for consoles."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from agent.cli import verb


def add_verb(verbs: verb.Verbs) -> None:
    parser = verbs.add_parser("simulate-fleet", help="many made-up agents, for consoles")
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


def _simulate_fleet(options: argparse.Namespace) -> int:
    import asyncio
    import logging

    from agent.boundary import EffectError
    from agent.host import supervisor
    from agent.wire import fleet

    if bool(options.secret_key) != bool(options.authorized_keys):
        return verb.fail("--secret-key and --authorized-keys go together", 2)
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
        return verb.fail(error, 1)
    return 0
