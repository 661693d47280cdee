# SPDX-License-Identifier: Apache-2.0
"""Which agents to talk to: options, then the config file, then REMORA_AGENTS.

The config file (`$XDG_CONFIG_HOME/remora/config.toml`, or --config) has the keys `agents` (a list
of addresses), `cluster` (a name for the header), `view_only`, `require_reason`, `key` (the
console's secret key), `known_agents` (the agents' public keys; both relative to the file),
`insecure`, and those of `appearance.py`.  `[contexts.NAME]` tables hold the same keys for one
cluster each; which one is in force say --context, REMORA_CONTEXT or `context = NAME`.  Reads files
and environment, nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from console import config_file
from console.exits import VerbError
from console.tui import appearance
from console.tui.appearance import FIELDS, Appearance
from console.wire import trust
from console.wire.trust import Trust, TrustError
from shared.model import AddressError, endpoints

KEYS = (
    "agents", "cluster", "view_only", "require_reason", "relay", "key", "known_agents", "insecure",
    "alerts", *FIELDS,
)  # fmt: skip


class SettingsError(VerbError):
    """The console cannot know its agents; the text says where and what to do."""


class Settings(NamedTuple):
    agents: tuple[str, ...]
    cluster: str
    view_only: bool = False
    """No plan is ever opened, no verb changes anything."""
    require_reason: bool = False
    """Verbs that change something want a --reason; the console asks for one when it is armed."""
    trust: Trust = Trust()
    relay: str = ""
    """Where telemetry comes from instead of from the agents: tcp://HOST:PORT."""
    appearance: Appearance = Appearance()
    alerts: Mapping[str, tuple[str, ...]] = {}
    """Limits of the operator's own: `node` or `vip` -> `drop/s>1k`; views/limits.py judges them."""
    max_age: float | None = None
    """Seconds after which values are stale, instead of what each agent's rhythm says."""
    served: bool = False
    """As of planning's Arming."""


def load(
    given: Sequence[str],
    config: str | None,
    environment: Mapping[str, str] = os.environ,
    *,
    context: str = "",
) -> Settings:
    """Raises SettingsError."""
    path = config_file.path(config, environment)
    wanted = context or environment.get("REMORA_CONTEXT", "")
    file = read(path, wanted) if config or wanted or is_there(path) else Settings((), "")
    agents = tuple(given) or file.agents or tuple(environment.get("REMORA_AGENTS", "").split())
    if not agents:
        raise SettingsError(
            f"no agents: give -a ipc:///run/remora/lb1, or write agents = [...] into {path}"
        )
    where = "-a: " if given else f"{path}: agents: " if file.agents else "REMORA_AGENTS: "
    distinct = tuple(dict.fromkeys(_checked(agents, file.trust, where)))
    _checked([file.relay] if file.relay else [], file.trust, f"{path}: relay: ")
    return file._replace(agents=distinct, cluster=file.cluster or "remora")


class Context(NamedTuple):
    name: str
    """Empty: the keys outside of all contexts."""
    in_force: bool
    settings: Settings


def contexts(
    config: str | None, environment: Mapping[str, str] = os.environ, *, context: str = ""
) -> list[Context]:
    """All contexts of the config file, in its order; without any, what the file says outside of
    them.  Raises SettingsError."""
    path = config_file.path(config, environment)
    table = raw(path) if is_there(path) else {}
    chosen = context or environment.get("REMORA_CONTEXT", "") or table.get("context", "")
    names = list(table.get("contexts", {})) or [""]
    there = is_there(path)
    return [
        Context(name, name == chosen, read(path, name) if there else Settings((), ""))
        for name in names
    ]


def is_there(path: Path) -> bool:
    """One that may not be looked at is there: whoever reads it says so."""
    try:
        return path.is_file()
    except OSError:
        return True


def _checked(agents: Sequence[str], trust: Trust, where: str) -> list[str]:
    try:
        for address in agents:
            endpoints(address)
            trust.key_of(address)
    except AddressError as error:
        raise SettingsError(f"{where}{error}") from error
    except TrustError as error:
        raise SettingsError(str(error)) from error
    return [f"ipc://{a}" if a.startswith("/") else a for a in agents]


def raw(path: Path) -> dict[str, Any]:
    """The file's own keys; only `context` and `contexts` are what they must be.

    Raises SettingsError.
    """
    import tomllib  # 2 ms, for those who have a file

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        there = isinstance(error, PermissionError)
        what = "one that you may read" if there else "an existing file"
        raise SettingsError(f"{path}: {error.strerror}; give {what}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    known, usual = table.get("contexts", {}), table.get("context", "")
    if not isinstance(known, dict):
        raise SettingsError(f"{path}: contexts: must be tables, [contexts.NAME]; got {known!r}")
    for name, keys in known.items():
        if not isinstance(keys, dict):
            words = f"{path}: contexts: {name}: must be a table, [contexts.{name}]; got {keys!r}"
            raise SettingsError(words)
    if not isinstance(usual, str):
        raise SettingsError(f"{path}: context: must be the name of one, got {usual!r}")
    return table


def read(path: Path, context: str) -> Settings:
    """What the file says for that context (empty: its own choice).  Raises SettingsError."""
    table, context = _in_context(path, raw(path), context)
    unknown = sorted(set(table) - set(KEYS))
    if unknown:
        raise SettingsError(f"{path}: {unknown[0]}: unknown key; there are {', '.join(KEYS)}")
    agents, cluster = table.get("agents", []), table.get("cluster", context)
    if not isinstance(agents, list) or not all(isinstance(a, str) for a in agents):
        raise SettingsError(f"{path}: agents: must be a list of addresses, got {agents!r}")
    if not isinstance(cluster, str):
        raise SettingsError(f"{path}: cluster: must be a name, got {cluster!r}")
    view_only, require_reason = (_switch(path, table, k) for k in ("view_only", "require_reason"))
    relay = table.get("relay", "")
    if not isinstance(relay, str) or (relay and not relay.startswith("tcp://")):
        raise SettingsError(f"{path}: relay: must be tcp://HOST:PORT, got {relay!r}")
    try:
        look = appearance.read(table)
    except VerbError as error:
        raise SettingsError(f"{path}: {error}") from error
    return Settings(
        tuple(agents),
        cluster,
        view_only,
        require_reason,
        _trust(path, table),
        relay,
        look,
        _alerts(path, table.get("alerts", {})),
    )


def _alerts(path: Path, given: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, dict) or not all(_texts(each) for each in given.values()):
        like = '[alerts] with node = ["drop/s>1k"] and vip = [...]'
        raise SettingsError(f"{path}: alerts: must be a table, {like}; got {given!r}")
    return {kind: tuple(texts) for kind, texts in given.items()}


def _texts(given: object) -> bool:
    return isinstance(given, list) and all(isinstance(each, str) for each in given)


def _switch(path: Path, table: Mapping[str, object], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise SettingsError(f"{path}: {key}: must be true or false, got {value!r}")
    return value


def _in_context(path: Path, table: dict[str, Any], wanted: str) -> tuple[dict[str, Any], str]:
    """(the keys in force, the context's name): a context's keys go over those of the file."""
    known, usual = table.pop("contexts", {}), table.pop("context", "")
    name = wanted or usual
    if not name:
        return table, ""
    if name not in known:
        raise SettingsError(f"{path}: context {name!r}: there is {', '.join(known) or 'none'}")
    return {**table, **known[name]}, name


def _trust(path: Path, table: Mapping[str, object]) -> Trust:
    """`known_agents` beside the config file needs no mention."""
    files: dict[str, Path | None] = {}
    for name in ("key", "known_agents"):
        value = table.get(name, "")
        if not isinstance(value, str):
            raise SettingsError(f"{path}: {name}: must be a file's path, got {value!r}")
        files[name] = beside(path, name, value) if value else None
    usual = path.parent / "known_agents"
    known = files["known_agents"] or (usual if usual.is_file() else None)
    insecure = _switch(path, table, "insecure")
    try:
        return trust.read(files["key"], known, insecure=insecure)
    except TrustError as error:
        raise SettingsError(str(error)) from error


def beside(path: Path, key: str, value: str) -> Path:
    """A file that the config names, relative to it.  Raises SettingsError."""
    try:
        return path.parent / Path(value).expanduser()
    except RuntimeError as error:  # of ~somebody whom this machine does not know
        words = f"{path}: {key}: {value!r} is nobody's home; give a path without ~"
        raise SettingsError(words) from error
