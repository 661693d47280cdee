# SPDX-License-Identifier: Apache-2.0
"""The console on recorded telemetry, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from console.model import recording
from console.model.store import Inbox, Missing, Reply
from console.planning.arming import Arming
from console.tui.app import RemoraApp
from shared.messages import Action, Command
from shared.recording import Record
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import WALL, Fleet, records

SECONDS = 30


@dataclass
class Playback:
    """What RemoraApp needs of a client; plays its inbox once and remembers what is asked of it."""

    addresses: tuple[str, ...]
    inbox: Inbox
    sent: list[tuple[str, Action, bool]] = field(default_factory=list)
    answered: int = 0
    topics: frozenset[str] = frozenset()
    who: str = "test@here"
    waiting: int = 0
    tap: Callable[[Record], None] | None = None

    def take(self) -> Inbox:
        inbox, self.inbox = self.inbox, Inbox()
        return inbox

    def when_replied(self, call: Callable[[], None]) -> None:
        del call  # nothing ever answers

    def send(
        self,
        address: str,
        action: Action,
        *,
        why: str = "",
        dry_run: bool = False,
        expect_revision: int | None = None,
        operation: str = "",
        allow: tuple[str, ...] = (),
        expires: float = 0.0,
        idempotency_key: str = "",
        timeout: float = 0.0,
    ) -> str:
        assert address in self.addresses
        del why, expect_revision, operation, allow, expires, idempotency_key, timeout
        self.sent.append((address, action, dry_run))
        return f"playback-{len(self.sent)}"

    def answer_with(self, agents: Mapping[str, FakeAgent], at: float) -> None:
        """What these agents say to all that was sent and not answered yet."""
        replies = []
        for number, (address, action, dry_run) in enumerate(self.sent, start=1):
            if number > self.answered and address in agents:
                id_ = f"playback-{number}"
                command = Command(id=id_, who="test@here", action=action, dry_run=dry_run)
                replies.append(Reply(address, id_, agents[address].answer(command), at))
        self.answered = len(self.sent)
        self.inbox = Inbox(replies=replies)

    def ask(self, missing: Iterable[Missing]) -> None:
        assert not list(missing), "the recording has no gaps"

    def record(self, tap: Callable[[Record], None] | None) -> None:
        self.tap = tap

    def follow(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)


def recorded(
    nodes: Mapping[str, Fleet],
    *,
    seconds: int = SECONDS,
    silent_from: Mapping[str, int] | None = None,
    never: tuple[str, ...] = (),
    armed: bool = False,
) -> RemoraApp:
    """The app one tenth of a second after the last recorded message."""
    inbox = recording.inbox(records(nodes, range(seconds), silent_from=silent_from))
    now = seconds - 0.9
    app = RemoraApp(
        Playback((*nodes, *never), inbox),
        "lab",
        clock=lambda: now,
        wall=lambda: WALL + now,
        frame_every=None,
    )
    if armed:
        app.arming = Arming(now + 900)
    return app
