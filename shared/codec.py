# SPDX-License-Identifier: Apache-2.0
"""Bytes <-> messages.  The only place that knows MessagePack.

Telemetry frames: [topic, wire version, payload].  Command frames: [wire version, payload].
A payload is one MessagePack map.  Whatever a peer sends that is not that ends as WireError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgpack
import msgspec

from shared.messages import WIRE_VERSION, Answer, Command, Event, Snapshot

LARGEST_COMMAND = 1024 * 1024
"""Bytes; a longer command is refused unread.  A config file to be planned is a long one."""
LARGEST_TELEMETRY = 16 * 1024 * 1024

_VERSION = bytes([WIRE_VERSION])
_TELEMETRY: type = Snapshot | Event  # type: ignore[assignment]  # mypy: a union is not a type
T = TypeVar("T")


class WireError(ValueError):
    """A peer's bytes are not a message; the text says which part."""


class WireVersionError(WireError):
    """A peer speaks another version of the wire."""


def topic_of(message: Snapshot | Event) -> bytes:
    """The topic under which a message is published: its tag."""
    return str(type(message).__struct_config__.tag).encode()


def telemetry_frames(message: Snapshot | Event) -> list[bytes]:
    return [topic_of(message), _VERSION, _pack(message)]


def telemetry_of(frames: Sequence[bytes]) -> Snapshot | Event:
    """Raises WireError; a message under another's topic is one."""
    if len(frames) != 3:
        raise WireError(f"telemetry: expected 3 frames, got {len(frames)}")
    message: Snapshot | Event = _unpack(frames[1], frames[2], _TELEMETRY, LARGEST_TELEMETRY)
    if topic_of(message) != frames[0]:
        raise WireError(f"telemetry: topic {frames[0]!r} carries a {topic_of(message).decode()}")
    return message


def command_frames(message: Command | Answer) -> list[bytes]:
    return [_VERSION, _pack(message)]


def command_of(frames: Sequence[bytes]) -> Command:
    return _of_two(frames, Command, LARGEST_COMMAND)


def answer_of(frames: Sequence[bytes]) -> Answer:
    return _of_two(frames, Answer, LARGEST_TELEMETRY)


def _of_two(frames: Sequence[bytes], kind: type[T], limit: int) -> T:
    if len(frames) != 2:
        raise WireError(f"{kind.__name__.lower()}: expected 2 frames, got {len(frames)}")
    return _unpack(frames[0], frames[1], kind, limit)


def _pack(message: msgspec.Struct) -> bytes:
    packed: bytes = msgpack.packb(msgspec.to_builtins(message, builtin_types=(bytes,)))
    return packed


def _unpack(version: bytes, payload: bytes, kind: type[T], limit: int) -> T:
    if version != _VERSION:
        raise WireVersionError(
            f"wire version {version.hex() or 'empty'}, this side speaks {WIRE_VERSION}"
        )
    if len(payload) > limit:
        raise WireError(f"payload of {len(payload)} bytes, at most {limit} are read")
    try:
        return msgspec.convert(msgpack.unpackb(payload), kind)
    except (msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
        raise WireError(f"payload: {error or type(error).__name__}") from error
    except msgpack.UnpackException as error:
        raise WireError(f"payload: not MessagePack: {error or type(error).__name__}") from error
