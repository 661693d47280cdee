# SPDX-License-Identifier: Apache-2.0
"""What is logged, as `key=value` throughout.  Pure."""

from __future__ import annotations

import json
import re

import msgspec

from shared.messages import EventBody

_FIELD = r'[a-z_]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)'
_WORDS_THEN_FIELDS = re.compile(rf"(.*?)((?:(?:^| ){_FIELD})*)", re.DOTALL)
_PLAIN = re.compile(r"[!-~]+")


def in_fields(body: EventBody) -> str:
    """`event=health vip=web real=10.3.1.2 was=up now=down detail="http 503"`."""
    fields = dict(msgspec.to_builtins(body, builtin_types=(bytes,)))
    fields = {"event": fields.pop("type"), **fields}
    return " ".join(f"{key}={quoted(value)}" for key, value in fields.items())


def in_line(message: str) -> str:
    """Words and then fields, as people write them: `ready node=lb1` -> `msg=ready node=lb1`."""
    found = _WORDS_THEN_FIELDS.fullmatch(message)
    words, fields = found.groups() if found else (message, "")
    return f"msg={quoted(words)}{fields}" if words else fields


def quoted(value: object) -> str:
    """Quoted, as JSON does it, where a reader of fields could be misled."""
    if isinstance(value, tuple | list):
        value = ", ".join(map(str, value))
    text = value.hex() if isinstance(value, bytes) else str(value)
    if _PLAIN.fullmatch(text) and not set(text) & set('="\\'):
        return text
    return json.dumps(text)
