# SPDX-License-Identifier: Apache-2.0
"""Configs of several nodes side by side: the keys in which they differ.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

OWN = re.compile(
    r"node\.(name|labels|interface|run_dir|state_dir|bpffs|gateway)|wire\.(listen|secret_key)"
    r"|metrics\.listen|telemetry\.event_log|bgp\.(router_id|next_hop6|announce\.next_hop)"
    r"|bgp\.peers\..+|vips\..+\.(announce\.next_hop|check\.source)"
)
"""Keys that are each node's own: that they differ is no difference."""
UNSET = "-"


class Difference(NamedTuple):
    key: str
    values: Mapping[str, str | None]
    """Node -> value; None: not set there (or at its default)."""
    own: bool
    """Of the kind that is each node's own."""


def differences(by_node: Mapping[str, Mapping[str, str]]) -> list[Difference]:
    """By key; empty when all nodes say the same."""
    keys = dict.fromkeys(key for found in by_node.values() for key in found)
    made = []
    for key in keys:
        values = {node: found.get(key) for node, found in by_node.items()}
        if len(set(values.values())) > 1:
            made.append(Difference(key, values, OWN.fullmatch(key) is not None))
    return made


def line(found: Difference) -> str:
    """`vips.web.quorum  2 on lb1, lb2; - on lb3`: the value that most have first."""
    nodes: dict[str, list[str]] = {}
    for node, value in found.values.items():
        nodes.setdefault(value if value is not None else UNSET, []).append(node)
    most = sorted(nodes.items(), key=lambda item: -len(item[1]))
    said = "; ".join(f"{value} on {', '.join(on)}" for value, on in most)
    return f"{found.key}  {said}"
