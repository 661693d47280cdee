# SPDX-License-Identifier: Apache-2.0
"""`remora-agent preflight`: is this machine ready for traffic, and what puts it right?

Exit codes: 0 ready (or all undone), 1 at least one failure, 2 usage or config.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli import verb
from agent.config import file as config

if TYPE_CHECKING:
    from agent.preflight.findings import Finding
    from agent.preflight.settings import Done

REAL_STATE = "/var/lib/remora"
"""Where a real, which has no config of ours, keeps the record for --undo."""
GUE_PORT = 9886
EPILOG = """\
examples:
  remora-agent preflight -c FILE                      what must be put right before traffic?
  remora-agent preflight -c FILE --fix                put right what is safe to
  remora-agent preflight -c FILE --undo               set back what --fix has set
  remora-agent preflight --role real --vip 10.200.0.1:80        on a real
  remora-agent preflight -c FILE --json | jq '.findings[] | select(.level == "fail")'

exit codes: 0 ready, 1 at least one failure, 2 usage or config
"""


def add_verb(verbs: verb.Verbs) -> None:
    parser = verbs.add_parser(
        "preflight",
        help="look whether this machine is ready, and put right what is safe to",
        description="Look whether this machine is ready for traffic.  Changes nothing without "
        "--fix; what that does lasts until the next boot.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="of the node")
    parser.add_argument("--role", choices=("node", "real"), default="node")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--fix",
        action="store_true",
        help="do what the lines marked --fix say, then look again",
    )
    what.add_argument("--undo", action="store_true", help="set back what --fix has set")
    what.add_argument(
        "--probe",
        action="store_true",
        help="on a node whose interface has no program: attach one for a moment "
        "(a NIC may lose packets meanwhile)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    _real_options(parser.add_argument_group("on a real"))
    parser.set_defaults(verb=_preflight)


def _real_options(real: argparse._ArgumentGroup) -> None:
    real.add_argument(
        "--vip",
        default="",
        metavar="ADDRESS[:PORT[/tcp|udp]]",
        help="the VIP address that it serves, and where its service listens",
    )
    real.add_argument(
        "--interface",
        default="",
        metavar="NAME",
        help="where packets arrive (default: the default route's)",
    )
    real.add_argument(
        "--outer",
        type=int,
        choices=(4, 6),
        help="version of the outer header: that of its address in the config (the VIP's)",
    )
    real.add_argument(
        "--gue", type=int, nargs="?", const=GUE_PORT, default=0, metavar="PORT",
        help=f'it has encap = "gue" in the config ({GUE_PORT})',
    )  # fmt: skip
    real.add_argument(
        "--state-dir",
        type=Path,
        default=Path(REAL_STATE),
        metavar="DIR",
        help=f"for what --undo needs to know ({REAL_STATE})",
    )


def _preflight(options: argparse.Namespace) -> int:
    from agent.preflight import mend, rules

    if options.role == "node" and options.config is None:
        return verb.fail(
            "preflight of a node needs -c FILE (of a real: --role real --vip ADDRESS)", 2
        )
    try:
        if options.undo:
            return _undo(options)
        if options.role == "real":
            rules.service(options.vip)  # a mistake in it is usage
    except ValueError as error:
        return verb.fail(f"--vip: {error}", 2)
    except mend.MendError as error:
        return verb.fail(error, 1)
    name, found = _look(options)
    done: list[Done] = []
    if options.fix:
        try:
            done = mend.fix(found, _state_dir(options))
        except mend.MendError as error:
            return verb.fail(error, 1)
        name, found = _look(options)
    return _show(options, name, found, done)


def _state_dir(options: argparse.Namespace) -> Path:
    if options.role == "real":
        return Path(options.state_dir)
    return Path(config.read(options.config).node.state_dir)


def _look(options: argparse.Namespace) -> tuple[str, Sequence[Finding]]:
    """The machine's name here, and what is to be said of it."""
    from agent.preflight import rules, survey

    if options.role == "node":
        listed = config.read(options.config)
        return listed.node.name, rules.judge_node(listed, survey.node(listed, probe=options.probe))
    vip, wanted = rules.service(options.vip)
    outer = options.outer or ip_address(vip).version
    seen = survey.real(vip, options.interface, outer, options.gue)
    return vip, rules.judge_real(seen, wanted)


def _show(
    options: argparse.Namespace, name: str, found: Sequence[Finding], done: Sequence[Done]
) -> int:
    from agent.preflight import findings, settings

    if options.json:
        plain = findings.as_json(options.role, name, found)
        if options.fix:
            plain["fixed"] = settings.as_json(done)
        print(json.dumps(plain, indent=1))
    else:
        if done:
            print(settings.as_text(done, "set", "until the next boot, or preflight --undo"))
            print()
        print(findings.as_text(found))
    return findings.exit_code(found) or int(any(one.failed for one in done))


def _undo(options: argparse.Namespace) -> int:
    from agent.preflight import mend, settings

    done = mend.undo(_state_dir(options))
    if options.json:
        print(json.dumps({"role": options.role, "undone": settings.as_json(done)}, indent=1))
    elif done:
        print(settings.as_text(done, "set back", ""))
    else:
        print("nothing to undo: --fix has set nothing since the machine was booted")
    return int(any(one.failed for one in done))
