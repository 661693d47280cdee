# SPDX-License-Identifier: Apache-2.0
"""What can be done with an operation that is not over: go on, or take back what it did.  Pure."""

from __future__ import annotations

from console.model.objects import ObjectError
from console.model.underway import Underway
from console.planning.wish import Wish, as_told


def going_on(each: Underway) -> Wish:
    """What is left of it.  Raises ObjectError when a node that is meant is not live."""
    old = [seat.node for seat in each.waiting if not seat.fresh]
    if old:
        raise ObjectError(f"{', '.join(old)}: no action on values that are not live")
    if not each.waiting:
        raise ObjectError("all its nodes had their turn: K takes it back, or leave it so")
    parts = [(seat.address, seat.node, seat.row.lines) for seat in each.waiting]
    return as_told(parts, f"go on: {each.what}", "go on")


def taking_back(each: Underway) -> Wish | None:
    """None: no node has anything to take back.  Raises ObjectError as `going_on`."""
    done = [seat for seat in each.done if seat.row.undo]
    old = [seat.node for seat in each.done if not seat.fresh]
    if old:
        raise ObjectError(f"{', '.join(old)}: no action on values that are not live")
    if not done:
        return None
    parts = [(seat.address, seat.node, seat.row.undo) for seat in done]
    return as_told(parts, f"take back {each.what}", "take back")
