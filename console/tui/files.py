# SPDX-License-Identifier: Apache-2.0
"""What an operator wants to keep -> a file, in the current directory or, where that cannot be
written to, with the console's other files."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from console.tui import crash


def written_to(
    text: str, stem: str, kind: str, wall: float, environment: Mapping[str, str] = os.environ
) -> str:
    """Writes a new file and says where it is, or why there is none."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall))
    why = ""
    for place in (Path.cwd(), crash.directory(environment)):
        path = place / f"{stem}-{stamp}.{kind}"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("x") as file:
                file.write(text)
        except OSError as error:
            why = f"{path}: {error.strerror}"
        else:
            return f"written: {path}"
    return f"not written: {why}"
