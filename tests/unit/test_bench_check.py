# SPDX-License-Identifier: Apache-2.0
"""`make bench-check` can fail: what is slower by more than a tenth, and what has no reference.

Blocks as a machine gives them: a true ratio and noise, now and then one that was disturbed.
"""

from __future__ import annotations

import random

import pytest

from tests.bench.check import BLOCKS, LOADS, Ratio, Verdict, judged, line, ratio_of, status


def blocks(true: float, *, noise: float, seed: int, count: int = BLOCKS) -> list[float]:
    chance = random.Random(seed)
    return [
        true * chance.gauss(1, noise) * (chance.uniform(0.7, 1.6) if chance.random() < 0.15 else 1)
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_same_passes_and_more_than_a_tenth_fails(seed: int) -> None:
    same, more = (
        ratio_of(blocks(r, noise=0.03, seed=seed, count=LOADS * BLOCKS)) for r in (0.7, 0.7 * 1.15)
    )
    assert judged(same, 0.7) is Verdict.FINE
    assert judged(more, 0.7) is Verdict.SLOWER


@pytest.mark.parametrize("seed", range(20))
def test_a_busy_machine_is_no_regression(seed: int) -> None:
    wild = ratio_of(blocks(0.7, noise=0.3, seed=seed, count=LOADS * BLOCKS))
    assert judged(wild, 0.7) is not Verdict.SLOWER


def test_what_is_faster_passes() -> None:
    assert judged(Ratio(0.3, 0.4, 0.5), 0.7) is Verdict.FINE


def test_a_wide_interval_says_nothing() -> None:
    assert judged(Ratio(0.5, 0.8, 1.2), 0.7) is Verdict.UNSURE
    assert judged(Ratio(0.5, 0.7, 1.2), 0.7) is Verdict.UNSURE
    assert "too busy" in line("one flow", Ratio(0.5, 0.8, 1.2), 0.7)


def test_a_case_without_a_reference_fails() -> None:
    assert judged(Ratio(0.1, 0.1, 0.1), None) is Verdict.UNKNOWN
    assert "--renew" in line("new case", Ratio(0.1, 0.1, 0.1), None)


def test_the_exit_status_tells_slower_from_unsure() -> None:
    assert status([Verdict.FINE]) == 0
    assert status([Verdict.FINE, Verdict.UNSURE]) == 2
    assert status([Verdict.UNSURE, Verdict.SLOWER]) == 1
    assert status([Verdict.UNKNOWN]) == 1
