# SPDX-License-Identifier: Apache-2.0
"""Reals that fail and come back, as the client and the router see it."""

from __future__ import annotations

import time

import pytest

from tests.fabric import load
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NOTICED = t.CHECK_FALL * t.CHECK_INTERVAL + 1.0
"""Seconds within which a dead real gets no new connection any more."""


def test_a_stopped_real_loses_its_new_connections_in_time(fabric: Fabric) -> None:
    """fall x interval + 1 s after its server died no request fails and none goes there."""
    with fabric.load(rate=100) as running:
        until(lambda: all(load.per_real(running.records()).values()), 10, "all reals serve")
        died = time.monotonic()
        fabric.stop_service("r2")
        try:
            until(
                lambda: sum(r.at > died + NOTICED for r in running.records()) >= 100,
                NOTICED + 10,
                "100 requests after the time limit",
            )
            meanwhile = running.records()
        finally:
            fabric.start_service("r2")
        back = time.monotonic()
        until(
            lambda: load.per_real(r for r in running.records() if r.at > back)["r2"],
            t.CHECK_RISE * t.CHECK_INTERVAL + 2,
            "r2 serves again",
        )
        records = running.stop()
    late = [record for record in meanwhile if record.at > died + NOTICED]
    assert load.failures(late) == []
    assert load.per_real(late)["r2"] == 0
    assert min(load.per_real(late)[name] for name in ("r1", "r3")) > 0
    # whatever failed was a new connection to the dead real in the time it takes to notice
    failed = load.failures(records)
    assert all(died - 1 < record.at < died + NOTICED for record in failed)
    assert failed, "nothing failed at all: was the server really stopped?"


def test_h2_without_healthy_reals_the_route_goes_and_comes_back(fabric: Fabric) -> None:
    """H2, H5: no healthy real, no route at the router; the first healthy one brings it back."""
    for name in t.REALS:
        fabric.stop_service(name)
    try:
        until(
            lambda: fabric.routes(t.WEB) == fabric.routes(t.ECHO) == frozenset(),
            NOTICED + 1,
            "both routes withdrawn at the router",
        )
        for node in t.NODES:
            seen = fabric.look(node)
            assert not seen.vips["web"].announced
            assert seen.vips["web"].reals_up == 0
            assert seen.node.peers[0].state == "up", "withdrawn, not torn down"
    finally:
        for name in t.REALS:
            fabric.start_service(name)
    fabric.await_routes(seconds=t.CHECK_RISE * t.CHECK_INTERVAL + 2)
    assert fabric.request() in t.REALS
