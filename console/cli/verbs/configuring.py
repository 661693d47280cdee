# SPDX-License-Identifier: Apache-2.0
"""`config`: the console's settings in force, where each comes from, and whether a file is right.

No agent is asked.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from console import config_file, settings
from console.exits import Exit, VerbError
from console.format import shown
from console.settings import Settings, SettingsError
from console.views.cells import Cell
from console.views.columns import Column
from console.views.items import listing
from console.views.limits import limits
from console.views.written import now_text, table


class Setting(NamedTuple):
    key: str
    value: Any
    """As JSON has it."""
    origin: str


def config(arguments: Namespace) -> int:
    """Exit 0; 1 when the file that is checked is wrong.  Raises VerbError."""
    if arguments.file and arguments.order != "check":
        raise VerbError(f"{arguments.file}: only check takes a file; --config FILE is of all verbs")
    match arguments.order:
        case "path":
            print(config_file.path(arguments.config))
        case "sample":
            from console.cli.sample import SAMPLE

            print(SAMPLE, end="")
        case "check":
            return _check(config_file.path(arguments.file or arguments.config), arguments)
        case _:
            _view(arguments)
    return Exit.DONE


def _view(arguments: Namespace) -> None:
    found = in_force(arguments, os.environ)
    if arguments.output == "json":
        items = [{"key": s.key, "value": s.value, "from": s.origin} for s in found]
        print(json.dumps(listing("Config", items, at=now_text(), missing=()), indent=2))
        return
    print("\n".join(map(shown, table(found, COLUMNS).splitlines())))


COLUMNS = (
    Column[Setting]("KEY", 14, lambda s: Cell(s.key), lambda s: s.key),
    Column[Setting]("VALUE", 30, lambda s: Cell(_said(s.value)), lambda s: _said(s.value)),
    Column[Setting]("FROM", 30, lambda s: Cell(s.origin), lambda s: s.origin),
)


def _said(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return " ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)


def in_force(arguments: Namespace, environment: Mapping[str, str]) -> list[Setting]:
    """Raises SettingsError for a file that is wrong."""
    path = config_file.path(arguments.config, environment)
    there = bool(arguments.config) or settings.is_there(path)
    table_ = settings.raw(path) if there else {}
    name, by = _context(arguments, environment, table_, path)
    given = settings.read(path, name) if there or name else Settings((), "")
    own = table_["contexts"][name] if name else {}

    def origin(key: str, otherwise: str = "default") -> str:
        if key in own:
            return f"{path} [contexts.{name}]"
        return str(path) if key in table_ else otherwise

    def file(key: str) -> str | None:
        value = own.get(key, table_.get(key))
        return str(settings.beside(path, key, value)) if value else None

    known, beside = file("known_agents"), path.parent / "known_agents"
    return [
        Setting("context", name or None, by),
        _agents(arguments, given, environment, origin("agents")),
        Setting("cluster", given.cluster or "remora", origin("cluster", by if name else "default")),
        *(
            Setting(key, getattr(given, key), origin(key))
            for key in ("view_only", "require_reason", "relay")
        ),
        Setting("key", file("key"), origin("key")),
        Setting("known_agents", known, origin("known_agents"))
        if known or not beside.is_file()
        else Setting("known_agents", str(beside), "beside the config file"),
        Setting("insecure", given.trust.insecure, origin("insecure")),
        *_looks(arguments, given, environment, {key: origin(key) for key in settings.KEYS}),
        *_tables(given, {key: origin(key) for key in ("alerts", "hotkeys", "columns")}),
    ]


def _context(
    arguments: Namespace, environment: Mapping[str, str], table_: Mapping[str, Any], path: Path
) -> tuple[str, str]:
    """(the name of the one in force, who says so)."""
    if arguments.context:
        return arguments.context, "--context"
    if environment.get("REMORA_CONTEXT"):
        return environment["REMORA_CONTEXT"], "REMORA_CONTEXT"
    return table_.get("context", ""), f"{path}" if table_.get("context") else "default"


def _agents(
    arguments: Namespace, given: Settings, environment: Mapping[str, str], origin: str
) -> Setting:
    if arguments.agents:
        return Setting("agents", arguments.agents, "-a")
    if given.agents:
        return Setting("agents", list(given.agents), origin)
    told = environment.get("REMORA_AGENTS", "").split()
    return Setting("agents", told, "REMORA_AGENTS" if told else origin)


def _looks(
    arguments: Namespace,
    given: Settings,
    environment: Mapping[str, str],
    origins: Mapping[str, str],
) -> list[Setting]:
    """What `auto` comes to here and now is said, too."""
    look = given.appearance
    theme = look.theme, origins["theme"]
    if arguments.theme:
        theme = arguments.theme, "--theme"
    if environment.get("NO_COLOR"):
        theme = "ansi", "NO_COLOR"
    mouse = "on" if look.with_mouse(environment) else "off"
    ascii_ = "on" if look.ascii_only(environment) else "off"
    return [
        Setting("theme", *theme),
        Setting("colour", look.colour, origins["colour"]),
        Setting("mouse", mouse, f"{origins['mouse']}{' (auto)' * (look.mouse == 'auto')}"),
        Setting("ascii", "on", "--ascii")
        if arguments.ascii
        else Setting("ascii", ascii_, f"{origins['ascii']}{' (auto)' * (look.ascii == 'auto')}"),
        Setting("keys", [f"{id_}={key}" for id_, key in look.moved.items()], origins["keys"]),
    ]


def _tables(given: Settings, origins: Mapping[str, str]) -> list[Setting]:
    look = given.appearance
    said = {
        "alerts": [f"{kind} {text}" for kind, texts in given.alerts.items() for text in texts],
        "hotkeys": [f"{key}={text}" for key, text in look.hotkeys.items()],
        "columns": [f"{place}={','.join(titles)}" for place, titles in look.columns.items()],
    }
    return [Setting(key, value, origins[key]) for key, value in said.items()]


def _check(path: Path, arguments: Namespace) -> int:
    """Every context, as a verb would read it; the environment has no part in that."""
    wrong: dict[str, None] = {}
    names: list[str] = []
    try:
        names = _contexts(settings.raw(path))
    except SettingsError as error:
        wrong[str(error)] = None
    for name in () if wrong else names or [""]:
        try:
            limits(settings.load((), str(path), {}, context=name).alerts)
        except VerbError as error:
            of = f" (context {name})" if name and name not in str(error) else ""
            wrong[f"{error}{of}"] = None
    if arguments.output == "json":
        said = {"file": str(path), "contexts": names, "errors": list(wrong)}
        print(json.dumps({"apiVersion": "remora/1", "kind": "ConfigCheck", **said}, indent=2))
        return Exit.FAILED if wrong else Exit.DONE
    for text in wrong:
        print(shown(f"remora: {text}"), file=sys.stderr)
    if not wrong:
        of = f", contexts: {', '.join(names)}" if names else ""
        print(shown(f"{path}: ok{of}"))
    return Exit.FAILED if wrong else Exit.DONE


def _contexts(table_: Mapping[str, Any]) -> list[str]:
    """Names; also of the one that is to be in force and is not there."""
    names, usual = list(table_.get("contexts", {})), table_.get("context", "")
    return [*names, *([usual] if usual and usual not in names else [])]
