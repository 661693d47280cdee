# SPDX-License-Identifier: Apache-2.0
"""Traced packets -> pcapng (draft-ietf-opsawg-pcapng), block by block.  Pure.

By hand: four kinds of blocks, written only.  The libraries that write them bring a packet library
along (scapy) or do not know `epb_verdict`.

Per node there are two interfaces, `lb1:entry` (as packets came) and `lb1:exit` (as they left), all
Ethernet with nanoseconds and one snapshot length, as libpcap asks of files with several.  The
verdict of a packet is there twice: as epb_verdict (the XDP action), and in words as a comment.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from shared.messages import DropEvent, Event, Packets, TracedPacket

SNAPLEN = 262144
"""What tcpdump writes by default; a trace captures less."""
_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_BYTE_ORDER = 0x1A2B3C4D
_ETHERNET = 1
_COMMENT = 1
_USER_APPLICATION = 4
_IF_NAME, _IF_DESCRIPTION, _IF_RESOLUTION = 2, 3, 9
_FLAGS, _PACKET_ID, _QUEUE, _VERDICT = 2, 5, 6, 7
_RECEIVED, _DROPPED = 4, 5
_NANOSECONDS = 9
_XDP = 2
_ACTIONS: Mapping[str, int] = {"drop": 1, "pass": 2, "send": 3, "answer": 3}
"""Verdict -> enum xdp_action."""
_STAGES = ("entry", "exit")


def opening(nodes: Sequence[tuple[str, str]], trace: str) -> bytes:
    """The section's head, and two interfaces for each (node, its interface); `trace` in words."""
    options = _option(_COMMENT, trace.encode()) + _option(_USER_APPLICATION, b"remora trace")
    head = _block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + _ended(options))
    described = [
        _interface(f"{node}:{stage}", f"{interface}: {_described(stage)}")
        for node, interface in nodes
        for stage in _STAGES
    ]
    return head + b"".join(described)


def _described(stage: str) -> str:
    return "as packets came" if stage == "entry" else "as they left"


def _interface(name: str, description: str) -> bytes:
    options = (
        _option(_IF_NAME, name.encode())
        + _option(_IF_DESCRIPTION, description.encode())
        + _option(_IF_RESOLUTION, bytes([_NANOSECONDS]))
    )
    return _block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, SNAPLEN) + _ended(options))


def packet(traced: TracedPacket, *, node: int, offset: int) -> bytes:
    """One packet of the node with this place in `opening`; `offset` as in Packets."""
    left = traced.stage == "exit"
    options = (
        _option(_COMMENT, comment(traced).encode())
        + _option(_FLAGS, struct.pack("<I", 2 if left else 1))
        + _option(_PACKET_ID, struct.pack("<Q", traced.cpu << 32 | traced.packet & 0xFFFFFFFF))
        + _option(_QUEUE, struct.pack("<I", traced.rx_queue))
    )
    if left:
        action = _ACTIONS.get(traced.verdict, 0)
        options += _option(_VERDICT, struct.pack("<BQ", _XDP, action))
    at = traced.at + offset
    length = max(traced.length, len(traced.head))
    fixed = struct.pack(
        "<IIIII", 2 * node + left, at >> 32 & 0xFFFFFFFF, at & 0xFFFFFFFF, len(traced.head), length
    )
    return _block(_PACKET, fixed + _padded(traced.head) + _ended(options))


def drops_opening() -> bytes:
    """The section's head; interfaces follow, each before its first packet."""
    options = _option(_USER_APPLICATION, b"remora events")
    return _block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + _ended(options))


def drops_interface(node: str) -> bytes:
    """`lb1:drops`: the next place in the file."""
    return _interface(f"{node}:drops", "dropped packets")


def dropped(event: Event, body: DropEvent, *, node: int) -> bytes:
    """A dropped packet of the node with this place: 0 is that of the first interface."""
    words = f"drop {body.name} {body.vip} cpu {body.cpu}".replace("  ", " ")
    options = (
        _option(_COMMENT, words.encode())
        + _option(_FLAGS, struct.pack("<I", 1))
        + _option(_QUEUE, struct.pack("<I", body.rx_queue))
        + _option(_VERDICT, struct.pack("<BQ", _XDP, _ACTIONS["drop"]))
    )
    at, length = int(event.wall * 1e9), max(body.length, len(body.head))
    fixed = struct.pack(
        "<IIIII", node, at >> 32 & 0xFFFFFFFF, at & 0xFFFFFFFF, len(body.head), length
    )
    return _block(_PACKET, fixed + _padded(body.head) + _ended(options))


def comment(traced: TracedPacket) -> str:
    """`send web 10.3.1.2 ring slot 4711 cpu 1`: what the frame itself does not show."""
    words = [traced.verdict or "entry", traced.reason, traced.vip]
    if traced.real:
        by = "flow table" if traced.flow_hit else f"ring slot {traced.slot}"
        words += [traced.real, by]
    return " ".join(word for word in (*words, f"cpu {traced.cpu}") if word)


def closing(last: Packets, *, node: int) -> bytes:
    """How many packets matched on this node, and how many of them are not in the file."""
    at = int(last.at * 1e9) + last.offset
    options = _option(_RECEIVED, struct.pack("<Q", last.matched)) + _option(
        _DROPPED, struct.pack("<Q", max(0, last.matched - last.entries))
    )
    fixed = struct.pack("<III", 2 * node, at >> 32 & 0xFFFFFFFF, at & 0xFFFFFFFF)
    return _block(_STATISTICS, fixed + _ended(options))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    value = value[:0xFFFF]
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _ended(options: bytes) -> bytes:
    return options + bytes(4)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
