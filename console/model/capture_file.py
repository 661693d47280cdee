# SPDX-License-Identifier: Apache-2.0
"""pcap and pcapng (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng) -> frames.  Reading is a
function that is given: pure.

By hand: of what reads both formats, scapy is a whole packet library under the GPL (0.3 s to
import), dpkt and python-pcapng have had no release since 2022.  Both formats are a handful of fixed
headers, and of a capture nothing but the frames is wanted here.  A test compares it with scapy's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from console.exits import VerbError

Read = Callable[[int], bytes]
"""So many bytes, fewer at the end: as a file's `read`."""
LARGEST = 1 << 24
"""Bytes of a block: what says more is no capture."""
_PCAP = {
    b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\x34\xcd\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">", b"\xa1\xb2\xcd\x34": ">",
}  # fmt: skip
"""Magic number -> byte order; with microseconds, nanoseconds, and of a modified libpcap."""
_MODIFIED = (b"\x34\xcd\xb2\xa1", b"\xa1\xb2\xcd\x34")
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_SECTION_BYTES = struct.pack("<I", _SECTION)
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}


class CaptureError(VerbError):
    """No capture; the text says at which byte it ceases to be one."""


class Frame(NamedTuple):
    link: int
    """Number of the link layer (LINKTYPE_ of tcpdump.org)."""
    content: bytes
    """As much of it as was captured."""


class _CutShortError(Exception):
    """It ends in the middle of something, as when tcpdump was killed: what came before counts."""


class _Source:
    def __init__(self, read: Read) -> None:
        self._read = read
        self.at = 0

    def take(self, size: int, *, or_end: bool = False) -> bytes:
        """`or_end`: it may end here.  Raises CaptureError and _CutShortError."""
        if size > LARGEST:
            raise CaptureError(f"no capture: {size} bytes at once at byte {self.at}")
        found = self._read(size)
        self.at += len(found)
        if len(found) == size or (or_end and not found):
            return found
        raise _CutShortError


def frames(read: Read) -> Iterator[Frame]:
    """Raises CaptureError."""
    source = _Source(read)
    try:
        magic = source.take(4, or_end=True)
        if magic in _PCAP:
            yield from _pcap(source, magic)
        elif magic == _SECTION_BYTES:
            yield from _pcapng(source)
        else:
            raise CaptureError("neither pcap nor pcapng" + _compressed(magic))
    except _CutShortError:
        return


def _compressed(magic: bytes) -> str:
    signs = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zX": "xz"}
    kinds = [name for sign, name in signs.items() if magic.startswith(sign)]
    return f": it is compressed ({kinds[0]}); unpack it first" if kinds else ""


def _pcap(source: _Source, magic: bytes) -> Iterator[Frame]:
    order = _PCAP[magic]
    (network,) = struct.unpack(f"{order}16xI", source.take(20))
    record = struct.Struct(f"{order}8xI4x" + ("8x" if magic in _MODIFIED else ""))
    while head := source.take(record.size, or_end=True):
        yield Frame(network & 0xFFFF, source.take(*record.unpack(head)))


def _pcapng(source: _Source) -> Iterator[Frame]:
    order, interfaces = _section(source), list[tuple[int, int]]()
    while head := source.take(8, or_end=True):
        if head[:4] == _SECTION_BYTES:  # the same in both orders; its length is not yet known
            order, interfaces = _section(source, head[4:]), []
            continue
        kind, length = struct.unpack(f"{order}II", head)
        if length < 12 or length % 4:
            raise CaptureError(f"no pcapng: a block of {length} bytes ends at byte {source.at}")
        body = source.take(length - 8)[:-4]
        try:
            if kind == _INTERFACE:
                link, most = struct.unpack_from(f"{order}H2xI", body)
                interfaces.append((link, most))
            elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
                yield _packet(kind, body, order, interfaces)
        except (struct.error, IndexError):
            raise CaptureError(f"no pcapng: block {kind} before byte {source.at}") from None


def _section(source: _Source, length: bytes = b"") -> str:
    """Its byte order; what else it says is passed over."""
    length = length or source.take(4)
    magic = source.take(4)
    order = _ORDERS.get(magic)
    if order is None:
        raise CaptureError(f"no pcapng: section without a byte order at byte {source.at}")
    source.take(max(0, struct.unpack(f"{order}I", length)[0] - 12))
    return order


def _packet(kind: int, body: bytes, order: str, interfaces: list[tuple[int, int]]) -> Frame:
    """Raises struct.error and IndexError for one that says nonsense."""
    if kind == _SIMPLE_PACKET:
        link, most = interfaces[0]
        (length,) = struct.unpack_from(f"{order}I", body)
        return Frame(link, body[4 : 4 + (min(length, most) if most else length)])
    form = f"{order}I8xI4x" if kind == _PACKET else f"{order}H2x8xI4x"
    interface, length = struct.unpack_from(form, body)
    return Frame(interfaces[interface][0], body[20 : 20 + length])
