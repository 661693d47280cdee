# SPDX-License-Identifier: Apache-2.0
"""tcp: the real accepts; if something is expected, it also answers so."""

from __future__ import annotations

import socket

from agent.checks.way import MOST, Said, Way, connect, pattern, receive, send, unexpected
from agent.config.check_table import Check


async def ask(check: Check, way: Way) -> Said:
    made = await connect(way, socket.SOCK_STREAM)
    with made:
        if check.send:
            await send(made, check.send.encode("latin-1"))
        if not check.expect:
            return Said(True, "tcp connected")
        answer = b""
        while not pattern(check.expect).search(answer):
            more = await receive(made) if len(answer) < MOST else b""
            if not more:
                return unexpected(check.expect, answer)
            answer += more
        return Said(True, "tcp answered")
