# SPDX-License-Identifier: Apache-2.0
"""What of a VIP and its reals is not counted, and the bytes of topics `vip` and `real` on top
of it.  Pure.

Only a VIP that the director touched is looked at, none while it touched none; what is said about it
and its reals is compared with what was said before, worked out and encoded anew only where it
differs; and what is encoded has blanks for what is counted (agent/wire/form.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain
from operator import attrgetter, is_
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.core import emptying
from agent.core.state import NodeState, RealState, VipState
from agent.nouns import Withdrawal
from agent.wire.form import Form, Head, blank_head
from shared.codec import BLANK, BLANK_FLOAT, encoded, listed
from shared.messages import (
    Ailing,
    Emptying,
    RealRow,
    RealSnapshot,
    VipRow,
    VipSnapshot,
    Withdrawn,
)
from shared.model import Admin, Health

Deadline = tuple[float, str]
"""Agent-monotonic seconds; wait or kill."""
_SAID = attrgetter(
    *("listed", "number", "verdict", "admin", "override", "step", "percent"),
    *("changed", "check", "emptying"),
)
_OF_VIP = attrgetter("listed", "ring_digest", "ring_changes", "pressure", "shutdown", "withdrawn")
_VIP_BLANKS = 4
"""Of a row: packets, bytes, new flows, drops."""
_REAL_BLANKS = 5
"""Of a row: packets, bytes, new flows, live flows, the check's milliseconds."""
_FLOWS, _MS = 3, 4


class Standing(NamedTuple):
    """A VIP and its reals, apart from what the data plane counts."""

    touched: tuple[int, int]
    """The node's and the VIP's when they were looked at last."""
    said: tuple[object, ...]
    """Everything that the rest follows from: of the reals..."""
    said_of_vip: tuple[object, ...]
    """...and of the VIP."""
    vip_num: int
    announced: bool
    reals_up: int
    row: bytes
    """A VipRow, with blanks."""
    real_nums: NDArray[np.intp]
    rows: bytes
    """Of each a RealRow, encoded with blanks."""


class Standings:
    """Remembers what stood at the snapshot before."""

    def __init__(self) -> None:
        self._of: dict[str, Standing] = {}
        self._all: tuple[Standing, ...] = ()
        self._touched = (-1, -1)
        """The node's, and what single VIPs had heard."""

    def of(self, state: NodeState) -> tuple[Standing, ...]:
        """By VIP, in the state's order; the same tuple as long as nothing is said anew."""
        if self._touched == (state.touched, state.heard):
            return self._all
        self._touched = state.touched, state.heard
        deadlines = _deadlines(state)
        before, self._of = self._of, {}
        for name, vip in state.vips.items():
            touched = state.touched, vip.touched
            kept = before.get(name)
            if kept is None or kept.touched != touched:
                announced = vip.listed.address in state.announced
                kept = _looked_at(kept, vip, touched, deadlines, announced=announced)
            self._of[name] = kept
        found = tuple(self._of.values())
        if not _alike(found, self._all, lambda one: one):
            self._all = found
        return self._all


class VipForm:
    """Topic `vip`."""

    def __init__(self) -> None:
        self._named: tuple[str, str] | None = None
        """Node and boot that the form is for; None: there is none yet."""
        self._formed: tuple[Standing, ...] = ()
        self._form: Form
        self._nums: NDArray[np.intp]

    def frames(
        self, standings: tuple[Standing, ...], counted: NDArray[np.uint64], head: Head
    ) -> list[bytes]:
        """A VipSnapshot as it is published.  `counted`: [vip_num, column]."""
        named = head["node"], head["boot"]
        if named != self._named or not _alike(standings, self._formed, lambda one: one.row):
            rows: Any = listed(len(standings), (one.row for one in standings))
            message = VipSnapshot(vips=rows, **blank_head(head))
            self._form = Form(message, _VIP_BLANKS)
            self._nums = np.array([one.vip_num for one in standings], np.intp)
            self._named = named
        self._formed = standings
        self._form.numbers[:] = counted[self._nums].T
        return self._form.frames(head)


class RealForm:
    """Topic `real`."""

    def __init__(self) -> None:
        self._named: tuple[str, str] | None = None
        """Node and boot that the form is for; None: there is none yet."""
        self._formed: tuple[Standing, ...] = ()
        self._form: Form
        self._nums: NDArray[np.intp]

    def frames(
        self,
        standings: tuple[Standing, ...],
        counted: NDArray[np.uint64],
        state: NodeState,
        head: Head,
    ) -> list[bytes]:
        """A RealSnapshot as it is published.  `counted`: [real_num, column]."""
        named = head["node"], head["boot"]
        if named != self._named or not _alike(standings, self._formed, lambda one: one.rows):
            count = sum(len(one.real_nums) for one in standings)
            rows: Any = listed(count, (one.rows for one in standings))
            message = RealSnapshot(reals=rows, **blank_head(head))
            self._form = Form(message, _REAL_BLANKS)
            nums = [one.real_nums for one in standings]
            self._nums = np.concatenate(nums) if nums else np.empty(0, np.intp)
            self._named = named
        self._formed = standings
        numbers = self._form.numbers
        numbers[:_FLOWS] = counted[self._nums, :_FLOWS].T
        numbers[_FLOWS] = state.live_flows[self._nums]
        numbers[_MS].view(">f8")[:] = state.check_ms[self._nums]
        return self._form.frames(head)


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
    *,
    announced: bool,
) -> Standing:
    said, said_of_vip = _said(vip, deadlines), (announced, *_OF_VIP(vip))
    if kept is None or kept.said != said:
        kept = _stand(vip, said, said_of_vip, deadlines, announced=announced)
    elif kept.said_of_vip != said_of_vip:
        kept = kept._replace(
            said_of_vip=said_of_vip,
            announced=announced,
            row=encoded([_vip_row(vip, kept.reals_up, announced=announced)]),
        )
    return kept._replace(touched=touched)


def _said(vip: VipState, deadlines: dict[tuple[str, str], Deadline]) -> tuple[object, ...]:
    reals = vip.reals.values()
    ends = deadlines and [deadlines.get((vip.listed.name, real.name)) for real in reals]
    return (vip.listed, vip.slots, list(chain.from_iterable(map(_SAID, reals))), ends)


def _stand(
    vip: VipState,
    said: tuple[object, ...],
    said_of_vip: tuple[object, ...],
    deadlines: dict[tuple[str, str], Deadline],
    *,
    announced: bool,
) -> Standing:
    reals, name, up = vip.reals.values(), vip.listed.name, vip.serving
    return Standing(
        touched=(0, 0),
        said=said,
        said_of_vip=said_of_vip,
        vip_num=vip.vip_num,
        announced=announced,
        reals_up=up,
        row=encoded([_vip_row(vip, up, announced=announced)]),
        real_nums=np.array([real.number.real_num for real in reals], np.intp),
        rows=encoded(
            _row(name, real, slots, deadlines.get((name, real.name), (0.0, "")))
            for real, slots in zip(reals, vip.slots, strict=True)
        ),
    )


def _vip_row(vip: VipState, reals_up: int, *, announced: bool) -> VipRow:
    reals, listed = vip.reals.values(), vip.listed
    return VipRow(
        name=listed.name,
        address=listed.where,
        port=listed.port,
        protocol=listed.protocol,
        packets=BLANK,
        bytes=BLANK,
        new_flows=BLANK,
        drops=BLANK,
        reals=len(reals),
        reals_up=reals_up,
        quorum=listed.leaves_below,
        announced=announced,
        ring_digest=vip.ring_digest,
        ring_changes=vip.ring_changes,
        flow_table=listed.flow_table,
        pressure=vip.pressure.on,
        pressure_seconds=vip.pressure.seconds,
        ailing=tuple(
            Ailing(real.name, real.verdict.health, real.check, real.changed)
            for real in reals
            if real.verdict.health is not Health.UP
        ),
        drained=tuple(real.name for real in reals if real.admin is Admin.DRAINING),
        phase=vip.shutdown.phase.value if vip.shutdown else "",
        withdrawn=withdrawn(vip.withdrawn),
    )


def withdrawn(of: Withdrawal | None) -> Withdrawn | None:
    return Withdrawn(*of) if of else None


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
        *found.unsure,
    )


def _deadlines(state: NodeState) -> dict[tuple[str, str], Deadline]:
    """(VIP name, real's address) -> its deadline."""
    return {
        (override.vip, override.real): (due.at, due.pending.kind)
        for due in state.pending
        if due.pending.kind in ("wait", "kill")
        for override in due.pending.back
    }
