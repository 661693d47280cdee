# SPDX-License-Identifier: Apache-2.0
"""What a screen asks of the app: another place, a plan, a file.  The app alone can give it."""

from __future__ import annotations

from typing import Literal

from textual.message import Message

from console.model.objects import Verb
from console.model.underway import Underway
from console.planning.wish import Target, Wish


class Planned(Message):
    """The operator wants a plan for what was marked or under the cursor at that moment."""

    def __init__(self, verb: Verb, targets: list[Target]) -> None:
        super().__init__()
        self.verb = verb
        self.targets = targets


class Wished(Message):
    """As Planned, of a wish that says itself which nodes are meant."""

    def __init__(self, wish: Wish) -> None:
        super().__init__()
        self.wish = wish


class Opened(Message):
    """Another place: one of the keys' places, `up`, or a `node` (by address) or `vip`."""

    def __init__(self, place: str, name: str = "", row: str = "") -> None:
        super().__init__()
        self.place = place
        self.name = name
        self.row = row
        """Key of the row that the cursor is wanted on; empty: the first."""


class Walked(Message):
    """-1 back, +1 forward, 0 the last two in turn."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by


class Left(Message):
    """One level up; from the top, out."""


class UndoWanted(Message):
    """What each node said that takes a change back: (address, node, lines)."""

    def __init__(self, undo: list[tuple[str, str, tuple[str, ...]]], title: str) -> None:
        super().__init__()
        self.undo = undo
        self.title = title


class Steer(Message):
    """What is wanted with an operation that comes to its nodes one after the other."""

    def __init__(self, order: Literal["hold", "resume", "revert"], each: Underway) -> None:
        super().__init__()
        self.order = order
        self.each = each


class ArmWanted(Message):
    """Plans are wanted for a while, or no more."""


class AckWanted(Message):
    """These alerts (their keys) have been seen, or are as new again."""

    def __init__(self, keys: list[str], title: str) -> None:
        """`title`: what they are; empty: they were acknowledged, and are no more."""
        super().__init__()
        self.keys = keys
        self.title = title


class CommandWanted(Message):
    """The operator wants to type one."""


class Commanded(Message):
    """A line was given to the command bar; an empty one: the bar was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class ColumnsWanted(Message):
    """Other columns for the table."""


class ExportWanted(Message):
    """The table into a file."""


class Scrubbed(Message):
    """Another moment of the agents' last hour: so many seconds on, negative: back; 0: now, or from
    now a minute back."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Recorded(Message):
    """Telemetry into a file, or no more."""


class Freeze(Message):
    """Hold the display, or go on."""


class TotalsWanted(Message):
    """In the place of rates, or no more."""


class Repaint(Message):
    """The terminal may show something else: send everything again."""
