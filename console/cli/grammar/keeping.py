# SPDX-License-Identifier: Apache-2.0
"""The verbs about records and this console itself: audit, record, keys, config, info, doctor."""

from __future__ import annotations

from console.cli.grammar.verb import Verbs
from console.cli.grammar.words import add_verb, duration, factor
from shared.model import Role


def add(verbs: Verbs) -> None:
    _add_keys(verbs)
    _add_past(verbs)
    _add_config(verbs)
    for name, text in (
        ("context", "the clusters of the config file, * before the one in force"),
        ("info", "every path and limit in force; no agent is asked"),
        ("doctor", "whether each agent can be spoken to, its version, its clock; exit 1 if not"),
    ):
        verb = add_verb(verbs, name, text)
        verb.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_config(verbs: Verbs) -> None:
    config = add_verb(verbs, "config", "the console's own settings, and where each comes from")
    config.add_argument(
        "order",
        nargs="?",
        choices=("view", "check", "path", "sample"),
        default="view",
        help="view: those in force; check: is a file right, exit 1 if not; path: of the config "
        "file; sample: one with all keys",
    )
    config.add_argument("file", nargs="?", metavar="FILE", help="of check; else the config file")
    config.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_keys(verbs: Verbs) -> None:
    keys = add_verb(verbs, "keys", "make a key pair, or show the public half of one")
    keys.add_argument("file", metavar="FILE", help="secret key; FILE.pub is its public half")
    keys.add_argument("--show", action="store_true", help="of a key that is there already")
    keys.add_argument("--role", choices=[str(role) for role in Role], default="operator")
    keys.add_argument("--name", help="in the audit (you@here)")


def _add_past(verbs: Verbs) -> None:
    audit = add_verb(verbs, "audit", "who did what on the nodes, and whether the records are whole")
    audit.add_argument("--last", type=int, default=20, metavar="N", help="records (20)")
    audit.add_argument("--verify", action="store_true", help="check all hashes; exit 1 if broken")
    audit.add_argument("--file", metavar="FILE", help="a copy of audit.jsonl, not the agents")
    audit.add_argument("-o", "--output", choices=("table", "json", "jsonl"), default="table")
    record = add_verb(verbs, "record", "store the agents' telemetry in a file, until Ctrl-C")
    record.add_argument("file", metavar="FILE")
    record.add_argument("--seconds", type=duration, metavar="TIME", help="and then end: 90, 10m")
    relay = add_verb(verbs, "relay", "pass the agents' telemetry on to many consoles")
    relay.add_argument("--listen", required=True, metavar="HOST:PORT")
    relay.add_argument("--secret-key", default="", metavar="FILE", help="of the relay")
    relay.add_argument("--authorized-keys", default="", metavar="FILE", help="of the consoles")
    relay.add_argument("--insecure", action="store_true", help="no keys, on any address")
    relay.add_argument("--metrics", default="", metavar="HOST:PORT", help="serve its own metrics")
    replay = add_verb(
        verbs, "replay", "the console on a recording, or on the agents' last hour; , . < > jump"
    )
    replay.add_argument(
        "file", nargs="?", metavar="FILE", help="a recording; without: --at of the agents' own hour"
    )
    replay.add_argument(
        "--at", metavar="TIME", help="begin at 14:02:30, or 5m ago (of FILE: before its end)"
    )
    replay.add_argument(
        "--speed", type=factor, default=1.0, metavar="X", help="of FILE; + and _, p holds"
    )
