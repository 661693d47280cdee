# SPDX-License-Identifier: Apache-2.0
"""Telemetry in a file, as it came: compressed blocks, each with the time that it covers.

File: the line MAGIC, then blocks.  A block is a header (big endian: 4 bytes `rblk`, packed length
and raw length as 32-bit numbers, Unix time of its first and last record as doubles, CRC-32 of what
follows) and zlib-compressed records.  A record is its length, then its Unix time as a double, the
agent's address and the frames, each with its length before it (all lengths 32 bits).

Headers are the index: a reader hops from one to the next.  A writer that is killed leaves a whole
block or a part of one, which readers pass over; nothing has to be closed or repaired.  Frames stay
bytes, so that a recording of a newer agent can be kept and copied by an older console.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

MAGIC = b"remora telemetry 2\n"
_HEADER = struct.Struct(">4sIIddI")
_MARK = b"rblk"
LARGEST_BLOCK = 64 << 20
"""Bytes, raw: a header that says more is damage, or an attack."""
LEVEL = 1
"""zlib's: three times the speed of its default for a tenth more bytes."""


class RecordingError(ValueError):
    """The file is no recording, or is damaged; the text says where."""


class Record(NamedTuple):
    at: float
    """Unix time when it came."""
    address: str
    frames: tuple[bytes, ...]


class Place(NamedTuple):
    """Where a block is, and the Unix times that it covers."""

    first: float
    last: float
    offset: int


def block(records: Sequence[Record]) -> bytes:
    """One block; `records` has at least one."""
    pieces = [piece for record in records for piece in _pieces(record)]
    squeezer = zlib.compressobj(LEVEL)
    # Piece by piece: joined first, a block of a large node would be there three times.
    packed = b"".join([*map(squeezer.compress, pieces), squeezer.flush()])
    raw = sum(map(len, pieces))
    times = [record.at for record in records]  # a clock may have jumped back among them
    head = _HEADER.pack(_MARK, len(packed), raw, min(times), max(times), zlib.crc32(packed))
    return head + packed


def unblock(data: bytes) -> tuple[Record, ...]:
    """The records of one block.  Raises RecordingError."""
    try:
        mark, packed, raw, _, _, crc = _HEADER.unpack_from(data)
    except struct.error as error:
        raise RecordingError("damaged: a block is cut off") from error
    body = data[_HEADER.size :]
    if mark != _MARK or packed != len(body) or raw > LARGEST_BLOCK or crc != zlib.crc32(body):
        raise RecordingError("damaged: a block is not what its header says")
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(body, max(1, raw))  # 0 would be: as much as comes out
    except zlib.error as error:
        raise RecordingError(f"damaged: {error}") from error
    if len(text) != raw or not unpacker.eof:
        raise RecordingError("damaged: a block is not as long as its header says")
    return tuple(_record(part) for part in _parts(text))


def places(file: BinaryIO) -> Iterator[Place]:
    """The index: all whole blocks.  Raises RecordingError for what is no recording."""
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise RecordingError("not a recording: the first line is not that of one")
    offset = len(MAGIC)
    size = file.seek(0, 2)
    while offset + _HEADER.size <= size:
        file.seek(offset)
        mark, packed, _, first, last, _ = _HEADER.unpack(file.read(_HEADER.size))
        if mark != _MARK:
            raise RecordingError(f"damaged: no block begins at byte {offset}")
        end = offset + _HEADER.size + packed
        if end > size:
            return  # it was being written when the writer died
        yield Place(first, last, offset)
        offset = end


def index(file: BinaryIO) -> list[Place]:
    """The places of a recording that is not empty.  Raises RecordingError."""
    found = list(places(file))
    if not found:
        raise RecordingError("nothing was recorded")
    return found


def addresses(file: BinaryIO, known: Sequence[Place]) -> tuple[str, ...]:
    """The agents in some of its blocks, in order of appearance."""
    return tuple({r.address: None for p in known for r in readable(file, p)})


def readable(file: BinaryIO, place: Place) -> tuple[Record, ...]:
    """A block's records; a damaged block is a gap: the rest can still be seen."""
    try:
        return unblock(load(file, place))
    except RecordingError:
        return ()


def load(file: BinaryIO, place: Place) -> bytes:
    """A block's bytes."""
    file.seek(place.offset)
    head = file.read(_HEADER.size)
    return head + file.read(_HEADER.unpack(head)[1])


def read(
    file: BinaryIO, since: float = float("-inf"), until: float = float("inf")
) -> Iterator[Record]:
    """Records of a time span, ends included.  Raises RecordingError for what is no recording."""
    for place in list(places(file)):
        if place.last >= since and place.first <= until:
            yield from (r for r in readable(file, place) if since <= r.at <= until)


def write(file: BinaryIO, records: Iterable[Record]) -> None:
    """A whole recording at once, in one block."""
    file.write(MAGIC)
    whole = tuple(records)
    if whole:
        file.write(block(whole))


def _pieces(record: Record) -> Iterator[bytes]:
    parts = (record.address.encode(), *record.frames)
    yield (8 + sum(4 + len(part) for part in parts)).to_bytes(4, "big")
    yield struct.pack(">d", record.at)
    for part in parts:
        yield len(part).to_bytes(4, "big")
        yield part


def _record(body: bytes) -> Record:
    try:
        (at,) = struct.unpack_from(">d", body)
        address, *frames = _parts(body[8:])
        return Record(at, address.decode(), tuple(frames))
    except (struct.error, ValueError) as error:
        raise RecordingError(f"damaged: {error}") from error


def _parts(body: bytes) -> Iterator[bytes]:
    view, at = memoryview(body), 0
    while at < len(body):
        length = int.from_bytes(view[at : at + 4], "big")
        if at + 4 + length > len(body):
            raise RecordingError("damaged: a part is cut off")
        yield bytes(view[at + 4 : at + 4 + length])
        at += 4 + length
