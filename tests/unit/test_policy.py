# SPDX-License-Identifier: Apache-2.0
"""All-down policies, panic, quorum with hysteresis, and what a real may ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import policy


@pytest.mark.parametrize(
    ("healthy", "threshold", "panicking", "expected"),
    [
        (0, 0, False, True),
        (0, 50, True, True),
        (1, 0, False, False),
        (1, 0, True, False),
        (49, 50, False, True),
        (50, 50, False, False),
        (50, 50, True, True),
        (59, 50, True, True),
        (60, 50, True, False),
        (99, 95, True, True),
        (100, 95, True, False),
        (100, 100, True, False),
    ],
)
def test_h5_panic_has_a_threshold_and_a_relief(
    healthy: int, threshold: int, *, panicking: bool, expected: bool
) -> None:
    said = policy.panics(healthy=healthy, listed=100, threshold=threshold, panicking=panicking)
    assert said is expected


def test_no_panic_about_reals_that_the_operator_took_out() -> None:
    assert not policy.panics(healthy=0, listed=0, threshold=50, panicking=True)


def attracts(all_down: policy.AllDown, serving: int, **facts: bool) -> bool:
    known = {"announced": True, "panicking": serving == 0, "placed": serving > 0} | facts
    return policy.attracts(all_down, serving=serving, announce_at=3, withdraw_below=2, **known)


@pytest.mark.parametrize(
    ("serving", "announced", "expected"),
    [(3, False, True), (2, False, False), (2, True, True), (1, True, False), (0, True, False)],
)
def test_h5_quorum_with_hysteresis(serving: int, *, announced: bool, expected: bool) -> None:
    assert attracts("withdraw", serving, announced=announced) is expected


def test_h5_what_each_policy_does_with_the_route() -> None:
    assert attracts("drop", 0)
    assert attracts("drop", 1)
    assert not attracts("drop", 2, announced=False), "it must have been well once"
    assert attracts("fail-open", 1)
    assert attracts("fail-open", 0, placed=True)
    assert attracts("fail-open", 0, placed=True, announced=False), "an agent that starts meanwhile"
    assert not attracts("fail-open", 0), "R5: never without a ring"
    assert not attracts("withdraw", 3, panicking=True)


@given(st.lists(st.integers(0, 5)), st.sampled_from(["withdraw", "fail-open", "drop"]))
def test_h5_a_route_changes_only_over_both_thresholds(
    counts: list[int], all_down: policy.AllDown
) -> None:
    """Between `withdraw_below` and `announce_at` it stays as it is."""
    announced = False
    for serving in counts:
        before, announced = announced, attracts(all_down, serving, announced=announced)
        if serving == 2:
            assert announced is before


@pytest.mark.parametrize(
    ("wish", "has", "waited", "gets"),
    [
        (None, 70, 99.0, 100),
        (50, 100, 99.0, 50),
        (54, 50, 99.0, 50),
        (56, 50, 99.0, 60),
        (1, 100, 99.0, 10),
        (50, 100, 9.0, 100),
    ],
)
def test_wishes_are_heard_in_steps_and_not_too_often(
    wish: int | None, has: int, waited: float, gets: int
) -> None:
    assert policy.heard(wish, has, waited=waited) == gets
