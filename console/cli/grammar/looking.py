# SPDX-License-Identifier: Apache-2.0
"""The verbs that look on or closer: watch, diff, trace."""

from __future__ import annotations

from console.cli.grammar.verb import Verbs
from console.cli.grammar.words import add_labels, add_verb, duration, positive

VIEWS = (
    "fleet", "nodes", "vips", "reals", "drops", "bgp", "checks", "heat", "alerts", "operations",
    "rings", "events",
)  # fmt: skip


def add(verbs: Verbs) -> None:
    _add_watching(verbs)
    _add_flow(verbs)
    _add_tracing(verbs)


def _add_watching(verbs: Verbs) -> None:
    watch = add_verb(verbs, "watch", "the console's views as plain text, block after block")
    watch.add_argument(
        "view", nargs="?", default="fleet", metavar="VIEW",
        help=f"{', '.join(VIEWS)} (nodes: every real on every node), or an object: node/lb1, "
        "vip/web, real/10.3.1.2@web",
    )  # fmt: skip
    watch.add_argument("filter", nargs="*", metavar="WORD", help="rows with all these words")
    watch.add_argument("--every", type=duration, default=2.0, metavar="TIME", help="(2s)")
    watch.add_argument("--count", type=int, default=0, metavar="N", help="blocks, then leave")
    diff = add_verb(
        verbs, "diff", "whether nodes place flows alike, are configured alike; exit 0 yes, 1 no, "
        "2 trouble"
    )  # fmt: skip
    diff.add_argument(
        "what", nargs="?", default="ring", metavar="ring|config", help="of what; else ring"
    )
    diff.add_argument(
        "about",
        nargs="*",
        default=[],
        metavar="VIP|NODE",
        help="of ring VIPs and nodes, of config nodes",
    )
    diff.add_argument("--file", metavar="FILE", help="config: what runs, with this file")
    diff.add_argument("--disk", action="store_true", help="config: what runs, with the node's file")
    diff.add_argument(
        "--all", action="store_true", help="config: also keys that are each node's own"
    )
    diff.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_flow(verbs: Verbs) -> None:
    flow = add_verb(
        verbs, "flow", "where a flow goes, on each node; exit 0 to one real, 1 not: nothing is sent"
    )
    flow.add_argument(
        "flow",
        nargs="*",
        metavar="ADDRESS:PORT VIP",
        help="of the client; then vip/NAME, ADDRESS:PORT/tcp, ADDRESS:PORT/udp, or vip/NAME:PORT "
        "of one with all ports",
    )
    flow.add_argument(
        "--if",
        dest="supposed",
        metavar="CHANGE",
        help="'drain real/10.3.1.2@web', or undrain, maint, weight: where it would go after that, "
        "which is not done",
    )
    flow.add_argument(
        "--pcap", metavar="FILE", help="of all flows in a capture (pcap, pcapng): how many go where"
    )
    flow.add_argument(
        "--sample", type=positive, metavar="N", help="of so many flows by chance to VIP"
    )
    add_labels(flow)
    flow.add_argument(
        "--node", action="append", default=[], metavar="NAME", help="lb1, 'lb*' or @r2; repeatable"
    )
    flow.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_tracing(verbs: Verbs) -> None:
    trace = add_verb(verbs, "trace", "packets as they come to the nodes and as they leave them")
    trace.add_argument(
        "filter",
        nargs="*",
        metavar="OBJECT",
        help="node/NAME, vip/NAME, real/ADDRESS@VIP, and src= dst= (address or network) sport= "
        "dport= proto= (tcp, udp, icmp, icmpv6) ip= (4, 6): what all of these fit, else "
        "everything; with -l: node, vip or real",
    )
    add_labels(trace)
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
