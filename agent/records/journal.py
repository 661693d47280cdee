# SPDX-License-Identifier: Apache-2.0
"""The journal: who changed what, when and why; drains and weights outlive the agent by it.

One JSON object per line, appended and fsynced before the command is answered.  A torn last line
(the machine died while writing) and a damaged one are reported and passed over, never fatal.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec

from agent.boundary import EffectError, Remember
from agent.core.wording import in_words
from agent.records import recollection
from agent.records.recollection import Recalled

LARGEST = 4 << 20
"""Bytes; then a new file begins with what is still in force."""
KEPT = 4
"""Older files: journal.jsonl.1 is the newest of them."""


def journal_path(state_dir: str) -> Path:
    return Path(state_dir) / "journal.jsonl"


def recall(path: Path) -> Recalled:
    """Read a journal; one that is not there yet is empty.  Raises EffectError."""
    return recollection.recall(_lines(path), time.time())


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EffectError(f"journal {path}: {error.strerror}") from error


class Journal:
    """An open journal, for writing.  Raises EffectError when the disk refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = 0
        """Bytes that the file had before the last entry."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
            self._end_torn_line()
        except OSError as error:
            raise EffectError(f"journal {self.path}: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()

    def write(self, entry: Remember) -> None:
        self.append(entry)
        self.tidy()

    def append(self, entry: Remember) -> None:
        """Without `tidy`, which must follow some time."""
        self._append(line_of(entry, time.time()))

    def take_back(self) -> None:
        """The last entry: it came so late that it was refused meanwhile.  Raises OSError."""
        os.ftruncate(self._file.fileno(), self._before)
        os.fsync(self._file.fileno())

    def tidy(self) -> None:
        """Begins anew when it is large."""
        if os.fstat(self._file.fileno()).st_size > LARGEST:
            self._begin_anew()

    def _append(self, line: bytes) -> None:
        size = self._before = os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(line)
            os.fsync(self._file.fileno())
        except OSError as error:
            written, why = 0, error.strerror
        else:
            why = "the disk is full"
        if written != len(line):
            with contextlib.suppress(OSError):  # a half line that stays is passed over later
                os.ftruncate(self._file.fileno(), size)
            raise EffectError(f"journal {self.path}: {why}")

    def _begin_anew(self) -> None:
        """A new file, with what is still in force in its first line; at no moment is there none.

        It waits for another time if the disk refuses: the entry itself is written.
        """
        fresh = self.path.with_suffix(".new")
        with contextlib.suppress(OSError, EffectError):
            carried = recollection.carried_over(recall(self.path), time.time())
            fresh.unlink(missing_ok=True)
            with contextlib.ExitStack() as undo:
                following = undo.enter_context(fresh.open("ab", buffering=0))
                if following.write(carried) != len(carried):
                    return  # the disk is full
                os.fsync(following.fileno())
                for n in range(KEPT - 1, 0, -1):
                    with contextlib.suppress(FileNotFoundError):
                        _older(self.path, n).rename(_older(self.path, n + 1))
                os.link(self.path, _older(self.path, 1))
                fresh.replace(self.path)
                undo.pop_all()  # nothing has to be opened any more, which could fail
            self._file.close()
            self._file = following

    def _end_torn_line(self) -> None:
        with self.path.open("rb") as written:
            size = written.seek(0, os.SEEK_END)
            written.seek(max(0, size - 1))
            torn = written.read(1) not in (b"", b"\n")
        if torn:
            self._file.write(b"\n")


def _older(path: Path, n: int) -> Path:
    return path.with_name(f"{path.name}.{n}")


def line_of(entry: Remember, wall: float) -> bytes:
    """An entry as it is written; `wall`: Unix seconds."""
    command = entry.command
    more = {
        "generation": entry.generation,
        "instead_of": entry.instead_of,
        "pending": [recollection.plainly_pending(each) for each in entry.pending],
        "settled": entry.settled,
        "phase": entry.phase,
        "phases": dict(entry.phases),
        "operation": command.operation,
        "keyed": msgspec.to_builtins(entry.keyed),
    }
    return recollection.line(
        {
            "v": recollection.FORMAT,
            "at": wall,
            "who": command.who,
            "id": command.id,
            "what": entry.what or in_words(command.action),
            "why": command.why,
            "result": entry.result,
            "revision": entry.revision,
            "overrides": recollection.plainly(entry.overrides),
            **{name: value for name, value in more.items() if value},
            **({} if entry.rollouts is None else {"rollouts": msgspec.to_builtins(entry.rollouts)}),
        }
    )
