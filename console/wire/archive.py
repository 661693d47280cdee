# SPDX-License-Identifier: Apache-2.0
"""A recorded moment that answers as agents would: every reading verb works on it unchanged.

What lies up to BEFORE seconds before the moment is filed at once; questions get an answer, commands
a refusal.  Nothing is sent anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from console.model.recording import inbox
from console.model.store import Inbox, Missing, Reply
from shared.messages import Action, Answer, Event, Look, NodeSnapshot, Replay
from shared.recording import Record

BEFORE = 70.0
"""Seconds: what rates and histories need."""
GONE = 10.0
"""Seconds without a message after which an agent had not answered then."""


class Archive:
    """Takes the place of a Client.  `records` in order of time; those after `at` are ignored."""

    def __init__(self, records: Iterable[Record], at: float, addresses: Sequence[str]) -> None:
        self.addresses = tuple(addresses)
        self.at = at
        known = [r for r in records if at - BEFORE <= r.at <= at]
        self._inbox = inbox(known, shift=time.monotonic() - at)
        self._events = [a for a in self._inbox.arrived if isinstance(a.message, Event)]
        self._there = {r.address for r in known if at - r.at <= GONE}
        self._replies: list[Reply] = []
        self._sent = 0

    def take(self) -> Inbox:
        taken = self._inbox._replace(replies=tuple(self._replies))
        self._inbox, self._replies = Inbox(), []
        return taken

    def wait(self, seconds: float) -> Inbox:
        """Nothing more will come than what is there: who waits for more waits that long."""
        if not (self._replies or self._inbox.arrived or self._inbox.faults):
            time.sleep(seconds)
        return self.take()

    def send(self, address: str, action: Action, **options: object) -> str:
        del options
        self._sent += 1
        answer = self._answer(address, action) if address in self._there else None
        self._replies.append(Reply(address, str(self._sent), answer, time.monotonic()))
        return str(self._sent)

    def ask(self, missing: Iterable[Missing]) -> None:
        """What the recording has not is lost."""

    def follow(self, topics: Iterable[str]) -> None:
        """Everything is there."""

    def close(self) -> None:
        """Nothing is open."""

    def _answer(self, address: str, action: Action) -> Answer:
        id_ = str(self._sent)
        if isinstance(action, Look | Replay):
            # Events came with everything else; they are not said twice.
            return Answer(id=id_, node=self._node(address), status="ok", revision=-1)
        return Answer(
            id=id_,
            node=self._node(address),
            status="refused",
            revision=-1,
            guard="recording",
            error="a recording takes no commands",
        )

    def _node(self, address: str) -> str:
        of_it = (a.message for a in self._inbox.arrived if a.address == address)
        return next((m.node for m in of_it if isinstance(m, NodeSnapshot)), address)
