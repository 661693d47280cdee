# SPDX-License-Identifier: Apache-2.0
"""Rates and their unknowns; numbers in words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import format as fmt
from console.model import rows
from console.model.heard import Heard
from console.model.rates import HISTORY_SECONDS, Samples, Sum, rate, rates, share, total
from console.model.recording import inbox
from console.model.sights import STEP
from console.model.store import Store
from console.model.tracks import EMPTY, STEADY, Track, added, recorded, trend
from console.views.view import totals
from shared.messages import NodeSnapshot, VipRow, VipSnapshot
from shared.model import Protocol
from tests.tui.recorded import LB1, Fleet, records


def sample(second: float, *, boot: str = "b1") -> NodeSnapshot:
    snapshot = Fleet("lb1", boot=boot).at(second)[0]
    assert isinstance(snapshot, NodeSnapshot)
    return snapshot


@pytest.mark.parametrize(
    ("before", "after", "seconds", "expected"),
    [
        (100, 150, 2.0, 25.0),
        (100, 100, 1.0, 0.0),
        (None, 100, 1.0, None),
        (150, 100, 1.0, None),
        (100, 150, 0.0, None),
    ],
)
def test_rate(before: int | None, after: int, seconds: float, expected: float | None) -> None:
    assert rate(before, after, seconds) == expected


def test_one_sample_is_unknown() -> None:
    samples: Samples[NodeSnapshot] = Samples()
    samples.push(sample(1))
    assert samples.before(5.0) is None


def test_changed_boot_is_unknown_until_the_second_sample() -> None:
    samples: Samples[NodeSnapshot] = Samples()
    samples.push(sample(1))
    samples.push(sample(2, boot="b2"))
    assert samples.before(5.0) is None
    samples.push(sample(3, boot="b2"))
    assert samples.before(5.0) == sample(2, boot="b2")


def test_a_hole_between_the_samples_is_unknown() -> None:
    samples: Samples[NodeSnapshot] = Samples()
    samples.push(sample(1))
    samples.push(sample(60))
    assert samples.before(5.0) is None
    samples.push(sample(61))
    assert samples.span() == 1.0


def test_late_answer_is_not_taken_for_new() -> None:
    samples: Samples[NodeSnapshot] = Samples()
    samples.push(sample(5))
    assert not samples.push(sample(4))
    assert not samples.push(sample(5))
    assert samples.latest == sample(5)


@given(st.lists(st.floats(0.01, 0.4), min_size=3, max_size=60))
def test_fast_agents_are_sampled_far_enough_apart(steps: list[float]) -> None:
    """A 20 Hz agent's rate spans at least 0.45 s once so much time has passed, and under 1 s."""
    samples: Samples[NodeSnapshot] = Samples()
    at = 0.0
    for step in steps:
        at += step
        samples.push(sample(at))
    assert samples.span() >= min(0.45, at - steps[0]) - 1e-6
    assert samples.span() < 0.45 + 0.4 + 1e-6


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e9))))
def test_total_counts_what_it_leaves_out(values: list[float | None]) -> None:
    known = [v for v in values if v is not None]
    assert total(values) == Sum(sum(known) if known else None, len(values) - len(known))


def test_share_of_nothing_is_unknown() -> None:
    assert share(1.0, 0) is None
    assert share(None, 4) is None
    assert share(1.0, 4) == 0.25


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (7, "7"),
        (7.25, "7.25"),
        (999, "999"),
        (999.7, "1.00k"),
        (1310000, "1.31M"),
        (21400, "21.4k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (-1500, "-1.50k"),
    ],
)
def test_si(value: float | None, text: str) -> None:
    assert fmt.si(value) == text


@given(st.floats(0, 1e18))
def test_si_fits_five_columns(value: float) -> None:
    assert len(fmt.si(value)) <= 5


@given(st.text(max_size=20), st.integers(1, 30), st.booleans())
def test_fit_is_exact(text: str, width: int, right: bool) -> None:
    fitted = fmt.fit(text, width, right=right)
    assert len(fitted) == width
    assert "…" in fitted or text in fitted


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.4, "0s"),
        (14.9, "14s"),
        (119, "119s"),
        (120, "2m"),
        (7200, "2h"),
        (9e5, "10d"),
    ],
)
def test_age(seconds: float | None, text: str) -> None:
    assert fmt.age(seconds) == text


@pytest.mark.parametrize(
    ("values", "width", "span", "text"),
    [
        ([], 4, 4, "    "),
        ([1, 2, 4], 3, 3, "▃▅█"),
        ([0, 0], 2, 2, "▁▁"),
        ([4, None, 4], 3, 3, "█ █"),
        ([float("nan"), 1], 2, 2, " █"),
        ([9, 9, 1, 1], 2, 2, "██"),
        ([8, 8, 8, 4, 0, 2], 3, 6, "█▇▂"),
        ([8, 8], 3, 6, "  █"),
        ([8] * 60 + [0] * 60, 12, 60, "▁" * 12),
        ([1] * 60, 0, 60, ""),
    ],
)
def test_sparkline_covers_its_span(
    values: list[float | None], width: int, span: int, text: str
) -> None:
    assert fmt.sparkline(values, width, span) == text


@pytest.mark.parametrize(("width", "large"), [(80, False), (112, False), (139, False), (140, True)])
def test_the_fleets_minute_has_a_block_for_every_second_that_is_known(
    width: int, large: bool
) -> None:
    """A blank is unknown, so where there is more room than seconds no blank stands between."""
    store = Store([LB1])
    store.take(inbox(records({LB1: Fleet("lb1")}, range(HISTORY_SECONDS + 5))))
    found = rows.nodes(list(store.agents.values()), HISTORY_SECONDS + 4.0)
    sparks = [
        cell.text for one in totals(found, width, large=large) for cell in one if cell.tone == "hot"
    ]
    assert len(sparks) == (4 if large else 2)
    assert not any(" " in spark.strip() for spark in sparks)
    assert all(len(spark) <= width for spark in sparks)


def test_clock_and_count() -> None:
    assert fmt.clock(1_790_000_000.07, digits=2) == "14:13:20.07"
    assert fmt.count(65537) == "65 537"
    assert fmt.bar(0.5, 4) == "██░░"


def test_rates_of_several_counters_are_each_as_of_one() -> None:
    before, after = (1, 2, 3), (3, 1, 3)
    assert rates(before, after, 2.0) == tuple(
        rate(b, a, 2.0) for b, a in zip(before, after, strict=True)
    )
    assert rates(None, after, 2.0) == rates(before, after, 0.0) == (None, None, None)


# ---- tracks


def test_tracks_add_up_second_by_second() -> None:
    one = recorded(recorded(EMPTY, 1.5), 2.0)
    other = recorded(recorded(EMPTY, 10.0), 20.0)
    assert added([one, other])[-3:] == [None, 11.5, 22.0]
    assert len(added([one, other])) == HISTORY_SECONDS


def test_a_second_that_one_node_does_not_know_is_unknown_in_the_sum() -> None:
    one = recorded(recorded(EMPTY, 5.0), None)
    other = recorded(recorded(EMPTY, 5.0), 5.0)
    assert added([one])[-2:] == [5.0, None]
    assert added([one, other])[-2:] == [10.0, None]
    assert set(added([])) == {None}


def test_a_track_forgets_what_is_older_than_a_minute() -> None:
    track = EMPTY
    for second in range(200):
        track = recorded(track, float(second))
    assert added([track]) == [float(second) for second in range(140, 200)]


def test_no_rate_however_large_reaches_the_second_beside_it() -> None:
    track = recorded(recorded(recorded(EMPTY, 7.0), 1e300), 7.0)
    found = added([track] * 500)
    assert (found[-3], found[-1]) == (3500.0, 3500.0)


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (None, "-"), (0.0, "0.0%"), (0.0004, "<0.1%"), (0.0006, "0.1%"), (0.334, "33.4%"),
        (0.999, "99.9%"), (0.9996, ">99.9%"), (1.0, "100.0%"), (sum([0.1] * 10), "100.0%"),
    ],
)  # fmt: skip
def test_a_little_is_not_nothing_and_nearly_all_is_not_all(
    fraction: float | None, text: str
) -> None:
    """99.96 % of flows that were found is not all of them, and 400 misses a second are some."""
    assert fmt.percent(fraction) == text


# ---- what is kept of a topic


VIP = VipRow("web", "10.200.0.1", 80, Protocol.TCP, 1, 2, 3, 4, 3, 2, 1, True, "a91f3c", 5)
STEPS = st.tuples(
    st.sampled_from([0.1, 0.5, 1.0, 1.0, 1.0, 3.0, 20.0, -2.0]),
    st.sampled_from(["b1", "b1", "b1", "b2"]),
    st.lists(st.sampled_from(["web", "dns", "mail"]), unique=True),
    st.booleans(),
)
"""(seconds to the next snapshot, its boot, its VIPs in their order, whether somebody looks)"""


@given(st.lists(STEPS, max_size=90), st.data())
def test_what_is_kept_is_what_whole_snapshots_say(steps: list[Any], data: st.DataObject) -> None:
    """VIPs come, go and change places, agents restart, tell seldom or often: every rate and every
    second of a minute is as if all snapshots had been kept and compared by name."""
    heard, samples, at = Heard("ipc:///x"), Samples[VipSnapshot](), 100.0
    minute: list[tuple[dict[str, int], dict[str, int] | None, float]] = []
    stepped = float("-inf")
    for step, boot, names, looks in steps:
        at += step
        packets = data.draw(
            st.lists(st.integers(0, 10**6), min_size=len(names), max_size=len(names))
        )
        told = tuple(
            msgspec.structs.replace(VIP, name=name, packets=n)
            for name, n in zip(names, packets, strict=True)
        )
        new = VipSnapshot(node="lb1", boot=boot, sequence=1, at=at, vips=told)
        assert heard.take(new, at) is samples.push(new)
        if samples.latest is not new:
            continue
        before, span = samples.before(heard.limit), samples.span()
        after, old = _packets(new), _packets(before) if before else None
        if not 0 <= at - stepped < STEP:
            stepped = at
            minute.append((after, old, span))
        for name in names if looks else ():
            expected = rate((old or {}).get(name), after[name], span)
            assert heard.sights.get(name).rates[0] == expected
            assert added([heard.sights.track(name)])[-min(60, len(minute)) :] == [
                None if now is None else pytest.approx(now, abs=0.001)
                for now in [_rate(name, *second) for second in minute[-60:]]
            ]


def _packets(snapshot: VipSnapshot) -> dict[str, int]:
    return {row.name: row.packets for row in snapshot.vips}


def _rate(
    name: str, after: dict[str, int], before: dict[str, int] | None, span: float
) -> float | None:
    return rate((before or {}).get(name), after[name], span) if name in after else None


def test_a_trend_compares_now_with_the_minute_before() -> None:
    def track(*values: float | None) -> Track:
        found = EMPTY
        for value in values:
            found = recorded(found, value)
        return found

    assert trend([track(*[100.0] * 40, *[120.0] * 5)]) == pytest.approx(0.2)
    assert trend([track(*[100.0] * 40, *[50.0] * 5), track(*[100.0] * 45)]) == pytest.approx(-0.25)
    assert trend([track(*[100.0] * 10, *[120.0] * 5)]) is None, "not known for long enough"
    assert trend([track(*[0.0] * 40, *[120.0] * 5)]) is None, "nothing before: no fraction of it"
    assert trend([track(*[100.0] * 40, *[120.0] * 4, None)]) is None
    assert [fmt.change(each, STEADY) for each in (0.2, -0.25, 0.01, None, 20.0)] == [
        "↑20%", "↓25%", "=", "-", "↑999%",
    ]  # fmt: skip
