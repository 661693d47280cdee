# SPDX-License-Identifier: Apache-2.0
"""dns: a question is answered (RFC 1035), over UDP or TCP.

dnspython writes and reads the messages; it is imported with the first check, for it takes 9 MB.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from agent.checks.way import Said, Way, connect, pattern, receive, send, unexpected
from agent.config.check_table import Check

if TYPE_CHECKING:
    import dns.message

_LENGTH = struct.Struct("!H")


async def ask(check: Check, way: Way) -> Said:
    import dns.exception  # noqa: PLC0415  # see above
    import dns.message  # noqa: PLC0415

    try:
        question = dns.message.make_query(check.query, check.record)
        wire = question.to_wire()
    except dns.exception.DNSException as error:
        return Said(False, f"query {check.query} {check.record}: {error}")
    if check.transport == "tcp":
        raw = await _by_tcp(way, wire)
    else:
        raw = await _by_udp(way, wire)
    try:
        answer = dns.message.from_wire(raw)
    except dns.exception.DNSException as error:
        return Said(False, f"not DNS: {type(error).__name__}")
    if not question.is_response(answer):
        return Said(False, "an answer to another question")
    return _judge(check, answer)


def _judge(check: Check, answer: dns.message.Message) -> Said:
    import dns.rcode  # noqa: PLC0415

    code = answer.rcode()
    if code != dns.rcode.NOERROR:
        return Said(False, f"dns {dns.rcode.to_text(code)}")
    text = "\n".join(rrset.to_text() for rrset in answer.answer).encode()
    if check.expect and not pattern(check.expect).search(text):
        return unexpected(check.expect, text)
    records = sum(len(rrset) for rrset in answer.answer)
    return Said(True, f"dns NOERROR, {records} record{'' if records == 1 else 's'}")


async def _by_udp(way: Way, wire: bytes) -> bytes:
    made = await connect(way, socket.SOCK_DGRAM)
    with made:
        await send(made, wire)
        return await receive(made)


async def _by_tcp(way: Way, wire: bytes) -> bytes:
    """Behind a length, RFC 1035 section 4.2.2.  What is cut short does not parse."""
    made = await connect(way, socket.SOCK_STREAM)
    with made:
        await send(made, _LENGTH.pack(len(wire)) + wire)
        raw = b""
        while len(raw) < 2 or len(raw) < 2 + _LENGTH.unpack_from(raw)[0]:
            more = await receive(made)
            if not more:
                break
            raw += more
        return raw[2:]
