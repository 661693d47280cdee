# SPDX-License-Identifier: Apache-2.0
"""Every key of the console, once: bindings, footer and help are made from this table.  Pure.

Rule: lower case and digits change nothing outside the console; upper case opens a plan (and only
while the console is armed); only a button in a plan sends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from console.exits import VerbError


class Key(NamedTuple):
    id: str
    """Name for a keymap, and in footers."""
    action: str
    """Of the screen that it calls."""
    keys: str
    """As Textual writes them, separated by commas."""
    shown: str
    label: str
    """Footer: a word or two."""
    help: str
    group: str


GO, PLACE, MOVE = "anywhere", "screens", "moving"
LOOK, TIME, PLAN = "the table", "time", "changes: A first; only a plan's button sends"
SHORT = (PLACE, MOVE)
"""Groups whose texts are short: two stand side by side in the help."""


def _place(id_: str, digit: str, label: str, text: str) -> Key:
    return Key(id_, f"place('{id_}')", digit, digit, label, text, PLACE)


KEYS = (
    Key("enter", "enter", "enter", "Enter", "open", "open what is under the cursor", GO),
    Key("up", "up", "escape", "Esc", "back", "one level up; closes what is open", GO),
    _place("fleet", "1", "fleet", "nodes, totals, what is wrong"),
    _place("node", "2", "node", "the node under the cursor"),
    _place("vips", "3", "VIPs", "VIPs over all nodes"),
    _place("drops", "4", "drops", "drops by reason, events"),
    _place("heat", "5", "heat", "packets of every CPU"),
    _place("bgp", "6", "BGP", "sessions, routes, checks"),
    _place("what-if", "7", "what if", "a change's plan, undone"),
    _place("alerts", "8", "alerts", "what is wrong, in full"),
    _place("operations", "9", "done", "who changed what; undo"),
    Key("next", "cursor(1)", "j,down", "j ↓", "", "next row", MOVE),
    Key("previous", "cursor(-1)", "k,up", "k ↑", "", "previous row", MOVE),
    Key("page-down", "page(1)", "pagedown", "PgDn", "", "a page down", MOVE),
    Key("page-up", "page(-1)", "pageup", "PgUp", "", "a page up", MOVE),
    Key("first", "edge(-1)", "g,home", "g", "", "first row", MOVE),
    Key("last", "edge(1)", "G,end", "G", "", "last row", MOVE),
    Key("earlier", "walk(-1)", "left_square_bracket", "[", "", "the screen before", MOVE),
    Key("later", "walk(1)", "right_square_bracket", "]", "", "forward again", MOVE),
    Key("toggle", "walk(0)", "minus", "-", "", "the last two in turn", MOVE),
    Key(
        "command", "command", "colon", ":", "cmd", "command: drain, arm, a place; Tab completes", GO
    ),
    Key(
        "palette",
        "app.command_palette",
        "ctrl+p",
        "^P",
        "",
        "find a place, an object, an action",
        GO,
    ),
    Key(
        "filter",
        "filter",
        "slash",
        "/",
        "filter",
        "rows with all words; !word; pps>1k; label:rack=r2",
        LOOK,
    ),
    Key("match", "seek(1)", "n", "n", "next", "the next row with the filter's words", LOOK),
    Key("match-back", "seek(-1)", "N", "N", "", "the one before; after Esc too, among all", LOOK),
    Key("mark", "mark", "space", "Space", "mark", "mark the row for a plan of several", LOOK),
    Key("mark-all", "mark_all", "asterisk", "*", "", "mark all rows shown by the filter", LOOK),
    Key("unmark", "unmark", "backslash", "\\", "", "no marks", LOOK),
    Key("sort", "sort", "o", "o", "sort", "sort by the next column", LOOK),
    Key("reverse", "reverse", "O", "O", "", "the other way round", LOOK),
    Key(
        "totals", "totals", "z", "z", "totals", "totals so far instead of rates; again: rates", LOOK
    ),
    Key("metric", "metric", "m", "m", "metric", "heat: the next metric", LOOK),
    Key("pane", "pane", "tab", "Tab", "switch", "the other table; what if: the other field", LOOK),
    Key("ring", "ring", "d", "d", "ring", "the VIP's ring on every node, slot by slot", LOOK),
    Key("follow", "follow", "f", "f", "follow", "events: stay on the newest", LOOK),
    Key(
        "acknowledge",
        "acknowledge",
        "v",
        "v",
        "acknowledge",
        "alerts: seen, and why; again: not; here only",
        LOOK,
    ),
    Key("columns", "columns", "a", "a", "columns", "choose the columns of this table", LOOK),
    Key(
        "export",
        "export",
        "e",
        "e",
        "export",
        "the table to a file",
        LOOK,
    ),
    Key("copy", "copy('row')", "c", "c", "copy", "the row to the clipboard", LOOK),
    Key("copy-json", "copy('json')", "y", "y", "", "the row as JSON to the clipboard", LOOK),
    Key("record", "record", "r", "r", "record", "record telemetry to a file, or no more", GO),
    Key("freeze", "freeze", "p", "p", "pause", "hold the display; data go on behind it", TIME),
    Key(
        "time", "time(0)", "t", "t", "time", "a minute back in the agents' last hour, or now", TIME
    ),
    Key("back", "time(-10)", "comma", ",", "", "10 s back in time", TIME),
    Key("on", "time(10)", "full_stop", ".", "", "10 s on", TIME),
    Key("minute-back", "time(-60)", "less_than_sign", "<", "", "a minute back", TIME),
    Key("minute-on", "time(60)", "greater_than_sign", ">", "", "a minute on", TIME),
    Key("repaint", "repaint", "ctrl+l", "^L", "", "draw the whole screen again", GO),
    Key("arm", "arm", "A", "A", "arm", "plans for some minutes, with a reason; or not", PLAN),
    Key("drain", "plan('drain')", "D", "D", "drain…", "no new flows; those there are stay", PLAN),
    Key("undrain", "plan('undrain')", "U", "U", "undrain…", "back into service", PLAN),
    Key(
        "maint",
        "plan('maint')",
        "M",
        "M",
        "maint…",
        "no packet at all",
        PLAN,
    ),
    Key("weight", "plan('weight')", "W", "W", "weight…", "another share of new flows", PLAN),
    Key("route", "route", "B", "B", "route…", "withdraw or announce: VIP, node, peer", PLAN),
    Key("undo", "undo", "Z", "Z", "undo…", "operations: take the one under the cursor back", PLAN),
    Key("resume", "resume", "R", "R", "go on…", "operations: go on with one that is held", PLAN),
    Key(
        "abort",
        "abort",
        "K",
        "K",
        "hold, back…",
        "operations: hold one; of a held one: take back",
        PLAN,
    ),
    Key("help", "help", "question_mark", "?", "help", "this page", GO),
    Key("leave", "leave", "q", "q", "up, quit", "up; at the top: leave, nodes go on", GO),
)
BY_ID: Mapping[str, Key] = {key.id: key for key in KEYS}
PLACES = tuple(key.id for key in KEYS if key.group == PLACE)


class KeymapError(VerbError):
    """Keys of the config that cannot be; the text says which and why."""


def remapped(table: Mapping[str, str]) -> tuple[Key, ...]:
    """The keys with those of a config (`drain = "X"`).  Raises KeymapError."""
    unknown = sorted(set(table) - set(BY_ID))
    if unknown:
        raise KeymapError(f"keys: {unknown[0]}: no such key; there are {', '.join(BY_ID)}")
    moved = tuple(
        key._replace(keys=table[key.id], shown=table[key.id]) if key.id in table else key
        for key in KEYS
    )
    owner: dict[str, str] = {}
    for key in moved:
        for one in key.keys.split(","):
            if key.group == PLAN and not (len(one) == 1 and one.isupper()):
                raise KeymapError(f"keys: {key.id}: {one}: must be an upper-case letter")
            if one in owner:
                raise KeymapError(f"keys: {key.id}: {one} is that of {owner[one]} already")
            owner[one] = key.id
    return moved


def footer(wanted: Sequence[str], width: int, keys: Sequence[Key] = KEYS) -> list[tuple[str, str]]:
    """(key, label) of these, as many as fit; help and quit always do."""
    by_id = {key.id: key for key in keys}
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
