# SPDX-License-Identifier: Apache-2.0
"""The config's labels -> the message that says them.  Pure.

They are facts of the config: nothing of the data plane knows them, and nothing is made of them at
a tick but the digest, which is kept while the config is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from agent.config.tree import Config
from shared.labels import Labels
from shared.messages import LabelSnapshot


class Said(NamedTuple):
    """The fields of a LabelSnapshot."""

    digest: str
    common: str
    labels: dict[str, str]
    sets: tuple[dict[str, str], ...]
    vips: dict[str, int]
    reals: dict[str, dict[str, int]]


def snapshot(listed: Config, head: dict[str, Any]) -> LabelSnapshot:
    """`head`: what every message says of its origin."""
    return LabelSnapshot(**head, **_of(listed)._asdict())


class Digest:
    """The digest of a config's labels, worked out once for each config."""

    def __init__(self) -> None:
        self._listed: Config | None = None
        self._digest = ""

    def of(self, listed: Config) -> str:
        if listed is not self._listed:
            self._listed, self._digest = listed, _of(listed).digest
        return self._digest


def _of(listed: Config) -> Said:
    vips = {vip.name: vip.labels for vip in listed.vips}
    reals = {vip.name: {str(r.address): r.labels for r in vip.reals} for vip in listed.vips}
    return said(listed.node.labels, vips, reals)


def said(
    own: Labels, vips: Mapping[str, Labels], reals: Mapping[str, Mapping[str, Labels]]
) -> Said:
    """Of equal labels the same digests, in whatever order the config lists them."""
    numbers: dict[Labels, int] = {}
    vip_sets = {name: numbers.setdefault(vips[name], len(numbers)) for name in sorted(vips)}
    real_sets = {
        name: {
            address: numbers.setdefault(reals[name][address], len(numbers))
            for address in sorted(reals[name])
        }
        for name in sorted(reals)
    }
    sets = tuple(map(dict, numbers))
    common = _digest((sets, vip_sets, real_sets))
    return Said(_digest((dict(own), common)), common, dict(own), sets, vip_sets, real_sets)


def _digest(what: object) -> str:
    return hashlib.blake2b(repr(what).encode(), digest_size=6).hexdigest()
