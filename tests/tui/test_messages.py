# SPDX-License-Identifier: Apache-2.0
"""What the message line says and when it leaves: nothing stays for ever, no error goes unseen."""

from __future__ import annotations

from typing import Any

import pytest

from console.tui.app import RemoraApp
from console.tui.saying import LASTS, SEEN, Saying
from console.views.standing import standing
from tests.tui.playback import SECONDS
from tests.tui.test_screens import canary, held, keys, lost, painted, plain, settle


@pytest.mark.parametrize(
    ("tone", "by_a_key_at_once", "by_a_key_later", "by_time"),
    [
        ("warn", True, True, True),
        ("bad", False, True, False),
        ("hot", False, True, True),
    ],
    ids=["answer", "error", "news"],
)
def test_when_a_message_leaves(
    tone: str, by_a_key_at_once: bool, by_a_key_later: bool, by_time: bool
) -> None:
    def shown() -> Saying:
        said = Saying("text", tone)
        assert not said.lapse(100.0)
        return said

    assert shown().pressed(100.0) is by_a_key_at_once
    assert shown().pressed(100.0 + SEEN) is by_a_key_later
    assert shown().lapse(100.0 + LASTS) is by_time
    assert not Saying("text", tone).lapse(1e9), "what was never on show was not read"
    gone = shown()
    gone.text = ""
    assert not gone.pressed(200.0), "nothing is there to leave"


def at(app: RemoraApp, seconds: float) -> None:
    """The console's clock, so many seconds after the recording; one tick."""
    app._clock = lambda: SECONDS - 0.9 + seconds
    app._tick()


async def test_the_answer_to_a_key_leaves_with_the_next() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("m")(pilot)
        assert "only heat (5) has metrics" in painted(app, "#message")
        await keys("j")(pilot)
        assert painted(app, "#message").strip() == ""


async def test_news_of_a_rollout_leave_in_time_or_with_a_key() -> None:
    """They stayed on the fleet's screen until the console was left."""
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app._tell("op 4182c0ff: HELD at 1/2: drops   9 has it")
        at(app, 0)
        await keys("j")(pilot)
        assert "HELD at 1/2" in painted(app, "#message"), "typed before it can have been read"
        at(app, SEEN)
        await keys("j")(pilot)
        assert painted(app, "#message").strip() == ""
        app._tell("op 4182c0ff: done 2/2   9 has it")
        at(app, 2)
        at(app, 2 + LASTS)
        assert painted(app, "#message").strip() == ""


async def test_an_error_stays_until_somebody_is_there() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("colon", *"drian", "enter")(pilot)
        at(app, 1000)
        assert "no such command" in painted(app, "#message")
        await keys("x", "escape")(pilot)
        assert painted(app, "#message").strip() == ""


async def test_a_held_operation_stands_on_every_screen_until_it_is_over() -> None:
    app = held()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        at(app, 0)
        at(app, SEEN)  # the news that the recording ends with have been read
        for key in "13456":
            await keys(key, "j")(pilot)
            assert "op 4182c0ff HELD at 1/2" in painted(app, "#message"), key
        await keys("4", "O", "m")(pilot)
        assert "only heat" in painted(app, "#message"), "a message stands before it"
    assert standing(plain_view(), 80) == ()


def plain_view() -> Any:  # noqa: ANN401  # a View of no agents
    from console.model.store import Store
    from console.views.view import View

    return View(Store(()), 0.0, 0.0, "lab")


async def test_one_that_goes_on_says_how_far_it_is() -> None:
    app = canary()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("8", "j")(pilot)
        assert "op 4182c0ff has come to 1/2" in painted(app, "#message")


async def test_operations_say_whose_may_be_missing() -> None:
    app = lost()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("9")(pilot)
        assert "what lb2, lb3 did may be missing" in painted(app, "#message")


async def test_a_tick_or_a_key_on_the_way_out_finds_no_screen_and_does_not_mind() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        stack, app._screen_stacks["_default"] = app._screen_stacks["_default"], []
        app._tick()
        app.pressed()
        app._screen_stacks["_default"] = stack
