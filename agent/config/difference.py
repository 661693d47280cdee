# SPDX-License-Identifier: Apache-2.0
"""What differs between two configs, key by key, apart from the VIPs.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from agent.config.file import SECRETS
from agent.config.tree import Config

RESTART = (
    "node.name",
    "node.interface",
    "node.xdp_mode",
    "node.gateway",
    "node.hash_key",
    "node.flows_per_cpu",
    "node.bpffs",
    "node.run_dir",
    "node.state_dir",
)
"""Keys that come into force with a restart only: what they are about (maps, their place, who this
node is) is made once.  A restart of the agent moves no packet (F5)."""


class Setting(NamedTuple):
    """A key whose value changes; values as text."""

    key: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.key}: {self.was} -> {self.now}"


def settings(old: Config, new: Config) -> tuple[Setting, ...]:
    """Every key outside of [[vips]] whose value differs."""
    return tuple(
        found
        for table in Config.__struct_fields__
        if table != "vips"
        for found in differences(table, getattr(old, table), getattr(new, table))
    )


def needs_restart(setting: Setting) -> bool:
    return setting.key in RESTART


def differences(key: str, old: object, new: object) -> Iterator[Setting]:
    """By key; lists of tables are compared as a whole."""
    if old == new:
        return
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        for field in old.__struct_fields__:
            yield from differences(f"{key}.{field}", getattr(old, field), getattr(new, field))
        return
    yield Setting(key, *_shown(key, old, new))


def _shown(key: str, old: object, new: object) -> tuple[str, str]:
    name = key.rpartition(".")[2]
    if name in SECRETS:
        return "(secret)", "(another)"
    return text(old), text(new)


def text(value: object) -> str:
    """A value in words, as the file writes it where it can."""
    match value:
        case None:
            return "absent"
        case msgspec.Struct():
            return "a table"
        case tuple() if any(isinstance(each, msgspec.Struct) for each in value):
            return f"{len(value)} tables"
        case tuple():
            return "[" + ", ".join(str(each) for each in value) + "]"
        case bool():
            return str(value).lower()
    return str(value)
