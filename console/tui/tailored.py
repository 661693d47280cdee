# SPDX-License-Identifier: Apache-2.0
"""Hot keys and columns of the config file: an operator's own.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from console.exits import VerbError
from console.tui.keys import PLACES, Key
from console.views import heat, tables
from console.views.alerts import ALERTS
from console.views.bgp import CHECKS, SESSIONS
from console.views.columns import Column
from console.views.everywhere import ON_NODES
from console.views.heat import METRICS
from console.views.operations import OPERATIONS
from console.views.rings import RINGS
from console.views.tail_rows import TAIL
from console.views.what_if import PLANS

TABLES: dict[str, Sequence[Column[Any]]] = {
    "fleet": tables.NODES,
    "node": tables.VIPS,
    "vips": tables.VIPS,
    "heat": heat.columns((), METRICS[0], 80),
    "what-if": PLANS,
    "alerts": ALERTS,
    "operations": OPERATIONS,
    "vip": tables.REALS,
    "real": ON_NODES,
    "ring": RINGS,
    "drops.reasons": tables.DROPS,
    "drops.tail": TAIL,
    "bgp.sessions": SESSIONS,
    "bgp.checks": CHECKS,
}
"""Places whose columns the config may choose; two of them have two tables."""
LOOKS = (*PLACES, "vip", "real", "ring", "mark", "at", "now", "theme", "context")
"""First words of lines that a hot key may be for."""


class TailoredError(VerbError):
    """A hot key or a column that cannot be; the text names it and says what could be."""


def hotkeys(given: object, keys: Sequence[Key]) -> dict[str, str]:
    """Raises TailoredError."""
    if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
        raise TailoredError(f'hotkeys: must be a table of key = "command line", got {given!r}')
    taken = {one: key.id for key in keys for one in key.keys.split(",")}
    for key, text in given.items():
        if key in taken:
            raise TailoredError(f"hotkeys: {key}: is that of {taken[key]} already")
        if text.split()[:1] and text.split()[0] not in LOOKS:
            can = ", ".join(LOOKS)
            raise TailoredError(f"hotkeys: {key}: {text!r}: a hot key only looks: {can}")
    return dict(given)


def columns(given: object) -> dict[str, Sequence[str]]:
    """Raises TailoredError."""
    found: dict[str, Sequence[str]] = {}
    like = 'a table of titles, fleet = ["NODE", "STATE", "PPS"]'
    if not isinstance(given, dict):
        raise TailoredError(f"columns: must be {like}; got {given!r}")
    for place, titles in given.items():
        if place not in TABLES:
            raise TailoredError(f"columns: {place}: there are {', '.join(TABLES)}")
        if not isinstance(titles, list) or not all(isinstance(each, str) for each in titles):
            raise TailoredError(f"columns: {place}: must be {like}; got {titles!r}")
        found[place] = tuple(_title(place, title) for title in titles)
    return found


def _title(place: str, title: str) -> str:
    """As its table has it.  Raises TailoredError."""
    if place == "heat" and title.lower().startswith("cpu"):
        return title.lower()  # how many there are, and in one column, is the nodes' matter
    known = {column.title.upper(): column.title for column in TABLES[place]}
    if title.upper() not in known:
        could = ", ".join(each for each in known.values() if not each.startswith("cpu"))
        raise TailoredError(f"columns: {place}: {title}: no such column; there are {could}")
    return known[title.upper()]
