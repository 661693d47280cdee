# SPDX-License-Identifier: Apache-2.0
"""Which agents to talk to: options, then the config file, then REMORA_AGENTS.

The config file (`$XDG_CONFIG_HOME/remora/config.toml`, or --config) has the keys `agents` (a list
of addresses), `cluster` (a name for the header) and `view_only`.  Reads files and environment,
nothing else.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from console.exits import VerbError
from shared.model import AddressError, endpoints


class SettingsError(VerbError):
    """The console cannot know its agents; the text says where and what to do."""


class Settings(NamedTuple):
    agents: tuple[str, ...]
    cluster: str
    view_only: bool = False
    """No plan is ever opened."""


def default_path(environment: Mapping[str, str]) -> Path:
    root = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '')}/.config"
    return Path(root) / "remora" / "config.toml"


def load(
    given: Sequence[str], config: str | None, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Raises SettingsError."""
    path = Path(config) if config else default_path(environment)
    file = _read(path) if config or path.is_file() else Settings((), "")
    agents = tuple(given) or file.agents or tuple(environment.get("REMORA_AGENTS", "").split())
    if not agents:
        raise SettingsError(
            f"no agents: give -a ipc:///run/remora/lb1, or write agents = [...] into {path}"
        )
    distinct = tuple(dict.fromkeys(_checked(agents)))
    return file._replace(agents=distinct, cluster=file.cluster or "remora")


def _checked(agents: Sequence[str]) -> list[str]:
    try:
        for address in agents:
            endpoints(address)
    except AddressError as error:
        raise SettingsError(str(error)) from error
    return [f"ipc://{a}" if a.startswith("/") else a for a in agents]


def _read(path: Path) -> Settings:
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; give an existing file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    unknown = sorted(set(table) - set(Settings._fields))
    if unknown:
        raise SettingsError(
            f"{path}: {unknown[0]}: unknown key; there are {', '.join(Settings._fields)}"
        )
    agents, cluster = table.get("agents", []), table.get("cluster", "")
    if not isinstance(agents, list) or not all(isinstance(a, str) for a in agents):
        raise SettingsError(f"{path}: agents: must be a list of addresses, got {agents!r}")
    if not isinstance(cluster, str):
        raise SettingsError(f"{path}: cluster: must be a name, got {cluster!r}")
    view_only = table.get("view_only", False)
    if not isinstance(view_only, bool):
        raise SettingsError(f"{path}: view_only: must be true or false, got {view_only!r}")
    return Settings(tuple(agents), cluster, view_only)
