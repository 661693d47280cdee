# SPDX-License-Identifier: Apache-2.0
"""How a check reaches a real, and what it says afterwards."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from functools import lru_cache
from typing import NamedTuple

MOST = 65536
"""Bytes of an answer that are looked at."""
_NO_LINGER = struct.pack("ii", 1, 0)


class Said(NamedTuple):
    """What one check found."""

    ok: bool
    detail: str
    """In words, one line: `http 200`, `connection refused`."""
    weight: int | None = None
    """Percent of the configured weight that the answer asked for; None: it did not say."""
    silent: bool = False
    """Nothing came in time."""
    unasked: bool = False
    """This machine could not ask: that says nothing about the real."""


class Way(NamedTuple):
    """Where to, and how."""

    address: str
    port: int
    source: str = ""
    """Our own address; empty: the kernel chooses."""
    vip: str = ""
    """Name of the VIP, for programs."""
    mark: int = 0
    """SO_MARK; 0: none."""
    interface: str = ""
    """To leave by; empty: as the route says."""
    segment: int = 0
    """Largest TCP segment to send; 0: as the route says."""

    @property
    def host(self) -> str:
        """As a URL has it (RFC 3986 section 3.2.2)."""
        return f"[{self.address}]" if ":" in self.address else self.address


async def connect(way: Way, kind: socket.SocketKind) -> socket.socket:
    """A connected, non-blocking socket.  Raises OSError.

    Plain sockets rather than streams: half the processor time, and marks can be set first.
    """
    family = socket.AF_INET6 if ":" in way.address else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        _prepare(made, way, kind)
        await asyncio.get_running_loop().sock_connect(made, (way.address, way.port))
    except BaseException:
        made.close()
        raise
    return made


def _prepare(made: socket.socket, way: Way, kind: socket.SocketKind) -> None:
    made.setblocking(False)
    if kind is socket.SOCK_STREAM:
        # Closed by a reset: nothing lingers.  500 checks a second would else hold 30,000 ports.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        if way.segment:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, way.segment)
    if way.mark:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, way.mark)
    if way.interface:
        # By another interface it would leave unmarked, to whichever node attracts the VIP.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, way.interface.encode())
    if way.source:
        made.bind((way.source, 0))


async def readable(at: socket.socket) -> None:
    """Until something has come, or the other side has closed."""
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(at, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(at)


async def writable(at: socket.socket) -> None:
    """Until it takes more."""
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(at, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_writer(at)


async def send(to: socket.socket, what: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(to, what)


async def receive(at: socket.socket, most: int = MOST) -> bytes:
    """Empty: the other side has closed."""
    return await asyncio.get_running_loop().sock_recv(at, most)


@lru_cache(maxsize=1024)
def pattern(text: str) -> re.Pattern[bytes]:
    """`expect` as a pattern of bytes; a character is the byte of its number."""
    return re.compile(text.encode("latin-1"), re.DOTALL)


def unexpected(expect: str, answer: bytes) -> Said:
    return Said(False, f"answer does not match {expect!r}: {answer[:40]!r}")


_PERCENT = re.compile(r"^\s*(?:up\s+)?(\d{1,4})\s*%?\s*$")


def percent(text: str) -> int | None:
    """`75`, `75%`, `up 75%` (after HAProxy's agent-check): the weight asked for; None: none."""
    found = _PERCENT.match(text)
    return int(found[1]) if found else None
