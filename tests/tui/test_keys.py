# SPDX-License-Identifier: Apache-2.0
"""Every key of the help is pressed, in each of its spellings, and does something that is seen.

The table has one story per key.  A key without one fails here before anybody can forget it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from textual.css.query import NoMatches
from textual.widgets import Input

from console.tui.app import RemoraApp
from console.tui.keys import BY_ID, KEYS
from console.tui.screens.ack import AckDialog
from console.tui.screens.arm import ArmDialog
from console.tui.screens.choose import ColumnsDialog, ExportDialog
from console.tui.screens.help import HelpScreen
from console.tui.screens.plan import PlanDialog
from shared.messages import Disable, Drain, Undrain, Withdraw
from tests.tui.test_screens import canary, held, keys, mixed, painted, plain, ready, settle, skewed

Sees = Callable[[RemoraApp], bool]


class Story(NamedTuple):
    before: tuple[str, ...]
    """Keys that lead there."""
    sees: Sees
    """What is so after the key, and was not before."""
    app: Callable[[], RemoraApp] = plain


def text(name: str, *words: str) -> Sees:
    return lambda app: all(word in painted(app, name) for word in words)


def crumb(words: str) -> Sees:
    return text("#crumb", words)


def message(words: str) -> Sees:
    return text("#message", words)


def cursor(row: str) -> Sees:
    return text("LineTable", f">{row}")


def shown(dialog: type[Any]) -> Sees:
    return lambda app: isinstance(app.screen, dialog)


def plans(action: object, *, title: str = "") -> Sees:
    """A dialog that asks for a dry run of this, and sends nothing else."""

    def sees(app: RemoraApp) -> bool:
        source: Any = app.source
        asked = [(what, dry) for _, what, dry in source.sent if isinstance(what, type(action))]
        box: Any = app.screen.query("#box").first() if app.screen.query("#box") else None
        return (
            isinstance(app.screen, PlanDialog)
            and bool(asked)
            and all(pair == (action, True) for pair in asked)
            and title in str(box.border_title)
        )

    return sees


def typing(field: str) -> Sees:
    return lambda app: isinstance(app.focused, Input) and app.focused.id == field


REALS = ("3", "enter")
WEB1 = "10.3.1.2"
AWAY = Withdraw(vip="web", elsewhere={"web": 1})
"""On lb1: lb2 goes on."""
STORIES: dict[str, Story] = {
    "enter": Story(("3",), crumb("web › reals")),
    "up": Story(("3", "enter"), lambda app: painted(app, "#crumb").startswith(" VIPs  ")),
    "fleet": Story(("3",), crumb("Fleet")),
    "node": Story((), crumb("Fleet › lb1")),
    "vips": Story((), crumb("VIPs")),
    "drops": Story((), crumb("Drops and events")),
    "heat": Story((), crumb("Heat")),
    "bgp": Story((), crumb("BGP and health")),
    "what-if": Story((), crumb("What if")),
    "alerts": Story((), crumb("Alerts")),
    "operations": Story((), crumb("Operations")),
    "next": Story((), cursor("lb2")),
    "previous": Story(("j",), cursor("lb1")),
    "page-down": Story((), cursor("lb2")),
    "page-up": Story(("j",), cursor("lb1")),
    "first": Story(("j",), cursor("lb1")),
    "last": Story((), cursor("lb2")),
    "earlier": Story(("3", "4"), crumb("VIPs")),
    "later": Story(("3", "4", "left_square_bracket"), crumb("Drops")),
    "toggle": Story(("3", "4"), crumb("VIPs")),
    "command": Story((), typing("command")),
    "palette": Story((), lambda app: type(app.screen).__name__ == "CommandPalette"),
    "filter": Story((), typing("filter")),
    "match": Story(("slash", *"lb2", "escape", "g"), cursor("lb2")),
    "match-back": Story(("slash", *"lb1", "escape", "j"), cursor("lb1")),
    "acknowledge": Story(("8",), shown(AckDialog), mixed),
    "totals": Story((), text("LineTable", "PACKETS")),
    "mark": Story((), crumb("1 marked")),
    "mark-all": Story((), crumb("2 marked")),
    "unmark": Story(("asterisk",), lambda app: "marked" not in painted(app, "#crumb")),
    "sort": Story((), crumb("sort node")),
    "reverse": Story((), crumb("problem▲")),
    "metric": Story(("5",), crumb("Heat › share"), skewed),
    "pane": Story(("6",), crumb("health › checks")),
    "ring": Story(("3",), crumb("web › ring"), mixed),
    "follow": Story(("4", "tab"), text("#tail_rule", "not following")),
    "columns": Story((), shown(ColumnsDialog)),
    "export": Story((), shown(ExportDialog)),
    "copy": Story((), message("row to the clipboard")),
    "copy-json": Story((), message("JSON to the clipboard")),
    "record": Story((), text("#header", "REC 19B"), ready),
    "freeze": Story((), text("#header", "FROZEN")),
    "time": Story((), text("#header", "PAST 60s")),
    "back": Story((), text("#header", "PAST 10s")),
    "on": Story(("t",), text("#header", "PAST 50s")),
    "minute-back": Story(("t",), text("#header", "PAST 2m")),
    "minute-on": Story(("t", "comma"), text("#header", "PAST 10s")),
    "repaint": Story((), lambda app: app.repainted == 1),  # type: ignore[attr-defined]
    "arm": Story((), shown(ArmDialog)),
    "drain": Story(REALS, plans(Drain(real=WEB1, vip="web")), ready),
    "undrain": Story(REALS, plans(Undrain(real=WEB1, vip="web")), ready),
    "maint": Story(REALS, plans(Disable(real=WEB1, vip="web")), ready),
    "weight": Story(REALS, text("#cli", f"weight real/{WEB1}@web"), ready),
    "route": Story(("2",), plans(AWAY, title="withdraw vip/web on lb1"), ready),
    "undo": Story(("9",), message("it is not over"), canary),
    "resume": Story(("9",), plans(Drain(real=WEB1, vip="web"), title="go on"), held),
    "abort": Story(("9",), plans(Undrain(real=WEB1, vip="web"), title="take back"), held),
    "help": Story((), shown(HelpScreen)),
    "leave": Story((), lambda app: app._exit),
}
PRESSED = [(key.id, one) for key in KEYS for one in key.keys.split(",")]


def test_every_key_has_a_story() -> None:
    assert set(STORIES) == set(BY_ID), "a key of the help that no test presses, or a story of none"


@pytest.mark.parametrize(("name", "key"), PRESSED, ids=[f"{n}-{k}" for n, k in PRESSED])
async def test_a_key_does_what_the_help_says(
    name: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    story = STORIES[name]
    app = story.app()
    app.repainted = 0  # type: ignore[attr-defined]

    def count() -> None:
        app.repainted += 1  # type: ignore[attr-defined]

    app.repaint = count  # type: ignore[method-assign]
    async with app.run_test(size=(80, 24)) as pilot:
        await keys(*story.before)(pilot)
        assert not sees(story, app), "it is so before the key is pressed"
        await pilot.press(key)
        if not app._exit:
            await settle(pilot)
        assert story.sees(app), painted(app, "#message") + painted(app, "#crumb")
    if app.recorder is not None:
        app.recorder.close()


def sees(story: Story, app: RemoraApp) -> bool:
    try:
        return story.sees(app)
    except NoMatches:  # a widget of a screen that is not there yet
        return False
