# SPDX-License-Identifier: Apache-2.0
"""One action asked of several nodes, and what came back so far.  Sends through its `Sender`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from console.model.store import Reply
from console.planning.plan import Answered
from console.planning.wish import Order
from shared.messages import Action, Answer


class Terms(NamedTuple):
    """What a change says besides what it does."""

    allow: tuple[str, ...] = ()
    """Guards that may be passed, by name; they want a reason."""
    expires: float = 0.0
    """Seconds after which it goes back by itself; 0: never."""
    idempotency_key: str = ""
    """Done once under it, however often it is asked for."""


NO_TERMS = Terms()


class Sender(Protocol):
    """The client, as far as a plan needs it."""

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
        steps: bool = False,
        timeout: float = ...,
    ) -> str: ...


class Asking:
    """Takes replies until every node has answered or was given up; a new one forgets the old."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._orders: Sequence[Order] = ()
        self._open: dict[str, str] = {}
        """Command id -> address, of the commands whose answers are awaited."""
        self._answers: dict[str, Answer | None] = {}

    def dry_run(
        self,
        orders: Sequence[Order],
        *,
        why: str = "",
        operation: str = "",
        terms: Terms = NO_TERMS,
    ) -> None:
        self._begin(orders)
        self._open = {
            self._sender.send(
                order.address,
                order.action,
                why=why,
                dry_run=True,
                operation=operation,
                **terms._asdict(),
            ): order.address
            for order in orders
        }

    def change(
        self,
        orders: Iterable[Order],
        revisions: Mapping[str, int],
        *,
        why: str,
        operation: str,
        terms: Terms = NO_TERMS,
    ) -> None:
        """Each node refuses when it is at another revision by now."""
        self._begin(tuple(orders))
        self._open = {
            self._sender.send(
                order.address,
                order.action,
                why=why,
                expect_revision=revisions[order.address],
                operation=operation,
                steps=True,
                **terms._asdict(),
            ): order.address
            for order in self._orders
        }

    def question(self, orders: Sequence[Order]) -> None:
        self._begin(orders)
        self._open = {self._sender.send(o.address, o.action): o.address for o in orders}

    def _begin(self, orders: Sequence[Order]) -> None:
        self._orders, self._answers = orders, {}

    def take(self, reply: Reply) -> bool:
        """True when this reply was the last one awaited; replies to others are passed over."""
        address = self._open.get(reply.id)
        if address is None:
            return False
        self._answers[address] = reply.answer
        if reply.last:
            del self._open[reply.id]
        return not self._open

    @property
    def asked(self) -> int:
        """Nodes."""
        return len(self._orders)

    def answered(self) -> list[Answered]:
        """In the order of the nodes."""
        return [
            Answered(order.address, order.node, self._answers[order.address])
            for order in self._orders
            if order.address in self._answers
        ]
