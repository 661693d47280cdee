# SPDX-License-Identifier: Apache-2.0
"""Every key of the console, once: bindings, footer and help are made from this table.  Pure.

Rule: lower case and digits change nothing outside the console; upper case opens a plan; only a
button inside a plan sends.
"""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    id: str
    """Action of the screen that it calls, and name for a keymap."""
    keys: str
    """As Textual writes them, separated by commas."""
    shown: str
    label: str
    """Footer: a word or two."""
    help: str
    group: str


PLACE, MOVE = "Place", "Move"
"""Groups whose texts are short: two stand side by side in the help."""

KEYS = (
    Key("enter", "enter", "Enter", "open", "open what is under the cursor", "Go"),
    Key("up", "escape", "Esc", "back", "one level up; closes what is open", "Go"),
    Key("fleet", "1", "1", "fleet", "nodes, totals, what is wrong", PLACE),
    Key("vips", "3", "3", "VIPs", "VIPs over all nodes", PLACE),
    Key("drops", "4", "4", "drops", "drops by reason, events", PLACE),
    Key("heat", "5", "5", "heat", "packets of every CPU", PLACE),
    Key("bgp", "6", "6", "BGP", "sessions, routes, checks", PLACE),
    Key("alerts", "8", "8", "alerts", "what is wrong, in full", PLACE),
    Key("cursor(1)", "j,down", "j ↓", "", "next row", MOVE),
    Key("cursor(-1)", "k,up", "k ↑", "", "previous row", MOVE),
    Key("page(1)", "pagedown", "PgDn", "", "a page down", MOVE),
    Key("page(-1)", "pageup", "PgUp", "", "a page up", MOVE),
    Key("edge(-1)", "g,home", "g", "", "first row", MOVE),
    Key("edge(1)", "G,end", "G", "", "last row", MOVE),
    Key("command", "colon", ":", "cmd", "command: drain, weight, a place; Tab completes", "Go"),
    Key("filter", "slash", "/", "filter", "rows with all these words; !word: without", "Look"),
    Key("sort", "o", "o", "sort", "sort by the next column", "Look"),
    Key("reverse", "O", "O", "", "the other way round", "Look"),
    Key("metric", "m", "m", "metric", "heat: the next metric", "Look"),
    Key("pane", "tab", "Tab", "other table", "BGP: sessions or checks", "Look"),
    Key("freeze", "p", "p", "pause", "hold the display; data go on behind it", "Look"),
    Key("repaint", "ctrl+l", "^L", "", "draw the whole screen again", "Look"),
    Key("plan('drain')", "D", "D", "drain…", "no new flows; those there are stay", "Plan"),
    Key("plan('undrain')", "U", "U", "undrain…", "back into service", "Plan"),
    Key("plan('weight')", "W", "W", "weight…", "another share of new flows", "Plan"),
    Key("help", "question_mark", "?", "help", "this page", "Go"),
    Key("leave", "q", "q", "quit", "leave the console; nodes are not affected", "Go"),
)


def footer(wanted: tuple[str, ...], width: int) -> list[tuple[str, str]]:
    """(key, label) of these actions, as many as fit; help and quit always do."""
    by_id = {key.id: key for key in KEYS}
    last = ("help", "leave")
    chosen: list[tuple[str, str]] = []
    room = width - 1 - sum(_length(by_id[name]) for name in last)
    for name in wanted:
        key = by_id[name]
        if _length(key) <= room:
            chosen.append((key.shown, key.label))
            room -= _length(key)
    return chosen + [(by_id[name].shown, by_id[name].label) for name in last]


def _length(key: Key) -> int:
    return len(key.shown) + 1 + len(key.label) + 2
