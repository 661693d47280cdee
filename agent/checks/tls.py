# SPDX-License-Identifier: Apache-2.0
"""tls: a handshake; and the encrypted socket that https goes by.

Imported with the first such check: OpenSSL is a tenth of the agent's memory.  On the socket itself,
not by asyncio's streams, which know no TLS then (agent/host/lean.py).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from agent.checks.authorities import context
from agent.checks.way import MOST, Said, Way, connect, readable, writable
from agent.config.check_table import Check

T = TypeVar("T")


async def ask(check: Check, way: Way) -> Said:
    try:
        with await encrypted(check, way) as made:
            version = made.version() or ""
    except ssl.SSLError as error:
        return refused(error)
    return Said(True, f"tls {version.removeprefix('TLSv')}")


async def encrypted(check: Check, way: Way) -> ssl.SSLSocket:
    """A socket behind a handshake.  Raises OSError, of which ssl.SSLError is one."""
    made: socket.socket = await connect(way, socket.SOCK_STREAM)
    try:
        patience = check.timeout / 4
        trusting = await context(check.ca_file, verify=check.verify, patience=patience)
        made = wrapped = trusting.wrap_socket(
            made, server_hostname=_name(check, way), do_handshake_on_connect=False
        )
        await _done(wrapped, wrapped.do_handshake)
    except BaseException:
        made.close()
        raise
    return wrapped


async def send(to: ssl.SSLSocket, what: bytes) -> None:
    while what:
        sent = await _done(to, lambda: to.send(what))  # noqa: B023  # called at once
        what = what[sent:]


async def receive(at: ssl.SSLSocket) -> bytes:
    """Empty: the other side has closed."""
    return await _done(at, lambda: at.recv(MOST))


async def _done(on: ssl.SSLSocket, act: Callable[[], T]) -> T:
    """What `act` gives, called again whenever what it waited for is there."""
    while True:
        try:
            return act()
        except ssl.SSLWantReadError:
            await readable(on)
        except ssl.SSLWantWriteError:
            await writable(on)


def refused(error: ssl.SSLError) -> Said:
    """The library's reason without its numbers and file names."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Said(False, f"certificate: {error.verify_message.lower().rstrip('.')}")
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return Said(False, f"tls: {reason}")


def _name(check: Check, way: Way) -> str:
    """What the certificate must be for; without a name of its own that of the Host header.  Raises
    ValueError where no certificate can have it: wrap_socket() would leave its socket open."""
    named = check.sni or check.host
    if named.startswith("["):
        return named[1:].partition("]")[0]
    name = (named if named.count(":") > 1 else named.partition(":")[0]) or way.address
    return name.encode("idna").decode("ascii")
