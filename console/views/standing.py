# SPDX-License-Identifier: Apache-2.0
"""What the message line says while there is no message: what lasts, made of the view.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from console import format as fmt
from console.model.store import Agent, Liveness
from console.model.underway import Underway, underway
from console.views.cells import TextLine, line
from console.views.view import View


def standing(view: View, width: int) -> TextLine:
    """Of the past first, then of an operation that is not over, held ones before others."""
    if view.note:
        return line(f" {view.note}", "hot")
    found = sorted(underway(view.agents, view.now), key=lambda each: not each.held)
    return _not_over(found, width) if found else ()


def _not_over(found: Sequence[Underway], width: int) -> TextLine:
    first, more = found[0], len(found) - 1
    state = "HELD at" if first.held else "has come to"
    left = f" op {first.operation[:8]} {state} {first.count}: "
    right = f"   9: go on, or take back{f'; {more} more' if more else ''}" if first.held else (
        f"   9 has it{f', {more} more' if more else ''}"
    )  # fmt: skip
    room = max(0, width - len(left) - len(right))
    what = first.what if len(first.what) <= room else fmt.fit(first.what, room)
    return line(left + what + right, "warn" if first.held else "hot")


def maybe_missing(agents: Sequence[Agent], now: float) -> str:
    """That a list which every agent adds to is not whole; empty: all agents are live."""
    mute = [a.name for a in agents if a.node is None or a.liveness(now) is not Liveness.LIVE]
    if not mute:
        return ""
    who = ", ".join(mute[:3]) + (f" and {len(mute) - 3} more" if len(mute) > 3 else "")
    return f"what {who} did may be missing: no live values (8)"
