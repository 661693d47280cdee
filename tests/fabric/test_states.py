# SPDX-License-Identifier: Apache-2.0
"""Reals that hang and flap, and what becomes of a VIP without any, at the router and the client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.core.health import MOST_CHANGES
from shared.messages import RealRow
from shared.model import Health
from tests.fabric import load
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE, FLAPPING = "lb1", "r2"
INTERVAL = 0.2
NOTICED = t.CHECK_FALL * 2 * t.CHECK_INTERVAL + 1.0


def row(fabric: Fabric, real: str, node: str = NODE) -> RealRow:
    return fabric.look(node).reals["web", t.real(real).address]


def test_a_hanging_real_delays_nobody(fabric: Fabric) -> None:
    """It accepts and never answers: out in time, the others' checks as quick as before."""
    with fabric.load(rate=80) as running:
        began = time.monotonic()
        with fabric.hanging(FLAPPING):
            until(
                lambda: sum(r.at > began + NOTICED for r in running.records()) >= 80,
                NOTICED + 10,
                "80 requests after the time limit",
            )
            # One check of many may wait for a processor; those of the hanging one all take longer.
            until(lambda: quick(fabric, "r1") and quick(fabric, "r3"), 10, "the others' checks")
            said = row(fabric, FLAPPING).check
            late = [record for record in running.records() if record.at > began + NOTICED]
        until(lambda: row(fabric, FLAPPING).health is Health.UP, NOTICED, "back")
    assert said.startswith(f"no answer within {t.CHECK_INTERVAL:g} s")
    assert load.failures(late) == []
    assert load.per_real(late)[FLAPPING] == 0


def quick(fabric: Fabric, real: str) -> bool:
    return row(fabric, real).check_ms < 1000 * t.CHECK_INTERVAL / 2


def test_h1_a_real_that_flaps_with_the_checks_is_held_down(fabric: Fabric) -> None:
    """H1: a period of a few intervals; the ring changes a bounded number of times, then no more."""
    texts = {name: fabric.agents[name].config.read_text() for name in t.NODES}
    restart_with(fabric, {name: text.replace("hold = 0\n", "") for name, text in texts.items()})
    try:
        _flap(fabric)
    finally:
        restart_with(fabric, texts)


def _flap(fabric: Fabric) -> None:
    until(lambda: reals_up(fabric) == {3}, 10, "all are up")
    before = {node: fabric.look(node).vips["web"].ring_changes for node in t.NODES}
    end = time.monotonic() + 25
    periods = 0
    while time.monotonic() < end:
        with fabric.hanging(FLAPPING):
            until(lambda: row(fabric, FLAPPING).health is Health.DOWN, 10, "down")
        _wait_up_or_held(fabric, time.monotonic() + 2)
        periods += 1
    changes = {n: fabric.look(n).vips["web"].ring_changes - before[n] for n in t.NODES}
    assert periods >= MOST_CHANGES / 2, "too slow to show anything"
    assert 0 < max(changes.values()) <= MOST_CHANGES
    assert "held" in row(fabric, FLAPPING).check
    assert row(fabric, FLAPPING).health is Health.DOWN
    until(
        lambda: all(row(fabric, FLAPPING, node).health is Health.UP for node in t.NODES),
        60,
        "back, when it has answered for long enough",
    )


def _wait_up_or_held(fabric: Fabric, until_then: float) -> None:
    def settled() -> bool:
        return row(fabric, FLAPPING).health is Health.UP or time.monotonic() > until_then

    until(settled, 10, "up, or held")


# ---- without a healthy real; the checks read files, so that the services go on


def say(fabric: Fabric, word: str, *reals: str) -> None:
    """What the checks of these reals find."""
    for real in reals or t.REALS:
        path = fabric.place / f"{t.real(real).address}.state"
        path.with_suffix(".new").write_text(f"{word}\n")
        path.with_suffix(".new").rename(path)


@contextmanager
def serving(fabric: Fabric, keys: str) -> Iterator[None]:
    """Both nodes with these keys for their VIPs, and afterwards as before."""
    say(fabric, "up")
    before = {name: fabric.agents[name].config.read_text() for name in t.NODES}
    after = {}
    check = f'kind = "file"\nfile = "{fabric.place}/{{real}}.state"\ninterval = {INTERVAL}\n'
    for name, text in before.items():
        parts = [part.split("[vips.check]") for part in text.split("\n[[vips]]\n")]
        changed = [
            f"{head}{keys}\n[vips.check]\n{check}timeout = {INTERVAL}\n"
            + rest[0][rest[0].index("\n[[vips.reals]]") :]
            if rest
            else head
            for head, *rest in parts
        ]
        after[name] = "\n[[vips]]\n".join(changed)
    restart_with(fabric, after)
    fabric.await_routes()
    try:
        yield
    finally:
        restart_with(fabric, before)


def restart_with(fabric: Fabric, texts: dict[str, str]) -> None:
    """Together: most of a start is the compiler."""
    for name, text in texts.items():
        fabric.agents[name].stop()
        fabric.agents[name].config.write_text(text)
        fabric.agents[name].launch()
    for name in texts:
        fabric.agents[name].await_ready()


def reals_up(fabric: Fabric) -> set[int]:
    return {fabric.look(node).vips["web"].reals_up for node in t.NODES}


def test_h5_fail_open_at_the_router_and_the_client(fabric: Fabric) -> None:
    """H5: every check fails, though the reals serve: no route goes, no request fails."""
    with serving(fabric, 'all_down = "fail-open"'), fabric.load(rate=80) as running:
        say(fabric, "down", "r1", "r2")
        until(lambda: reals_up(fabric) == {1}, 10, "only r3 is up")
        one = time.monotonic() + 0.2
        until(lambda: sum(r.at > one for r in running.records()) >= 40, 10, "40 requests")
        shares = load.per_real(record for record in running.records() if record.at > one)
        assert shares["r3"] == sum(shares.values())
        one = time.monotonic()
        say(fabric, "down", "r3")
        until(lambda: reals_up(fabric) == {0}, 10, "none is up")
        none = time.monotonic()
        until(
            lambda: all(load.per_real(r for r in running.records() if r.at > none + 0.2).values()),
            10,
            "all reals serve",
        )
        assert fabric.routes(t.WEB) == frozenset(t.NODES)
        assert all(row(fabric, real).slots > 0 for real in t.REALS)
        # what was under way to r1 and r2 when they went down went on to r3, and was reset
        assert load.failures(r for r in running.records() if r.at > one) == []
        # The first that is up ends it: what is under way to one that is not up yet may be reset.
        say(fabric, "up")
        until(lambda: reals_up(fabric) == {3}, 10, "all are up")
        assert fabric.routes(t.WEB) == frozenset(t.NODES)
        back = time.monotonic()
        until(lambda: sum(r.at > back for r in running.records()) >= 40, 10, "40 requests")
        assert load.failures(r for r in running.stop() if r.at > back) == []


def test_h5_drop_at_the_router_and_the_client(fabric: Fabric) -> None:
    """H5: the route stays, packets are dropped and say why; the first real that is up serves."""
    with serving(fabric, 'all_down = "drop"'):
        say(fabric, "down")
        until(lambda: reals_up(fabric) == {0}, 10, "none is up")
        assert fabric.routes(t.WEB) == frozenset(t.NODES)
        before = sum(fabric.look(node).vips["web"].drops for node in t.NODES)
        with pytest.raises(TimeoutError):
            fabric.request(seconds=0.5)
        assert sum(fabric.look(node).vips["web"].drops for node in t.NODES) > before
        say(fabric, "up", "r1")
        until(lambda: reals_up(fabric) == {1}, 10, "r1 is up")
        assert {fabric.request() for _ in range(10)} == {"r1"}
        say(fabric, "up")


def test_h5_withdraw_with_hysteresis_at_the_router(fabric: Fabric) -> None:
    """H5: gone below two, back at three; what still arrives meanwhile is served."""
    with serving(fabric, "announce_at = 3\nwithdraw_below = 2"):
        say(fabric, "down", "r1")
        until(lambda: reals_up(fabric) == {2}, 10, "two are up")
        assert fabric.routes(t.WEB) == frozenset(t.NODES)
        say(fabric, "down", "r2")
        until(lambda: not fabric.routes(t.WEB), 10, "the route is gone")
        with fabric.only_via(NODE):
            assert {fabric.request() for _ in range(5)} == {"r3"}
        say(fabric, "up", "r2")
        until(lambda: reals_up(fabric) == {2}, 10, "two are up again")
        assert fabric.routes(t.WEB) == frozenset(), "not yet enough"
        say(fabric, "up")
        fabric.await_routes(seconds=10)


def test_a_weight_from_the_check_and_a_slow_start(fabric: Fabric) -> None:
    with serving(fabric, "ramp = 10.0"):
        say(fabric, "up 50%", "r1")
        until(lambda: row(fabric, "r1").effective_weight == 50, 20, "half of its weight")
        until(lambda: abs(row(fabric, "r1").slots - 65537 / 5) < 5, 5, "a fifth of the ring")
        say(fabric, "down", "r2")
        until(lambda: row(fabric, "r2").health is Health.DOWN, 10, "down")
        say(fabric, "up", "r2")
        until(lambda: row(fabric, "r2").health is Health.UP, 10, "up")
        weights: list[int] = []

        def ramped() -> bool:
            weight = row(fabric, "r2").effective_weight
            if weight not in weights:
                weights.append(weight)
            return weight == 100

        until(ramped, 20, "all of its weight")
        assert weights == [20, 40, 60, 80, 100]
