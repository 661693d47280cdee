# SPDX-License-Identifier: Apache-2.0
"""By which name the nodes know who is asking."""

from __future__ import annotations

import getpass
import os


def who() -> str:
    """`user@host`, for the nodes' journals."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # in a container the number may have no name
        user = f"uid{os.getuid()}"
    return f"{user}@{os.uname().nodename}"
