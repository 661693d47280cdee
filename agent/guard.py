# SPDX-License-Identifier: Apache-2.0
"""Guard rails: changes that are refused, by name, on every path.  Pure."""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    guard: str
    why: str


def check(*, vip: str, serving_before: int, serving_after: int, quorum: int) -> Refusal | None:
    """Whether a change may leave a VIP with `serving_after` reals that take new flows.

    A change that does not make it worse is always allowed: an operator must be able to repair.
    """
    if serving_after >= serving_before:
        return None
    if serving_after == 0:
        return Refusal(
            "last-healthy",
            f"{vip} would have no real for new flows; bring another one up or undrain one first",
        )
    if serving_after < quorum:
        return Refusal(
            "min-healthy",
            f"{vip} would have {serving_after} reals for new flows, its quorum is {quorum}: this "
            "node would withdraw its route; undrain another real first, or lower `quorum`",
        )
    return None
