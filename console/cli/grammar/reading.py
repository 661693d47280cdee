# SPDX-License-Identifier: Apache-2.0
"""The verbs that list and follow: status, get, top, events, reasons."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from console.cli.grammar.verb import Verbs
from console.cli.grammar.words import add_at, add_labels, add_verb, duration, patience, positive


class _Kinds(tuple[str, ...]):
    """What there are lists of; `node/lb1` is of one of these, too."""

    __slots__ = ()

    def __contains__(self, word: object) -> bool:
        return super().__contains__(str(word).partition("/")[0])


TABLES = ("table", "wide", "json", "jsonl", "csv", "yaml", "name")
LISTED = _Kinds(("node", "vip", "real", "each", "drop", "cpu", "flow", "peer", "check", "op"))
RATED = _Kinds(("node", "vip", "real", "each", "drop", "cpu", "flow"))


def add(verbs: Verbs) -> None:
    _add_status(verbs)
    _add_get(verbs)
    _add_top(verbs)
    _add_events(verbs)
    reasons = add_verb(verbs, "reasons", "why packets are dropped: meaning, cause, remedy")
    reasons.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_status(verbs: Verbs) -> None:
    status = add_verb(verbs, "status", "what is wrong; exit 0 only when nothing is")
    status.add_argument(
        "object", nargs="?", metavar="OBJECT|PEER", help="only of this node, VIP, real or peer"
    )
    add_labels(status)
    add_at(status)
    status.add_argument("--short", action="store_true", help="one line")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")
    status.add_argument(
        "--wait-for", choices=("healthy",), help="look again until it is; exit 5 if it never was"
    )
    status.add_argument(
        "--timeout", type=patience, default=60.0, metavar="TIME", help="of --wait-for (60s)"
    )


def _add_get(verbs: Verbs) -> None:
    get = add_verb(verbs, "get", "lists: nodes, VIPs, reals, drops, CPUs, BGP peers, operations")
    get.add_argument(
        "kind", type=_one, choices=LISTED, metavar="KIND",
        help=f"{', '.join(LISTED)} (each: every real on every node; flow: what flow "
        "tables hold of each, which know neither addresses nor beginning of a flow), or an object: "
        "node/lb1",
    )  # fmt: skip
    _add_names(get)
    get.add_argument("-o", "--output", choices=TABLES, help="table; wide adds columns and rates")
    add_at(get)
    get.add_argument("--rates", action="store_true", help="look twice, a second apart")
    _add_selectors(get)


def _one(word: str) -> str:
    """`reals` is what many tools call it."""
    kind, slash, name = word.partition("/")
    return kind.removesuffix("s") + slash + name


def _of_events(kind: str) -> str:
    """What `get op` lists are the changes, seen together."""
    return "changes" if kind in ("op", "ops") else kind


def _add_names(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "names", nargs="*", default=[], metavar="NAME",
        help="only these: lb1, web, 10.3.1.2@web, 10.3.1.2 of all VIPs; how an operation's begins",
    )  # fmt: skip


def _add_top(verbs: Verbs) -> None:
    top = add_verb(verbs, "top", "rates, the busiest first")
    top.add_argument(
        "kind",
        nargs="?",
        type=_one,
        choices=RATED,
        default="node",
        metavar="KIND",
        help=f"{', '.join(RATED)} (each: every real on every node; flow: what flow "
        "tables hold of each, which know neither addresses nor beginning of a flow), or an object: "
        "node/lb1",
    )
    _add_names(top)
    top.add_argument("-o", "--output", choices=TABLES, default="table")
    add_at(top)
    _add_selectors(top)


def _add_selectors(verb: argparse.ArgumentParser) -> None:
    add_labels(verb)
    verb.add_argument("--vip", metavar="NAME", help="of this VIP only")
    verb.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="NAME",
        help="lb1, 'lb*' or @r2; repeatable",
    )
    verb.add_argument(
        "--state", action="append", default=[], metavar="STATE", help="up, drain, down, split, ..."
    )
    verb.add_argument(
        "--field", action="append", default=[], metavar="TEST",
        help="'miss>1%%', 'pps>=10k', 'check=http 500': a column or a key of the JSON",
    )  # fmt: skip
    verb.add_argument("--sort", default="", metavar="COLUMN", help="largest or A first")
    verb.add_argument("--reverse", action="store_true", help="of --sort: the other way round")
    verb.add_argument("--columns", default="", metavar="A,B,...", help="these, in this order")
    verb.add_argument("--no-headers", action="store_true", help="for a script")
    verb.add_argument("-n", "--number", type=positive, metavar="N", help="the first N rows")
    verb.add_argument(
        "--watch", nargs="?", type=duration, const=2.0, metavar="TIME",
        help="again and again (2s): over each other on a terminal, else appended; `get` on a "
        "pipe as jsonl unless -o says otherwise",
    )  # fmt: skip
    verb.add_argument("--count", type=positive, metavar="N", help="so many times, with --watch")


class _Test(argparse.Action):
    """Fields keep their order, so that --not is about the one behind it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        del parser, option_string
        namespace.tests = [*namespace.tests, (self.const, str(values), namespace.negated)]
        namespace.negated = False


def _add_events(verbs: Verbs) -> None:
    events = add_verb(verbs, "events", "dropped packets, health, BGP, changes")
    events.add_argument(
        "kind", nargs="?", type=_of_events, choices=("drops", "health", "bgp", "changes")
    )
    add_at(events)
    add_labels(events)
    events.add_argument("-f", "--follow", action="store_true", help="go on as they happen")
    events.add_argument(
        "--last", type=positive, metavar="N", help="of the past (20; of a span of time: all)"
    )
    events.add_argument("--since", metavar="TIME", help="14:02:30, or 10m (ago)")
    events.add_argument("--until", metavar="TIME", help="as --since")
    events.set_defaults(tests=[])
    for field, metavar, text in (
        ("reason", "NAME", "of a drop"),
        ("vip", "NAME", "of this VIP"),
        ("node", "NAME", "of this node; 'lb*'"),
        ("src", "CIDR", "packets from there"),
        ("dst", "CIDR", "packets to there"),
    ):
        events.add_argument(
            f"--{field}", action=_Test, const=field, metavar=metavar, dest="tests", help=text
        )
    events.add_argument(
        "--not", action="store_true", dest="negated", help="turns round the one behind it"
    )
    events.add_argument(
        "--pcap", metavar="FILE", help="dropped packets into a new pcapng file, for Wireshark"
    )
    events.add_argument("-o", "--output", choices=("table", "json", "jsonl"), default="table")
