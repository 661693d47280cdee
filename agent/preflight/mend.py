# SPDX-License-Identifier: Apache-2.0
"""Does what findings ask for, and takes it back: `preflight --fix`, `preflight --undo`.

What was before is on disk before it is changed: whenever this ends, what was done can be undone.
None of these settings outlives a boot, so a record of an earlier one is of nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from agent.preflight import apply
from agent.preflight.findings import Finding
from agent.preflight.settings import Change, Done, Kind, Setting

RECORD = "preflight-undo.json"
"""In the state directory."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_VERSION = 1


class MendError(Exception):
    """It cannot be done, or not be undone later; what is wrong with the state directory."""


class Entry(msgspec.Struct, frozen=True):
    """One setting that was changed."""

    check: str
    kind: Kind
    where: str
    name: str
    before: str
    after: str
    at: float
    """Unix seconds."""

    @property
    def setting(self) -> Setting:
        return Setting(self.kind, self.where, self.name)


class _File(msgspec.Struct, frozen=True):
    v: int
    boot: str
    changes: tuple[Entry, ...]


def fix(findings: Iterable[Finding], state_dir: Path) -> list[Done]:
    """Make the changes, each by itself: one that is refused leaves the others.

    Raises MendError.
    """
    wanted = [(finding.check, change) for finding in findings for change in finding.remedy]
    if not wanted:
        return []
    with _open(state_dir) as record:
        return [_change(record, check, change) for check, change in wanted]


def undo(state_dir: Path) -> list[Done]:
    """Set back what fix() set, newest first, where it still is as that left it.

    Raises MendError.
    """
    if not (state_dir / RECORD).exists():
        return []
    with _open(state_dir) as record:
        if not record.entries:
            record.put(())  # an earlier boot's
        return [_set_back(record, entry) for entry in reversed(record.entries)]


def _change(record: Record, check: str, change: Change) -> Done:
    setting = change.setting
    before = ""
    try:
        before = apply.read(setting)
        if before == change.value:
            return Done(check, setting, before, before, "is so already")
        known = record.keep(check, change, before)
        try:
            apply.write(change)
        except OSError:
            record.put(known)
            raise
    except OSError as error:
        return Done(check, setting, before, before, failed=error.strerror or str(error))
    return Done(check, setting, before, change.value)


def _set_back(record: Record, entry: Entry) -> Done:
    setting, now, said = entry.setting, "", ""
    try:
        now = apply.read(setting)
        if now == entry.after:
            apply.write(Change(setting, entry.before))
        elif now != entry.before:
            said = f"was set to something else since; before it was {entry.before}"
    except FileNotFoundError:
        said = "is gone"
    except OSError as error:
        return Done(entry.check, setting, now, now, failed=error.strerror or str(error))
    record.drop(entry)
    return Done(entry.check, setting, now, now if said else entry.before, said)


# ---- the record


class Record:
    """What was changed since boot; on disk whenever a method returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.boot = _BOOT.read_text().strip()
        except OSError as error:
            raise MendError(
                f"{_BOOT}: {error.strerror}; what cannot be undone is not done"
            ) from error
        self.entries = self._read()

    def keep(self, check: str, change: Change, before: str) -> tuple[Entry, ...]:
        """Write down what is about to be changed; returns what was known before.

        Of a setting that was changed before, the first value is kept: that is what undo means.
        """
        known = self.entries
        same = [entry for entry in known if entry.setting == change.setting]
        first = same[0].before if same else before
        entry = Entry(check, *change.setting, first, change.value, time.time())
        self.put((*(e for e in known if e not in same), entry))
        return known

    def drop(self, entry: Entry) -> None:
        self.put(tuple(e for e in self.entries if e != entry))

    def put(self, entries: tuple[Entry, ...]) -> None:
        """The whole file anew; at no moment is there half of one."""
        content = msgspec.json.format(
            msgspec.json.encode(_File(_VERSION, self.boot, entries)), indent=1
        )
        fresh = self.path.with_suffix(".new")
        try:
            if not entries:
                self.path.unlink(missing_ok=True)
            else:
                with fresh.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                fresh.replace(self.path)
            directory = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise MendError(
                f"{self.path}: {error.strerror}; what cannot be undone is not done"
            ) from error
        self.entries = entries

    def _read(self) -> tuple[Entry, ...]:
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=_File)
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError) as error:
            raise self._unreadable(error) from error
        if found.v != _VERSION:
            raise self._unreadable(f"version {found.v}")
        return found.changes if found.boot == self.boot else ()

    def _unreadable(self, why: object) -> MendError:
        return MendError(
            f"{self.path}: cannot be read ({why}); remove it to go on: what it would take back "
            "lasts until the next boot"
        )


@contextlib.contextmanager
def _open(state_dir: Path) -> Iterator[Record]:
    """The record, ours alone."""
    try:
        state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        directory = os.open(state_dir, os.O_RDONLY)
    except OSError as error:
        raise MendError(
            f"{state_dir}: {error.strerror}; what cannot be undone is not done"
        ) from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Record(state_dir / RECORD)
    except BlockingIOError as error:
        raise MendError(f"{state_dir}: another preflight sets or undoes; wait for it") from error
    finally:
        os.close(directory)
