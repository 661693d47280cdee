# SPDX-License-Identifier: Apache-2.0
"""Bytes <-> messages.  The only place that knows MessagePack: msgspec, for its pace, writes all and
reads telemetry, msgpack reads commands and answers (docs/adr/0010).

Telemetry frames: [topic, wire version, payload].  Command frames: [wire version, payload].
A payload is one MessagePack map.  Whatever a peer sends that is not that ends as WireError.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TypeVar

import msgpack
import msgspec
from msgspec.msgpack import Decoder

from shared.messages import WIRE_VERSION, Answer, Command, Counters, Telemetry

LARGEST_COMMAND = 1024 * 1024
"""Bytes; a longer command is refused unread.  A config file to be planned is a long one."""
LARGEST_TELEMETRY = 16 * 1024 * 1024

BLANK = 0xF1A5C0DEC0DEF1A5
"""A number that stands for one to be filled in later.  Encoded it is 8 bytes, big endian, which are
in no text (they are no UTF-8)."""
_BLANK = struct.pack(">Q", BLANK)
BLANK_FLOAT: float = struct.unpack(">d", _BLANK)[0]
"""The same bytes, for a field that is a float."""

Encoded = msgspec.Raw
_VERSION = bytes([WIRE_VERSION])
T = TypeVar("T")


class WireError(ValueError):
    """A peer's bytes are not a message; the text says which part."""


class WireVersionError(WireError):
    """A peer speaks another version of the wire."""


def topic_of(message: Telemetry) -> bytes:
    """The topic under which a message is published: its tag."""
    return _topic(type(message))


@cache
def _topic(kind: type[Telemetry]) -> bytes:
    return str(kind.__struct_config__.tag).encode()


def telemetry_frames(message: Telemetry) -> list[bytes]:
    return [topic_of(message), _VERSION, _ENCODER.encode(message)]


def encoded(parts: Iterable[msgspec.Struct]) -> bytes:
    """Parts of a message, one after the other."""
    return b"".join(map(_ENCODER.encode, parts))


def listed(count: int, parts: Iterable[bytes]) -> Encoded:
    """So many encoded parts, to be put into a message in place of their tuple."""
    return Encoded(msgpack.Packer().pack_array_header(count) + b"".join(parts))


def blanks(payload: bytes) -> list[int]:
    """Where the 8 bytes of each BLANK and BLANK_FLOAT begin."""
    return [found.start() for found in re.finditer(re.escape(_BLANK), payload)]


def telemetry_of(frames: Sequence[bytes]) -> Telemetry:
    """Raises WireError; a message under another's topic is one."""
    if len(frames) != 3:
        raise WireError(f"telemetry: expected 3 frames, got {len(frames)}")
    topic, version, payload = frames
    message = _unpack(version, payload, _telemetry().decode, LARGEST_TELEMETRY)
    if topic_of(message) != topic:
        raise WireError(f"telemetry: topic {topic!r} carries a {topic_of(message).decode()}")
    return message


class Numbered(msgspec.Struct):
    """What tells a message from the one before it, whatever else is in it."""

    sequence: int


def numbered(payload: bytes) -> int | None:
    """The `sequence` of a telemetry message, without reading the rest; None: it has none."""
    try:
        return _numbered().decode(payload).sequence
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def command_frames(message: Command | Answer) -> list[bytes]:
    return [_VERSION, _ENCODER.encode(message)]


def command_of(frames: Sequence[bytes]) -> Command:
    return _of_two(frames, "command", Command, LARGEST_COMMAND)


def answer_of(frames: Sequence[bytes]) -> Answer:
    return _of_two(frames, "answer", Answer, LARGEST_TELEMETRY)


def _of_two(frames: Sequence[bytes], name: str, kind: type[T], limit: int) -> T:
    if len(frames) != 2:
        raise WireError(f"{name}: expected 2 frames, got {len(frames)}")

    def read(payload: bytes) -> T:
        return msgspec.convert(msgpack.unpackb(payload), kind, dec_hook=_typed)

    return _unpack(frames[0], frames[1], read, limit)


def _unpack(version: bytes, payload: bytes, read: Callable[[bytes], T], limit: int) -> T:
    if version != _VERSION:
        raise WireVersionError(
            f"wire version {version.hex() or 'empty'}, this side speaks {WIRE_VERSION}"
        )
    if len(payload) > limit:
        raise WireError(f"payload of {len(payload)} bytes, at most {limit} are read")
    try:
        return read(payload)
    except msgspec.ValidationError as error:
        raise WireError(f"payload: {error}") from error
    except (
        *(msgspec.MsgspecError, msgpack.UnpackException),
        *(ValueError, TypeError, RecursionError),
    ) as error:
        raise WireError(f"payload: not MessagePack: {error or type(error).__name__}") from error


def _plain(value: object) -> object:
    if isinstance(value, Counters):
        return value.packed
    raise TypeError(f"{type(value).__name__} does not cross the wire")


def _typed(kind: type, value: object) -> object:
    if kind is Counters and isinstance(value, bytes):
        return Counters.of_packed(value)
    if kind is Counters and isinstance(value, list) and all(isinstance(n, int) for n in value):
        return Counters(value)  # an agent of 0.1.0
    raise TypeError(f"expected {kind.__name__}")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)


@cache
def _telemetry() -> Decoder[Telemetry]:
    """Made for who reads: an agent only writes."""
    return Decoder(Telemetry, dec_hook=_typed)


@cache
def _numbered() -> Decoder[Numbered]:
    return Decoder(Numbered)
