# SPDX-License-Identifier: Apache-2.0
"""Events as `key=value`, for logs.  Pure."""

from __future__ import annotations

import json
import re

import msgspec

from shared.messages import EventBody

_PLAIN = re.compile(r"[!-~]+")


def in_fields(body: EventBody) -> str:
    """`event=health vip=web real=10.3.1.2 was=up now=down detail="http 503"`."""
    fields = dict(msgspec.to_builtins(body, builtin_types=(bytes,)))
    fields = {"event": fields.pop("type"), **fields}
    return " ".join(f"{key}={_value(value)}" for key, value in fields.items())


def _value(value: object) -> str:
    """Quoted, as JSON does it, where a reader of fields could be misled."""
    if isinstance(value, tuple | list):
        value = ", ".join(map(str, value))
    text = value.hex() if isinstance(value, bytes) else str(value)
    if _PLAIN.fullmatch(text) and not set(text) & set('="\\'):
        return text
    return json.dumps(text)
