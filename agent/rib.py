# SPDX-License-Identifier: Apache-2.0
"""Which VIP addresses this node announces.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agent.maglev import Address


class Service(NamedTuple):
    """What the decision needs to know of one VIP."""

    address: Address
    wanted: bool
    """Enough reals take new flows, or its policy says so all the same (policy.attracts)."""
    announced: bool
    """Whether its address is announced now."""
    ready: bool
    """Its ring has a real, and every real has been judged at least once."""


def addresses(services: Iterable[Service], *, node_enabled: bool) -> frozenset[Address]:
    """The addresses to announce: those with a service that wants it.

    One service is enough for its address: to withdraw a healthy service because its neighbour on
    the same address failed would take away what works.  A service is announced first when it is
    ready; once announced, it stays so through a re-check (H2).
    """
    if not node_enabled:
        return frozenset()
    return frozenset(
        service.address
        for service in services
        if service.wanted and (service.ready or service.announced)
    )
