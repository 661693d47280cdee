# SPDX-License-Identifier: Apache-2.0
"""What a plan is opened with, before anybody typed anything into it.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from console.planning.plan import Answered
from console.planning.staging import Staging
from console.planning.wish import Wish


class Proposal(NamedTuple):
    make: Callable[[int], Wish]
    """The wish for this weight (0: none was said).  Raises ObjectError."""
    weight: int | None = None
    """The usual one, where one is asked for."""
    at_once: bool = True
    """The weight was said already, or none is asked for."""
    why: str = ""
    operation: str = ""
    """That it is a part of."""
    staged: bool = True
    """May come to its nodes one after the other, `how` is the way."""
    how: Staging | None = None
    seats: tuple[str, ...] = ()
    """Addresses of all its nodes, if there are more."""
    go_on: bool = False
    """Some had their turn."""
    expires: float = 0.0
    """Seconds after which it goes back."""
    finished: Callable[[list[Answered]], None] = lambda answered: None
    """Is told what became of it at once."""
