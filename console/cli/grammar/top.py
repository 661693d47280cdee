# SPDX-License-Identifier: Apache-2.0
"""The grammar of the command `remora`, whole: --help, completion and the man page come from it."""

from __future__ import annotations

import argparse
from collections.abc import Collection

from console.cli.grammar import changing, keeping, looking, reading
from console.cli.grammar.reading import TABLES
from console.cli.grammar.verb import Before, RawHelp, add_verbs
from console.cli.grammar.words import add_connection, add_verb
from console.tui.appearance import THEMES
from shared.usage import Parser

EXAMPLES = """\
examples:
  remora -a ipc:///run/remora/lb1 -a ipc:///run/remora/lb2
                                         the console on two nodes
  remora status --short                  one line; exit 0 only when all is well
  remora get real -o wide                every real, with rates
  remora top real -n 5 --watch           the five busiest, every two seconds
  remora get real --state down -o name   for a script: exit 2 when there is none
  remora drain real/10.3.1.2@web --reason 'disk swap'
                                         show the plan, ask, drain on all nodes
  remora drain real/10.3.1.2@web --yes --wait=drained
                                         from a script: exit 0 when no flow is left
  remora plan drain node/lb1 -o json > p; remora apply p
                                         look now, do exactly that within a minute
  remora undo                            your last change, taken back
  remora events drops -f --not --src 192.0.2.0/24
                                         dropped packets as they happen
  remora watch --plain                   the console for a screen reader or a log
  remora trace vip/web src=198.51.100.0/24 -w web.pcapng
                                         packets in and out, for Wireshark

objects:
  real/10.3.1.2@web   a real of one VIP      node/lb1   a node
  real/10.3.1.2       a real of all VIPs     vip/web    a VIP
  the prefix may be left out where the name means one thing only

exit codes:
  0 done, or already so; status: healthy     1 failed; status: unhealthy
  2 usage, or a question and nobody to ask   3 partial: some nodes did not
  4 refused by a guard                       5 timed out
  6 no agent answers, or data are too old    7 conflict: the node changed since the plan
  8 not allowed                            130 interrupted

agents come from -a, else from `agents = [...]` in the config file
($XDG_CONFIG_HOME/remora/config.toml), else from REMORA_AGENTS.
"""


def parser(words: Collection[str] | None = None) -> Parser:
    """Of the verbs that are not among the words (None: of none) only the name is known."""
    top = Parser(
        prog="remora",
        description="See and steer remora's balancer nodes. Without a verb: the console.",
        epilog=EXAMPLES,
        formatter_class=RawHelp,
    )
    add_connection(top, suffix="")
    top.add_argument(
        "-o", "--output", action=Before, choices=TABLES, dest="before", metavar="FORM",
        help="how a verb's answer is written: json, and what else it has (VERB --help)",
    )  # fmt: skip
    _add_render(top, suffix="", default="diff")
    top.add_argument("--ascii", action="store_true", help="of the console: no other signs")
    top.add_argument("--theme", choices=THEMES, help="of the console (dark)")
    verbs = add_verbs(top, words)
    reading.add(verbs)
    looking.add(verbs)
    changing.add(verbs)
    keeping.add(verbs)
    console = add_verb(verbs, "console", "the full-screen console (also without a verb)")
    _add_render(console, suffix="_after", default=None)
    version = add_verb(verbs, "version", "the version")
    version.add_argument("-o", "--output", choices=("table", "json"), default="table")
    shell = add_verb(verbs, "completion", "what a shell needs to complete verbs, flags, live names")
    shell.add_argument("shell", choices=("bash", "zsh", "fish"))
    add_verb(verbs, "man", "this as a man page: remora man | man -l -")
    # Asked by the shell; `--` keeps the half-typed flags in it from being taken for flags.
    asked = verbs.add_parser("complete", description=argparse.SUPPRESS)
    asked.add_argument("words", nargs="*")
    return top


def _add_render(to: argparse.ArgumentParser, *, suffix: str, default: str | None) -> None:
    to.add_argument(
        "--render",
        choices=("diff", "stock"),
        default=default,
        dest=f"render{suffix}",
        help="of the console: only cells that changed (diff), or Textual's own output (stock), "
        "should a terminal show the first wrongly",
    )
