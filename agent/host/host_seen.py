# SPDX-License-Identifier: Apache-2.0
"""The node's interface, addresses and next hop at one moment.  Values only."""

from __future__ import annotations

from typing import NamedTuple


class LinkSeen(NamedTuple):
    """An interface."""

    ifindex: int
    up: bool
    """Administratively up and with a carrier."""
    mtu: int
    mac: bytes


class Neighbour(NamedTuple):
    """The next hop, as the kernel knows it."""

    mac: bytes | None
    """None: none that is valid."""
    asked: bool
    """The kernel asks, or asked, and nobody has answered yet."""


class HostSeen(NamedTuple):
    link: LinkSeen | None
    """None: there is no interface of that name."""
    program: str
    """How our program runs there: native | generic | ..., foreign: another does, none."""
    addresses: frozenset[tuple[str, str]]
    """All of this namespace: (interface, `address/prefix length`)."""
    gateway: str
    neighbour: Neighbour
    filtered: bool = True
    """The filter that sends checks through the tunnel is there, where there was one (before Linux
    6.6)."""
