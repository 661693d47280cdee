# SPDX-License-Identifier: Apache-2.0
"""The verbs that plan and change, and the conditions that all of them know."""

from __future__ import annotations

import argparse

from console.cli.grammar.verb import Verbs
from console.cli.grammar.words import (
    add_labels,
    add_verb,
    duration,
    key,
    patience,
    until,
    weight,
)


def add(verbs: Verbs) -> None:
    _add_planned(verbs)
    text = "makes a plan and changes nothing; `apply` takes its -o json"
    plan = verbs.add_parser("plan", help=text, description=f"{text.capitalize()}.")
    if plan.asked:
        _add_planned(plan.add_verbs())
    plan.set_defaults(made="plan")
    apply = add_verb(
        verbs, "apply", "makes things as a file says: a plan (not older than a minute), or states"
    )
    apply.add_argument(
        "file",
        metavar="FILE",
        help="of plan -o json, or desired states (configs/state.toml is a sample); - is the input",
    )
    add_labels(apply)
    apply.add_argument("--vip", default="", metavar="NAME", help="of states: of this VIP only")
    _add_nodes(apply)
    _add_staging(apply)
    _add_wait(apply)
    _add_conditions(apply)
    undo = add_verb(verbs, "undo", "takes an operation back, as a plan of its own")
    undo.add_argument(
        "operation", nargs="?", default="", metavar="OPERATION", help="its name; else your last"
    )
    _add_staging(undo)
    _add_conditions(undo)
    op = add_verb(
        verbs, "op", "an operation: wait for its end, hold it, go on with it, or take it back"
    )
    op.add_argument("order", choices=("wait", "hold", "resume", "revert"))
    op.add_argument("operation", metavar="OPERATION", help="its name, or the start of it: get op")
    op.add_argument("--timeout", type=patience, metavar="TIME", help="of wait (30m); 0 looks once")
    _add_staging(op)
    _add_conditions(op)
    confirm = add_verb(verbs, "confirm", "what you did with --confirm-within stays")
    confirm.add_argument(
        "operation", nargs="?", default="", metavar="OPERATION", help="else all of yours"
    )
    confirm.add_argument("--reason", default="", metavar="TEXT", help="for the nodes' journals")


def _add_planned(verbs: Verbs) -> None:
    _add_changing(verbs, "drain", "no new flows; those it has stay until they end")
    _add_changing(verbs, "undrain", "back into service, with the weight it had")
    _add_changing(verbs, "maint", "no packets at all; its flows are placed anew")
    _add_changing(verbs, "weight", "share of new flows, 1 to 1000")
    _add_changing(verbs, "withdraw", "its routes are away at once; packets that come are served")
    _add_changing(verbs, "announce", "takes a withdrawal back; health and drains decide as before")
    _add_enforcing(verbs)


_PLACED = (
    "real/ADDRESS[@VIP], vip/NAME or node/NAME; several reals are one change; with -l: real, vip "
    "or node"
)
_ROUTED = "vip/NAME, node/NAME or peer/NODE/ADDRESS; several are one change; with -l: vip or node"


def _add_changing(verbs: Verbs, name: str, text: str) -> None:
    verb = add_verb(verbs, name, text)
    routes = name in ("announce", "withdraw")
    verb.add_argument(
        "object",
        nargs="*",
        metavar="ROUTED" if routes else "OBJECT",
        help=_ROUTED if routes else _PLACED,
    )
    add_labels(verb)
    if routes:
        verb.set_defaults(vip="")
    else:
        verb.add_argument(
            "--vip", default="", metavar="NAME", help="with -l: reals of this VIP only"
        )
    if name == "weight":
        verb.add_argument(
            "weight", type=weight, metavar="N", help="1 to 1000; of what it is: 50%%, +10, -10"
        )
    if name == "drain":
        verb.add_argument(
            "--deadline", type=duration, metavar="TIME", help="of reals: when --then happens"
        )
        verb.add_argument(
            "--then",
            choices=("wait", "kill"),
            default="wait",
            help="flows that are left at the deadline: waited for, or they lose their real",
        )
    verb.add_argument(
        "--for", type=duration, dest="expires", metavar="TIME", help="then back by itself: 30m"
    )
    verb.add_argument(
        "--confirm-within",
        type=duration,
        dest="confirm",
        metavar="TIME",
        help="back by itself unless `remora confirm` comes in time",
    )
    _add_nodes(verb)
    _add_staging(verb)
    _add_wait(verb)
    _add_conditions(verb)


def _add_nodes(verb: argparse.ArgumentParser) -> None:
    which = verb.add_mutually_exclusive_group()
    which.add_argument(
        "-A", "--all-nodes", action="store_true", help="all that carry it, as without --node"
    )
    which.add_argument(
        "--node", action="append", default=[], metavar="NAME", help="lb1, 'lb*' or @r2; repeatable"
    )


def _add_staging(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--canary", default="", metavar="NODE", help="first there, or on so many; else all at once"
    )
    verb.add_argument("--soak", default="", metavar="TIME", help="after the canary (30s)")
    verb.add_argument("--batch", default="", metavar="N", help="nodes at a time after that (1)")
    verb.add_argument(
        "--stop-on",
        default="",
        metavar="WHAT",
        help="then it is HELD: drops=+50/s,hc,ack=5s (hc: a real's health changes)",
    )


def _add_wait(verb: argparse.ArgumentParser) -> None:
    waits = verb.add_mutually_exclusive_group()
    waits.add_argument(
        "--wait",
        type=until,
        default="verified",
        metavar="UNTIL",
        help="applied, verified (read back; else this), drained, or quiet:N live flows at most",
    )
    waits.add_argument(
        "--no-wait",
        action="store_const",
        dest="wait",
        const="applied",
        help="as --wait=applied: end when it is written, before it is read back",
    )
    verb.add_argument(
        "--timeout",
        type=patience,
        default=None,
        metavar="TIME",
        help="of --wait (30m); 0 looks once",
    )


def _add_conditions(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--allow", action="append", default=[], metavar="GUARD", help="pass it, with a --reason"
    )
    verb.add_argument(
        "--dry-run",
        nargs="?",
        const="agent",
        choices=("plan", "agent"),
        help="change nothing: the nodes make their plans, with all checks and guards (agent; also "
        "without a word), or no node is asked: what would be sent to which (plan)",
    )
    verb.add_argument("-y", "--yes", action="store_true", help="do not ask; guards still refuse")
    verb.add_argument("--reason", default="", metavar="TEXT", help="for the nodes' journals")
    verb.add_argument("--expect-revision", type=int, metavar="N", help="else exit 7")
    verb.add_argument(
        "--idempotency-key",
        type=key,
        metavar="KEY",
        help="again with the same KEY within a day: done once, answered as the first time",
    )
    _add_output(verb)


def _add_output(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_enforcing(verbs: Verbs) -> None:
    reload = add_verb(verbs, "reload", "nodes take their config files, each all of it or nothing")
    reload.add_argument("object", nargs="*", default=[], metavar="NODE")
    reload.add_argument("-A", "--all-nodes", action="store_true", help="each node of the cluster")
    add_labels(reload)
    _add_conditions(reload)
    rollback = add_verb(verbs, "rollback", "a node takes an earlier config of its own")
    rollback.add_argument("object", metavar="NODE")
    rollback.add_argument(
        "generation", nargs="?", type=int, default=0, metavar="N", help="else the one before"
    )
    _add_conditions(rollback)
