# SPDX-License-Identifier: Apache-2.0
"""The agents' own last hour, asked for over the wire: what was before this console looked.

    past = recalled(client, since, until)       # waits; for a verb, or a thread of its own
    asked = Recall(client, since, until)        # does not: asked.take(reply) for every Reply

Agents keep what they published, an hour of it at most (telemetry.history_mib); an answer is a part,
so each is asked again from where its part ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from console.model.store import Inbox, Reply
from shared import recording
from shared.messages import Action, ReadHistory
from shared.recording import Record, RecordingError

PATIENCE = 10.0
"""Seconds for one part."""


class Past(NamedTuple):
    records: list[Record]
    """In order of time; of each agent the address that it was asked under."""
    silent: tuple[str, ...]
    """Agents that did not answer, or refused: of them nothing is known, not that nothing was."""
    kept_from: Mapping[str, float]
    """Address -> Unix time of the oldest that the agent keeps: so far back one can look."""


class Sender(Protocol):
    @property
    def addresses(self) -> Sequence[str]: ...
    def send(self, address: str, action: Action, *, timeout: float) -> str: ...


class Waiting(Sender, Protocol):
    def wait(self, seconds: float) -> Inbox: ...


class Recall:
    """Between two Unix times, of all the client's agents side by side; `done` when all have said
    what they have."""

    def __init__(
        self, client: Sender, since: float, until: float, *, patience: float = PATIENCE
    ) -> None:
        self._client = client
        self._until = until
        self._patience = patience
        self._open: dict[str, float] = {}
        """Command id -> from when on."""
        self._records: list[Record] = []
        self._silent: list[str] = []
        self._kept_from: dict[str, float] = {}
        for address in client.addresses:
            self._ask(address, since)

    @property
    def done(self) -> bool:
        return not self._open

    @property
    def past(self) -> Past:
        """As far as it has come."""
        in_order = sorted(self._records, key=lambda record: record.at)
        return Past(in_order, tuple(self._silent), self._kept_from)

    def take(self, reply: Reply) -> None:
        """Replies to other commands are passed over."""
        since = self._open.pop(reply.id, None)
        if since is None:
            return
        if reply.answer is None or reply.answer.status != "ok":
            self._silent.append(reply.address)
            return
        if reply.answer.kept_from:
            self._kept_from[reply.address] = reply.answer.kept_from
        part = [r for r in _unpacked(reply.answer.history) if since < r.at <= self._until]
        self._records += [record._replace(address=reply.address) for record in part]
        if part:
            self._ask(reply.address, max(record.at for record in part))

    def _ask(self, address: str, since: float) -> None:
        if since < self._until:
            wanted = ReadHistory(since, self._until)
            self._open[self._client.send(address, wanted, timeout=self._patience)] = since


def recalled(client: Waiting, since: float, until: float, *, patience: float = PATIENCE) -> Past:
    """The same, waited for.  What else the client receives meanwhile is lost to others."""
    asked = Recall(client, since, until, patience=patience)
    while not asked.done:
        for reply in client.wait(patience).replies:
            asked.take(reply)
    return asked.past


def _unpacked(blocks: Sequence[bytes]) -> list[Record]:
    """A damaged block is a gap: the rest can still be seen."""
    found: list[Record] = []
    for block in blocks:
        try:
            found += recording.unblock(block)
        except RecordingError:
            continue
    return found
