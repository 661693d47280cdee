# SPDX-License-Identifier: Apache-2.0
"""Whom a check's TLS trusts: read once, and again when the file is another.

To read the system's authorities takes 20 ms, too much for every check.  A file that cannot be read
any more, or is half written, takes no real out: what was read before it stays in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from functools import partial
from pathlib import Path
from typing import NamedTuple

from agent.checks.reading import readers

log = logging.getLogger("remora")

MOST = 64
"""Files of which the authorities are kept."""
Stamp = tuple[int, int, int]


class _Kept(NamedTuple):
    stamp: Stamp | None
    context: ssl.SSLContext


_kept: dict[tuple[Path | None, bool], _Kept] = {}
_keeping = threading.Lock()


async def context(ca_file: str, *, verify: bool, patience: float) -> ssl.SSLContext:
    """Of a client that trusts whom `ca_file` lists; empty: whom the system does.

    A file that says nothing within `patience` seconds (a dead mount) is taken for what it was; one
    that was not read yet is waited for.  Raises OSError, of which ssl.SSLError is one, where it
    could never be read.
    """
    path = Path(ca_file) if ca_file else None
    kept = _kept.get((path, verify))
    if path is None:
        return kept.context if kept else _keep(path, _Kept(None, _read(path, verify)), verify)
    look = readers()(path, partial(_look, verify))
    if kept is None:
        return await look
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            return await look
    return kept.context


def _look(verify: bool, path: Path) -> ssl.SSLContext:  # partial's
    """In a thread: the file may hang."""
    stamp, kept = _stamp(path), _kept.get((path, verify))
    if kept is not None and stamp in (kept.stamp, None):
        return kept.context
    try:
        found = _read(path, verify)
    except OSError as error:
        if kept is None:
            raise
        log.warning("ca_file=%s cannot be read, what it said before stays: %s", path, error)
        found = kept.context
    return _keep(path, _Kept(stamp, found), verify)


def _keep(path: Path | None, fresh: _Kept, verify: bool) -> ssl.SSLContext:
    with _keeping:
        _kept.pop((path, verify), None)
        _kept[path, verify] = fresh
        while len(_kept) > MOST:
            del _kept[next(iter(_kept))]
    return fresh.context


def _stamp(path: Path) -> Stamp | None:
    """Which file it is; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path | None, verify: bool) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=path)
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
