# SPDX-License-Identifier: Apache-2.0
"""Where the operator is, and where from: breadcrumbs, and the way back and forth.  Pure."""

from __future__ import annotations

from typing import NamedTuple

KEPT = 50


class Place(NamedTuple):
    """One screen."""

    place: str
    """One of the keys' places, or `node`, `vip`, `real`, `ring` by name."""
    name: str = ""
    """A node's agent address; a VIP's or a real's name."""
    row: str = ""
    """Key of the row that the cursor is wanted on; empty: the first."""


Path = tuple[Place, ...]
"""The screens one above the other, the fleet first."""
START: Path = (Place("fleet"),)


class Trail:
    """The paths that were on show; walking it does not change it, going elsewhere does."""

    def __init__(self) -> None:
        self._visited: list[Path] = [START]
        self._at = 0
        self._other: Path = START
        """Where `-` leads."""

    @property
    def path(self) -> Path:
        return self._visited[self._at]

    def go(self, path: Path) -> Path:
        if path != self.path:
            self._other = self.path
            self._visited = [*self._visited[: self._at + 1], path][-KEPT:]
            self._at = len(self._visited) - 1
        return self.path

    def up(self) -> Path:
        return self.go(self.path[:-1] or START)

    def into(self, place: Place) -> Path:
        """One level down; a place that is there already is gone back to."""
        path = self.path
        for depth, known in enumerate(path):
            if known[:2] == place[:2]:
                return self.go((*path[:depth], place))
        return self.go((*path, place))

    def to(self, place: Place) -> Path:
        """A place of the digits: right above the fleet."""
        return self.go(START if place.place == "fleet" else (*START, place))

    def step(self, by: int) -> Path:
        """-1 back, +1 forward, as far as there is one."""
        at = min(len(self._visited) - 1, max(0, self._at + by))
        if at != self._at:
            self._other, self._at = self.path, at
        return self.path

    def toggle(self) -> Path:
        """Between the last two."""
        return self.go(self._other)
