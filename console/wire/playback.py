# SPDX-License-Identifier: Apache-2.0
"""A recording that plays for the console, at its own pace: what the client is to live agents.

Its clock is the recording's: it stands still, runs faster or jumps as the operator wishes.  Only
the part around the present is read from the file.  Commands are refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from console.exits import Exit, VerbError
from console.model.recording import inbox
from console.model.store import Inbox, Missing, Reply
from console.wire.archive import BEFORE
from shared import recording
from shared.messages import Action, Answer, Look, Replay
from shared.recording import Place, Record, RecordingError

LOOKED_AT = 20
"""Blocks that tell which agents there are."""


def opened(path: Path) -> Playback:
    """Raises VerbError."""
    try:
        with path.open("rb") as file:
            places = recording.index(file)
            addresses = recording.addresses(file, places[:LOOKED_AT])
    except (OSError, RecordingError) as error:
        raise VerbError(f"{path}: {error}", Exit.FAILED) from error
    return Playback(path, places, addresses)


class Playback:
    """Source of RemoraApp.  `clock` and `wall` are to be its clocks."""

    def __init__(self, path: Path, places: list[Place], addresses: tuple[str, ...]) -> None:
        self.path = path
        self.who = ""
        """Nobody's: whatever was done then, others did it."""
        self.addresses = addresses
        self.first, self.last = places[0].first, places[-1].last
        self.speed = 1.0
        self._places = places
        self._position = self.first
        """Recorded time at `_since`."""
        self._since = time.monotonic()
        self._played = float("-inf")
        """Recorded time up to which messages were handed over."""
        self._loaded: tuple[Place | None, tuple[Record, ...]] = (None, ())
        self._replies: list[Reply] = []
        self._sent = 0
        self.waiting = 0
        """A recording that stands still holds nothing back."""

    def wall(self) -> float:
        """Recorded Unix time of the present moment; stands at the end."""
        return min(self.last, self._position + (time.monotonic() - self._since) * self.speed)

    clock = wall

    def seek(self, at: float) -> None:
        """All has to be filed anew by whoever reads: `take` begins BEFORE seconds earlier."""
        self._position = max(self.first, min(self.last, at))
        self._since = time.monotonic()
        self._played = self._position - BEFORE

    def pace(self, speed: float) -> None:
        """0 stands still."""
        self._position, self._since, self.speed = self.wall(), time.monotonic(), speed

    # ---- as a client

    def take(self) -> Inbox:
        now = self.wall()
        found = inbox(self._between(self._played, now))
        self._played = max(self._played, now)
        replies, self._replies = tuple(self._replies), []
        return found._replace(replies=replies)

    def _between(self, after: float, until: float) -> Iterable[Record]:
        for place in self._places:
            if place.last > after and place.first <= until:
                if self._loaded[0] != place:
                    self._loaded = (place, _load(self.path, place))
                yield from (r for r in self._loaded[1] if after < r.at <= until)

    def send(
        self,
        address: str,
        action: Action,
        **options: object,
    ) -> str:
        del options
        self._sent += 1
        id_ = str(self._sent)
        question = isinstance(action, Look | Replay)
        answer = Answer(
            id=id_,
            node=address,
            status="ok" if question else "refused",
            revision=-1,
            guard="" if question else "recording",
            error="" if question else "a recording takes no commands",
        )
        self._replies.append(Reply(address, id_, answer, self.clock()))
        return id_

    def when_replied(self, call: Callable[[], None]) -> None:
        del call  # a frame comes soon enough

    def ask(self, missing: Iterable[Missing]) -> None:
        """What the recording has not is lost."""

    def follow(self, topics: Iterable[str]) -> None:
        """Everything is there."""

    def close(self) -> None:
        """The file is opened for each read."""


def _load(path: Path, place: Place) -> tuple[Record, ...]:
    try:
        with path.open("rb") as file:
            return recording.readable(file, place)
    except OSError:
        return ()
