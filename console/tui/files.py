# SPDX-License-Identifier: Apache-2.0
"""What an operator wants to keep -> a file, in the current directory or, where that cannot be
written to, with the console's other files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from console.tui import crash

T = TypeVar("T")


class NotWrittenError(Exception):
    """There is no place for it; the text says which file and why."""


def new_file(
    make: Callable[[Path], T],
    stem: str,
    kind: str,
    wall: float,
    environment: Mapping[str, str] = os.environ,
) -> T:
    """What `make` makes of the path of a new file; it may raise OSError.

    Raises NotWrittenError when no place takes it.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall))
    why = ""
    for place in (Path.cwd(), crash.directory(environment)):
        path = place / f"{stem}-{stamp}.{kind}"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            return make(path)
        except OSError as error:
            why = f"{path}: {error.strerror}"
    raise NotWrittenError(why)


def written_to(
    made: bytes, stem: str, kind: str, wall: float, environment: Mapping[str, str] = os.environ
) -> str:
    """Writes a new file and says where it is, or why there is none."""

    def make(path: Path) -> Path:
        with path.open("xb") as file:
            file.write(made)
        return path

    try:
        return f"written: {new_file(make, stem, kind, wall, environment)}"
    except NotWrittenError as error:
        return f"not written: {error}"


def copied(what: str, text: str, copy: Callable[[str], None], *, keep: bool = True) -> str:
    """Copies it both ways (`keep`: to a file as well) and says so."""
    copy(text)
    kept = kept_copy(text) if keep else ""
    beside = f"; it is in {kept} too" if kept else ""
    return f"{what} to the clipboard, if your terminal allows{beside}"


def kept_copy(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """What was copied, in a file as well: many a terminal, tmux or screen takes no OSC 52 and says
    nothing.  Returns its path; empty: there is no place for it."""
    place = crash.directory(environment)
    path = place / "copied"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError:
        return ""
    home = environment.get("HOME", "")
    return f"~{str(path)[len(home) :]}" if home and str(path).startswith(f"{home}/") else str(path)
