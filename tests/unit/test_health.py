# SPDX-License-Identifier: Apache-2.0
"""Rise and fall, as streams of results; routes; guards."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import guard
from agent.core.health import (
    MOST_CHANGES,
    RAMP_STEPS,
    Streak,
    Verdict,
    held,
    judge,
    ramp_step,
    share,
)
from shared.model import Health

LETTER = {Health.UNKNOWN: "?", Health.UP: "U", Health.DOWN: "D"}


@pytest.mark.parametrize(
    ("results", "states"),
    [
        ("+", "U"),
        ("-", "D"),
        ("+--+--+---", "UUUUUUUUUD"),
        ("-+-+-++", "DDDDDDU"),
        ("+---++", "UUUDDU"),
        ("++++", "UUUU"),
        ("+--", "UUU"),
    ],
)
def test_h1_consecutive_results_decide(results: str, states: str) -> None:
    """H1: rise 2, fall 3, consecutive, never cumulative."""
    verdict, seen = Verdict(Health.UNKNOWN), ""
    for result in results:
        verdict = judge(verdict, ok=result == "+", rise=2, fall=3, now=0.0)
        seen += LETTER[verdict.health]
    assert seen == states


def after(results: str, every: float = 2.0) -> tuple[Verdict, list[float]]:
    """(the verdict at the end, when the health changed) of results that come so often."""
    verdict, changed = Verdict(Health.UNKNOWN), []
    for n, result in enumerate(results):
        was = verdict.health
        verdict = judge(verdict, ok=result == "+", rise=2, fall=3, now=n * every)
        if verdict.health is not was:
            changed.append(n * every)
    return verdict, changed


def test_h1_each_further_fall_doubles_the_time_down() -> None:
    """Two falls are free, then 10, 20, 40 s of answers without a failure."""
    downs = []
    results, verdict = "+", Verdict(Health.UNKNOWN)
    for _ in range(8):
        results += "---"
        answers = 0
        while after(results)[0].health is Health.DOWN:
            results += "+"
            answers += 1
        downs.append(answers)
    assert downs == [2, 2, 6, 11, 21, 41, 61, 61]
    verdict, _ = after(results + "+" * 600)
    assert verdict.falls == 0, "forgiven, one in two minutes"


def test_h1_a_failure_starts_the_wait_again() -> None:
    down = "+---++---++---"
    verdict, _ = after(down + "+++++")
    assert (verdict.health, held(verdict, (len(down) + 4) * 2.0)) == (Health.DOWN, 2.0)
    verdict, _ = after(down + "+++++-+")
    assert held(verdict, (len(down) + 6) * 2.0) == 10.0
    assert held(Verdict(Health.UP), 0.0) == 0.0


def test_a_real_that_is_needed_is_not_held() -> None:
    """The director says so: damping never costs a VIP its quorum."""
    verdict, _ = after("+---++---++---+")
    kept = judge(verdict, ok=True, rise=2, fall=3, now=30.0)
    needed = judge(verdict, ok=True, rise=2, fall=3, now=30.0, first_hold=0.0)
    assert (kept.health, needed.health) == (Health.DOWN, Health.UP)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=60),
    st.sampled_from([0.05, 0.5, 2.0]),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_h1_changes_per_minute_are_bounded(
    runs: list[tuple[bool, int]], every: float, rise: int, fall: int
) -> None:
    """H1: however the results come, whatever rise, fall and interval are."""
    verdict, now, changed = Verdict(Health.UP), 0.0, []
    for ok, length in runs:
        for _ in range(length):
            now += every
            was = verdict.health
            verdict = judge(verdict, ok=ok, rise=rise, fall=fall, now=now)
            if verdict.health is not was:
                changed.append(now)
    for first in changed:
        assert sum(first <= at < first + 60 for at in changed) <= MOST_CHANGES


def test_h1_the_bound_is_reached_by_the_worst_real_and_never_passed() -> None:
    """It fails as soon as it is up and answers as soon as it is down, twenty times a second."""
    verdict, changed = Verdict(Health.UP), []
    for tick in range(20 * 600):
        was = verdict.health
        ok = was is Health.DOWN
        verdict = judge(verdict, ok=ok, rise=1, fall=1, now=tick / 20)
        if verdict.health is not was:
            changed.append(tick / 20)
    per_minute = [sum(first <= at < first + 60 for at in changed) for first in changed]
    assert max(per_minute) == MOST_CHANGES
    assert per_minute[-4] <= 2, "in the long run one fall and one rise in two minutes"


def test_a_ramp_has_few_equal_steps() -> None:
    seen = [ramp_step(100.0, 50.0, 100.0 + second) for second in range(0, 70)]
    assert [seen.count(step) for step in (1, 2, 3, 4)] == [10, 10, 10, 10]
    assert seen[-1] == RAMP_STEPS
    assert ramp_step(100.0, 0.0, 100.0) == RAMP_STEPS


@given(st.integers(1, 1000), st.integers(1, 100))
def test_r4_a_ramp_only_goes_up(weight: int, percent: int) -> None:
    steps = [share(weight, step=n, percent=percent) for n in range(1, RAMP_STEPS + 1)]
    assert steps == sorted(steps)
    assert min(steps) >= 1
    assert share(weight) == weight


@pytest.mark.parametrize(
    ("results", "quick"),
    [("", ""), ("+++", "..."), ("---", "..."), ("++--++", "..qqq."), ("++---", "..qq."),
     ("+-+", ".qq"), ("+-++", ".qq.")],
)  # fmt: skip
def test_checks_come_faster_while_the_verdict_may_change(results: str, quick: str) -> None:
    streak, seen = Streak(), ""
    for result in results:
        streak = streak.after(ok=result == "+")
        seen += "q" if streak.deciding(rise=2, fall=3) else "."
    assert seen == quick


A = IPv4Address("10.200.0.1")


@pytest.mark.parametrize(
    ("before", "after", "quorum", "name"),
    [(3, 2, 1, None), (1, 0, 1, "last-healthy"), (3, 2, 3, "min-healthy"), (1, 1, 3, None),
     (0, 0, 1, None), (1, 2, 3, None)],
)  # fmt: skip
def test_k2_guards_by_name(before: int, after: int, quorum: int, name: str | None) -> None:
    said = guard.first(
        guard.check(guard.Impact("web", before, after, quorum, quorum), guard.Limits()), ()
    )
    assert (said.guard if said else None) == name
