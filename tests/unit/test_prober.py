# SPDX-License-Identifier: Apache-2.0
"""Checks against servers that answer, refuse, stall and talk nonsense."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, ip_address
from typing import Literal

import pytest

from agent.boundary import Asking, Probed, Target, VipKey
from agent.check_table import Check
from agent.prober import Prober, probe
from shared.model import Protocol

VIP = IPv4Address("10.200.0.1")


def asking(check: Check, port: int, real: str = "127.0.0.1", vip: str = "web") -> Asking:
    return Asking(Target(vip, ip_address(real)), VipKey(VIP, port, Protocol.TCP), check)


async def _against(answer: bytes | None, check: Check) -> Probed:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await reader.read()  # until the checker gives up
        else:
            await reader.readline()
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await probe(asking(check, server.sockets[0].getsockname()[1]), None)


HTTP = Check(kind="http", path="/healthz", timeout=0.2)


@pytest.mark.parametrize(
    ("answer", "ok", "detail"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True, "http 200"),
        (b"HTTP/1.0 302 Found\r\n\r\n", True, "http 302"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", False, "http 503"),
        (b"HTTP/1.1 2x0\r\n", False, "not HTTP"),
        (b"SSH-2.0-x\r\n", False, "not HTTP ("),
        (b"", False, "connection closed without an answer"),
        pytest.param(b"x" * 20000, False, "not HTTP (Receive buffer too long", id="endless"),
        (None, False, "no answer within 0.2 s"),
    ],
)
def test_http(answer: bytes | None, *, ok: bool, detail: str) -> None:
    result = asyncio.run(_against(answer, HTTP))
    assert result.ok is ok
    assert result.detail.startswith(detail)
    assert 0 < result.ms < 2000


def test_tcp() -> None:
    assert asyncio.run(_against(b"", Check())).detail == "tcp connected"


def test_refused() -> None:
    result = asyncio.run(probe(asking(Check(), 1), None))
    assert (result.ok, result.detail) == (False, "connection refused")


@pytest.mark.parametrize(("kind", "detail"), [("tcp", "tcp connected"), ("http", "http 200")])
def test_ipv6(kind: Literal["tcp", "http"], detail: str) -> None:
    """The Host header has the brackets that RFC 3986 asks for."""
    heard: list[bytes] = []

    async def story() -> Probed:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if kind == "http":
                heard.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "::1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            result = await probe(asking(Check(kind=kind), port, "::1"), None)
        assert kind == "tcp" or f"Host: [::1]:{port}\r\n".encode() in heard[0]
        return result

    result = asyncio.run(story())
    assert (result.ok, result.detail) == (True, detail)


def test_a_hanging_real_delays_nobody() -> None:
    """The other target's results come at their own pace."""

    async def story() -> list[Probed]:
        results: list[Probed] = []
        enough = asyncio.Event()

        def tell(result: Probed) -> None:
            results.append(result)
            if sum(r.target.vip == "fast" for r in results) >= 5:
                enough.set()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
            finally:
                writer.close()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            writer.close()

        slow = await asyncio.start_server(hang, "127.0.0.1", 0)
        fast = await asyncio.start_server(answer, "127.0.0.1", 0)
        checks = [
            asking(
                Check(kind="http", interval=max(timeout, 0.05), timeout=timeout),
                server.sockets[0].getsockname()[1],
                vip=name,
            )
            for name, server, timeout in (("slow", slow, 20.0), ("fast", fast, 0.05))
        ]
        async with slow, fast:
            prober = Prober(tell)
            prober.declare(frozenset(checks))
            await asyncio.wait_for(enough.wait(), 10)
            prober.close()
        return results

    results = asyncio.run(story())
    assert {r.target.vip for r in results} == {"fast"}
    assert all(r.ok for r in results)
