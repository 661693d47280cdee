# SPDX-License-Identifier: Apache-2.0
"""What docs/wire.md says of each topic's bytes is what a busy node sends."""

from __future__ import annotations

import re

import numpy as np
import pytest

from agent.dataplane import abi
from agent.wire.pace import BUDGET, EVERY
from agent.wire.snapshot import Origin, Reading, snapshots
from shared.codec import telemetry_frames, topic_of
from tests.unit.world import TOML, World, vip
from tests.wire_page import HEAD

WITHIN = 0.3
"""Of what is stated: counters have more or fewer digits."""


def sizes(vips: int = 4, reals: int = 4, cpus: int = 4) -> dict[str, int]:
    """Topic -> bytes of its frames, of a node whose counters are large."""
    text = TOML + "".join(
        vip(f"service{v}", f"10.200.{v}.1", 443, [f"10.3.{v}.{r + 1}" for r in range(reals)])
        for v in range(vips)
    )
    world = World(text)
    world.all_up()
    totals = np.zeros(cpus, np.dtype(abi.Totals))
    for name in totals.dtype.names or ():
        totals[name] = 10**12
    reading = Reading(
        at=123456.789, wall=1.79e9, totals=totals,
        vips=np.full((abi.MAX_VIPS, 4), 10**12, np.uint64),
        reals=np.full((abi.MAX_REALS, 4), 10**12, np.uint64),
        capacity=1 << 20, occupied=1 << 19, live=1 << 18, cpu_seconds=1234.5, rss_bytes=55 << 20,
        queues=np.full((cpus, cpus), 10**12, np.uint64), softirq=(10**7,) * cpus,
        attached="native",
    )  # fmt: skip
    origin = Origin("0123456789abcdef", "0.1.0", 1.0, "0123456789abcdef")
    made = snapshots(world.director.state, reading, origin, 10**6)
    return {topic_of(m).decode(): sum(map(len, telemetry_frames(m))) for m in made}


def stated() -> dict[str, list[int]]:
    """Topic -> the numbers in its cell."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", HEAD.read_text(), re.M)
    return {topic: [int(n) for n in re.findall(r"\d+", cell)] for topic, cell in rows}


def test_every_topic_s_cost_is_stated() -> None:
    assert set(EVERY) <= set(stated())


@pytest.mark.parametrize("topic", ["node", "flowtable", "drop"])
def test_what_does_not_grow(topic: str) -> None:
    (cost,) = stated()[topic]
    assert sizes()[topic] == pytest.approx(cost, rel=WITHIN)


def test_vip_and_real_grow_by_the_row() -> None:
    small, more_vips, more_reals = sizes(), sizes(vips=24), sizes(reals=24)
    per_vip = (more_vips["vip"] - small["vip"]) / 20
    per_real = (more_reals["real"] - small["real"]) / (20 * 4)
    assert per_vip == pytest.approx(stated()["vip"][0], rel=WITHIN)
    assert per_real == pytest.approx(stated()["real"][0], rel=WITHIN)
    assert more_vips["node"] < small["node"] + 20, "node does not grow with VIPs"


def test_cpu_grows_by_the_cpu() -> None:
    fixed, per_cpu, per_queue = stated()["cpu"]
    for cpus in (4, 16):
        expected = fixed + per_cpu * cpus + per_queue * cpus * cpus
        assert sizes(cpus=cpus)["cpu"] == pytest.approx(expected, rel=WITHIN)


def test_node_is_under_a_kilobyte() -> None:
    """At one a second; how it stays so whatever comes is test_pace.py's."""
    assert sizes(vips=64, reals=8)["node"] < BUDGET
