# SPDX-License-Identifier: Apache-2.0
"""Telemetry of many agents in a file, as it came: for bug reports and as what tests replay.

File: the magic line, then records; a record is its length (4 bytes, big endian) and a MessagePack
free frame list: arrival time (8-byte float), address and frames, each with a 4-byte length.
Frames are kept as bytes, so a recording of a newer agent stays readable by a newer console.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from console.store import Arrived, Inbox, fault_of
from shared.codec import WireError, telemetry_of

MAGIC = b"remora telemetry 1\n"
LARGEST_RECORD = 64 * 1024 * 1024


class RecordingError(ValueError):
    """The file is no recording, or is damaged; the text says where."""


class Record(NamedTuple):
    at: float
    """Seconds of the recorder's monotonic clock."""
    address: str
    frames: tuple[bytes, ...]


def write(file: BinaryIO, records: Iterable[Record]) -> None:
    file.write(MAGIC)
    for at, address, frames in records:
        body = struct.pack(">d", at) + b"".join(map(_with_length, (address.encode(), *frames)))
        file.write(_with_length(body))


def read(file: BinaryIO) -> Iterator[Record]:
    """Raises RecordingError; a record that was being written when the recorder died is not one."""
    if file.read(len(MAGIC)) != MAGIC:
        raise RecordingError("not a recording: the first line is not that of one")
    while head := file.read(4):
        length = int.from_bytes(head, "big")
        body = file.read(length) if length <= LARGEST_RECORD else b""
        if len(head) < 4 or len(body) < length:
            if length > LARGEST_RECORD:
                raise RecordingError(f"damaged: a record of {length} bytes")
            return
        yield _record(body)


def inbox(records: Iterable[Record]) -> Inbox:
    """What a client would have handed over of these records."""
    arrived, faults = [], []
    for at, address, frames in records:
        try:
            arrived.append(Arrived(address, telemetry_of(frames), at))
        except WireError as error:
            faults.append(fault_of(address, error))
    return Inbox(arrived, (), faults)


def _with_length(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def _record(body: bytes) -> Record:
    try:
        (at,) = struct.unpack_from(">d", body)
        address, *frames = _parts(body[8:])
        return Record(at, address.decode(), tuple(frames))
    except (struct.error, ValueError) as error:
        raise RecordingError(f"damaged: {error}") from error


def _parts(body: bytes) -> Iterator[bytes]:
    while body:
        length = int.from_bytes(body[:4], "big")
        if len(body) < 4 + length:
            raise ValueError("a frame is cut off")
        yield body[4 : 4 + length]
        body = body[4 + length :]
