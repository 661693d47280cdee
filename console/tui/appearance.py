# SPDX-License-Identifier: Apache-2.0
"""How the console looks and which keys it listens to, as the config file says.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from console.exits import VerbError
from console.tui.keys import KEYS, PLACES, Key, remapped

THEMES = ("dark", "light", "safe", "ansi", "ansi-light")
COLOURS = ("", "red", "orange", "yellow", "green", "blue", "purple", "grey")
SWITCH = ("auto", "on", "off")
FIELDS = ("theme", "colour", "mouse", "ascii", "keys", "hotkeys", "columns")


TABLES = (
    *(place for place in PLACES if place not in ("drops", "bgp")),
    *("vip", "real", "ring", "drops.reasons", "drops.tail", "bgp.sessions", "bgp.checks"),
)
"""Places whose columns the config may choose; two of them have two tables."""
LOOKS = (*PLACES, "vip", "real", "ring", "mark", "at", "now", "theme", "context")
"""First words of lines that a hot key may be for."""


class Appearance(NamedTuple):
    theme: str = "dark"
    """One of THEMES; NO_COLOR goes before it."""
    colour: str = ""
    """Of the band in the header, to tell clusters apart at a glance (the name says it too)."""
    mouse: str = "auto"
    """auto: not over ssh, where every movement is sent."""
    ascii: str = "auto"
    """auto: where TERM or the locale cannot do better."""
    keys: tuple[Key, ...] = KEYS
    moved: Mapping[str, str] = {}
    """Id -> keys, of those that were moved."""
    hotkeys: Mapping[str, str] = {}
    """Key -> line of the command bar: places and looks, never a plan."""
    columns: Mapping[str, Sequence[str]] = {}
    """Place, or place.table -> titles of the columns that its table shows at first."""

    def with_mouse(self, environment: Mapping[str, str]) -> bool:
        remote = bool(environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"))
        return self.mouse == "on" or (self.mouse == "auto" and not remote)

    def ascii_only(self, environment: Mapping[str, str]) -> bool:
        """The kernel's console has no such font; another locale than UTF-8 no such bytes."""
        if self.ascii != "auto":
            return self.ascii == "on"
        if environment.get("TERM") == "linux":
            return True
        names = ("LC_ALL", "LC_CTYPE", "LANG")
        locale = next((environment[name] for name in names if environment.get(name)), "")
        return bool(locale) and "utf" not in locale.lower()


class AppearanceError(VerbError):
    """A value of the config that cannot be; the text names the key and says what could be."""


def read(table: Mapping[str, Any]) -> Appearance:
    """Raises AppearanceError or KeymapError."""
    choices = {"theme": THEMES, "colour": COLOURS, "mouse": SWITCH, "ascii": SWITCH}
    found: dict[str, str] = {}
    for name, known in choices.items():
        if name in table:
            value = table[name]
            if value not in known:
                could = ", ".join(choice for choice in known if choice)
                raise AppearanceError(f"{name}: {value!r} is none of {could}")
            found[name] = value
    moved = table.get("keys", {})
    if not isinstance(moved, dict) or not all(isinstance(v, str) for v in moved.values()):
        raise AppearanceError(f'keys: must be a table of id = "key", got {moved!r}')
    keys = remapped(moved)
    return Appearance(
        **found,
        keys=keys,
        moved=moved,
        hotkeys=_hotkeys(table.get("hotkeys", {}), keys),
        columns=_columns(table.get("columns", {})),
    )


def _hotkeys(given: object, keys: Sequence[Key]) -> dict[str, str]:
    """Raises AppearanceError."""
    if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
        raise AppearanceError(f'hotkeys: must be a table of key = "command line", got {given!r}')
    taken = {one: key.id for key in keys for one in key.keys.split(",")}
    for key, text in given.items():
        if key in taken:
            raise AppearanceError(f"hotkeys: {key}: is that of {taken[key]} already")
        if text.split()[:1] and text.split()[0] not in LOOKS:
            can = ", ".join(LOOKS)
            raise AppearanceError(f"hotkeys: {key}: {text!r}: a hot key only looks: {can}")
    return dict(given)


def _columns(given: object) -> dict[str, Sequence[str]]:
    """Raises AppearanceError."""
    found: dict[str, Sequence[str]] = {}
    like = 'a table of titles, fleet = ["NODE", "STATE", "PPS"]'
    if not isinstance(given, dict):
        raise AppearanceError(f"columns: must be {like}; got {given!r}")
    for place, titles in given.items():
        if place not in TABLES:
            raise AppearanceError(f"columns: {place}: there are {', '.join(TABLES)}")
        if not isinstance(titles, list) or not all(isinstance(each, str) for each in titles):
            raise AppearanceError(f"columns: {place}: must be {like}; got {titles!r}")
        found[place] = tuple(title.upper() for title in titles)
    return found
