# SPDX-License-Identifier: Apache-2.0
"""Traced packets in words: entry and exit of one packet are one line.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from console import format as fmt
from console.views.items import Item
from shared.capture import ends, tcp_flags
from shared.messages import Packets, TracedPacket


class Passage(NamedTuple):
    """A packet on its way through one node."""

    node: str
    offset: int
    """Unix time minus the agent's monotonic clock, ns."""
    entry: TracedPacket | None
    """None: it was lost."""
    exit: TracedPacket | None

    @property
    def wall_ns(self) -> int:
        known = self.entry or self.exit
        assert known is not None
        return known.at + self.offset


class Pairs:
    """Puts the two halves of each packet of one node together."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], Passage] = {}

    def take(self, message: Packets) -> Iterator[Passage]:
        """What is complete with this message, and what will never be.

        A ring buffer is read in order, so the exit of an entry comes with the same message or with
        the next one that has packets.
        """
        older = dict(self._open) if message.packets or message.ended else {}
        for packet in message.packets:
            key = packet.cpu, packet.packet
            if packet.stage == "entry":
                if key in self._open:
                    yield self._open[key]
                self._open[key] = Passage(message.node, message.offset, packet, None)
                continue
            begun = self._open.pop(key, Passage(message.node, message.offset, None, None))
            yield begun._replace(exit=packet)
        for key, passage in older.items():
            if self._open.get(key) is passage:
                yield self._open.pop(key)
        if message.ended:
            yield from self._open.values()
            self._open.clear()


def line(passage: Passage) -> str:
    """`14:03:21.991234 lb1  send  web  tcp 198.51.100.7:4000 -> 10.200.0.1:80 S 74 B  => 10.3.1.2
    slot 4711  ipip 10.9.3.4 -> 10.3.1.2 94 B`, in one line."""
    known = passage.exit or passage.entry
    assert known is not None
    verdict = passage.exit.verdict if passage.exit else "?"
    parts = [
        f"{fmt.clock(passage.wall_ns // 10**9)}.{passage.wall_ns // 1000 % 10**6:06}",
        f"{passage.node:<8}",
        f"{verdict} {known.reason}".strip().ljust(6),
        f"{known.vip or '-':<8}",
        _frame(passage.entry) if passage.entry else "entry lost",
    ]
    if known.real:
        parts.append(f" => {known.real} {'flow' if known.flow_hit else f'slot {known.slot}'}")
    if passage.exit and passage.exit.verdict in ("send", "answer"):
        parts.append(f" {_frame(passage.exit)}")
    elif not passage.exit:
        parts.append(" exit lost")
    return " ".join(parts)


def _frame(packet: TracedPacket) -> str:
    found = ends(packet.head)
    flags = tcp_flags(packet.head)
    words = (found.protocol, f"{found.source} -> {found.destination}", flags, f"{packet.length} B")
    return " ".join(word for word in words if word)


def item(passage: Passage) -> Item:
    """For `-o json`: one object per packet; frames as hex."""
    known = passage.exit or passage.entry
    assert known is not None
    return {
        "at_ns": passage.wall_ns,
        "node": passage.node,
        "cpu": known.cpu,
        "rx_queue": known.rx_queue,
        "verdict": passage.exit.verdict if passage.exit else None,
        "reason": known.reason or None,
        "vip": known.vip or None,
        "real": known.real or None,
        "slot": known.slot if known.real else None,
        "flow_hit": known.flow_hit,
        "entry": _side(passage.entry),
        "exit": _side(passage.exit),
    }


def _side(packet: TracedPacket | None) -> Item | None:
    if packet is None:
        return None
    found = ends(packet.head)
    return {
        **found._asdict(),
        "flags": tcp_flags(packet.head),
        "length": packet.length,
        "frame": packet.head.hex(),
    }
