# SPDX-License-Identifier: Apache-2.0
"""After a change of the config: do the maps hold what they should?  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.nouns import OwnedReal, VipKey


def difference(
    vips: Mapping[VipKey, int],
    reals: Iterable[OwnedReal],
    *,
    wanted_vips: Mapping[VipKey, int],
    wanted_reals: Iterable[OwnedReal],
) -> str:
    """The first difference in words; empty: none.  Flags are not compared: checks change them."""
    for key in [*wanted_vips, *(key for key in vips if key not in wanted_vips)]:
        if vips.get(key) != wanted_vips.get(key):
            return _say(f"VIP {key}", vips.get(key), wanted_vips.get(key))
    found = {real.real_num: real._replace(flags=0) for real in reals if real.vip_num}
    wanted = {real.real_num: real._replace(flags=0) for real in wanted_reals}
    for number in sorted(found.keys() | wanted.keys()):
        if found.get(number) != wanted.get(number):
            return _say(f"real number {number}", found.get(number), wanted.get(number))
    return ""


def _say(what: str, found: object, wanted: object) -> str:
    return f"{what}: the maps have {found or 'none'}, expected {wanted or 'none'}"
