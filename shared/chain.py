# SPDX-License-Identifier: Apache-2.0
"""The audit's hash chain: each line names the line before it.  Pure.

A line is one JSON object that ends in `,"previous":"P","hash":"H"}`.  P is the hash of the line
before (64 zeros on the first), H the SHA-256 of the line's bytes up to and without `,"hash":`.
Who changes, takes out or puts in a line breaks the chain there.  Who cuts off its end does not:
that shows only where a later hash was kept, so every part that is read says the newest (AuditPart).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

START = "0" * 64
_END = re.compile(rb'"previous":"(?P<previous>[0-9a-f]{64})","hash":"(?P<hash>[0-9a-f]{64})"\}')
_TAIL = len(',"hash":""}') + 64


class Break(NamedTuple):
    """Where a chain does not hold."""

    line: int
    """Counted from 1."""
    why: str


class Verified(NamedTuple):
    records: int
    head: str
    """Hash of the last line."""
    breaks: tuple[Break, ...]


def link(record: Mapping[str, Any], previous: str) -> tuple[bytes, str]:
    """(the line with its newline, its hash)."""
    body = json.dumps({**record, "previous": previous}, separators=(",", ":")).encode()[:-1]
    digest = hashlib.sha256(body).hexdigest()
    return body + f',"hash":"{digest}"}}\n'.encode(), digest


def ends(line: bytes) -> tuple[str, str] | None:
    """(previous, hash) as a line has them; None: it is no line of a chain."""
    found = _END.search(line, max(0, len(line) - 2 * _TAIL - 20))
    if found is None or found.end() != len(line):
        return None
    return found["previous"].decode(), found["hash"].decode()


def verify(lines: Iterable[bytes], previous: str | None = START) -> Verified:
    """Checks every line; `previous` None: any start is taken (a rotated file, a part)."""
    breaks = []
    number = 0
    for number, line in enumerate(lines, start=1):  # counted to the end
        found = ends(line)
        if found is None:
            breaks.append(Break(number, "damaged: not a whole record"))
            continue
        before, digest = found
        if hashlib.sha256(line[:-_TAIL]).hexdigest() != digest:
            breaks.append(Break(number, "altered: its hash is not that of its text"))
        if previous is not None and before != previous:
            breaks.append(Break(number, "does not follow the line before it"))
        previous = digest
    return Verified(number, previous or START, tuple(breaks))
