# SPDX-License-Identifier: Apache-2.0
"""The libraries without the optional parts that an agent does not use.

OpenSSL is 4.6 MiB of a process's memory, a tenth of the agent.  asyncio and hashlib import it where
it is there, and go without it where it is not; ours encrypts only checks by TLS, which import it
themselves (agent/checks/tls.py), and hashes with what Python has built in.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_DOCUMENTATION = ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars")
"""What help() says of numpy's functions, and nothing else: half a MiB."""


def load(name: str, *, without: str) -> None:
    """Import a module as a Python does that was built without the other; if either was imported
    before, there is nothing to save."""
    if name in sys.modules or without in sys.modules:
        return
    sys.modules[without] = None  # type: ignore[assignment]  # documented: its import fails
    try:
        importlib.import_module(name)
    finally:
        del sys.modules[without]


def prepare() -> None:
    """Before what `remora-agent run` imports is imported."""
    load("asyncio", without="ssl")
    for name in _DOCUMENTATION:
        sys.modules.setdefault(name, ModuleType(name))
