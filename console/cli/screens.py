# SPDX-License-Identifier: Apache-2.0
"""The verbs that take the terminal: `console` and `replay`.  The only ones that import Textual."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from pathlib import Path

from console.cli.who import who
from console.exits import Exit, VerbError
from console.model.moment import moment
from console.settings import Settings, load


def console(settings: Settings, arguments: Namespace) -> int:
    _terminal(arguments, "remora status, remora get, remora events")
    from console.tui.app import run  # textual: 200 ms
    from console.views.limits import limits

    render = getattr(arguments, "render_after", None) or arguments.render

    def switch(name: str) -> Settings:
        found = load((), arguments.config, context=name)
        limits(found.alerts)
        return _looking(found, arguments)

    return run(_looking(settings, arguments), who(), render, _moment(arguments), switch)


def _moment(arguments: Namespace) -> float | None:
    """Of `replay --at`, which asks the agents.  Raises VerbError."""
    text = getattr(arguments, "at", None)
    if arguments.verb != "replay":
        return None
    if not text:
        raise VerbError("replay: of what? a recording, FILE, or --at TIME of the agents' last hour")
    if arguments.speed != 1.0:
        raise VerbError("--speed is of a recording; the agents' last hour is walked with , . < >")
    return moment(text, time.time())


def replay(arguments: Namespace) -> int:
    """Of a recording."""
    _terminal(arguments, "remora status --from FILE, remora get KIND --from FILE")
    from console.tui import replaying
    from console.wire.playback import opened

    at = moment(arguments.at, opened(Path(arguments.file)).last) if arguments.at else None
    return replaying.run(
        Path(arguments.file), at, arguments.speed, arguments.render, served=_in_browser()
    )


def _looking(settings: Settings, arguments: Namespace) -> Settings:
    """What was said on the command line goes before the file."""
    look = settings.appearance
    if arguments.ascii:
        look = look._replace(ascii="on")
    if arguments.theme:
        look = look._replace(theme=arguments.theme)
    # Whoever reaches the web server has no name here: such a console only looks.
    served = _in_browser()
    return settings._replace(
        appearance=look,
        max_age=arguments.max_age,
        view_only=settings.view_only or served,
        served=served,
    )


def _in_browser() -> bool:
    """textual-serve has started this console for a tab of a browser."""
    return "web_driver" in os.environ.get("TEXTUAL_DRIVER", "")


def _terminal(arguments: Namespace, otherwise: str) -> None:
    """Raises VerbError when there is none, or none is wanted."""
    if arguments.plain:
        raise VerbError("--plain: a full screen is no plain text: remora watch --plain is")
    if _in_browser():
        return
    if os.environ.get("TERM", "dumb") in ("dumb", "") or not sys.stdout.isatty():
        raise VerbError(
            "the console needs a terminal (TERM is dumb or output is no terminal): "
            f"use {otherwise}",
            Exit.USAGE,
        )
