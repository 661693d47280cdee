# SPDX-License-Identifier: Apache-2.0
"""The config in force as keys and values, for who compares nodes.  Pure.

`vips.web.reals.10.3.1.2.weight`: tables of a list go by their name or address, so that an order
does not matter.  What is at its default is left out; secrets are never said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from agent.config.difference import text
from agent.config.file import SECRETS
from agent.config.tree import Config


def listed(config: Config) -> dict[str, str]:
    """Key -> value."""
    return dict(_keys("", config))


def _keys(at: str, table: msgspec.Struct) -> Iterator[tuple[str, str]]:
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        key = f"{at}.{field.name}" if at else field.name
        if isinstance(value, msgspec.Struct):
            yield from _keys(key, value)
        elif isinstance(value, tuple) and any(isinstance(each, msgspec.Struct) for each in value):
            for each in value:
                name = getattr(each, "name", None) or getattr(each, "address", "")
                yield from _keys(f"{key}.{name}", each)
        elif field.required or value != field.default:
            yield key, _secret(field.name, value) if field.name in SECRETS else text(value)


def _secret(name: str, value: object) -> str:
    """That there is one; of the hash key, which is long and random, whether it is the same."""
    if name != "hash_key":
        return "(secret)"
    digest = hashlib.blake2b(str(value).lower().encode(), digest_size=4, person=b"hash_key")
    return f"(secret {digest.hexdigest()})"
