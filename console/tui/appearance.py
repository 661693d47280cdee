# SPDX-License-Identifier: Apache-2.0
"""How the console looks and which keys it listens to, as the config file says.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from console.exits import VerbError

if TYPE_CHECKING:
    from console.tui.keys import Key

THEMES = ("dark", "light", "safe", "ansi", "ansi-light")
COLOURS = ("", "red", "orange", "yellow", "green", "blue", "purple", "grey")
SWITCH = ("auto", "on", "off")
FIELDS = ("theme", "colour", "mouse", "ascii", "keys")


class Appearance(NamedTuple):
    theme: str = "dark"
    """One of THEMES; NO_COLOR goes before it."""
    colour: str = ""
    """Of the band in the header, to tell clusters apart at a glance (the name says it too)."""
    mouse: str = "auto"
    """auto: not over ssh, where every movement is sent."""
    ascii: str = "auto"
    """auto: where TERM or the locale cannot do better."""
    moved: Mapping[str, str] = {}
    """Id -> keys, of those that were moved."""

    @property
    def keys(self) -> tuple[Key, ...]:
        return _remapped(self.moved)

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
    if moved:
        _remapped(moved)  # what is wrong is told before there is a screen
    return Appearance(**found, moved=moved)


def _remapped(moved: Mapping[str, str]) -> tuple[Key, ...]:
    """Raises KeymapError."""
    from console.tui.keys import remapped  # every verb reads the config, hardly one has keys

    return remapped(moved)
