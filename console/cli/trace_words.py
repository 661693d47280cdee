# SPDX-License-Identifier: Apache-2.0
"""`node/lb1 vip/web src=198.51.100.0/24 dport=80`: which packets to trace, and where.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any, NamedTuple

import msgspec

from console.exits import VerbError
from console.model import objects
from console.model.objects import Kind
from console.model.selectors import Selector
from console.model.store import Agent
from console.planning.chosen import chosen
from shared.messages import Trace

FIELDS: Mapping[str, str] = {
    "src": "source",
    "dst": "destination",
    "sport": "source_port",
    "dport": "destination_port",
    "proto": "protocol",
    "ip": "version",
}
"""What stands before `=` -> field of Trace."""
PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6")
KINDS: tuple[Kind, ...] = ("node", "vip", "real")
_NUMBERS = ("source_port", "destination_port", "version")


class TraceWordsError(VerbError):
    """Words that mean no packets; the text says what would."""


class Wanted(NamedTuple):
    nodes: tuple[str, ...]
    """Names; empty: all."""
    action: Trace


def parse(words: Sequence[str], agents: Sequence[Agent], **bounds: Any) -> Wanted:  # noqa: ANN401  # Trace's
    """`bounds`: one_in, rate, seconds.  Raises TraceWordsError and ObjectError."""
    given: dict[str, Any] = {}
    nodes: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            _put(given, *_field(name, value))
            continue
        target = objects.parse(word, agents, kinds=("node", "vip", "real"))
        if target.kind == "node":
            nodes.append(target.name)
            continue
        _put(given, target.kind, target.name)
        if target.kind == "real" and target.vip:
            _put(given, "vip", target.vip)
    try:
        action = msgspec.convert({"type": "trace", **given, **bounds}, Trace)
    except msgspec.ValidationError as error:
        raise TraceWordsError(f"trace: {error}") from error
    return Wanted(tuple(dict.fromkeys(nodes)), action)


def labelled(words: Sequence[str], wanted: Selector, agents: Sequence[Agent]) -> list[str]:
    """With the names of what is labelled so: nodes, or the one VIP or real that is.  A word among
    them may say of which kind, another of which VIP a real.  Raises VerbError."""
    kinds = [kind for kind in KINDS if kind in words]
    vips = [word.removeprefix("vip/") for word in words if word.startswith("vip/")]
    of = objects.vip_named(vips[0], agents) if vips and kinds == ["real"] else ""
    found = chosen(agents, wanted, kinds or KINDS, vip=of)
    return [*(word for word in words if word not in kinds), *map(str, found)]


def _check(name: str, field: str, value: str) -> None:
    if field == "protocol":
        if value not in PROTOCOLS:
            raise TraceWordsError(f"{name}={value}: must be one of {', '.join(PROTOCOLS)}")
        return
    try:
        ip_network(value, strict=False)
    except ValueError as error:
        like = "an address or a network, 198.51.100.0/24"
        raise TraceWordsError(f"{name}={value}: must be {like}") from error


def _put(given: dict[str, Any], field: str, value: object) -> None:
    if given.setdefault(field, value) != value:
        raise TraceWordsError(f"{given[field]} and {value}: one {field} at a time; trace twice")


def _field(name: str, value: str) -> tuple[str, object]:
    if name not in FIELDS:
        known = " ".join(f"{field}=" for field in FIELDS)
        raise TraceWordsError(f"{name}=: no such part of a filter; there are {known}")
    field = FIELDS[name]
    if not value:
        raise TraceWordsError(f"{name}=: a value is missing")
    if field not in _NUMBERS:
        _check(name, field, value)
        return field, value
    if not (value.isascii() and value.isdecimal()) or not 0 < int(value[:9]) <= 65535:
        raise TraceWordsError(f"{name}={value}: must be a number from 1 to 65535")
    return field, int(value)
