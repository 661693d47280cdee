# SPDX-License-Identifier: Apache-2.0
"""The journal: who changed what, when and why; drains and weights outlive the agent by it.

One JSON object per line, appended and fsynced before the command is answered.  A torn last line
(the machine died while writing) and a damaged one are reported and passed over, never fatal.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agent.boundary import EffectError, Override, Remember
from agent.commands import in_words

FORMAT = 1
"""Of a line.  A larger one is a newer agent's: reported and passed over."""


class Recalled(NamedTuple):
    """What the journal knows at start."""

    overrides: tuple[Override, ...]
    """The last one of each real that is still in force."""
    revision: int
    damaged: tuple[int, ...]
    """Numbers of the lines that could not be read."""
    generation: int = 0
    """Of the config that was last in force; 0: not known."""
    instead_of: str = ""
    """If that was a rollback: digest of the file that it passed over."""


def journal_path(state_dir: str) -> Path:
    return Path(state_dir) / "journal.jsonl"


def recall(path: Path) -> Recalled:
    """Read a journal; one that is not there yet is empty.  Raises EffectError."""
    last: dict[tuple[str, str], Override] = {}
    revision = generation = 0
    instead_of = ""
    damaged = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            entry = _entry(line)
            overrides = msgspec.convert(entry["overrides"], tuple[Override, ...])
            revision = int(entry["revision"])
            named = int(entry.get("generation", 0))
        except (ValueError, KeyError, TypeError):
            damaged.append(number)
            continue
        if named:
            generation, instead_of = named, str(entry.get("instead_of", ""))
        last.update({(override.vip, override.real): override for override in overrides})
    return Recalled(tuple(last.values()), revision, tuple(damaged), generation, instead_of)


def _entry(line: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    entry = json.loads(line)
    if not isinstance(entry, dict) or entry.get("v", 1) != FORMAT:
        raise ValueError("not an entry, or a newer agent's")
    return entry


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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
            self._end_torn_line()
        except OSError as error:
            raise EffectError(f"journal {self.path}: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()

    def write(self, entry: Remember) -> None:
        command = entry.command
        config = {"generation": entry.generation, "instead_of": entry.instead_of}
        line = _line(
            {
                "v": FORMAT,
                "at": time.time(),
                "who": command.who,
                "id": command.id,
                "what": in_words(command.action),
                "why": command.why,
                "result": entry.result,
                "revision": entry.revision,
                "overrides": msgspec.to_builtins(entry.overrides),
                **{name: value for name, value in config.items() if value},
            }
        )
        size = os.fstat(self._file.fileno()).st_size
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

    def _end_torn_line(self) -> None:
        with self.path.open("rb") as written:
            size = written.seek(0, os.SEEK_END)
            written.seek(max(0, size - 1))
            torn = written.read(1) not in (b"", b"\n")
        if torn:
            self._file.write(b"\n")


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"
