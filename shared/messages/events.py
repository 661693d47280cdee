# SPDX-License-Identifier: Apache-2.0
"""Topic `event`: what happened, one per message, numbered."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.messages.numbers import Finite
from shared.messages.snapshots import Message
from shared.model import Health


class DropEvent(msgspec.Struct, frozen=True, tag="drop"):
    """A dropped packet, as the data plane saw it."""

    reason: int
    name: str
    vip: str
    source: str
    """`address:port`, or just the address when there are no ports to read."""
    destination: str
    protocol: str
    length: int
    cpu: int
    rx_queue: int
    head: bytes
    """The first bytes of the frame."""


class HealthEvent(msgspec.Struct, frozen=True, tag="health"):
    vip: str
    real: str
    was: Health
    now: Health
    detail: str


class RouteEvent(msgspec.Struct, frozen=True, tag="route"):
    address: str
    announced: bool
    why: str


class PeerEvent(msgspec.Struct, frozen=True, tag="peer"):
    peer: str
    state: Literal["up", "down"]
    detail: str


class ChangeEvent(msgspec.Struct, frozen=True, tag="change", omit_defaults=True):
    """A command took effect, was refused or failed."""

    who: str
    what: str
    result: str
    revision: int
    why: str = ""
    operation: str = ""
    """As in the command: the same on all nodes that one operation touched."""
    undo: tuple[str, ...] = ()
    """Lines of the CLI that take it back on this node; empty where there is nothing to take back,
    or no line that would."""


class LostEvent(msgspec.Struct, frozen=True, tag="lost"):
    """Events that exist only as a number: the agent could not keep or send them."""

    count: int
    why: str


EventBody = DropEvent | HealthEvent | RouteEvent | PeerEvent | ChangeEvent | LostEvent


class Event(Message, frozen=True, kw_only=True, tag="event"):
    """Topic `event`: something that happened, once, in order."""

    wall: Finite
    body: EventBody
