# SPDX-License-Identifier: Apache-2.0
"""tls: a handshake; and the encrypted stream that https goes by."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.checks.authorities import context
from agent.checks.way import Said, Way, connect
from agent.config.check_table import Check


async def ask(check: Check, way: Way) -> Said:
    try:
        async with encrypted(check, way) as (_, writer):
            version = writer.get_extra_info("ssl_object").version()
    except ssl.SSLError as error:
        return refused(error)
    return Said(True, f"tls {version.removeprefix('TLSv')}")


@asynccontextmanager
async def encrypted(
    check: Check, way: Way
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A stream behind a handshake.  Raises OSError, of which ssl.SSLError is one."""
    made = await connect(way, socket.SOCK_STREAM)
    try:
        reader, writer = await asyncio.open_connection(
            sock=made,
            ssl=context(check.ca_file, verify=check.verify),
            server_hostname=_name(check, way),
        )
    except BaseException:
        made.close()
        raise
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def refused(error: ssl.SSLError) -> Said:
    """The library's reason without its numbers and file names."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Said(False, f"certificate: {error.verify_message.lower().rstrip('.')}")
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return Said(False, f"tls: {reason}")


def _name(check: Check, way: Way) -> str:
    """What the certificate must be for; without a name of its own that of the Host header."""
    named = check.sni or check.host
    if named.startswith("["):
        return named[1:].partition("]")[0]
    return (named if named.count(":") > 1 else named.partition(":")[0]) or way.address
