# SPDX-License-Identifier: Apache-2.0
"""`context` and `info`: which clusters there are, and every path and limit in force.  No agent is
asked."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path

from console import config_file, settings
from console.cli import names
from console.exits import Exit
from console.settings import Settings, SettingsError
from console.views.items import Item, listing
from console.views.written import now_text


def context(arguments: Namespace) -> int:
    """The contexts of the config file; `*` before the one in force.  Raises SettingsError."""
    found = settings.contexts(arguments.config, context=arguments.context)
    if arguments.output == "json":
        items = [_context(each) for each in found]
        print(json.dumps(listing("ContextList", items, at=now_text(), missing=()), indent=2))
        return Exit.DONE
    for each in found:
        item = _context(each)
        limits = [word for word in ("view_only", "require_reason") if item[word]]
        words = f"{each.name or '(none)':<12} {item['cluster']:<16} {item['agents']} agents"
        print(" ".join(["*" if each.in_force else " ", words, *limits]))
    return Exit.DONE


def _context(found: settings.Context) -> Item:
    return {
        "name": found.name,
        "in_force": found.in_force,
        "cluster": found.settings.cluster or "remora",
        "agents": len(found.settings.agents),
        "colour": found.settings.appearance.colour or None,
        "view_only": found.settings.view_only,
        "require_reason": found.settings.require_reason,
    }


def info(arguments: Namespace, version: str) -> int:
    """What a verb or the console would go by now; a config that is wrong is said, and exit 1."""
    wrong = ""
    try:
        in_force = settings.load(arguments.agents, arguments.config, context=arguments.context)
    except SettingsError as error:
        in_force, wrong = Settings((), ""), str(error)
    found = {
        "version": version,
        **_paths(arguments),
        **_of(in_force),
        **_look(in_force),
        **_limits(arguments),
    }
    if arguments.output == "json":
        made = {"apiVersion": "remora/1", "kind": "Info", "error": wrong or None, **found}
        print(json.dumps(made, indent=2))
    else:
        for name, value in found.items():
            said = " ".join(value) if isinstance(value, list) else value
            print(f"{name:<20} {'-' if said in (None, '') else said}")
        if wrong:
            print(f"{'wrong':<20} {wrong}")
    return Exit.FAILED if wrong else Exit.DONE


def _paths(arguments: Namespace) -> Item:
    config, cache = config_file.path(arguments.config), names.path()
    return {
        "config": f"{config}" + ("" if config.is_file() else " (not there)"),
        "names": str(cache) if cache else "(no XDG_RUNTIME_DIR: names are not completed)",
        "exports_and_captures": str(Path.cwd()),
        "context": arguments.context or os.environ.get("REMORA_CONTEXT", ""),
    }


def _of(found: Settings) -> Item:
    return {
        "cluster": found.cluster,
        "agents": list(found.agents),
        "relay": found.relay,
        "view_only": found.view_only,
        "require_reason": found.require_reason,
        "own_public_key": found.trust.own.public if found.trust.own else None,
        "known_agents": len(found.trust.known),
        "insecure": found.trust.insecure,
    }


def _look(found: Settings) -> Item:
    look, environment = found.appearance, os.environ
    return {
        "theme": "ansi (NO_COLOR)" if environment.get("NO_COLOR") else look.theme,
        "colour": look.colour,
        "mouse": "on" if look.with_mouse(environment) else "off",
        "signs": "ascii" if look.ascii_only(environment) else "unicode",
        "keys_moved": [f"{id_}={key}" for id_, key in look.moved.items()],
    }


def _limits(arguments: Namespace) -> Item:
    from console.cli.verbs.planned import LIFE
    from console.cli.verbs.waiting import TIMEOUT
    from console.model.eventlog import EVENTS_KEPT
    from console.model.heard import STALE_AFTER
    from console.wire.client import ANSWER_TIMEOUT

    return {
        "connect_timeout_s": arguments.connect_timeout,
        "answer_timeout_s": ANSWER_TIMEOUT,
        "wait_timeout_s": TIMEOUT,
        "plan_life_s": LIFE,
        "stale_after_s": STALE_AFTER,
        "events_kept_per_node": EVENTS_KEPT,
    }
