# SPDX-License-Identifier: Apache-2.0
"""Each topic at its own rate, without drift or bursts; `node` under a kilobyte a second always."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.wire.pace import BUDGET, EVERY, LABELS_EVERY, SLOWEST, TOPICS, Pace

Times = dict[str, list[float]]


def run(
    rates: Mapping[str, float], seconds: float, *, size: int = 500, lag: float = 0.0
) -> tuple[Times, Pace]:
    """When each topic was published; the loop wakes `lag` seconds late each time."""
    pace, now = Pace(), 1000.0
    seen: Times = {topic: [] for topic in TOPICS}
    while now < 1000.0 + seconds:
        for topic in sorted(pace.take(now, rates)):
            seen[topic].append(now - 1000.0)
            pace.cost(topic, size, now)
        now += pace.wait(now, rates) + lag
    return seen, pace


def at(**otherwise: float) -> dict[str, float]:
    return {**dict.fromkeys(EVERY, 1.0), **otherwise}


def test_topics_of_one_rate_come_together() -> None:
    seen, _ = run(at(), 10)
    assert all(seen[topic] == [float(n) for n in range(10)] for topic in EVERY)


def test_each_topic_at_its_own_rate() -> None:
    seen, pace = run(at(real=0.5, cpu=0.1, vip=4.0), 20)
    counts = {topic: len(times) for topic, times in seen.items()}
    of_snapshots = {"node": 20, "vip": 80, "real": 10, "cpu": 2, "flowtable": 20, "drop": 20}
    assert counts == {**of_snapshots, "label": 20 / LABELS_EVERY}
    assert pace.sequences == counts, "one up per message of the topic: a gap is a lost one"


def test_a_loop_that_is_late_does_not_drift() -> None:
    seen, _ = run(at(), 60, lag=0.05)
    assert len(seen["vip"]) == 60


def test_a_loop_that_stood_still_makes_up_for_nothing() -> None:
    pace = Pace()
    pace.take(0.0, at())
    assert pace.take(30.0, at()) == frozenset(TOPICS)
    assert pace.take(30.9, at()) == frozenset()
    assert pace.take(31.0, at()) == frozenset(EVERY)


@given(
    st.floats(0.1, 20.0),
    st.integers(50, 9_000),
    st.floats(0.0, 0.2),
)
@example(1.0, 2620, 0.11008518595292582)  # due a moment after the timer
def test_node_is_under_a_kilobyte_a_second(hz: float, size: int, lag: float) -> None:
    """Whatever rate is asked for and however many peers and changes are in it."""
    seen, _ = run(at(node=hz), 60, size=size, lag=lag)
    times = seen["node"]
    for first, then in pairwise(times):
        assert size / (then - first) <= BUDGET + 1e-6
    assert max(b - a for a, b in pairwise(times)) <= SLOWEST + lag + 1e-9


@pytest.mark.parametrize("size", [10_000, 100_000])
def test_a_node_is_never_silent_for_its_size(size: int) -> None:
    seen, _ = run(at(), 60, size=size)
    assert len(seen["node"]) == 6


def test_a_rate_that_is_raised_counts_at_once() -> None:
    pace = Pace()
    pace.take(0.0, at(real=0.1))
    assert pace.wait(0.0, at(real=0.1)) == 1.0
    assert pace.wait(0.5, at(real=10.0)) == pytest.approx(0.1)


def test_labels_come_every_ten_seconds_and_at_once_when_they_change() -> None:
    seen, pace = run(at(), 30)
    assert len(seen["label"]) == 30 / LABELS_EVERY
    assert "label" not in pace.take(1030.5 - LABELS_EVERY, at())
    pace.hasten("label")
    assert "label" in pace.take(1030.5 - LABELS_EVERY, at())
