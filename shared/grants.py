# SPDX-License-Identifier: Apache-2.0
"""The authorised keys: which console's key has which role.  Pure.

The file has one console a line, `ROLE PUBLIC-KEY NAME`; empty lines and lines that begin with # are
passed over.  A file with a mistake is refused as a whole: the keys read before stay in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shared.messages import TOPICS
from shared.model import Role


class AccessError(ValueError):
    """The authorised keys cannot be used; the text names the line and what to do."""


class Grant(NamedTuple):
    """One console's key: its name is what the audit says."""

    name: str
    role: Role


LOCAL = Grant("local", Role.ADMIN)
"""Who can open the node's own sockets: their file permissions decided that."""
ANYBODY = Grant("anybody", Role.ADMIN)
"""On a TCP socket without keys."""
RESERVED = (LOCAL.name, ANYBODY.name, "agent", "?")
Grants = Mapping[str, Grant]
"""Public key (Z85) -> grant."""


FOR_OPERATORS = frozenset({b"trace"})
"""Topics with what clients send."""


def readable(topic: bytes, grant: Grant | None) -> frozenset[bytes]:
    """The topics that a subscription to `topic` (empty: to all) gets with this grant."""
    wanted = TOPICS if not topic else TOPICS & {topic}
    if grant is None or not grant.role.covers(Role.OPERATOR):
        wanted -= FOR_OPERATORS
    return wanted


def grants(text: str) -> Grants:
    """The keys of a file.  Raises AccessError."""
    found: dict[str, Grant] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        key, grant = _grant(number, words)
        if key in found:
            raise AccessError(f"line {number}: the key of {found[key].name} again; remove one")
        if any(grant.name == other.name for other in found.values()):
            raise AccessError(f"line {number}: a second {grant.name}; names are for the audit")
        found[key] = grant
    return found


def _grant(number: int, words: list[str]) -> tuple[str, Grant]:
    roles = [str(role) for role in Role]
    if len(words) != 3 or words[0] not in roles:
        raise AccessError(
            f"line {number}: must be ROLE PUBLIC-KEY NAME, ROLE one of {', '.join(roles)}"
        )
    role, key, name = words
    if name in RESERVED:
        raise AccessError(f"line {number}: {name} is what the audit calls others; take another")
    if len(key) != 40:
        raise AccessError(f"line {number}: {key!r} is no public key; copy it from FILE.pub")
    return key, Grant(name, Role(role))
