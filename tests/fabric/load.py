# SPDX-License-Identifier: Apache-2.0
"""Steady load on the VIPs, run in the client's namespace; writes down what became of each piece.

    python -m tests.fabric.load [--rate N] [--downloads N] [--datagrams N] [--records FILE]

New HTTP connections at a rate; long downloads, so many on every real, each byte compared; UDP
datagrams at a rate, each of which must come back.  Ends at SIGTERM, once what is under way is
answered.  Records are JSON lines (`Record`); reading them is the module's other half.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple, cast

from tests.fabric import topology as t
from tests.fabric.service import pattern

_PATIENCE = 3.0
"""Seconds until something unanswered is a failure."""
_DOWNLOAD = 1 << 40
_DOWNLOAD_RATE = 50_000
_REPORT_EVERY = 0.25
_UDP_PORTS = 32


class Record(NamedTuple):
    """What became of a request or datagram, or how far a download is."""

    kind: Literal["request", "download", "datagram"]
    at: float
    """CLOCK_MONOTONIC when it began (a download: when this was written)."""
    port: int
    """The client's."""
    real: str
    """Which real answered; empty: none."""
    error: str
    seconds: float
    bytes: int


Write = Callable[[Record], None]


def read(path: Path) -> list[Record]:
    """The records of a file, also while it grows (a line half written is left for next time)."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [Record(*json.loads(line)) for line in lines]


def failures(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.error]


def per_real(records: Iterable[Record], kind: str = "request") -> dict[str, int]:
    """How many of a kind each real answered, every real named."""
    counted = Counter(record.real for record in records if record.kind == kind and record.real)
    return {name: counted[name] for name in t.REALS}


@asynccontextmanager
async def get(path: str) -> AsyncIterator[tuple[asyncio.StreamReader, str, int]]:
    """An answered GET to the VIP `web`: the body's reader, the real's name, the client's port."""
    reader, writer = await asyncio.open_connection(t.WEB, t.WEB_PORT)
    try:
        port = writer.get_extra_info("sockname")[1]
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {t.WEB}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *fields = head.split("\r\n")
        if " 200 " not in status:
            raise ConnectionError(status)
        named = dict(field.split(": ", 1) for field in fields if field)
        yield reader, named["X-Real"], port
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def request(write: Write) -> None:
    """One new connection."""
    began = time.monotonic()
    real, port, error = "", 0, ""
    try:
        async with asyncio.timeout(_PATIENCE), get("/") as (reader, real, port):
            body = await reader.read()
            if body != f"{real} {t.CLIENT_ADDRESS}:{port}\n".encode():
                error = f"body {body!r}"
    except (OSError, EOFError, TimeoutError) as problem:
        error = str(problem) or type(problem).__name__
    write(Record("request", began, port, real, error, time.monotonic() - began, 0))


async def download(wanted: dict[str, int], write: Write) -> None:
    """A long download, if it lands on a real that still lacks one; every byte is compared."""
    began = reported = time.monotonic()
    offset, real, port, error = 0, "", 0, ""

    def report() -> None:
        now = time.monotonic()
        write(Record("download", now, port, real, error, now - began, offset))

    try:
        async with get(f"/bytes/{_DOWNLOAD}?rate={_DOWNLOAD_RATE}") as (reader, real, port):
            if wanted[real] == 0:
                return
            wanted[real] -= 1
            while True:
                offset += await _compare(reader, offset)
                if time.monotonic() - reported > _REPORT_EVERY:
                    reported = time.monotonic()
                    report()
    except asyncio.CancelledError:
        report()
        raise
    except (OSError, EOFError, ValueError, TimeoutError) as problem:
        error = str(problem) or type(problem).__name__
        report()


async def _compare(reader: asyncio.StreamReader, offset: int) -> int:
    """Read some of a download; its length.  Raises EOFError, TimeoutError, or ValueError."""
    async with asyncio.timeout(_PATIENCE):
        piece = await reader.read(1 << 16)
    if not piece:
        raise EOFError(f"closed by the real after {offset} bytes")
    if piece != pattern(offset, len(piece)):
        raise ValueError(f"wrong bytes within {len(piece)} after {offset}")
    return len(piece)


class Echoed(asyncio.DatagramProtocol):
    """One UDP socket: numbers its datagrams and knows which did not come back."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._sent: dict[int, float] = {}
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._port = int(transport.get_extra_info("sockname")[1])

    @property
    def awaits(self) -> bool:
        return bool(self._sent)

    def send(self) -> None:
        self._number += 1
        self._sent[self._number] = time.monotonic()
        self._transport.sendto(b"%d" % self._number)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        number, real = data.split(b" ", 1)
        began = self._sent.pop(int(number), None)
        if began is not None:
            self._record(began, real.decode(), "")

    def error_received(self, exc: Exception) -> None:
        """An ICMP error: the datagram it concerns shows as lost."""

    def give_up(self, older_than: float) -> None:
        """What was sent before then and did not come back is lost."""
        for number in [n for n, began in self._sent.items() if began < older_than]:
            self._record(self._sent.pop(number), "", "lost")

    def _record(self, began: float, real: str, error: str) -> None:
        seconds = time.monotonic() - began
        self._write(Record("datagram", began, self._port, real, error, seconds, 0))


async def requests(rate: float, stop: asyncio.Event, write: Write) -> None:
    async with asyncio.TaskGroup() as group:
        async for _ in _beats(rate, stop):
            group.create_task(request(write))


async def downloads(each: int, stop: asyncio.Event, write: Write) -> None:
    """`each` downloads on every real: connections are opened until they have fallen so."""
    wanted = dict.fromkeys(t.REALS, each)
    tasks: list[asyncio.Task[None]] = []
    async for _ in _beats(50, stop):
        if not any(wanted.values()):
            break
        tasks.append(asyncio.create_task(download(wanted, write)))
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def datagrams(rate: float, stop: asyncio.Event, write: Write) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        sockets: list[Echoed] = []
        for _ in range(_UDP_PORTS):
            transport, echoed = await loop.create_datagram_endpoint(
                lambda: Echoed(write), remote_addr=(t.ECHO, t.ECHO_PORT)
            )
            stack.callback(transport.close)
            sockets.append(echoed)
        turn = 0
        async for _ in _beats(rate, stop):
            turn = (turn + 1) % _UDP_PORTS
            sockets[turn].give_up(time.monotonic() - _PATIENCE)
            sockets[turn].send()
        for _ in range(round(_PATIENCE / 0.02)):
            if not any(echoed.awaits for echoed in sockets):
                break
            await asyncio.sleep(0.02)
        for echoed in sockets:
            echoed.give_up(time.monotonic())


async def _beats(rate: float, stop: asyncio.Event) -> AsyncIterator[int]:
    """Counts at `rate` per second, without catching up after a stall, until `stop`."""
    beat = 0
    due = time.monotonic()
    while not stop.is_set():
        yield beat
        beat += 1
        due = max(due + 1 / rate, time.monotonic() - 1)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(0, due - time.monotonic()))


async def generate(options: argparse.Namespace, write: Write) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as group:
        for work, amount in (
            (requests, options.rate),
            (downloads, options.downloads),
            (datagrams, options.datagrams),
        ):
            if amount:
                group.create_task(work(amount, stop, write))


def main() -> None:
    parser = argparse.ArgumentParser(prog="load", description=__doc__)
    parser.add_argument("--rate", type=float, default=0, help="new connections per second")
    parser.add_argument("--downloads", type=int, default=0, help="long downloads on each real")
    parser.add_argument("--datagrams", type=float, default=0, help="UDP datagrams per second")
    parser.add_argument("--records", type=Path, default=Path("/dev/null"))
    options = parser.parse_args()
    with options.records.open("w", buffering=1) as file:
        asyncio.run(generate(options, lambda record: print(json.dumps(record), file=file)))


if __name__ == "__main__":
    main()
