# SPDX-License-Identifier: Apache-2.0
"""When a count of flows is of all that live.  Pure.

A flow has an entry from its first packet that was seen, unless the table was not there yet or did
not store it.  Such a flow is silent as long as nobody counts it: with its next packet it gets an
entry, if its real drains (bpf/place.h).  So it is `flow_idle` after the last packet that may have
left none that all are known; of a real that drains, after its drain began at the latest.
"""

from __future__ import annotations

from typing import NamedTuple

NEW_TABLE = "the flow table is new, or holds all flows only since a change"
UNSTORED = "new flows came too fast to store them all"
IN_RING = "its ring is not changed yet"
SPARSE = "not all flows are stored (flow_table)"
PRESSED = "not all flows are stored (pressure)"


class Unsure(NamedTuple):
    """Until when a flow may live that has no entry."""

    until: float = 0.0
    """Seconds, monotonic; 0: all have one."""
    why: str = ""


SURE = Unsure()


def noted(before: Unsure, *, warm_in: float, unstored: bool, idle: float, now: float) -> Unsure:
    """Of the node, with one more look at the flow table.

    warm_in: seconds until it has seen all flows that live, 0: it has.  unstored: flows went without
    an entry since the last look.
    """
    return _latest(
        before,
        Unsure(now + warm_in, NEW_TABLE) if warm_in > 0 else SURE,
        Unsure(now + idle, UNSTORED) if unstored else SURE,
        now=now,
    )


def of_drain(found: Unsure, *, since: float, in_ring: bool, idle: float, now: float) -> Unsure:
    """Of a real that drains since then: what is heard of gets an entry from there on."""
    if in_ring:
        return Unsure(now + idle, IN_RING)
    return _latest(found._replace(until=min(found.until, since + idle)), now=now)


def _latest(*found: Unsure, now: float) -> Unsure:
    """The one that lasts longest, if any is not over."""
    return max((each for each in found if each.until > now), default=SURE)
