# SPDX-License-Identifier: Apache-2.0
"""A failure of the console itself -> a file to attach to a report.

It holds where it happened, never the values of variables: they could be secrets.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from console.exits import Exit


def directory(environment: Mapping[str, str]) -> Path:
    root = environment.get("XDG_STATE_HOME") or f"{environment.get('HOME', '')}/.local/state"
    return Path(root) / "remora"


def write(failure: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Writes the report for its owner's eyes only and returns where it is.

    Raises OSError when there is no place at all to write to.
    """
    name = time.strftime("console-%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{os.getpid()}.txt"
    text = f"{_circumstances(environment)}\n{failure.rstrip()}\n"
    try:
        place = directory(environment)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _written(place / name, text)
    except OSError:
        return _written(Path(tempfile.mkdtemp(prefix="remora-")) / name, text)


def tell(failure: str) -> int:
    """One line, on the terminal as it was before; all else is in a file.  Returns the exit code."""
    last = failure.rstrip().rpartition("\n")[2]
    try:
        where = f"report: {write(failure)}"
    except OSError as error:
        where = f"no report could be written: {error.strerror}"
    print(f"remora: the console failed, the nodes did not: {last}; {where}", file=sys.stderr)
    return Exit.FAILED


def _written(path: Path, text: str) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path


def _circumstances(environment: Mapping[str, str]) -> str:
    lines = {
        "remora": _version("remora"),
        "textual": _version("textual"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "terminal": environment.get("TERM", "-"),
    }
    return "\n".join(f"{name:<10} {text}" for name, text in lines.items()) + "\n"


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # 8 ms that a start has not

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
