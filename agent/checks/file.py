# SPDX-License-Identifier: Apache-2.0
"""file: somebody else judges and writes a word: `up`, `down`, `75%`, `up 75%`."""

from __future__ import annotations

import os
from pathlib import Path

from agent.checks.reading import readers
from agent.checks.way import Said, Way, percent
from agent.config.check_table import Check


async def ask(check: Check, way: Way) -> Said:
    """A missing file is down: who should have written it may be gone."""
    path = Path(check.file.replace("{real}", way.address))
    try:
        words = await readers()(path, _first_line)
    except OSError as error:
        return Said(False, f"{path}: {(error.strerror or str(error)).lower()}")
    weight = percent(words)
    if words == "up" or weight:
        return Said(True, f"file says {words}", weight)
    return Said(False, f"file says {words[:40] or 'nothing'}")


def _first_line(path: Path) -> str:
    """Never waits for the writer of a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as held:
        return held.readline(256).strip()
