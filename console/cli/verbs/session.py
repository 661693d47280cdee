# SPDX-License-Identifier: Apache-2.0
"""What every verb needs: a client, a store, the operator's streams, and a look at the agents."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO, TypeVar

import msgspec

from console.exits import Exit, VerbError
from console.model.store import Agent, Inbox, Liveness, Store
from console.views import written
from console.views.written import Paint, harmless, plain
from shared.messages import Look

if TYPE_CHECKING:
    from console.planning.plan import Answered
    from console.views.columns import Column
    from console.wire.archive import Archive
    from console.wire.client import Client
    from shared.messages import Action, Answer

R = TypeVar("R")


class Session(msgspec.Struct, frozen=True):
    client: Client | Archive
    store: Store
    cluster: str
    who: str
    """`user@host`: by this name the agents know the operator."""
    out: TextIO
    err: TextIO
    questions: TextIO | None
    """Where answers to questions come from; None: nobody is there to ask."""
    connect_timeout: float
    paint: Paint = plain
    worded: bool = False
    """For a screen reader or a log: no sign before a state, the screen is never cleared."""
    quiet: bool = False
    """Nobody wants to be told of progress."""
    verbose: bool = False
    """Somebody wants to know what is asked of whom, and how long each answer took."""
    max_age: float | None = None
    """Seconds; telemetry that is older counts as missing."""
    view_only: bool = False
    """Nothing may be changed: the config file says so of this cluster, as the next."""
    require_reason: bool = False

    def say(self, text: str) -> None:
        """What went wrong or is still to be done: never mixed with what is piped on."""
        print(self._readable(text), file=self.err, flush=True)

    def tell(self, text: str) -> None:
        """Progress, or that all is well: the exit code says as much."""
        if not self.quiet:
            self.say(text)

    def detail(self, text: str) -> None:
        if self.verbose:
            self.say(f"remora: {text}")

    def write(self, text: str) -> None:
        print(self._readable(text), file=self.out, flush=True)

    def _readable(self, text: str) -> str:
        return written.unsigned(harmless(text)) if self.worded else harmless(text)

    def table(
        self, rows: Sequence[R], columns: Sequence[Column[R]], *, headers: bool = True
    ) -> str:
        shown = [written.in_words(column) for column in columns] if self.worded else columns
        return written.table(rows, shown, headers=headers, paint=self.paint)

    @property
    def clears(self) -> bool:
        """Whether what is shown again and again is shown in the same place."""
        return self.out.isatty() and not self.worded

    @property
    def agents(self) -> list[Agent]:
        return list(self.store.agents.values())

    def take(self, inbox: Inbox) -> None:
        self.client.ask(self.store.take(inbox))

    def ask(
        self, actions: Mapping[str, Action], *, timeout: float, **options: object
    ) -> dict[str, Answer | None]:
        """Address -> answer (None: none in time), in their order.  All are asked at once."""
        ids = {
            self.client.send(address, action, timeout=timeout, **options): address  # type: ignore[arg-type]
            for address, action in actions.items()
        }
        asked = time.monotonic()
        answers: dict[str, Answer | None] = {}
        while len(answers) < len(ids):
            inbox = self.client.wait(timeout)
            self.take(inbox)
            for reply in inbox.replies:
                if reply.id in ids:
                    address = ids[reply.id]
                    answers[address] = reply.answer
                    self._detail_of(address, actions[address], reply.answer, reply.at - asked)
        return {address: answers[address] for address in actions}

    def _detail_of(
        self, address: str, action: Action, answer: Answer | None, seconds: float
    ) -> None:
        if not self.verbose:
            return
        said = f"{answer.status} at revision {answer.revision}" if answer else "no answer"
        name, what = self.store.agents[address].name, type(action).__struct_config__.tag
        self.detail(f"{name} ({address}): {what}: {said}, {seconds * 1000:.0f} ms")

    def look(self, *, rates: bool = False) -> list[Agent]:
        """Asks every agent for everything; returns those that answered.

        For rates a second look follows, a little more than a second later.  Raises VerbError when
        nobody answers.
        """
        addresses = list(self.store.agents)
        answers = self.ask(dict.fromkeys(addresses, Look()), timeout=self.connect_timeout)
        there = [address for address in addresses if answers[address] is not None]
        if not there:
            raise self.nobody()
        there = self._young(there)
        if rates:
            self.pause(1.05)
            self.ask(dict.fromkeys(there, Look()), timeout=self.connect_timeout)
        return [self.store.agents[address] for address in there]

    def _young(self, there: list[str]) -> list[str]:
        """Those with telemetry that `--max-age` takes.  Raises VerbError when there is none."""
        if self.max_age is None:
            return there
        now = time.monotonic()
        young = [address for address in there if self.store.agents[address].fresh(now, "node")]
        if not young:
            ages = [self.store.agents[address].age(now, "node") for address in there]
            newest = min((age for age in ages if age is not None), default=None)
            said = "there is none" if newest is None else f"the newest is {newest:.1f} s old"
            raise VerbError(f"no telemetry of the last {self.max_age:g} s (--max-age): {said}",
                            Exit.NO_AGENT)  # fmt: skip
        return young

    def absent(self) -> list[str]:
        """Addresses of the agents that have no fresh values."""
        now = time.monotonic()
        return [a.address for a in self.agents if not a.fresh(now, "node")]

    def answered(self, answers: Mapping[str, Answer | None]) -> list[Answered]:
        from console.planning.plan import Answered  # planning is for who changes something

        return [Answered(a, self.store.agents[a].name, answer) for a, answer in answers.items()]

    def pause(self, seconds: float) -> None:
        """Takes what comes in that time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.take(self.client.wait(left))

    def nobody(self) -> VerbError:
        """Why no agent answers."""
        for agent in self.agents:
            if agent.absence is Liveness.DENIED:
                return VerbError(
                    f"{agent.address}: this console's key is not in the node's authorised keys",
                    Exit.NOT_ALLOWED,
                )
            if agent.wire_errors:
                return VerbError(
                    f"{agent.address}: speaks another wire version; upgrade the older side",
                    Exit.NO_AGENT,
                )
        return VerbError(
            f"no agent answers at {', '.join(self.client.addresses)}: is it running, may you read "
            "its sockets?",
            Exit.NO_AGENT,
        )
