# SPDX-License-Identifier: Apache-2.0
"""Every screen in every state of its data, at 80x24 and 140x40: one picture of each.

`pytest tests/tui --snapshot-update` after a wanted change; look at the pictures before committing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from console.model.store import Fault, Liveness
from console.tui.app import RemoraApp
from console.tui.keys import PLACES
from console.tui.places import SCREENS
from console.tui.screens import asks
from tests.tui.playback import recorded
from tests.tui.recorded import LB1, LB2, Fleet
from tests.tui.test_screens import SIZES, Compare, empty, keys, lost, nobody, plain, settle

LB3 = "ipc:///run/remora/lb3"


def faulty() -> RemoraApp:
    """lb2 came back as another version, lb3 lets this console's key not in."""
    app = recorded({LB1: Fleet("lb1"), LB2: Fleet("lb2")}, silent_from={LB2: 20}, never=(LB3,))
    source: Any = app.source
    faults = (
        Fault(LB2, "wire version 9; this console speaks 1", Liveness.FOREIGN),
        Fault(LB3, "this key is not authorised", Liveness.DENIED),
    )
    source.inbox = source.inbox._replace(faults=faults)
    return app


STATES: dict[str, Callable[[], RemoraApp]] = {
    "normal": plain,
    "empty": empty,
    "stale": lost,
    "lost": nobody,
    "error": faulty,
}
PICTURES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "fleet": ("fleet", "", ()),
    "node": ("node", LB2, ()),
    "vips": ("vips", "", ()),
    "vip": ("vip", "web", ()),
    "real": ("real", "10.3.1.2@web", ()),
    "ring": ("ring", "web", ()),
    "drops": ("drops", "", ()),
    "tail": ("drops", "", ("tab",)),
    "packet": ("packet", f"{LB1} 1 3", ()),
    "heat": ("heat", "", ()),
    "bgp": ("bgp", "", ()),
    "checks": ("bgp", "", ("tab",)),
    "what-if": ("what-if", "drain real/10.3.1.2@web", ()),
    "alerts": ("alerts", "", ("j",)),
    "operations": ("operations", "", ()),
}
"""Place, name, keys; opened as from a breadcrumb, so that also what is gone can be looked at."""


def test_every_place_is_there() -> None:
    assert {place for place, _, _ in PICTURES.values()} >= {*SCREENS, *PLACES}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("picture", PICTURES)
def test_state(snap_compare: Compare, picture: str, state: str, size: tuple[int, int]) -> None:
    place, name, pressed = PICTURES[picture]
    app = STATES[state]()
    if name == LB2 and LB2 not in app.source.addresses:
        name = LB1

    async def before(pilot: Pilot[None]) -> None:
        await settle(pilot)
        app._open(asks.Opened(place, name))
        await settle(pilot)
        await keys(*pressed)(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)
