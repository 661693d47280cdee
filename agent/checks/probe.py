# SPDX-License-Identifier: Apache-2.0
"""One check, by its way: to the real's own address, or to the VIP through the tunnel, as a client's
packet goes.  What each kind asks is in agent/checks, when is in agent/checks/prober.py.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping

from agent.boundary import Probed
from agent.checks import dns, file, http, program, tcp, udp
from agent.checks.way import Said, Way
from agent.config.check_table import Check, Kind
from agent.dataplane import abi
from agent.dataplane.tunnel import Tunnel
from agent.nouns import Asking

log = logging.getLogger("remora")

LOCAL: tuple[Kind, ...] = ("exec", "file")
"""Kinds that send nothing themselves."""
SHORT = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.EAGAIN,
    errno.EADDRINUSE,
)
"""What this machine, or this process, has no more of; EAGAIN: processes; EADDRINUSE: ports of the
check's own source."""

Ask = Callable[[Check, Way], Awaitable[Said]]


async def _tls(check: Check, way: Way) -> Said:
    from agent.checks import tls  # noqa: PLC0415  # with the first such check, for its memory

    return await tls.ask(check, way)


KINDS: Mapping[Kind, Ask] = {
    "tcp": tcp.ask,
    "http": http.ask,
    "https": http.ask,
    "tls": _tls,
    "dns": dns.ask,
    "udp": udp.ask,
    "exec": program.ask,
    "file": file.ask,
}


async def probe(asking: Asking, tunnel: Tunnel | None) -> Probed:
    """One check.  Never raises: what goes wrong is the result.  Without a tunnel it is direct."""
    started = time.monotonic()
    said = await _ask(asking, tunnel)
    ms = (time.monotonic() - started) * 1000
    weight = _bounded(asking.check, said.weight)
    return Probed(
        asking.target,
        said.ok,
        said.detail,
        ms,
        weight,
        silent=said.silent,
        unasked=said.unasked,
    )


async def _ask(asking: Asking, tunnel: Tunnel | None) -> Said:
    check = asking.check
    if tunnel is None or check.via == "direct" or check.kind in LOCAL:
        return await _said(check, _direct(asking))
    if check.via == "tunnel":
        return await _through(asking, tunnel)
    return both(*await asyncio.gather(_through(asking, tunnel), _said(check, _direct(asking))))


def both(tunnel: Said, direct: Said) -> Said:
    """Traffic goes through the tunnel, so its answer counts; a difference says what is wrong."""
    if tunnel.ok == direct.ok or tunnel.unasked or direct.unasked:
        return tunnel
    if tunnel.ok:
        return tunnel._replace(detail=f"{tunnel.detail}; not at its own address: {direct.detail}")
    return Said(
        False,
        f"the application answers ({direct.detail}), the tunnel path does not ({tunnel.detail}): "
        "decap, VIP on lo, rp_filter or MTU",
        silent=tunnel.silent,
    )


async def _through(asking: Asking, tunnel: Tunnel) -> Said:
    """To the VIP, encapsulated to the real."""
    check, to = asking.check, asking.check.address or asking.key.address
    way = Way(
        str(to),
        check.port or asking.key.port,
        _source(check, to.version),
        asking.target.vip,
        abi.probe_mark(asking.real_num, asking.generation),
        tunnel.interface,
        tunnel.segment(to.version),
    )
    before = tunnel.sent()
    said = await _said(check, way)
    missing = "" if tunnel.sent() != before else tunnel.why_not(before)
    if said.unasked:
        return said
    # An answer to what we did not send is somebody else's
    return said._replace(ok=False, detail=f"{said.detail}: {missing}") if missing else said


async def _said(check: Check, way: Way) -> Said:
    try:
        async with asyncio.timeout(check.timeout):
            return await KINDS[check.kind](check, way)
    except TimeoutError:
        return Said(False, f"no answer within {check.timeout:g} s", silent=True)
    except OSError as error:
        # asyncio puts its own words into strerror
        detail = os.strerror(error.errno).lower() if error.errno else str(error)
        return Said(False, detail, unasked=_was_short(error, way))
    except ValueError as error:  # a name that no certificate or query can have
        return Said(False, str(error))
    except Exception as error:  # a check that ends would leave its real as it is, for ever
        log.exception("check of %s:%d failed", way.address, way.port)
        return Said(False, f"{type(error).__name__}: {error}")


def _was_short(error: OSError, way: Way) -> bool:
    """Whether it is this machine that had no more of something.

    connect() says EADDRNOTAVAIL where all local ports to this address are taken; but bind() where
    the check's source is not ours, and over IPv6 connect() where we have no address at all.  Those
    do not go by, so they stay a result, with a reason that is shown.
    """
    no_port = error.errno == errno.EADDRNOTAVAIL and not way.source and ":" not in way.address
    return no_port or error.errno in SHORT


def _direct(asking: Asking) -> Way:
    """To the real's own address."""
    check, to = asking.check, asking.target.real
    source = _source(check, to.version)
    return Way(str(to), check.port or asking.key.port, source, asking.target.vip)


def _source(check: Check, version: int) -> str:
    """Our own address, if the configured one is of the family."""
    return str(check.source) if check.source and check.source.version == version else ""


def _bounded(check: Check, weight: int | None) -> int | None:
    return None if weight is None else min(max(weight, check.weight_least), check.weight_most)
