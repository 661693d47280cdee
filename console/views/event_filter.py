# SPDX-License-Identifier: Apache-2.0
"""Which events are shown: by reason, VIP, node, addresses and time, each also negated.  Pure.

As hubble has it: values of one field are alternatives, fields narrow each other, `--not` turns the
next one round.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from console.exits import VerbError
from console.model.eventlog import Line
from console.views.tail import Kind, kind_of
from shared.reasons import REASONS


class Test(NamedTuple):
    field: str
    """reason, vip, node, src or dst."""
    value: str
    negated: bool


class Filter(NamedTuple):
    kind: Kind | None = None
    tests: tuple[Test, ...] = ()
    since: float | None = None
    """Unix time, as `until`."""
    until: float | None = None

    def passes(self, line: Line) -> bool:
        """Gaps pass wherever their node and time do: what is lost may have been anything."""
        if (self.since or 0.0) > line.wall or (self.until or line.wall) < line.wall:
            return False
        if kind_of(line) not in (None, self.kind or kind_of(line)):
            return False
        tests = [t for t in self.tests if line.event is not None or t.field == "node"]
        wanted: dict[str, bool] = {}
        for test in tests:
            hit = _holds(test, line)
            if test.negated and hit:
                return False
            if not test.negated:
                wanted[test.field] = wanted.get(test.field, False) or hit
        return all(wanted.values())


def checked(tests: Sequence[Test]) -> tuple[Test, ...]:
    """Raises VerbError for what can never hold."""
    reasons = {reason.name for reason in REASONS}
    for test in tests:
        if test.field == "reason" and test.value not in reasons:
            raise VerbError(
                f"--reason {test.value}: no such reason; there is {', '.join(sorted(reasons))}"
            )
        if test.field in ("src", "dst"):
            _network(test)
    return tuple(tests)


def _holds(test: Test, line: Line) -> bool:
    if test.field == "node":
        return fnmatchcase(line.node, test.value)
    body = line.event.body if line.event else None
    match test.field:
        case "reason":
            return getattr(body, "name", "") == test.value
        case "vip":
            return test.value in _vips_of(body)
    place = getattr(body, "source" if test.field == "src" else "destination", "")
    try:
        return bool(place) and ip_address(address_of(place)) in _network(test)
    except ValueError:
        return False


def _vips_of(body: object) -> set[str]:
    """Of a drop or a probe its one; of a change those of everything that it names."""
    return {vip for vip, _ in named_in(body)} | {str(getattr(body, "vip", ""))}


def named_in(body: object) -> list[tuple[str, str]]:
    """(VIP, real or empty) of everything that a change names; of a real in every VIP no VIP."""
    found = []
    for word in str(getattr(body, "what", "")).replace(",", " ").split():
        kind, _, name = word.partition("/")
        if kind == "vip":
            found.append((name, ""))
        elif kind == "real":
            real, _, vip = name.partition("@")
            found.append((vip, real))
    return found


def address_of(place: str) -> str:
    """`10.0.0.1:80`, `[2001:db8::1]:80` or a bare address -> the address."""
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place.partition(":")[0] if place.count(":") == 1 else place


def _network(test: Test) -> IPv4Network | IPv6Network:
    try:
        return ip_network(test.value, strict=False)
    except ValueError as error:
        words = f"--{test.field} {test.value}: must be an address or network: {error}"
        raise VerbError(words) from None
