# SPDX-License-Identifier: Apache-2.0
"""The command `remora`: from its words to the function that does the verb.

Textual is imported for `console` only, so that verbs answer in a few hundredths of a second.
"""

from __future__ import annotations

import argparse
import getpass
import importlib
import io
import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from console.cli.grammar.top import EXAMPLES, parser
from console.cli.grammar.words import UNTIL
from console.exits import Exit, VerbError
from shared.version import VERSION

if TYPE_CHECKING:
    from console.cli.verbs.session import Session
    from console.settings import Settings
    from console.wire.archive import Archive
    from console.wire.client import Client


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code; usage errors leave through argparse with 2."""
    _never_mind_the_locale()
    given = _with_wait(argv or sys.argv[1:])
    if given[:1] == ["complete"]:
        return _complete(given[1:])
    arguments = _parsed(given)
    arguments.agents += getattr(arguments, "agents_after", [])
    arguments.quiet |= getattr(arguments, "quiet_after", False)
    _write_in(arguments)
    try:
        return _run(arguments)
    except VerbError as error:
        return _fail(str(error), error.code)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has left; Python's own flush at exit must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED if arguments.verb in CHANGES else Exit.DONE


def _never_mind_the_locale() -> None:
    """A sign that its encoding has not is `?`, not the end of the verb."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


REST = {"diff": "about", "watch": "filter", "trace": "filter", "drain": "object",
        "undrain": "object", "maint": "object"}  # fmt: skip
"""Verb -> its last words, which may stand behind flags too: argparse takes those before only."""


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    grammar = parser()
    arguments, more = grammar.parse_known_args(given)
    rest = REST.get(arguments.verb)
    if more and (rest is None or any(word.startswith("-") for word in more)):
        grammar.error(f"unrecognized arguments: {' '.join(more)}")
    if more and rest:
        setattr(arguments, rest, [*getattr(arguments, rest), *more])
    return arguments


def _write_in(arguments: argparse.Namespace) -> None:
    """How numbers and times are written, all of them."""
    from console import format as fmt

    offset = _ahead if arguments.local else None
    units: fmt.Units = (arguments.units or "si") if arguments.verb not in SCREENS else "si"
    fmt.write_in(fmt.Style(units, offset))


CHANGES = (
    "drain", "undrain", "maint", "weight", "announce", "withdraw", "reload", "rollback", "confirm",
    "apply", "undo", "op",
)  # fmt: skip
"""Verbs of which nobody may be told that all is well when nobody read what they said."""
SCREENS = (None, "console", "replay")
"""Columns there have their widths: --units is of what is written."""


def _ahead(unix: float) -> float:
    return float(time.localtime(unix).tm_gmtoff)


def _with_wait(given: Sequence[str]) -> list[str]:
    """A bare `--wait` must not take the object behind it for what to wait for."""
    pairs = itertools.zip_longest(given, given[1:], fillvalue="")
    return ["--wait=verified" if a == "--wait" and not UNTIL.fullmatch(b) else a for a, b in pairs]


def _complete(given: Sequence[str]) -> int:
    """The shell asks at every Tab: names of the last look, no agent and no file of the config."""
    from console.cli import completion, names

    words = list(given[1:] if given[:1] == ["--"] else given)
    for word in completion.words(parser(), words, names.kept()):
        print(word)
    return Exit.DONE


def _fail(text: str, code: int) -> int:
    from console.format import shown

    print(*map(shown, f"remora: {text}".split("\n")), sep="\n", file=sys.stderr)
    return code


def _run(arguments: argparse.Namespace) -> int:
    code = _alone(arguments)
    if code is not None:
        return code
    _import_lightly()
    from console.settings import Settings, load

    if getattr(arguments, "recording", None):
        return _with_session(arguments, Settings((), "recording"), arguments.verb)
    settings = load(arguments.agents, arguments.config, context=arguments.context)
    match arguments.verb:
        case None | "console":
            render = getattr(arguments, "render_after", None) or arguments.render
            return _console(_looking(settings, arguments), render)
        case "record":
            from console.cli.verbs import recorder

            return recorder.record(settings, who(), arguments)
        case "relay":
            from console.wire.relay import Listen, relay

            keys = arguments.secret_key, arguments.authorized_keys
            return relay(settings, who(), Listen(arguments.listen, *keys, arguments.insecure))
    return _with_session(arguments, settings, getattr(arguments, "made", arguments.verb))


def _alone(arguments: argparse.Namespace) -> int | None:
    """The verbs that ask no agent; None: it is none of them."""
    match arguments.verb:
        case "version":
            print(f"remora {VERSION}")
            return Exit.DONE
        case "completion":
            from console.cli.completion import SHELLS

            print(SHELLS[arguments.shell], end="")
            return Exit.DONE
        case "man":
            from console.cli import manual

            print(manual.page(parser(), VERSION, EXAMPLES), end="")
            return Exit.DONE
        case "keys":
            from console.cli.verbs import keys

            return keys.keys(arguments, arguments.name or who())
        case "context" | "info":
            from console.cli.verbs import informing

            if arguments.verb == "info":
                return informing.info(arguments, VERSION)
            return informing.context(arguments)
        case "reasons":
            from console.cli.verbs import explaining

            print(explaining.reasons(arguments.output))
            return Exit.DONE
        case "replay":
            return _replay(arguments)
        case "audit" if arguments.file:
            from console.cli.verbs import audit

            return audit.of_file(arguments)
    return None


VERBS = {
    "status": "status.status",
    "get": "listing.get",
    "top": "listing.top",
    "events": "following.events",
    "watch": "watching.watch",
    "diff": "differing.diff",
    "flow": "flow.flow",
    "audit": "audit.audit",
    "trace": "tracing.trace",
    "drain": "changing.change",
    "undrain": "changing.change",
    "maint": "changing.change",
    "weight": "changing.change",
    "reload": "enforcing.enforce",
    "rollback": "enforcing.enforce",
    "confirm": "enforcing.confirm",
    "doctor": "doctor.doctor",
    "plan": "planned.make",
    "apply": "planned.apply",
    "undo": "undoing.undo",
    "op": "operating.operate",
}
"""Verb -> module of console.cli.verbs and function: only what is done is imported."""


def _verb(name: str) -> Callable[[Session, argparse.Namespace], int]:
    module, _, function = VERBS[name].partition(".")
    found: Callable[[Session, argparse.Namespace], int]
    found = getattr(importlib.import_module(f"console.cli.verbs.{module}"), function)
    return found


def _with_session(
    arguments: argparse.Namespace,
    settings: Settings,
    verb: str,
) -> int:
    # The sockets connect while the rest is imported.
    client = _client(arguments, settings)
    from console.cli.verbs.session import Session
    from console.model.store import Store
    from console.views.written import coloured, plain

    session = Session(
        client=client,
        who=who(),
        store=Store(client.addresses, arguments.max_age),
        cluster=settings.cluster,
        out=sys.stdout,
        err=sys.stderr,
        questions=_questions(no_input=arguments.no_input),
        connect_timeout=arguments.connect_timeout,
        quiet=arguments.quiet,
        verbose=arguments.verbose,
        max_age=arguments.max_age,
        view_only=settings.view_only,
        require_reason=settings.require_reason,
        paint=coloured if _in_colour(arguments.color) else plain,
    )
    session.detail(f"{settings.cluster}: {', '.join(client.addresses)}")
    try:
        return _verb(verb)(session, arguments)
    finally:
        from console.cli import names
        from console.model import objects

        kinds: tuple[objects.Kind, ...] = ("node", "vip", "real")
        known = {str(kind): objects.names(kind, session.agents) for kind in kinds}
        if known["vip"]:
            names.keep(known)
        client.close()


def _client(arguments: argparse.Namespace, settings: Settings) -> Client | Archive:
    if getattr(arguments, "recording", None):
        from console.cli.verbs import past

        return past.from_file(Path(arguments.recording), arguments.at)
    if getattr(arguments, "at", None):
        from console.cli.verbs import past

        return past.from_agents(settings, who(), arguments)
    from console.wire.client import Client

    return Client(settings.agents, who(), trust=settings.trust, relay=settings.relay)


def _import_lightly() -> None:
    """msgspec does as well with `typing` as with typing_extensions, which takes `inspect` with it:
    a fifth of the time of a verb."""
    if "typing_extensions" not in sys.modules and "msgspec" not in sys.modules:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # not to be found
        importlib.import_module("msgspec")
        del sys.modules["typing_extensions"]


def _questions(*, no_input: bool) -> TextIO | None:
    return sys.stdin if sys.stdin.isatty() and not no_input else None


def _in_colour(wanted: str) -> bool:
    """NO_COLOR as no-color.org has it: any value but an empty one."""
    shows = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return wanted == "always" or (wanted == "auto" and shows and not os.environ.get("NO_COLOR"))


def who() -> str:
    """`user@host`, for the nodes' journals."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # in a container the number may have no name
        user = f"uid{os.getuid()}"
    return f"{user}@{os.uname().nodename}"


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
    return settings._replace(appearance=look, max_age=arguments.max_age)


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
