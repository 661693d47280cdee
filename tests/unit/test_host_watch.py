# SPDX-License-Identifier: Apache-2.0
"""What is said of a link that changes."""

from __future__ import annotations

import pytest

from agent.host_watch import LinkSeen, changes

SEEN = LinkSeen(True, 1500, bytes(6))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (SEEN, []),
        (SEEN._replace(up=False), ["link eth0 down: nothing arrives or leaves"]),
        (SEEN._replace(mtu=1400), ["link eth0 MTU 1500 -> 1400; see node.underlay_mtu"]),
        (SEEN._replace(mac=b"\1" * 6),
         ["link eth0 MAC 00:00:00:00:00:00 -> 01:01:01:01:01:01, followed"]),
        (None, ["link eth0 is gone"]),
    ],
)  # fmt: skip
def test_each_change_is_said_once(now: LinkSeen | None, said: list[str]) -> None:
    assert [f"{what} {result}" for what, result in changes("eth0", SEEN, now)] == said
    assert changes("eth0", now, now) == []


def test_back_again() -> None:
    assert changes("eth0", SEEN._replace(up=False), SEEN) == [("link eth0", "up")]
    assert changes("eth0", None, SEEN) == [("link eth0", "is there")]
