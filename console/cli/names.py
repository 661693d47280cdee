# SPDX-License-Identifier: Apache-2.0
"""The names that the last look saw, in a file of the session, for the shell's completion.

`$XDG_RUNTIME_DIR/remora/names.json`; where there is no such directory nothing is kept.  It may be
old or wrong: it completes words and decides nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_PLAIN = re.compile(r"[\w./:@%+=-]+")
"""Names are the agents', and a shell puts them on the command line as they are."""


def path(environment: Mapping[str, str] = os.environ) -> Path | None:
    root = environment.get("XDG_RUNTIME_DIR")
    return Path(root) / "remora" / "names.json" if root else None


def keep(names: Mapping[str, Sequence[str]], environment: Mapping[str, str] = os.environ) -> None:
    """Replaces what was kept; whatever the disk says, a verb goes on."""
    where = path(environment)
    if where is None:
        return
    safe = {kind: [n for n in found if _PLAIN.fullmatch(n)] for kind, found in names.items()}
    with contextlib.suppress(OSError):
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = where.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(safe))
        new.replace(where)


def kept(environment: Mapping[str, str] = os.environ) -> dict[str, list[str]]:
    """Kind -> names; empty when nothing (readable) was kept."""
    where = path(environment)
    try:
        found = json.loads(where.read_text()) if where else {}
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        str(kind): [str(name) for name in names]
        for kind, names in found.items()
        if isinstance(names, list)
    }
