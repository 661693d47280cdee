# SPDX-License-Identifier: Apache-2.0
"""Events as JSON objects: one schema for the agent's event log and `remora events -o jsonl`.  Pure.

docs/wire.md has the fields of every type.  Fields are only added; bytes are hex.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.messages import Event


def fields(event: Event) -> dict[str, Any]:
    """`{"at": Unix time, "node", "sequence", "type", ...}` with the body's own fields."""
    body = event.body
    return {
        "at": round(event.wall, 3),
        "node": event.node,
        "sequence": event.sequence,
        "type": str(type(body).__struct_config__.tag),
        **{name: _plain(value) for name, value in msgspec.structs.asdict(body).items()},
    }


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
