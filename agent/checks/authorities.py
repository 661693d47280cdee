# SPDX-License-Identifier: Apache-2.0
"""Whom a check's TLS trusts: read once, and again when the file is another.

To read the system's authorities takes 20 ms, too much for every check.  A file that cannot be read
any more, or is half written, takes no real out: what was read before it stays in force.
"""

from __future__ import annotations

import logging
import os
import ssl
from typing import NamedTuple

log = logging.getLogger("remora")

MOST = 64
"""Files of which the authorities are kept."""
Stamp = tuple[int, int, int]


class _Kept(NamedTuple):
    stamp: Stamp | None
    context: ssl.SSLContext


_kept: dict[tuple[str, bool], _Kept] = {}


def context(ca_file: str, *, verify: bool) -> ssl.SSLContext:
    """Of a client that trusts whom `ca_file` lists; empty: whom the system does.

    Raises OSError, of which ssl.SSLError is one, where the file could never be read.
    """
    stamp, kept = _stamp(ca_file), _kept.get((ca_file, verify))
    if kept is not None and stamp in (kept.stamp, None):
        return kept.context
    try:
        found = _read(ca_file, verify=verify)
    except OSError as error:
        if kept is None:
            raise
        log.warning("ca_file=%s cannot be read, what it said before stays: %s", ca_file, error)
        found = kept.context
    _kept.pop((ca_file, verify), None)
    _kept[ca_file, verify] = _Kept(stamp, found)
    while len(_kept) > MOST:
        del _kept[next(iter(_kept))]
    return found


def _stamp(ca_file: str) -> Stamp | None:
    """Which file it is; None: there is none."""
    try:
        found = os.stat(ca_file)  # noqa: PTH116  # of every check: a Path costs as much again
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(ca_file: str, *, verify: bool) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca_file or None)
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
