# SPDX-License-Identifier: Apache-2.0
"""When a VIP gets more new flows than the flow table should take.  Pure.

The data plane's gate bounds what is stored from the first packet on (bpf/place.h); this is the
slower half: a VIP under a flood is said to be so, and its flows are placed by the ring alone where
that is right, which costs less.  Back only after it has been calm for a while (F7).
"""

from __future__ import annotations

from typing import NamedTuple

CALM = 10.0
"""Seconds below the lower mark until a VIP's flows are tracked again."""
LOWER = 0.5
"""The lower mark, as a part of what the table takes."""
SHARE = 0.25
"""Of the node's new flows that a VIP must have to be one that causes the pressure."""


class Pressure(NamedTuple):
    """Of one VIP."""

    on: bool = False
    calm_since: float | None = None
    seconds: float = 0.0
    """For which it has been on, in all."""
    known: float = 0.0
    """Packets per second of known flows when it came on."""


def most(cpus: int, flows_per_cpu: int, turnover: float) -> float:
    """New flows per second that the node's flow table takes: it must last `turnover` seconds."""
    return cpus * flows_per_cpu / turnover


def judge(
    pressure: Pressure, *, rate: float, node_rate: float, limit: float, now: float, passed: float
) -> Pressure:
    """The state after `passed` seconds with `rate` new flows per second to the VIP.

    node_rate: those to all VIPs; limit: `most`.
    """
    if not pressure.on:
        if node_rate >= limit and rate >= SHARE * node_rate:
            return pressure._replace(on=True, calm_since=None)
        return pressure
    held = pressure._replace(seconds=pressure.seconds + passed)
    if node_rate >= LOWER * limit:
        return held._replace(calm_since=None)
    if held.calm_since is None:
        return held._replace(calm_since=now)
    if now - held.calm_since >= CALM:
        return held._replace(on=False, calm_since=None)
    return held
