# SPDX-License-Identifier: Apache-2.0
"""The gate before the inbox: which commands are looked at.  Pure: both clocks are arguments.

Refused by name: `role` (the key may not), `oversized`, `rate` (too many), `too-old` and `clock`
(its time of sending is not now), `replay` (an id that was used before).  A command that is sent
again within REPEAT seconds is the same command: the director answers it from memory (K1).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from msgspec import Struct

from agent.wire.access import needed
from shared.grants import Grant
from shared.messages import Command, Question
from shared.model import Role

MAX_AGE = 30.0
"""Seconds between sending and arriving, and between the two clocks."""
ORDINARY = 64 * 1024
"""Bytes of a command from others than admins, who also send configs."""
REPEAT = 15.0
"""Seconds for which a sender may repeat a command whose answer it missed."""
RATE = 50.0
"""Commands a second and key, after a first burst of BURST."""
BURST = 200.0
REMEMBERED = 20_000
"""Ids at a time; more are refused, never forgotten too early."""


class Refusal(NamedTuple):
    guard: str
    why: str


class Settled(NamedTuple):
    """What became of a command before the agent was restarted."""

    status: str
    error: str
    guard: str
    revision: int


class _Bucket(Struct):
    tokens: float
    at: float


class _Seen(NamedTuple):
    key: str
    digest: bytes
    at: float


class Gate:
    """Remembers what it let pass, as long as a copy of it could."""

    def __init__(self, settled: Mapping[str, Settled] | None = None) -> None:
        self._settled = dict(settled or {})
        self._buckets: dict[str, _Bucket] = {}
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def within_rate(self, key: str, now: float) -> bool:
        """Counts one message of a key (its name), readable or not."""
        bucket = self._buckets.setdefault(key, _Bucket(BURST, now))
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) * RATE)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def refusal(
        self, command: Command, payload: bytes, grant: Grant, *, wall: float, now: float
    ) -> Refusal | None:
        """Why the command may not pass; `payload` are the bytes that it came as."""
        return (
            _by_role(command, grant)
            or _by_size(payload, grant)
            or (None if self._known(command, now) else _by_time(command, wall))
            or self._by_id(command, payload, grant, now)
        )

    def settled(self, command: Command) -> Settled | None:
        """The result of a command that another run of the agent answered."""
        return self._settled.get(command.id)

    def repeated(self, command: Command, now: float) -> bool:
        seen = self._seen.get(command.id)
        return command.id in self._settled or (seen is not None and seen.at != now)

    def _known(self, command: Command, now: float) -> bool:
        """It passed already: it came in time, and its sender waits to hear what became of it."""
        seen = self._seen.get(command.id)
        return seen is not None and now - seen.at <= REPEAT

    def _by_id(self, command: Command, payload: bytes, grant: Grant, now: float) -> Refusal | None:
        if isinstance(command.action, Question):
            return None  # asks, changes nothing
        while self._seen and now - next(iter(self._seen.values())).at > 2 * MAX_AGE:
            self._seen.popitem(last=False)
        if command.id not in self._seen and len(self._seen) >= REMEMBERED:
            return Refusal("rate", "too many commands in a minute; wait")
        digest = hashlib.blake2b(payload, digest_size=16).digest()
        seen = self._seen.setdefault(command.id, _Seen(grant.name, digest, now))
        if (seen.key, seen.digest) != (grant.name, digest):
            return Refusal("replay", f"id {command.id!r} is another command's; make a new one")
        if now - seen.at > REPEAT:
            return Refusal(
                "replay",
                f"id {command.id!r} was sent {now - seen.at:.0f} s ago; look what became of it, "
                "then give a new command",
            )
        return None


def _by_size(payload: bytes, grant: Grant) -> Refusal | None:
    if len(payload) <= ORDINARY or grant.role.covers(Role.ADMIN):
        return None
    return Refusal("oversized", f"{len(payload)} bytes, at most {ORDINARY} from a {grant.role}")


def _by_role(command: Command, grant: Grant) -> Refusal | None:
    role = needed(command)
    if grant.role.covers(role):
        return None
    return Refusal(
        "role",
        f"key {grant.name} is {grant.role}, this needs {role}; change its line in the "
        "node's authorised keys, or use another key",
    )


def _by_time(command: Command, wall: float) -> Refusal | None:
    age = wall - command.sent
    if not (command.sent and isfinite(command.sent)):
        return Refusal("too-old", "it does not say when it was sent (field `sent`)")
    if age > MAX_AGE:
        return Refusal(
            "too-old",
            f"sent {age:.0f} s ago by its sender's clock, at most {MAX_AGE:.0f} are taken: "
            "give it again, or put the two clocks right",
        )
    if age < -MAX_AGE:
        return Refusal(
            "clock",
            f"its sender's clock is {-age:.0f} s ahead of the node's; put the two right (NTP)",
        )
    if command.deadline and not wall <= command.deadline:
        return Refusal("too-old", f"its deadline was {wall - command.deadline:.1f} s ago")
    return None
