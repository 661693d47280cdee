# SPDX-License-Identifier: Apache-2.0
"""The nouns that agent and console share, and how they are written.

Nothing here does I/O.  Addresses are `ipaddress` objects inside, text on the wire.
"""

from __future__ import annotations

from enum import StrEnum

RING_SLOTS = 65537
"""Slots of a VIP's ring (prime, as Maglev needs)."""


class Admin(StrEnum):
    """What the operator wants of a real or a node."""

    ENABLED = "enabled"
    DRAINING = "draining"
    DISABLED = "disabled"


class Health(StrEnum):
    """What the prober knows of a real."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"


def host_port(address: str, port: int) -> str:
    """`10.200.0.1:80`, `[2001:db8::1]:80` (RFC 5952 section 6)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class AddressError(ValueError):
    """An agent's address that cannot be one; the text says what would be."""


def endpoints(address: str) -> tuple[str, str]:
    """An agent's address -> its ZeroMQ endpoints (telemetry PUB, command ROUTER).

    `ipc:///run/remora/lb1` names the agent's run directory.  TCP is refused: commands over a
    network need CURVE keys, which this version does not have.
    """
    if address.startswith("/"):
        address = f"ipc://{address}"
    if not address.startswith("ipc:///"):
        raise AddressError(
            f"agent address {address!r}: must be ipc:///DIRECTORY (the agent's run_dir), "
            "for example ipc:///run/remora/lb1"
        )
    directory = address.rstrip("/")
    return f"{directory}/telemetry.sock", f"{directory}/command.sock"
