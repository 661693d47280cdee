# SPDX-License-Identifier: Apache-2.0
"""What changed on the node's interface between two looks, in words.  Pure."""

from __future__ import annotations

from typing import NamedTuple


class LinkSeen(NamedTuple):
    """The interface at one moment."""

    up: bool
    """Administratively up and with a carrier."""
    mtu: int
    mac: bytes


def changes(name: str, before: LinkSeen | None, now: LinkSeen | None) -> list[tuple[str, str]]:
    """(what, result) of each change; None: there is no such interface."""
    if now is None:
        return [(f"link {name}", "is gone")] if before else []
    if before is None:
        return [(f"link {name}", "is there")]
    found = []
    if before.up is not now.up:
        found.append((f"link {name}", "up" if now.up else "down: nothing arrives or leaves"))
    if before.mtu != now.mtu:
        found.append((f"link {name}", f"MTU {before.mtu} -> {now.mtu}; see node.underlay_mtu"))
    if before.mac != now.mac:
        found.append((f"link {name}", f"MAC {before.mac.hex(':')} -> {now.mac.hex(':')}, followed"))
    return found
