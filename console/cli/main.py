# SPDX-License-Identifier: Apache-2.0
"""The command `remora`: the grammar, and which function does a verb.

Textual is imported for `console` only, so that verbs answer in a few hundredths of a second.
"""

from __future__ import annotations

import argparse
import getpass
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from console.exits import Exit, VerbError
from console.tui.appearance import THEMES
from shared.model import Role

if TYPE_CHECKING:
    from console.cli.verbs.session import Session
    from console.settings import Settings

EXAMPLES = """\
examples:
  remora -a ipc:///run/remora/lb1 -a ipc:///run/remora/lb2
                                         the console on two nodes
  remora status --short                  one line; exit 0 only when all is well
  remora get real -o wide                every real, with rates
  remora drain real/10.3.1.2@web --reason 'disk swap'
                                         show the plan, ask, drain on all nodes
  remora drain real/10.3.1.2@web --yes --wait=drained
                                         from a script: exit 0 when no flow is left
  remora events drops -f                 dropped packets as they happen
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
  6 no agent answers                         7 conflict: the node changed since the plan
  8 not allowed                            130 interrupted

agents come from -a, else from `agents = [...]` in the config file
($XDG_CONFIG_HOME/remora/config.toml), else from REMORA_AGENTS.
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="remora",
        description="See and steer remora's balancer nodes. Without a verb: the console.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_connection(top, suffix="")
    _add_render(top, suffix="", default="diff")
    top.add_argument("--ascii", action="store_true", help="of the console: no other signs")
    top.add_argument("--theme", choices=THEMES, help="of the console (dark)")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    _add_reading(verbs)
    _add_changing(verbs, "drain", "no new flows; those it has stay until they end")
    _add_changing(verbs, "undrain", "back into service, with the weight it had")
    _add_changing(verbs, "maint", "no packets at all; its flows are placed anew")
    _add_changing(verbs, "weight", "share of new flows, 1 to 1000")
    _add_enforcing(verbs)
    _add_looking(verbs)
    _add_tracing(verbs)
    _add_keys(verbs)
    _add_past(verbs)
    verb = _add(verbs, "reasons", "why packets are dropped: meaning, cause, remedy")
    verb.add_argument("-o", "--output", choices=("table", "json"), default="table")
    console = _add(verbs, "console", "the full-screen console (also without a verb)")
    _add_render(console, suffix="_after", default=None)
    _add(verbs, "version", "the version")
    shell = _add(verbs, "completion", "what a shell needs to complete verbs, flags and live names")
    shell.add_argument("shell", choices=("bash", "zsh", "fish"))
    _add(verbs, "man", "this as a man page: remora man | man -l -")
    # Asked by the shell; `--` keeps the half-typed flags in it from being taken for flags.
    asked = verbs.add_parser("complete", description=argparse.SUPPRESS)
    asked.add_argument("words", nargs="*")
    return top


def _add_connection(to: argparse.ArgumentParser, *, suffix: str) -> None:
    to.add_argument(
        "-a",
        "--agent",
        action="append",
        default=[],
        metavar="ADDR",
        dest=f"agents{suffix}",
        help="an agent's address, ipc:///run/remora/NODE; repeatable",
    )
    if not suffix:
        to.add_argument("-C", "--context", default="", metavar="NAME", help="of the config file")
        to.add_argument("--config", metavar="FILE", help="instead of the default config file")
        to.add_argument(
            "--connect-timeout",
            type=_seconds,
            default=2.0,
            metavar="SECONDS",
            help="how long to wait for an agent (2)",
        )
        to.add_argument("--no-input", action="store_true", help="never ask; as without a terminal")


def _add_render(to: argparse.ArgumentParser, *, suffix: str, default: str | None) -> None:
    to.add_argument(
        "--render",
        choices=("diff", "stock"),
        default=default,
        dest=f"render{suffix}",
        help="of the console: only cells that changed (diff), or Textual's own output (stock), "
        "should a terminal show the first wrongly",
    )


def _add(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    _add_connection(verb, suffix="_after")
    return verb


def _add_reading(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    status = _add(verbs, "status", "what is wrong; exit 0 only when nothing is")
    status.add_argument(
        "object", nargs="?", metavar="OBJECT", help="only of this node, VIP or real"
    )
    _add_at(status)
    status.add_argument("--short", action="store_true", help="one line")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")
    get = _add(verbs, "get", "lists: nodes, VIPs, reals, drops by reason")
    get.add_argument("kind", choices=("node", "vip", "real", "drop"))
    get.add_argument(
        "-o",
        "--output",
        choices=("table", "wide", "json", "jsonl", "csv", "name"),
        default="table",
        help="wide adds rates",
    )
    _add_at(get)
    get.add_argument("--rates", action="store_true", help="look twice, a second apart")
    get.add_argument("--vip", metavar="NAME", help="reals of this VIP only")
    get.add_argument("--node", action="append", default=[], metavar="NAME", help="repeatable")
    events = _add(verbs, "events", "dropped packets, health, BGP, changes")
    events.add_argument("kind", nargs="?", choices=("drops", "health", "bgp", "changes"))
    _add_at(events)
    events.add_argument("-f", "--follow", action="store_true", help="go on as they happen")
    events.add_argument("--last", type=int, default=20, metavar="N", help="of the past (20)")
    events.add_argument("-o", "--output", choices=("table", "json", "jsonl"), default="table")


def _add_changing(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> None:
    verb = _add(verbs, name, text)
    verb.add_argument(
        "object",
        nargs="+",
        metavar="OBJECT",
        help="real/ADDRESS[@VIP], vip/NAME or node/NAME; several reals are one change",
    )
    if name == "weight":
        verb.add_argument("weight", type=int, metavar="N", help="1 to 1000")
    if name == "drain":
        verb.add_argument(
            "--deadline", type=_duration, metavar="TIME", help="of reals: when --then happens"
        )
        verb.add_argument(
            "--then",
            choices=("wait", "kill"),
            default="wait",
            help="flows that are left at the deadline: waited for, or they lose their real",
        )
    verb.add_argument(
        "--for", type=_duration, dest="expires", metavar="TIME", help="then back by itself: 30m"
    )
    verb.add_argument(
        "--confirm-within",
        type=_duration,
        dest="confirm",
        metavar="TIME",
        help="back by itself unless `remora confirm` comes in time",
    )
    verb.add_argument("--node", action="append", default=[], metavar="NAME", help="repeatable")
    verb.add_argument(
        "--wait", choices=("applied", "drained"), help="until the nodes' telemetry shows it"
    )
    verb.add_argument(
        "--timeout", type=_seconds, default=None, metavar="SECONDS", help="of the wait (60)"
    )
    _add_conditions(verb)


def _add_conditions(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--allow", action="append", default=[], metavar="GUARD", help="pass it, with a --reason"
    )
    verb.add_argument("--dry-run", action="store_true", help="show the plan, change nothing")
    verb.add_argument("-y", "--yes", action="store_true", help="do not ask; guards still refuse")
    verb.add_argument("--reason", default="", metavar="TEXT", help="for the nodes' journals")
    verb.add_argument("--expect-revision", type=int, metavar="N", help="else exit 7")
    verb.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_enforcing(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    reload = _add(verbs, "reload", "nodes take their config files, each all of it or nothing")
    reload.add_argument("object", nargs="+", metavar="NODE")
    _add_conditions(reload)
    rollback = _add(verbs, "rollback", "a node takes an earlier config of its own")
    rollback.add_argument("object", metavar="NODE")
    rollback.add_argument(
        "generation", nargs="?", type=int, default=0, metavar="N", help="else the one before"
    )
    _add_conditions(rollback)
    confirm = _add(verbs, "confirm", "what you did with --confirm-within stays")
    confirm.add_argument(
        "operation", nargs="?", default="", metavar="OPERATION", help="else all of yours"
    )
    confirm.add_argument("--reason", default="", metavar="TEXT", help="for the nodes' journals")


def _add_looking(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    watch = _add(verbs, "watch", "the console's views as plain text, block after block")
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
    watch.add_argument("--every", type=_seconds, default=2.0, metavar="SECONDS", help="(2)")
    watch.add_argument("--count", type=int, default=0, metavar="N", help="blocks, then leave")
    diff = _add(verbs, "diff", "whether all nodes place flows alike; exit 0 yes, 1 no, 2 trouble")
    diff.add_argument("what", choices=("ring",))
    diff.add_argument("vip", nargs="?", metavar="VIP")
    diff.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_tracing(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    trace = _add(verbs, "trace", "packets as they come to the nodes and as they leave them")
    trace.add_argument(
        "filter",
        nargs="*",
        metavar="OBJECT",
        help="node/NAME, vip/NAME, real/ADDRESS@VIP, and src= dst= (address or network) sport= "
        "dport= proto= (tcp, udp, icmp, icmpv6) ip= (4, 6): what all of these fit; else everything",
    )
    trace.add_argument(
        "--for", dest="seconds", type=_duration, default=30.0, metavar="TIME",
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


def _add_keys(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keys = _add(verbs, "keys", "make a key pair, or show the public half of one")
    keys.add_argument("file", metavar="FILE", help="secret key; FILE.pub is its public half")
    keys.add_argument("--show", action="store_true", help="of a key that is there already")
    keys.add_argument("--role", choices=[str(role) for role in Role], default="operator")
    keys.add_argument("--name", help="in the audit (you@here)")


def _add_past(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = _add(verbs, "audit", "who did what on the nodes, and whether the records are whole")
    audit.add_argument("--last", type=int, default=20, metavar="N", help="records (20)")
    audit.add_argument("--verify", action="store_true", help="check all hashes; exit 1 if broken")
    audit.add_argument("--file", metavar="FILE", help="a copy of audit.jsonl, not the agents")
    audit.add_argument("-o", "--output", choices=("table", "jsonl"), default="table")
    record = _add(verbs, "record", "store the agents' telemetry in a file, until Ctrl-C")
    record.add_argument("file", metavar="FILE")
    record.add_argument("--seconds", type=_seconds, metavar="N", help="and then end")
    relay = _add(verbs, "relay", "pass the agents' telemetry on to many consoles")
    relay.add_argument("--listen", required=True, metavar="HOST:PORT")
    relay.add_argument("--secret-key", default="", metavar="FILE", help="of the relay")
    relay.add_argument("--authorized-keys", default="", metavar="FILE", help="of the consoles")
    relay.add_argument("--insecure", action="store_true", help="no keys, on any address")
    replay = _add(verbs, "replay", "the console on a recording; , . < > jump, + _ pace, p holds")
    replay.add_argument("file", metavar="FILE")
    replay.add_argument("--at", metavar="TIME", help="begin at 14:02:30, or 5m before its end")
    replay.add_argument("--speed", type=_seconds, default=1.0, metavar="X")


def _add_at(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--at", metavar="TIME", help="as it was: 14:02:30 or 5m (ago), from the agents' last hour"
    )
    verb.add_argument(
        "--from", dest="recording", metavar="FILE", help="from a recording (default: its end)"
    )


def _duration(text: str) -> float:
    """`90`, `90s`, `30m`, `2h`, `1d` -> seconds."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    unit = units.get(text[-1:], 0)
    try:
        return _seconds(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a time like 90s, 30m, 2h") from None


def _seconds(text: str) -> float:
    value = float(text.removesuffix("s"))
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: must be seconds, more than 0")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code; usage errors leave through argparse with 2."""
    given = ["--wait=applied" if a == "--wait" else a for a in (argv or sys.argv[1:])]
    if given[:1] == ["complete"]:
        return _complete(given[1:])
    arguments = parser().parse_args(given)
    arguments.agents += getattr(arguments, "agents_after", [])
    try:
        return _run(arguments)
    except VerbError as error:
        return _fail(str(error), error.code)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has left; Python's own flush at exit must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE


def _complete(given: Sequence[str]) -> int:
    """The shell asks at every Tab: names of the last look, no agent and no file of the config."""
    from console.cli import completion, names

    words = list(given[1:] if given[:1] == ["--"] else given)
    for word in completion.words(parser(), words, names.kept()):
        print(word)
    return Exit.DONE


def _fail(text: str, code: int) -> int:
    print(f"remora: {text}", file=sys.stderr)
    return code


def _run(arguments: argparse.Namespace) -> int:
    match arguments.verb:
        case "version":
            print(f"remora {_version()}")
            return Exit.DONE
        case "completion":
            from console.cli.completion import SHELLS

            print(SHELLS[arguments.shell], end="")
            return Exit.DONE
        case "man":
            from console.cli import manual

            print(manual.page(parser(), _version(), EXAMPLES), end="")
            return Exit.DONE
        case "keys":
            from console.cli.verbs import keys

            return keys.keys(arguments, arguments.name or who())
        case "reasons":
            from console.cli.verbs import explaining

            print(explaining.reasons(arguments.output))
            return Exit.DONE
        case "replay":
            return _replay(arguments)
        case "audit" if arguments.file:
            from console.cli.verbs import audit

            return audit.of_file(arguments)
    from console.settings import Settings, load

    if getattr(arguments, "recording", None):
        return _with_session(arguments, Settings((), "recording"), _verb(arguments.verb))
    settings = load(arguments.agents, arguments.config, context=arguments.context)
    if arguments.verb == "relay":
        from console.wire.relay import Listen, relay

        place = Listen(
            arguments.listen, arguments.secret_key, arguments.authorized_keys, arguments.insecure
        )
        return relay(settings, who(), place)
    if arguments.verb == "record":
        from console.cli.verbs import recorder

        return recorder.record(settings, who(), arguments)
    if arguments.verb in (None, "console"):
        render = getattr(arguments, "render_after", None) or arguments.render
        return _console(_looking(settings, arguments), render)
    return _with_session(arguments, settings, _verb(arguments.verb))


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # 40 ms

    try:
        return version("remora")
    except PackageNotFoundError:
        return "(not installed)"


VERBS = {
    "status": "reading.status",
    "get": "reading.get",
    "events": "following.events",
    "watch": "watching.watch",
    "diff": "differing.diff",
    "audit": "audit.audit",
    "trace": "tracing.trace",
    "drain": "changing.change",
    "undrain": "changing.change",
    "maint": "changing.change",
    "weight": "changing.change",
    "reload": "enforcing.enforce",
    "rollback": "enforcing.enforce",
    "confirm": "enforcing.confirm",
}
"""Verb -> module of console.cli.verbs and function: only what is done is imported."""


def _verb(name: str) -> Callable[[Session, argparse.Namespace], int]:
    from importlib import import_module

    module, _, function = VERBS[name].partition(".")
    found: Callable[[Session, argparse.Namespace], int]
    found = getattr(import_module(f"console.cli.verbs.{module}"), function)
    return found


def _with_session(
    arguments: argparse.Namespace,
    settings: Settings,
    verb: Callable[[Session, argparse.Namespace], int],
) -> int:
    from console.cli import names
    from console.cli.verbs import past
    from console.cli.verbs.session import Session
    from console.model import objects
    from console.model.store import Store
    from console.wire.archive import Archive
    from console.wire.client import Client

    client: Client | Archive
    if getattr(arguments, "recording", None):
        client = past.from_file(Path(arguments.recording), arguments.at)
    elif getattr(arguments, "at", None):
        client = past.from_agents(settings, who(), arguments)
    else:
        client = Client(settings.agents, who(), trust=settings.trust, relay=settings.relay)
    session = Session(
        client=client,
        store=Store(client.addresses),
        cluster=settings.cluster,
        out=sys.stdout,
        err=sys.stderr,
        questions=_questions(no_input=arguments.no_input),
        connect_timeout=arguments.connect_timeout,
    )
    try:
        return verb(session, arguments)
    finally:
        kinds: tuple[objects.Kind, ...] = ("node", "vip", "real")
        known = {str(kind): objects.names(kind, session.agents) for kind in kinds}
        if known["vip"]:
            names.keep(known)
        client.close()


def _questions(*, no_input: bool) -> TextIO | None:
    return sys.stdin if sys.stdin.isatty() and not no_input else None


def who() -> str:
    """`user@host`, for the nodes' journals."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def _replay(arguments: argparse.Namespace) -> int:
    _terminal("remora status --from FILE, remora get KIND --from FILE")
    from console.model.moment import moment
    from console.tui import replaying
    from console.wire.playback import opened

    at = moment(arguments.at, opened(Path(arguments.file)).last) if arguments.at else None
    return replaying.run(Path(arguments.file), at, arguments.speed, arguments.render)


def _looking(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """What was said on the command line goes before the file."""
    look = settings.appearance
    if arguments.ascii:
        look = look._replace(ascii="on")
    if arguments.theme:
        look = look._replace(theme=arguments.theme)
    return settings._replace(appearance=look)


def _console(settings: Settings, render: Literal["diff", "stock"]) -> int:
    _terminal("remora status, remora get, remora events")
    from console.tui.app import run  # textual: 200 ms

    return run(settings, who(), render)


def _terminal(otherwise: str) -> None:
    """Raises VerbError when there is none."""
    if os.environ.get("TERM", "dumb") in ("dumb", "") or not sys.stdout.isatty():
        raise VerbError(
            "the console needs a terminal (TERM is dumb or output is no terminal): "
            f"use {otherwise}",
            Exit.USAGE,
        )
