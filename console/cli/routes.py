# SPDX-License-Identifier: Apache-2.0
"""Verb -> what does it: a module is imported for the verb that needs it, and for no other."""

from __future__ import annotations

import importlib
import sys
from argparse import Namespace

from console.cli.who import who
from console.exits import Exit
from shared.version import VERSION


def run(arguments: Namespace) -> int:
    """Does the verb and returns its exit code.  Raises VerbError, and OSError of a closed pipe."""
    code = _alone(arguments)
    if code is not None:
        return code
    _import_lightly()
    from console.cli import asking
    from console.settings import Settings, load

    if getattr(arguments, "recording", None):
        return asking.ask(arguments, Settings((), "recording"), arguments.verb)
    settings = load(arguments.agents, arguments.config, context=arguments.context)
    match arguments.verb:
        case None | "console" | "replay":
            from console.cli import screens

            return screens.console(settings, arguments)
        case "record":
            from console.cli.verbs import recorder

            return recorder.record(settings, who(), arguments)
        case "relay":
            from console.wire.relay import Listen, relay

            keys = arguments.secret_key, arguments.authorized_keys
            listen = Listen(arguments.listen, *keys, arguments.insecure, arguments.metrics)
            return relay(settings, who(), listen)
    return asking.ask(arguments, settings, getattr(arguments, "made", arguments.verb))


def _alone(arguments: Namespace) -> int | None:
    """The verbs that ask no agent; None: it is none of them."""
    match arguments.verb:
        case "version":
            made = f'{{"apiVersion": "remora/1", "kind": "Version", "version": "{VERSION}"}}'
            print(made if arguments.output == "json" else f"remora {VERSION}")
            return Exit.DONE
        case "completion":
            from console.cli.completion import SHELLS

            print(SHELLS[arguments.shell], end="")
            return Exit.DONE
        case "man":
            from console.cli import manual
            from console.cli.grammar.top import EXAMPLES, parser

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
        case "config":
            from console.cli.verbs import configuring

            return configuring.config(arguments)
        case "reasons":
            from console.cli.verbs import explaining

            print(explaining.reasons(arguments.output))
            return Exit.DONE
        case "replay" if arguments.file:
            from console.cli import screens

            return screens.replay(arguments)
        case "audit" if arguments.file:
            from console.cli.verbs import audit

            return audit.of_file(arguments)
    return None


def _import_lightly() -> None:
    """msgspec does as well with `typing` as with typing_extensions, which takes `inspect` with it:
    a fifth of the time of a verb."""
    if "typing_extensions" not in sys.modules and "msgspec" not in sys.modules:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # not to be found
        importlib.import_module("msgspec")
        del sys.modules["typing_extensions"]
