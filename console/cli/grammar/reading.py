# SPDX-License-Identifier: Apache-2.0
"""The verbs that change nothing: status, get, events, watch, diff, trace."""

from __future__ import annotations

from console.cli.grammar.words import Verbs, add_at, add_verb, duration, seconds


def add(verbs: Verbs) -> None:
    _add_looks(verbs)
    _add_watching(verbs)
    _add_tracing(verbs)
    reasons = add_verb(verbs, "reasons", "why packets are dropped: meaning, cause, remedy")
    reasons.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_looks(verbs: Verbs) -> None:
    status = add_verb(verbs, "status", "what is wrong; exit 0 only when nothing is")
    status.add_argument(
        "object", nargs="?", metavar="OBJECT", help="only of this node, VIP or real"
    )
    add_at(status)
    status.add_argument("--short", action="store_true", help="one line")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")
    get = add_verb(verbs, "get", "lists: nodes, VIPs, reals, drops by reason")
    get.add_argument("kind", choices=("node", "vip", "real", "drop"))
    get.add_argument(
        "-o",
        "--output",
        choices=("table", "wide", "json", "jsonl", "csv", "name"),
        default="table",
        help="wide adds rates",
    )
    add_at(get)
    get.add_argument("--rates", action="store_true", help="look twice, a second apart")
    get.add_argument("--vip", metavar="NAME", help="reals of this VIP only")
    get.add_argument("--node", action="append", default=[], metavar="NAME", help="repeatable")
    events = add_verb(verbs, "events", "dropped packets, health, BGP, changes")
    events.add_argument("kind", nargs="?", choices=("drops", "health", "bgp", "changes"))
    add_at(events)
    events.add_argument("-f", "--follow", action="store_true", help="go on as they happen")
    events.add_argument("--last", type=int, default=20, metavar="N", help="of the past (20)")
    events.add_argument("-o", "--output", choices=("table", "json", "jsonl"), default="table")


def _add_watching(verbs: Verbs) -> None:
    watch = add_verb(verbs, "watch", "the console's views as plain text, block after block")
    watch.add_argument(
        "view",
        nargs="?",
        default="fleet",
        choices=(
            "fleet", "nodes", "vips", "reals", "drops", "bgp", "checks", "alerts", "operations",
        ),
        help="nodes: every real on every node",
    )  # fmt: skip
    watch.add_argument("filter", nargs="*", metavar="WORD", help="rows with all these words")
    watch.add_argument("--plain", action="store_true", help="never clear the screen (as in a pipe)")
    watch.add_argument("--every", type=seconds, default=2.0, metavar="SECONDS", help="(2)")
    watch.add_argument("--count", type=int, default=0, metavar="N", help="blocks, then leave")
    diff = add_verb(
        verbs, "diff", "whether all nodes place flows alike; exit 0 yes, 1 no, 2 trouble"
    )
    diff.add_argument("what", choices=("ring",))
    diff.add_argument("vip", nargs="?", metavar="VIP")
    diff.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_tracing(verbs: Verbs) -> None:
    trace = add_verb(verbs, "trace", "packets as they come to the nodes and as they leave them")
    trace.add_argument(
        "filter",
        nargs="*",
        metavar="OBJECT",
        help="node/NAME, vip/NAME, real/ADDRESS@VIP, and src= dst= (address or network) sport= "
        "dport= proto= (tcp, udp, icmp, icmpv6) ip= (4, 6): what all of these fit; else everything",
    )
    trace.add_argument(
        "--for", dest="seconds", type=duration, default=30.0, metavar="TIME",
        help="30s, 5m; at most 10m (30s)",
    )  # fmt: skip
    trace.add_argument(
        "--one-in", type=int, default=1, metavar="N", help="of N packets one, by chance"
    )
    trace.add_argument(
        "--rate", type=int, default=100, metavar="N", help="packets per second and CPU (100)"
    )
    trace.add_argument("--count", type=int, default=0, metavar="N", help="packets, then end")
    trace.add_argument(
        "-w", "--write", metavar="FILE", help="a new pcapng file for Wireshark; - is the output"
    )
    trace.add_argument("-o", "--output", choices=("table", "json", "jsonl"), default=None)
    trace.add_argument("--stop", action="store_true", help="end whichever is running there")
