# SPDX-License-Identifier: Apache-2.0
"""The agent's config file: TOML -> one frozen tree, or one ConfigError that says what to do."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import msgspec

from agent.config.bgp_table import Announce, Bgp, BgpPeer
from agent.config.check_table import Check
from agent.config.contradictions import contradictions
from agent.config.drain_table import DrainTable
from agent.config.tables import Address, Table
from agent.config.tree import Config, Metrics, Node, QuicCid, Real, Telemetry, Vip, Wire
from agent.core.guard import Limits
from shared.labels import Labels, known


class ConfigError(ValueError):
    """The config file is wrong; the text names file, key and value, and what to do."""


def read(path: Path) -> Config:
    """Read and check a file.  Raises ConfigError."""
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def parse(text: str, name: str) -> Config:
    """Check the text of a file called `name`.  Raises ConfigError."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # too many digits, or brackets, among others
        raise ConfigError(f"{name}: not TOML: {error}") from error
    try:
        config = msgspec.convert(raw, Config, dec_hook=_typed)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_explain(str(error), raw)}") from error
    for problem in contradictions(config):
        raise ConfigError(f"{name}: {problem}")
    return config


_ADDRESSES: dict[object, tuple[str, Callable[[str], object]]] = {
    Address: ("an IP address", ip_address),
    IPv4Address: ("an IPv4 address", IPv4Address),
    IPv6Address: ("an IPv6 address", IPv6Address),
    IPv4Network: ("an IPv4 network without host bits", IPv4Network),
    IPv6Network: ("an IPv6 network without host bits", IPv6Network),
}


def _typed(kind: type, value: object) -> object:
    if kind is not Labels:
        return _address(kind, value)
    if not isinstance(value, dict):
        raise ValueError('Expected a table such as { rack = "r2" }')  # noqa: TRY004  # as msgspec
    return known(value)


def _address(kind: type, value: object) -> object:
    what, make = _ADDRESSES[kind]
    if not isinstance(value, str):
        raise ValueError(f"Expected {what} in quotes")  # noqa: TRY004  # as msgspec takes it
    if "%" in value:
        raise ValueError(f"Expected {what} without a zone (%)")
    try:
        return make(value)
    except ValueError:
        raise ValueError(f"Expected {what}") from None


_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]+)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")
_NAME_RULE = "letters, digits, - and _, at most 32, the first a letter or digit"
_RULES = {
    "protocol": "tcp or udp",
    "kind": "tcp, http, https, tls, dns, udp, exec or file",
    "all_down": "withdraw, fail-open or drop",
    "via": "tunnel, direct or both",
    "status": "codes and ranges such as 200 or 200-399",
    "host": "a host name or address, with a port if need be",
    "sni": "a host name",
    "method": "GET or HEAD",
    "transport": "udp or tcp",
    "record": "a record type in capitals, such as A or SOA",
    "weight_header": "the name of an HTTP header",
    "xdp_mode": "native or generic",
    "encap": "ipip or gue",
    "hash": "flow, source, source+port or port",
    "flow_table": "track, changed or compute",
    "real_down": "migrate or keep",
    "scheme": "quic-lb or cid",
    "answer_ping": 'true, false or "announced"',
    "name": _NAME_RULE,
    "when": "any or all",
    "families": "ipv4 and ipv6",
    "communities": "ASN:VALUE, each 0 to 65535, or no-export, no-advertise, no-peer, blackhole",
    "large_communities": "A:B:C, each 0 to 4294967295",
    "password": "at most 80 visible ASCII characters",
    "hash_key": "32 hexadecimal digits; make one with `openssl rand -hex 16`",
    "interface": "an interface name of at most 15 characters, as `ip link` shows it",
    "path": "an absolute path of visible ASCII characters, such as /healthz",
}
SECRETS = ("hash_key", "password")
"""Never repeated in an error: errors end in logs."""


def _explain(problem: str, raw: dict[str, Any]) -> str:
    """msgspec's words -> `key: what is wrong, got VALUE; remedy`."""
    at = _AT.search(problem)
    path = at["path"] if at else ""
    problem = _AT.sub("", problem)
    if unknown := _UNKNOWN.search(problem):
        return f"{_join(path, unknown['field'])}: unknown key; {_nearest(path, unknown['field'])}"
    if missing := _MISSING.search(problem):
        return f"{_join(path, missing['field'])}: missing; add it (configs/agent.toml explains it)"
    key = path.rsplit(".", 1)[-1].partition("[")[0]
    if "matching regex" in problem or "Invalid enum value" in problem:
        problem = f"Expected {_RULES.get(key, 'another form')}"
    value = _look(raw, path)
    shown = not isinstance(value, dict | list) and key not in SECRETS
    got = f", got {value!r}" if shown else ""
    problem = re.sub(r", got `\w+`$", "", problem)
    return f"{path or 'file'}: {problem[:1].lower()}{problem[1:]}{got}"


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


_TABLES: dict[str, type[Table]] = {
    "": Config,
    "node": Node,
    "telemetry": Telemetry,
    "wire": Wire,
    "metrics": Metrics,
    "bgp": Bgp,
    "bgp.announce": Announce,
    "bgp.peers": BgpPeer,
    "vips.announce": Announce,
    "drain": DrainTable,
    "guards": Limits,
    "vips": Vip,
    "vips.quic": QuicCid,
    "vips.check": Check,
    "vips.reals": Real,
}


def _nearest(path: str, field: str) -> str:
    table = _TABLES.get(re.sub(r"\[[^\]]*\]", "", path))
    known = table.__struct_fields__ if table else ()
    import difflib  # noqa: PLC0415  # an agent's config seldom needs it

    near = difflib.get_close_matches(field, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _look(raw: object, path: str) -> object:
    """The value at msgspec's path (`vips[0].reals[1].weight`)."""
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(raw, list) and step.isdigit():
            raw = raw[int(step)]
        elif isinstance(raw, dict) and step in raw:
            raw = raw[step]
        else:
            return {}
    return raw
