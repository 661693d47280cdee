# SPDX-License-Identifier: Apache-2.0
"""What of a VIP and its reals is not counted, and the `real` topic's bytes on top of it.  Pure.

Ten times a second two thousand rows are due, in which mostly counters moved.  So only a VIP that
the director touched is looked at; what is said about its reals is compared with what was said
before, worked out and encoded anew only where it differs; and what is encoded has blanks: numbers
of fixed size that numpy fills in, all at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain, zip_longest
from operator import attrgetter, is_
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.core import emptying
from agent.core.state import NodeState, RealState, VipState
from shared.codec import BLANK, BLANK_FLOAT, blanks, encoded, listed, telemetry_frames
from shared.messages import Ailing, Emptying, RealRow, RealSnapshot
from shared.model import Admin, Health

Deadline = tuple[float, str]
"""Agent-monotonic seconds; wait or kill."""
_SAID = attrgetter(
    *("listed", "number", "verdict", "admin", "override", "step", "percent"),
    *("changed", "check", "emptying"),
)
_PER_ROW = 5
"""Blanks of a row: packets, bytes, new flows, live flows, the check's milliseconds."""
_AHEAD = 2
"""Blanks before the first row: sequence, at."""


class Standing(NamedTuple):
    """A VIP's reals, apart from what is counted."""

    touched: tuple[int, int]
    """The node's and the VIP's when they were looked at last."""
    said: tuple[object, ...]
    """Everything that the rest follows from."""
    where: str
    """As config.Vip.where."""
    reals_up: int
    ailing: tuple[Ailing, ...]
    drained: tuple[str, ...]
    real_nums: NDArray[np.intp]
    rows: bytes
    """Of each a RealRow, encoded with blanks."""
    live_flows: list[int]
    check_ms: list[float]


class Standings:
    """Remembers what stood at the snapshot before."""

    def __init__(self) -> None:
        self._of: dict[str, Standing] = {}
        self._formed: tuple[Standing, ...] = ()
        """What the form's numbers were noted of; empty: none yet..."""
        self._named: tuple[str, str] | None = None
        """...and for which node and boot."""
        self._envelope: list[bytes] = []
        """The frames before the payload."""
        self._form = bytearray()
        """The payload, with the numbers of the last time where new ones go."""
        self._blanks = np.empty(0, np.intp)
        self._real_nums = np.empty(0, np.intp)
        self._numbers = np.empty((0, _PER_ROW), np.uint64)

    def of(self, state: NodeState) -> tuple[Standing, ...]:
        """By VIP, in the state's order."""
        deadlines = _deadlines(state)
        before, self._of = self._of, {}
        for name, vip in state.vips.items():
            touched = state.touched, vip.touched
            kept = before.get(name)
            if kept is None or kept.touched != touched:
                kept = _looked_at(kept, vip, touched, deadlines)
            self._of[name] = kept
        return tuple(self._of.values())

    def frames(
        self, standings: tuple[Standing, ...], counted: NDArray[np.uint64], head: dict[str, Any]
    ) -> list[bytes]:
        """A RealSnapshot as it is published.  `counted`: [real_num, column]; `head`: as every
        message's."""
        named = head["node"], head["boot"]
        if named != self._named or not _alike(standings, self._formed, lambda one: one.rows):
            self._make_form(standings, head)
            self._named = named
        if not _alike(standings, self._formed, lambda one: one):
            self._note_numbers(standings)
            self._formed = standings
        self._numbers[:, :3] = counted[self._real_nums, :3]
        # At every byte a number could begin; those that the blanks name are written.
        places: NDArray[Any] = np.ndarray(len(self._form) - 7, ">u8", self._form, 0, (1,))
        places[self._blanks[_AHEAD:]] = self._numbers.reshape(-1)
        places[self._blanks[:_AHEAD]] = np.array(
            [head["sequence"], np.float64(head["at"]).view(np.uint64)], np.uint64
        )
        return [*self._envelope, bytes(self._form)]

    def _make_form(self, standings: tuple[Standing, ...], head: dict[str, Any]) -> None:
        count = sum(len(standing.real_nums) for standing in standings)
        rows: Any = listed(count, (standing.rows for standing in standings))
        ahead = {**head, "sequence": BLANK, "at": BLANK_FLOAT}
        *self._envelope, payload = telemetry_frames(RealSnapshot(reals=rows, **ahead))
        self._form = bytearray(payload)
        self._blanks = np.array(blanks(payload), np.intp)
        assert len(self._blanks) == _AHEAD + _PER_ROW * count
        nums = [standing.real_nums for standing in standings]
        self._real_nums = np.concatenate(nums) if nums else np.empty(0, np.intp)
        self._numbers = np.empty((count, _PER_ROW), np.uint64)
        self._formed = ()

    def _note_numbers(self, standings: tuple[Standing, ...]) -> None:
        """Those that do not move with every packet, of VIPs that were looked at since."""
        flows, ms = self._numbers[:, 3], self._numbers.view(np.float64)[:, 4]
        end = 0
        for one, before in zip_longest(standings, self._formed):
            start, end = end, end + len(one.real_nums)
            if one is not before:
                flows[start:end], ms[start:end] = one.live_flows, one.check_ms


def _alike(
    ones: tuple[Standing, ...], others: tuple[Standing, ...], what: Callable[[Standing], object]
) -> bool:
    """The very same: it is compared where it is made."""
    return len(ones) == len(others) and all(map(is_, map(what, ones), map(what, others)))


def _looked_at(
    kept: Standing | None,
    vip: VipState,
    touched: tuple[int, int],
    deadlines: dict[tuple[str, str], Deadline],
) -> Standing:
    said = _said(vip, deadlines)
    if kept is None or kept.said != said:
        kept = _stand(vip, said, deadlines)
    reals = vip.reals.values()
    return kept._replace(
        touched=touched,
        live_flows=[real.live_flows for real in reals],
        check_ms=[real.check_ms for real in reals],
    )


def _said(vip: VipState, deadlines: dict[tuple[str, str], Deadline]) -> tuple[object, ...]:
    reals = vip.reals.values()
    ends = deadlines and [deadlines.get((vip.listed.name, real.name)) for real in reals]
    return (vip.listed, vip.slots, list(chain.from_iterable(map(_SAID, reals))), ends)


def _stand(
    vip: VipState, said: tuple[object, ...], deadlines: dict[tuple[str, str], Deadline]
) -> Standing:
    reals = vip.reals.values()
    name = vip.listed.name
    return Standing(
        touched=(0, 0),
        said=said,
        where=vip.listed.where,
        reals_up=vip.serving,
        ailing=tuple(
            Ailing(real.name, real.verdict.health, real.check, real.changed)
            for real in reals
            if real.verdict.health is not Health.UP
        ),
        drained=tuple(real.name for real in reals if real.admin is Admin.DRAINING),
        real_nums=np.array([real.number.real_num for real in reals], np.intp),
        live_flows=[],
        check_ms=[],
        rows=encoded(
            _row(name, real, slots, deadlines.get((name, real.name), (0.0, "")))
            for real, slots in zip(reals, vip.slots, strict=True)
        ),
    )


def _row(vip: str, real: RealState, slots: int, deadline: Deadline) -> RealRow:
    return RealRow(
        vip=vip,
        address=real.name,
        admin=real.admin,
        health=real.verdict.health,
        weight=real.weight,
        effective_weight=real.effective_weight,
        slots=slots,
        packets=BLANK,
        bytes=BLANK,
        new_flows=BLANK,
        live_flows=BLANK,
        changed=real.changed,
        check=real.check,
        check_ms=BLANK_FLOAT,
        emptying=_emptying(real.emptying, deadline) if real.emptying else None,
    )


def _emptying(found: emptying.Emptying, deadline: Deadline) -> Emptying:
    half, left = emptying.half_life(found), emptying.seconds_left(found)
    return Emptying(
        found.since,
        found.at_start,
        half if math.isfinite(half) else -1,
        left if math.isfinite(left) else -1,
        found.empty_at,
        *deadline,
        *(found.silence or (-1.0, -1.0)),
    )


def _deadlines(state: NodeState) -> dict[tuple[str, str], Deadline]:
    """(VIP name, real's address) -> its deadline."""
    return {
        (override.vip, override.real): (due.at, due.pending.kind)
        for due in state.pending
        if due.pending.kind in ("wait", "kill")
        for override in due.pending.back
    }
