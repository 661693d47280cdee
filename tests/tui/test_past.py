# SPDX-License-Identifier: Apache-2.0
"""The agents' last hour on the live console's screens: back before the console was there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.messages import ReadHistory
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import WALL, Fleet
from tests.tui.test_plan import console, sees
from tests.tui.test_screens import painted
from tests.unit.test_console_past import kept_by


async def test_a_minute_back_step_by_step_and_now_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K4: the header says that it is the past, and nothing there can be a target."""
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one:
        kept_by(one, tmp_path / "kept", range(200), monkeypatch)
        async with console(one) as (app, pilot):
            app._wall = app.scrub._wall = lambda: WALL + 190.0
            await sees(pilot, "● up")
            one.fleet.pps_factor = 3
            await pilot.press("t")
            await sees(pilot, "PAST 60s ago", "t is now")
            assert "1.23k" in painted(app, "LineTable"), "what it was then"
            await pilot.press("comma", "comma")
            await sees(pilot, "PAST 80s ago")
            await pilot.press("D")
            assert "this is the past" in painted(app, "#message")
            await pilot.press("3")
            await sees(pilot, "web", "PAST 80s ago")
            await pilot.press("7")
            await sees(pilot, "PAST 80s ago")
            await pilot.press("escape", "escape", "escape", "1", "less_than_sign")
            await sees(pilot, "PAST 2m ago")
            await pilot.press("p")
            await sees(pilot, "stands still already")
            await pilot.press("t")
            await sees(pilot, "LIVE")
        asked = [c for c in one.received if isinstance(c.action, ReadHistory)]
        assert [c for c in one.changes if c not in asked] == []


async def test_what_nobody_kept_is_said(tmp_path: Path) -> None:
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one:
        async with console(one) as (app, pilot):
            await sees(pilot, "● up")
            await pilot.press("colon", *"at 30m", "enter")
            await sees(pilot, "no agent has kept", "PAST 30m ago", "? no answer")
            await pilot.press("colon", *"now", "enter")
            await sees(pilot, "LIVE", "● up")
            line: Any = painted(app, "#header")
            assert "PAST" not in line
