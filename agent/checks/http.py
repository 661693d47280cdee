# SPDX-License-Identifier: Apache-2.0
"""http and https: one request, its status, and what the answer says (RFC 9110).

h11 speaks the protocol, on sockets of ours: the ecosystem's clients, with pools, proxies and
redirects, would cost ten times as much for each check.  It is imported with the first check.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from agent.checks.way import MOST, Said, Way, connect, pattern, percent, receive, send, unexpected
from agent.config.check_table import Check

if TYPE_CHECKING:
    import h11

_HEAD = 16384
"""Bytes of status line and headers."""
Receive = Callable[[], Awaitable[bytes]]


async def ask(check: Check, way: Way) -> Said:
    if check.kind == "https":
        return await _ask_encrypted(check, way)
    made = await connect(way, socket.SOCK_STREAM)
    with made:
        speaker, request = _request(check, way)
        await send(made, request)
        return await _read(check, speaker, lambda: receive(made))


async def _ask_encrypted(check: Check, way: Way) -> Said:
    import ssl  # noqa: PLC0415  # with the first such check (agent/host/lean.py)

    from agent.checks import tls  # noqa: PLC0415

    try:
        with await tls.encrypted(check, way) as made:
            speaker, request = _request(check, way)
            await tls.send(made, request)
            return await _read(check, speaker, lambda: tls.receive(made))
    except ssl.SSLError as error:
        return tls.refused(error)


def _request(check: Check, way: Way) -> tuple[h11.Connection, bytes]:
    import h11  # noqa: PLC0415  # see above

    default = 443 if check.kind == "https" else 80
    host = check.host or (way.host if way.port == default else f"{way.host}:{way.port}")
    headers = [("Host", host), ("User-Agent", "remora"), ("Connection", "close")]
    speaker = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
    head = speaker.send(h11.Request(method=check.method, target=check.path, headers=headers))
    return speaker, (head or b"") + (speaker.send(h11.EndOfMessage()) or b"")


async def _read(check: Check, speaker: h11.Connection, more: Receive) -> Said:
    import h11  # noqa: PLC0415

    said: Said | None = None
    body = heard = b""
    while True:
        try:
            event = speaker.next_event()
        except h11.RemoteProtocolError as error:
            return Said(False, f"not HTTP ({error}): {heard[:20]!r}")
        if event is h11.NEED_DATA:
            data = await more()
            if not data and not heard:
                return Said(False, _CLOSED)
            heard = heard or data
            speaker.receive_data(data)
        elif isinstance(event, h11.Response):
            said = _judge(check, event)
            if not said.ok or not check.expect:
                return said
        elif isinstance(event, h11.Data):
            body += event.data
            if pattern(check.expect).search(body) and said:
                return said
            if len(body) > MOST:
                return unexpected(check.expect, body)
        elif not isinstance(event, h11.InformationalResponse):
            return unexpected(check.expect, body) if said else Said(False, _CLOSED)


_CLOSED = "connection closed without an answer"


def _judge(check: Check, answer: h11.Response) -> Said:
    code = answer.status_code
    weight = None
    if check.weight_header:
        wanted = check.weight_header.lower().encode()
        values = [value for name, value in answer.headers if name == wanted]
        weight = percent(values[0].decode("latin-1")) if values else None
    return Said(any(_covers(span, code) for span in check.status), f"http {code}", weight)


def _covers(span: str, code: int) -> bool:
    low, _, high = span.partition("-")
    return int(low) <= code <= int(high or low)
