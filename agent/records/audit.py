# SPDX-License-Identifier: Apache-2.0
"""The audit: every command's who, when, what, why, plan and result, in a hash-chained file.

One record per line (shared/chain.py), appended and fsynced before the answer goes out.  What was
refused at the gate is written once and then counted, so that a flood fills no disk.  A full file is
renamed to .1 (and .1 to .2, ...) and the chain goes on in a new one.  A disk that refuses costs
records, which are counted, never an answer.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agent.boundary import EffectError
from agent.core import withdrawal
from agent.core.wording import in_words
from agent.records.state_disk import StateDisk
from agent.wire.access import tag
from agent.wire.gate import MAX_AGE, Refusal, Settled
from shared import chain
from shared.grants import Grant
from shared.messages import Answer, AuditPart, Command

log = logging.getLogger("remora.audit")

LOOKED_AT = ("verified", "unverified")
"""What a second record of a command says; the plan is in the first."""
LARGEST_FILE = 16 << 20
KEPT_FILES = 8
REFUSALS_EVERY = 10.0
"""Seconds in which refusals of one key by one guard are one record."""
PATIENCE = 1.0
"""Seconds that an answer waits for its record: consoles wait 2 s for a plan."""
LARGEST_PART = 500
"""Records in one answer."""
READ_BACK = 1 << 20
"""Bytes of the end of the file that are looked at for recent commands."""


class Given(NamedTuple):
    """A command on its way, and whose it is."""

    command: Command
    grant: Grant


class _Tally:
    """Refusals of one key by one guard that wait to be written."""

    def __init__(self, now: float) -> None:
        self.since = now
        self.count = 0


def audit_path(state_dir: str) -> Path:
    return Path(state_dir) / "audit.jsonl"


class Audit:
    """The file, for writing and reading.  Raises EffectError when it cannot be opened."""

    def __init__(self, path: Path, node: str, disk: StateDisk | None = None) -> None:
        """Without a `disk` whoever calls waits for it."""
        self.path = path
        self._disk = disk
        self._refused = self._untaken = 0
        """Records that the disk refused, and those that it was too far behind for."""
        self.head = chain.START
        self.records = 0
        """In the whole chain, files that are gone included."""
        self._node = node
        self._tallies: dict[tuple[str, str], _Tally] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
            self._find_head()
        except OSError as error:
            raise EffectError(f"audit {path}: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()

    @property
    def failed(self) -> int:
        """Records that are lost."""
        return self._refused + self._untaken

    # ---- writing

    async def durable(self) -> None:
        """Returns when all that was said is on the disk, or that is silent: a record more or less
        keeps no answer back."""
        if self._disk is not None:
            with contextlib.suppress(EffectError):
                await self._disk.write(lambda: None, patience=PATIENCE)

    def answered(self, given: Given, answer: Answer, wall: float) -> None:
        command, grant = given
        self._write(
            {
                **_told(command, grant.name, wall),
                "role": grant.role,
                "plan": [] if answer.status in LOOKED_AT else msgspec.to_builtins(answer.changes),
                "result": answer.status,
                "error": answer.error,
                "guard": answer.guard,
                "revision": answer.revision,
            }
        )

    def own(self, command: Command, result: str, revision: int, wall: float) -> None:
        """What nobody gave over a socket: a signal, a timer."""
        told = _told(command, "agent", wall)
        self._write({**told, "plan": [], "result": result, "error": "", "guard": "",
                     "revision": revision})  # fmt: skip

    def refused(
        self, key: str, no: Refusal, command: Command | None, *, wall: float, now: float
    ) -> None:
        """At once for the first of its kind in REFUSALS_EVERY seconds, the others as a number."""
        tally = self._tallies.get((key, no.guard))
        if tally is not None and now - tally.since < REFUSALS_EVERY:
            tally.count += 1
            return
        told = _told(command, key, wall) if command else {"at": round(wall, 3), "key": key}
        also = tally.count if tally else 0
        log.warning("command refused key=%s guard=%s also=%d why=%s", key, *no[:1], also, no.why)
        self._tallies[key, no.guard] = _Tally(now)
        self._write({**told, "result": "refused", "error": no.why, "guard": no.guard, "also": also})

    def _write(self, record: dict[str, Any]) -> None:
        if self._disk is None:
            self._put_down(record)
        elif not self._disk.later(partial(self._put_down, record)):
            self._untaken += 1
            log.error("audit %s: the disk is too far behind lost=%d", self.path, self.failed)

    def _put_down(self, record: dict[str, Any]) -> None:
        numbered = {"n": self.records + 1, "node": self._node, **record}
        line, digest = chain.link(numbered, self.head)
        try:
            self._rotate()
            wrong = _append(self._file.fileno(), line)
        except OSError as error:
            wrong = str(error.strerror)
        if wrong:
            self._refused += 1
            log.error("audit %s: %s lost=%d", self.path, wrong, self.failed)
            return
        self.head, self.records = digest, self.records + 1

    def _rotate(self) -> None:
        """A full file that cannot be renamed grows on: better that than a record less."""
        if os.fstat(self._file.fileno()).st_size < LARGEST_FILE:
            return
        try:
            self._begin_anew()
        except OSError as error:
            log.warning("audit %s is full, but stays in use: %s", self.path, error.strerror)

    def _begin_anew(self) -> None:
        """Until the new file stands the old one is written to."""
        fresh = self.path.with_suffix(".new")
        following = fresh.open("ab", buffering=0)
        try:
            for number in range(KEPT_FILES - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    _numbered(self.path, number).rename(_numbered(self.path, number + 1))
            with contextlib.suppress(FileNotFoundError):  # taken away by a try that failed
                self.path.rename(_numbered(self.path, 1))
            fresh.rename(self.path)
        except OSError:
            following.close()
            raise
        self._file.close()
        self._file = following

    def _find_head(self) -> None:
        """From the last whole record; a torn line (the machine died) is ended and stays."""
        text = b""
        for path in (self.path, _numbered(self.path, 1)):
            if path.exists() and not text.strip():
                text = _end_of(path)
        for line in reversed(text.splitlines()):
            found, record = chain.ends(line), _record(line)
            if found is not None and record is not None:
                self.head, self.records = found[1], record["n"]
                break
        if text and not text.endswith(b"\n"):
            self._file.write(b"\n")

    # ---- reading

    def part(self, first: int, count: int) -> AuditPart:
        """For a thread."""
        head, records = self.head, self.records
        return AuditPart(self.lines(first, min(count, LARGEST_PART)), records, head)

    def lines(self, first: int, count: int) -> tuple[str, ...]:
        """Records from number `first` on, at most `count`; negative: from the end."""
        if first < 0:
            first = self.records + 1 + first
        found: list[str] = []
        for number, line in self._numbered_lines():
            if number >= first and len(found) < count:
                found.append(line.decode("utf-8", "replace"))
        return tuple(found)

    def settled(self, wall: float) -> dict[str, Settled]:
        """Recent commands that were carried out: one that is sent again gets this answer (K1)."""
        found = {}
        for line in _end_of(self.path).splitlines():
            record = _record(line)
            if record is None or record.get("dry_run") or "plan" not in record:
                continue
            if wall - float(record["at"]) <= 2 * MAX_AGE:
                found[str(record["id"])] = Settled(
                    *(record[name] for name in ("result", "error", "guard", "revision"))
                )
        return found

    def _numbered_lines(self) -> Iterator[tuple[int, bytes]]:
        number = 0
        for place in range(KEPT_FILES, -1, -1):
            path = _numbered(self.path, place) if place else self.path
            if not path.exists():
                continue
            with path.open("rb") as file:
                for line in file:
                    record = _record(line.rstrip(b"\n"))
                    number = int(record["n"]) if record else number
                    yield number, line.rstrip(b"\n")


def _append(fd: int, line: bytes) -> str:
    """Whole and on the disk, or not at all; why not, or nothing."""
    size = os.fstat(fd).st_size
    if os.write(fd, line) == len(line):
        os.fsync(fd)
        return ""
    with contextlib.suppress(OSError):  # a half line that stays is found by --verify
        os.ftruncate(fd, size)
    return "the disk is full"


def _told(command: Command, key: str, wall: float) -> dict[str, Any]:
    claimed = withdrawal.elsewhere(command.action)  # the guard last-announcer goes by it
    return {
        "at": round(wall, 3),
        "key": key,
        "who": command.who,
        "id": command.id,
        "action": tag(command),
        "what": in_words(command.action),
        "why": command.why,
        "dry_run": command.dry_run,
        **({"elsewhere": claimed} if claimed else {}),
    }


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - READ_BACK))
        return file.read()


def _record(line: bytes) -> dict[str, Any] | None:
    if chain.ends(line) is None:
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("n"), int) else None
