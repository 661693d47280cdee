# SPDX-License-Identifier: Apache-2.0
"""Between the client's two threads: what came and was not taken, what is wanted and not sent yet.

Of snapshots only the newest is kept, of events and faults the last few thousand: a reader that does
not read costs no memory (K4).  Telemetry is decoded when it is taken: what was overtaken never is,
and what was decoded is filed while the processor still has it at hand.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from console.model.recording import inbox
from console.model.store import Fault, Inbox, Reply
from shared.messages import TOPICS, Command
from shared.recording import Record

ONCE = frozenset({b"event", b"trace"})
"""Topics whose newest message says nothing of the one before."""
WAITING = 5000
"""Events, and faults, that wait to be taken."""


class Order(NamedTuple):
    """A command on its way."""

    address: str
    command: Command
    deadline: float
    """Monotonic seconds after which it is given up."""
    begun: float
    """Monotonic seconds."""


class Intake:
    """Filled by the sockets' thread, emptied by the reader's."""

    def __init__(self) -> None:
        self.on_reply: Callable[[], None] = lambda: None
        """Called in the sockets' thread."""
        self.waiting = 0
        """Messages that came since the last `take`, those too that a newer one replaced."""
        self._changed = threading.Condition()
        self._latest: dict[tuple[str, bytes], Record] = {}
        self._events: deque[Record] = deque(maxlen=WAITING)
        self._replies: list[Reply] = []
        self._faults: deque[Fault] = deque(maxlen=WAITING)
        self._failure: BaseException | None = None

    def arrived(self, records: Iterable[Record]) -> None:
        """Telemetry as it came, `at` by the reader's clock."""
        with self._changed:
            for record in records:
                self.waiting += 1
                topic = record.frames[0]
                if topic in ONCE:
                    self._events.append(record)
                elif topic in TOPICS:
                    self._latest[record.address, topic] = record
                else:
                    self._faults.append(Fault(record.address, f"telemetry: no topic {topic!r}"))
            self._changed.notify_all()

    def replied(self, reply: Reply) -> None:
        with self._changed:
            self._replies.append(reply)
            self._changed.notify_all()
        self.on_reply()

    def wrong(self, fault: Fault) -> None:
        with self._changed:
            self._faults.append(fault)
            self._changed.notify_all()

    def failed(self, error: BaseException) -> None:
        """The sockets' thread is at its end: nothing will come any more."""
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def take(self) -> Inbox:
        """All that came since the last call.  Raises what ended the sockets' thread."""
        with self._changed:
            if self._failure is not None:
                raise self._failure
            records = (*self._latest.values(), *self._events)
            replies, faults = tuple(self._replies), tuple(self._faults)
            for kept in (self._latest, self._events, self._replies, self._faults):
                kept.clear()
            self.waiting = 0
        found = inbox(records)
        return Inbox(found.arrived, replies, (*faults, *found.faults))

    def wait(self, seconds: float, fact: Callable[[], bool] | None = None) -> bool:
        """Until something is there, or `fact` holds; False when the time was over first."""
        with self._changed:
            return self._changed.wait_for(fact or self._has_some, timeout=max(0.0, seconds))

    def newest(self, address: str, topic: bytes) -> Record | None:
        """A snapshot that waits to be taken."""
        return self._latest.get((address, topic))

    def _has_some(self) -> bool:
        waiting = self._latest or self._events or self._replies or self._faults
        return bool(waiting) or self._failure is not None


class Wanted:
    """Filled by the reader's thread, emptied by the sockets': it polls `woken`."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)
        self.woken, self._wake = os.pipe()
        self._orders: deque[Order | None] = deque()  # both its ends are any thread's

    def send(self, order: Order) -> None:
        self._orders.append(order)
        self._nudge()

    def follow(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)
        self._nudge()

    def end(self) -> None:
        self._orders.append(None)
        self._nudge()

    def orders(self) -> tuple[list[Order], bool]:
        """Those that are new, and whether it is all over."""
        found: list[Order] = []
        while self._orders:
            order = self._orders.popleft()
            if order is None:
                return found, True
            found.append(order)
        return found, False

    def close(self) -> None:
        os.close(self._wake)
        os.close(self.woken)

    def _nudge(self) -> None:
        os.write(self._wake, b"x")
