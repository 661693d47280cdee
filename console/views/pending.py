# SPDX-License-Identifier: Apache-2.0
"""Changes that end by themselves, in words.  Pure."""

from __future__ import annotations

from console import format as fmt
from shared.messages import PendingRow

GOES: dict[str, str] = {
    "expire": "goes back in {}",
    "confirm": "goes back in {} unless confirmed",
    "wait": "drain: waits {} longer for its flows",
    "kill": "drain: its flows are ended in {}",
}
"""What a pending change does, by its kind."""


def later(pending: PendingRow, at: float) -> str:
    """`at`: the agent's clock now."""
    words = GOES.get(pending.kind, f"{pending.kind} in {{}}")
    return f"{pending.what}: {words.format(fmt.age(max(0.0, pending.at - at)))}"
