# SPDX-License-Identifier: Apache-2.0
"""Where the console's config file is, and which contexts it has: what the shell's Tab needs of it.

Imports nothing of what `settings.py` needs to know that the file is right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def path(config: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """`config` (--config), else the usual one."""
    if config:
        return Path(config)
    root = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '')}/.config"
    return Path(root) / "remora" / "config.toml"


def contexts(config: str | None, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Their names, as far as the file can be read."""
    import tomllib  # noqa: PLC0415  # 2 ms, for those who want them

    try:
        found = tomllib.loads(path(config, environment).read_text("utf-8")).get("contexts", {})
    except (OSError, ValueError):
        return []
    return [*found] if isinstance(found, dict) else []
