# SPDX-License-Identifier: Apache-2.0
"""What of a VIP and its reals is not counted, and the `real` topic's bytes on top of it.  Pure.

Ten times a second two thousand rows are due, in which mostly counters moved.  So all that is said
about a VIP's reals is compared with what was said before, worked out and encoded anew only where it
differs, and what is encoded has blanks: numbers of fixed size that numpy fills in, all at once.
"""

from __future__ import annotations

import math
from operator import attrgetter, is_
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent import emptying
from agent.state import NodeState, RealState, VipState
from shared.codec import BLANK, BLANK_FLOAT, Encoded, blanks, encoded, telemetry_frames
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

    said: tuple[object, ...]
    """Everything that the rest follows from."""
    where: str
    """As config.Vip.where."""
    reals: tuple[RealState, ...]
    real_nums: NDArray[np.intp]
    reals_up: int
    ailing: tuple[Ailing, ...]
    drained: tuple[str, ...]
    rows: tuple[Encoded, ...]
    """One RealRow each, with blanks."""


class Standings:
    """Remembers what stood at the snapshot before."""

    def __init__(self) -> None:
        self._of: dict[str, Standing] = {}
        self._formed: tuple[Standing, ...] | None = None
        """What the form is made of..."""
        self._named: tuple[str, str] = ("", "")
        """...and for which node and boot."""
        self._form = b""
        """The `real` topic's payload with blanks."""
        self._envelope: list[bytes] = []
        """The frames before it."""
        self._blanks = np.empty(0, np.intp)
        self._real_nums = np.empty(0, np.intp)

    def of(self, state: NodeState) -> tuple[Standing, ...]:
        """By VIP, in the state's order."""
        deadlines = _deadlines(state)
        before, self._of = self._of, {}
        for name, vip in state.vips.items():
            said = _said(vip, deadlines)
            kept = before.get(name)
            self._of[name] = kept if kept and kept.said == said else _stand(vip, said, deadlines)
        return tuple(self._of.values())

    def frames(
        self,
        standings: tuple[Standing, ...],
        counted: NDArray[np.uint64],
        head: dict[str, Any],
    ) -> list[bytes]:
        """A RealSnapshot as it is published.  `counted`: [real_num, column]; `head`: as every
        message's."""
        named = head["node"], head["boot"]
        if named != self._named or not _same(standings, self._formed):
            self._make_form(standings, head)
            self._named, self._formed = named, standings
        reals = [real for standing in standings for real in standing.reals]
        numbers = np.empty((len(reals), _PER_ROW), np.uint64)
        numbers[:, :3] = counted[self._real_nums, :3]
        numbers[:, 3] = [real.live_flows for real in reals]
        numbers.view(np.float64)[:, 4] = [real.check_ms for real in reals]
        payload = bytearray(self._form)
        # At every byte a number could begin; those that the blanks name are written.
        places: NDArray[Any] = np.ndarray(len(payload) - 7, ">u8", payload, 0, (1,))
        places[self._blanks[_AHEAD:]] = numbers.reshape(-1)
        places[self._blanks[:_AHEAD]] = np.array(
            [head["sequence"], np.float64(head["at"]).view(np.uint64)], np.uint64
        )
        return [*self._envelope, bytes(payload)]

    def _make_form(self, standings: tuple[Standing, ...], head: dict[str, Any]) -> None:
        rows: Any = tuple(row for standing in standings for row in standing.rows)
        ahead = {**head, "sequence": BLANK, "at": BLANK_FLOAT}
        *self._envelope, self._form = telemetry_frames(RealSnapshot(reals=rows, **ahead))
        self._blanks = np.array(blanks(self._form), np.intp)
        assert len(self._blanks) == _AHEAD + _PER_ROW * len(rows)
        nums = [standing.real_nums for standing in standings]
        self._real_nums = np.concatenate(nums) if nums else np.empty(0, np.intp)


def _same(one: tuple[Standing, ...], other: tuple[Standing, ...] | None) -> bool:
    """The very same: they are compared where they are made."""
    return other is not None and len(one) == len(other) and all(map(is_, one, other))


def _said(vip: VipState, deadlines: dict[tuple[str, str], Deadline]) -> tuple[object, ...]:
    reals = vip.reals.values()
    ends = deadlines and [deadlines.get((vip.listed.name, real.name)) for real in reals]
    return (vip.listed, vip.slots, list(map(_SAID, reals)), ends)


def _stand(
    vip: VipState, said: tuple[object, ...], deadlines: dict[tuple[str, str], Deadline]
) -> Standing:
    reals = tuple(vip.reals.values())
    name = vip.listed.name
    return Standing(
        said=said,
        where=vip.listed.where,
        reals=reals,
        real_nums=np.array([real.number.real_num for real in reals], np.intp),
        reals_up=vip.serving,
        ailing=tuple(
            Ailing(real.name, real.verdict.health, real.check, real.changed)
            for real in reals
            if real.verdict.health is not Health.UP
        ),
        drained=tuple(real.name for real in reals if real.admin is Admin.DRAINING),
        rows=tuple(
            encoded(_row(name, real, slots, deadlines.get((name, real.name), (0.0, ""))))
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
    )


def _deadlines(state: NodeState) -> dict[tuple[str, str], Deadline]:
    """(VIP name, real's address) -> its deadline."""
    return {
        (override.vip, override.real): (due.at, due.pending.kind)
        for due in state.pending
        if due.pending.kind in ("wait", "kill")
        for override in due.pending.back
    }
