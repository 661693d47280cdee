# SPDX-License-Identifier: Apache-2.0
"""What a real serves: HTTP on port 80 and a UDP echo on the VIP `echo`; both say which real it is.

    python -m tests.fabric.service NAME

GET /            the real's name and the client's address, as the real saw it
GET /healthz     200
GET /bytes/N     N bytes of `pattern`, as fast as they go; ?rate=R for R bytes per second
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast
from urllib.parse import parse_qs, urlsplit

from tests.fabric import topology as t

_CYCLE = bytes(range(251))  # prime, so that no power of two hides a gap
_STEP = 0.02


def pattern(offset: int, length: int) -> bytes:
    """The bytes [offset, offset + length) of what /bytes/N sends."""
    start = offset % len(_CYCLE)
    return (_CYCLE * (length // len(_CYCLE) + 2))[start : start + length]


async def serve(name: str) -> None:
    """Serve until killed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _answer(name, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away: its business
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Echo(name), local_addr=(t.ECHO, t.ECHO_PORT))
    server = await asyncio.start_server(answer, None, t.WEB_PORT, backlog=1024)
    async with server:
        await server.serve_forever()


class _Echo(asyncio.DatagramProtocol):
    """Sends back what came, and the real's name."""

    def __init__(self, name: str) -> None:
        self._suffix = b" " + name.encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data + self._suffix, addr)


async def _answer(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    target = urlsplit(head.split(b" ", 2)[1].decode("ascii", "replace"))
    if target.path.startswith("/bytes/"):
        length = int(target.path.removeprefix("/bytes/"))
        rate = float(parse_qs(target.query).get("rate", ["0"])[0])
        writer.write(_head(name, 200, length))
        await _send_pattern(writer, length, rate)
        return
    known = target.path in ("/", "/healthz")
    host, port = writer.get_extra_info("peername")[:2]
    body = f"{name} {host}:{port}\n".encode() if known else b"not found\n"
    writer.write(_head(name, 200 if known else 404, len(body)) + body)
    await writer.drain()


def _head(name: str, status: int, length: int) -> bytes:
    return (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not Found'}\r\n"
        f"X-Real: {name}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()


async def _send_pattern(writer: asyncio.StreamWriter, length: int, rate: float) -> None:
    """`rate` in bytes per second; 0 is no limit."""
    piece = max(1, int(rate * _STEP)) if rate else 1 << 16
    for offset in range(0, length, piece):
        writer.write(pattern(offset, min(piece, length - offset)))
        await writer.drain()
        if rate:
            await asyncio.sleep(_STEP)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
