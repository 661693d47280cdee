# SPDX-License-Identifier: Apache-2.0
"""udp: a datagram is answered, as expected if something is."""

from __future__ import annotations

import socket

from agent.checks.way import Said, Way, connect, pattern, receive, send, unexpected
from agent.config.check_table import Check


async def ask(check: Check, way: Way) -> Said:
    made = await connect(way, socket.SOCK_DGRAM)
    with made:
        await send(made, check.send.encode("latin-1"))
        answer = await receive(made)
    if check.expect and not pattern(check.expect).search(answer):
        return unexpected(check.expect, answer)
    return Said(True, "udp answered")
