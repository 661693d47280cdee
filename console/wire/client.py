# SPDX-License-Identifier: Apache-2.0
"""ZeroMQ to many agents, in a thread of its own (traffic.py).

What arrives is kept until `take`, of snapshots only the newest, so that a slow reader costs neither
memory nor the agents anything (K4).  Bytes that are no message become a `Fault`; nothing raises.
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence

import zmq

from console.model.store import Inbox, Missing
from console.wire.intake import Intake, Order, Wanted
from console.wire.link import Link, make_room, relay_socket
from console.wire.traffic import Tap, Traffic
from console.wire.trust import Trust
from shared.messages import Action, Command, Look, Replay
from shared.model import endpoints

ANSWER_TIMEOUT = 5.0
"""Seconds until a command without an answer is given up."""
LATE = 5.0
"""Seconds past its time-out in which an agent may still carry a command out: clocks differ."""
NOBODY = Trust()


class Client:
    """Raises AddressError (shared.model) for an address that cannot be an agent's, TrustError for
    one that cannot be spoken to safely."""

    def __init__(
        self,
        addresses: Sequence[str],
        who: str,
        *,
        topics: Iterable[str] = (),
        trust: Trust = NOBODY,
        relay: str = "",
        tap: Tap | None = None,
        at_once: bool = True,
    ) -> None:
        """With a `relay` telemetry comes from there; commands always go to the agents themselves.
        `tap` is given every telemetry message as it came, in the client's thread.  Not `at_once`:
        nothing is connected before `start`."""
        for address in addresses:
            endpoints(address)
            trust.key_of(address)
        if relay:
            trust.key_of(relay)
        self._relay = relay
        self._trust = trust
        self._tap = tap
        self.addresses = tuple(dict.fromkeys(addresses))
        self.who = who
        self._intake = Intake()
        self._wanted = Wanted(topics)
        self._prefix = uuid.uuid4().hex[:12]
        self._counted = itertools.count(1)
        self._thread = threading.Thread(target=self._run, name="remora-client", daemon=True)
        self._started = False
        if at_once:
            self.start()

    def start(self) -> None:
        """Connects; what was asked before goes out now.  A second time nothing happens."""
        if not self._started:
            self._started = True
            self._thread.start()

    def take(self) -> Inbox:
        """All that came since the last call."""
        return self._intake.take()

    @property
    def waiting(self) -> int:
        """Messages that came since the last call of `take`."""
        return self._intake.waiting

    def wait(self, seconds: float) -> Inbox:
        """Like take, but waits until something is there or the time is over."""
        self._intake.wait(seconds)
        return self.take()

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
        confirm: float = 0.0,
        idempotency_key: str = "",
        steps: bool = False,
        timeout: float = ANSWER_TIMEOUT,
    ) -> str:
        """Sends a command and returns its id; a Reply with that id always follows, with `steps` one
        for each step."""
        wall = time.time()
        command = Command(
            id=self._id(),
            who=self.who,
            action=action,
            why=why,
            dry_run=dry_run,
            expect_revision=expect_revision,
            operation=operation,
            allow=allow,
            expires=expires,
            confirm=confirm,
            idempotency_key=idempotency_key,
            sent=wall,
            deadline=wall + timeout + LATE,
            steps=steps,
        )
        now = time.monotonic()
        self._wanted.send(Order(address, command, now + timeout, now))
        return command.id

    def record(self, tap: Tap | None) -> None:
        """From the next telemetry message on `tap` is given each as it came; None: nobody is."""
        self._tap = tap

    def when_replied(self, call: Callable[[], None]) -> None:
        """`call` is called in the client's thread whenever a reply can be taken."""
        self._intake.on_reply = call

    def ask(self, missing: Iterable[Missing]) -> None:
        for address, sequence in missing:
            self.send(address, Replay(sequence))

    def follow(self, topics: Iterable[str]) -> None:
        """Subscribes to these topics; what is new comes at once, not at the next interval."""
        self._wanted.follow(topics)

    def close(self) -> None:
        self._intake.on_reply = lambda: None
        self._wanted.end()
        if self._started:
            self._thread.join(timeout=5)
        self._wanted.close()

    def _id(self) -> str:
        """From both threads: `next` of a count is atomic, of a generator it is not."""
        return f"{self._prefix}-{next(self._counted)}"

    def _look(self, address: str) -> Order:
        """Asked of an agent that has just (re)appeared or whose new topics are wanted."""
        command = Command(id=self._id(), who=self.who, action=Look(), sent=time.time())
        now = time.monotonic()
        return Order(address, command, now + ANSWER_TIMEOUT, now)

    def _run(self) -> None:
        try:
            self._talk()
        except BaseException as error:
            # Not in silence: a screen that stands still would be taken for agents that do.
            self._intake.failed(error)

    def _talk(self) -> None:
        with zmq.Context() as context:
            make_room(context, len(self.addresses))
            relayed = bool(self._relay)
            links = {
                address: Link(context, address, self._trust, relayed=relayed)
                for address in self.addresses
            }
            relay = relay_socket(context, self._relay, self._trust) if relayed else None
            try:
                Traffic(
                    links, relay, self._wanted, self._intake, look=self._look, tap=lambda: self._tap
                ).run()
            finally:
                for link in links.values():
                    link.close()
                if relay is not None:
                    relay.close(linger=0)
