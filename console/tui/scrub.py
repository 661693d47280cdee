# SPDX-License-Identifier: Apache-2.0
"""The past on the screens of the live console: what the agents kept of their own last hour.

Telemetry goes on being filed meanwhile.  What is on show is a store of its own, filled up to one
moment and no further; nothing in it can be the target of a plan.
"""

from __future__ import annotations

from collections.abc import Callable

from console import format as fmt
from console.model.recording import inbox
from console.model.store import Reply, Store
from console.views.alerts import Watch
from console.views.problems import problems
from console.views.view import View
from console.wire.archive import BEFORE
from console.wire.hour import Past, Recall, Sender

FIRST_STEP = 60.0
"""Seconds back from now at first."""
AROUND = 60.0
"""Seconds asked for before and after what a moment needs: the next steps are there already."""


class Scrub:
    def __init__(self, source: Sender, wall: Callable[[], float]) -> None:
        self._source = source
        self._wall = wall
        self._at: float | None = None
        """Unix time that is wanted; None: now."""
        self._recall: Recall | None = None
        self._past = Past([], (), {})
        self._covered = (0.0, 0.0)
        self._shown: View | None = None

    @property
    def wanted(self) -> bool:
        """It is the past that is to be shown."""
        return self._at is not None

    def leave(self) -> None:
        if self._recall is not None:
            self._covered = (0.0, 0.0)  # what was asked for is not waited for
        self._at, self._recall, self._shown = None, None, None

    def step(self, seconds: float) -> None:
        """From the moment on show, or from now; past the present is now."""
        now = self._wall()
        self.to((now if self._at is None else self._at) + seconds)

    def to(self, at: float) -> None:
        """This Unix time, as far as the agents have kept it."""
        now = self._wall()
        if at >= now:
            self.leave()
            return
        self._at, self._shown = at, None
        since, until = self._covered
        if not since <= at - BEFORE <= at <= until:
            self._covered = (at - BEFORE - AROUND, min(now, at + AROUND))
            self._recall = Recall(self._source, *self._covered)

    def take(self, reply: Reply) -> None:
        if self._recall is None:
            return
        self._recall.take(reply)
        if self._recall.done:
            self._past, self._recall, self._shown = self._recall.past, None, None

    def _what_is_there(self, at: float) -> str:
        if self._recall is not None:
            return f"asking the agents for {fmt.stamp(at)} …"
        past = self._past
        if not any(at - BEFORE <= record.at <= at for record in past.records):
            oldest = max(min(past.kept_from.values(), default=0.0), self._oldest())
            since = f"; the oldest is {fmt.stamp(oldest)}" if oldest else ""
            return f"no agent has kept {fmt.stamp(at)}{since}   t is now"
        silent = f"{', '.join(past.silent)} did not say what it kept   " if past.silent else ""
        return f"{silent}, . 10 s   < > a minute   t is now: nothing here can be a target"

    def _oldest(self) -> float:
        return min((record.at for record in self._past.records), default=0.0)

    def view(self, live: View) -> View:
        """The moment, or the live view's own words while the agents are asked."""
        assert self._at is not None
        ago = max(0.0, self._wall() - self._at)
        mode = f"PAST {fmt.age(ago)} ago"
        if self._recall is not None:
            mode = f"{mode} …"
        if self._shown is None:
            self._shown = self._made(live, self._at)
        return self._shown._replace(
            mode=mode,
            past=ago,
            arming=live.arming,
            recording=live.recording,
            totals=live.totals,
        )

    def _made(self, live: View, at: float) -> View:
        store = Store(tuple(live.store.agents))
        if self._recall is None:
            store.take(inbox(r for r in self._past.records if at - BEFORE <= r.at <= at))
        store.rings = live.store.rings  # a digest says which ring it is, then as now
        found = tuple(problems(list(store.agents.values()), at, store.rings))
        return live._replace(
            store=store,
            now=at,
            wall=at,
            problems=found,
            alerts=Watch().take(found, at),
            note=self._what_is_there(at),
        )
