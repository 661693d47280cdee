# SPDX-License-Identifier: Apache-2.0
"""Keys that come all at once do what they would have done one by one."""

from __future__ import annotations

import pytest
from textual.events import Key
from textual.widgets import Input

from console.tui.app import RemoraApp
from tests.tui.playback import recorded
from tests.tui.recorded import LB1, LB2, Fleet
from tests.tui.test_screens import settle

NAMES = {":": "colon", "/": "slash", "\r": "enter", " ": "space", "-": "minus", "\t": "tab"}


def burst(app: RemoraApp, text: str) -> None:
    for letter in text:
        app.post_message(Key(NAMES.get(letter, letter), letter if letter.isprintable() else None))


@pytest.fixture
def app() -> RemoraApp:
    return recorded({LB1: Fleet("lb1"), LB2: Fleet("lb2", pps_factor=2)})


async def test_a_command_that_comes_as_one(app: RemoraApp) -> None:
    """Its letters are keys, some of them upper case: none of them acts on the table."""
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        burst(app, ":theme light\r")
        for _ in range(3):
            await settle(pilot)
        assert app.theme == "remora-light"
        assert app.screen.place.place == "fleet"  # type: ignore[attr-defined]


async def test_a_place_and_a_filter_that_come_as_one(app: RemoraApp) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        burst(app, "3/webAD")
        for _ in range(3):
            await settle(pilot)
        assert app.screen.place.place == "vips"  # type: ignore[attr-defined]
        assert app.screen.query_one("#filter", Input).value == "webAD"
        assert len(app.screen_stack) == 3, "nothing was opened by A or D"


async def test_many_keys_are_all_done(app: RemoraApp) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        burst(app, "3" + "jk" * 40 + "1")
        for _ in range(5):
            await settle(pilot)
        assert app.screen.place.place == "fleet"  # type: ignore[attr-defined]
