# SPDX-License-Identifier: Apache-2.0
"""Where one flow goes on each node, now and after a change: for the screen and the verb.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from console import format as fmt
from console.views.cells import Cell, TextLine
from console.views.columns import Column
from shared.messages import FlowAfter, FlowPlace

WORDS = {
    "stored": "by its entry",
    "slot": "by the slot's earlier real",
    "ring": "as a new one",
    "none": "dropped: no_real",
}


class Found(NamedTuple):
    """What a node says."""

    node: str
    place: FlowPlace

    @property
    def key(self) -> str:
        return self.node

    @property
    def after(self) -> FlowAfter:
        """As it is, where nothing changes."""
        place = self.place
        as_it_is = FlowAfter(place.slot, place.real, place.going_on, place.by, place.passed)
        return place.after or as_it_is


def alike(found: Sequence[Found]) -> bool:
    """All nodes send it to one real, before and after."""
    now = {(each.place.real, each.place.going_on) for each in found}
    then = {(each.after.real, each.after.going_on) for each in found}
    every = all(each.place.real and each.after.real for each in found)
    return len(now) == len(then) == 1 and every


def effect(found: Found) -> str:
    """What the change does to it on that node, in words."""
    place, after = found.place, found.after
    if after.leaves:
        return "its packets come to other nodes"
    if place.going_on != after.going_on:
        return "breaks" if place.real == after.real else "moves; one that began breaks"
    if place.real != after.real:
        return "a new one moves; one that began stays"
    return "none"


def stored(found: Found) -> str:
    return (
        ", ".join(
            f"{e.real or '(of another time)'} {e.state}, silent {fmt.age(e.silent)}, CPU {e.cpu}"
            for e in found.place.stored
        )
        or fmt.UNKNOWN
    )


def _goal(real: str) -> Cell:
    return Cell(real) if real else Cell("-", "bad")


def _slot(slot: int) -> Cell:
    return Cell(str(slot) if slot >= 0 else fmt.UNKNOWN)


def _effect(found: Found) -> Cell:
    said = effect(found)
    tone = "bad" if "breaks" in said else "dim" if said == "none" else "warn"
    return Cell(said, tone)


def _columns(of: Callable[[Found], FlowPlace | FlowAfter]) -> tuple[Column[Found], ...]:
    """Of where the flow goes, now or after the change."""
    return (
        Column("NODE", 10, lambda f: Cell(f.node), lambda f: f.node),
        Column("NEW FLOW", 15, lambda f: _goal(of(f).real), lambda f: of(f).real),
        Column("SLOT", 6, lambda f: _slot(of(f).slot), lambda f: of(f).slot, 3, right=True),
        Column("GOING ON", 15, lambda f: _goal(of(f).going_on), lambda f: of(f).going_on),
        Column("FOUND", 26, lambda f: Cell(WORDS[of(f).by] if f.place.vip else fmt.UNKNOWN),
               lambda f: of(f).by, 2),
    )  # fmt: skip


NOW: tuple[Column[Found], ...] = (
    *_columns(lambda f: f.place),
    Column("ENTRY", 30, lambda f: Cell(stored(f)), lambda f: len(f.place.stored), 4),
)
THEN: tuple[Column[Found], ...] = (
    *_columns(lambda f: f.after),
    Column("EFFECT", 37, _effect, effect),
)


# ---- as lines, nodes that say the same together


def lines(found: Sequence[Found], *, changed: bool) -> list[TextLine]:
    """Where a new one and one that began go, now and after the change if there is one."""
    now = _together(found, _in_words)
    then = _together(found, _after_in_words) if changed else []
    return [
        *(_line("now" if n == 0 else "", *each) for n, each in enumerate(now)),
        *(_line("after" if n == 0 else "", *each) for n, each in enumerate(then)),
    ]


def _together(
    found: Sequence[Found], words: Callable[[Found], tuple[str, str]]
) -> list[tuple[str, str, list[str]]]:
    """(words, tone, nodes), the most nodes first."""
    by_words: dict[tuple[str, str], list[str]] = {}
    for each in found:
        by_words.setdefault(words(each), []).append(each.node)
    groups = sorted(by_words.items(), key=lambda group: len(group[1]), reverse=True)
    return [(said, tone, nodes) for (said, tone), nodes in groups]


def _line(label: str, said: str, tone: str, nodes: Sequence[str]) -> TextLine:
    on = f"{', '.join(nodes[:3])}{f' and {len(nodes) - 3} more' if len(nodes) > 3 else ''}"
    return (Cell(f" {label:<6}", "dim"), Cell(f"{on}: "), Cell(said, tone))


def _in_words(found: Found) -> tuple[str, str]:
    place = found.place
    if not place.vip:
        return "no VIP's: passed to the host", "warn"
    if not place.real:
        return "dropped: no_real", "bad"
    if place.going_on == place.real:
        known = f", {stored(found)}" if place.stored else ""
        return f"{place.real}, slot {place.slot}{known}", ""
    return f"a new one {place.real}, one that began {place.going_on} ({WORDS[place.by]})", "warn"


def _after_in_words(found: Found) -> tuple[str, str]:
    after = found.after
    cell = _effect(found)
    if cell.text == "none":
        return "as now", "dim"
    return f"{after.real or 'dropped'}: {cell.text}", cell.tone
