# SPDX-License-Identifier: Apache-2.0
"""The nouns that agent and console share, and how they are written.

Nothing here does I/O.  Addresses are `ipaddress` objects inside, text on the wire.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address
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


class Role(StrEnum):
    """What a console's key may do; each may also do what those before it may."""

    VIEWER = "viewer"
    """Telemetry and questions."""
    OPERATOR = "operator"
    """Commands, and plans of them."""
    ADMIN = "admin"
    """Reload, rollback, override of guards."""

    def covers(self, other: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


def host_port(address: str, port: int) -> str:
    """`10.200.0.1:80`, `[2001:db8::1]:80` (RFC 5952 section 6)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class AddressError(ValueError):
    """An agent's address that cannot be one; the text says what would be."""


TCP_PORT = 7400
"""Telemetry; commands are on the next port."""


def endpoints(address: str) -> tuple[str, str]:
    """An agent's address -> its ZeroMQ endpoints (telemetry PUB, command ROUTER).

    `ipc:///run/remora/lb1` names the agent's run directory, `tcp://192.0.2.11:7400` its telemetry
    port, to which the command port is the next.  Raises AddressError.
    """
    if address.startswith("tcp://"):
        host, port = host_and_port(address.removeprefix("tcp://"))
        return f"tcp://{host_port(host, port)}", f"tcp://{host_port(host, port + 1)}"
    if address.startswith("/"):
        address = f"ipc://{address}"
    if not address.startswith("ipc:///"):
        raise AddressError(
            f"agent address {address!r}: must be ipc:///DIRECTORY (the agent's run_dir), "
            f"for example ipc:///run/remora/lb1, or tcp://HOST:{TCP_PORT}"
        )
    directory = address.rstrip("/")
    return f"{directory}/telemetry.sock", f"{directory}/command.sock"


def host_and_port(text: str) -> tuple[str, int]:
    """`192.0.2.11:7400`, `[2001:db8::1]:7400` or `lb1.example:7400`.  Raises AddressError."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host[:1] + host[-1:] == "[]" else host
    bracketed = bare != host
    if not bare or set(bare) & set("[]/ ") or (":" in bare) != bracketed or not port.isdecimal():
        raise AddressError(f"{text!r}: must be HOST:PORT, for example 192.0.2.11:{TCP_PORT}")
    if not 1 <= int(port) <= 65534:
        raise AddressError(f"{text!r}: the port must be 1 to 65534, commands are on the next one")
    return bare, int(port)


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
