# SPDX-License-Identifier: Apache-2.0
"""An alert that is acknowledged: said to be, no more counted as new, and never hidden."""

from __future__ import annotations

from textual.pilot import Pilot

from console.tui.app import RemoraApp
from console.tui.screens.ack import AckDialog
from tests.tui.test_screens import keys, mixed, painted, settle


async def acknowledge(pilot: Pilot[None], why: str) -> None:
    await keys("v", *why, "enter")(pilot)
    await settle(pilot)


def alerts(app: RemoraApp) -> list[str]:
    """Rows of the table."""
    return [line for line in painted(app, "LineTable").splitlines()[1:] if line.strip()]


async def test_an_alert_is_acknowledged_with_a_reason_and_comes_last() -> None:
    app = mixed()
    async with app.run_test(size=(120, 40)) as pilot:
        await keys("8")(pilot)
        first, *others = alerts(app)
        assert others, "or there is no order to see"
        header, sent = painted(app, "#header"), len(app.source.sent)  # type: ignore[attr-defined]
        await acknowledge(pilot, "INC-7")
        *others, last = alerts(app)
        assert "· ack" in last
        assert last.split()[4] == first.split()[4], "the same object"
        assert "1 ack" in painted(app, "#header")
        assert painted(app, "#header") != header, "no more counted as new"
        await keys("G")(pilot)
        detail = painted(app, "#detail")
        assert "crit, acknowledged" in detail
        assert "test@here: INC-7" in detail
        assert "no other console knows" in detail
        assert len(app.source.sent) == sent  # type: ignore[attr-defined]  # nothing leaves
        await keys("v")(pilot)
        assert not any("· ack" in row for row in alerts(app)), "again: not"
        assert painted(app, "#header") == header


async def test_marked_alerts_are_acknowledged_together() -> None:
    app = mixed()
    async with app.run_test(size=(120, 40)) as pilot:
        await keys("8", "asterisk")(pilot)
        count = len(alerts(app))
        await acknowledge(pilot, "")
        assert all("· ack" in row for row in alerts(app))
        assert f"alerts 0 {count} ack" in painted(app, "#header")
        await keys("1")(pilot)
        assert "nothing is wrong" not in painted(app, "#alerts"), "it still is"
        await pilot.resize_terminal(50, 10)
        await settle(pilot)
        assert f"0 crit, 0 alerts {count} ack" in painted(app, "#tiny"), "as the header has it"


async def test_a_held_display_acknowledges_nothing() -> None:
    """It would not show it, and v again would not take it back."""
    app = mixed()
    async with app.run_test(size=(120, 40)) as pilot:
        await keys("8", "p", "v")(pilot)
        assert "the display is held: p goes on, then v" in painted(app, "#message")
        assert not isinstance(app.screen, AckDialog)
        await keys("p", "v", "enter")(pilot)
        await settle(pilot)
        assert sum("· ack" in row for row in alerts(app)) == 1


async def test_elsewhere_v_says_where() -> None:
    app = mixed()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("v")(pilot)
        assert "alerts (8) can be acknowledged" in painted(app, "#message")
        await keys("8", "v", "escape")(pilot)
        assert not any("· ack" in row for row in alerts(app)), "Esc is no acknowledgement"
