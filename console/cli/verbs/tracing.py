# SPDX-License-Identifier: Apache-2.0
"""`trace`: packets as they come to the nodes and as they leave, as lines, JSON or pcapng.

However it ends (its time, --count, Ctrl-C, a reader that left), the trace is ended on every node:
and should even that fail, it ends there by itself after --for.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from console.cli import trace_words
from console.cli.verbs.ending import ended_as_by_ctrl_c
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model.selectors import selector
from console.model.store import Agent, Arrived
from console.planning import plan
from console.planning.plan import Answered
from console.views import pcapng, trace_lines
from console.views.trace_lines import Pairs
from console.wire.client import ANSWER_TIMEOUT
from shared.messages import Answer, Packets, Trace, Untrace

SILENT = 5.0
"""Seconds without a word (there is one each second) after which a node is given up."""
LAST_WORDS = 2.0
"""Seconds for what is still under way when a trace was ended."""


def trace(session: Session, arguments: Namespace) -> int:
    """Exit 0; 3 when some nodes did not take part to the end.  Raises VerbError, ObjectError."""
    session.client.follow({"trace"})  # before any look: the answer comes behind the subscription
    session.look()
    words = arguments.filter
    if arguments.labels:
        there = [a for a in session.agents if a.address not in session.absent()]
        words = trace_words.labelled(words, selector(arguments.labels), there)
    wanted = trace_words.parse(
        words,
        session.agents,
        one_in=arguments.one_in,
        rate=arguments.rate,
        seconds=float(arguments.seconds),
    )
    absent = session.absent()
    if arguments.labels and absent:
        session.say(f"remora: no answer from {', '.join(absent)}: not judged by -l")
    chosen = [a for a in session.agents if not wanted.nodes or a.name in wanted.nodes]
    if arguments.stop:
        return _stop(session, chosen)
    with _file(arguments.write) as file, ended_as_by_ctrl_c():
        code = _Tracing(session, chosen, arguments, file).run(wanted.action)
    missing = absent if arguments.labels else [a for a in chosen if a.address in absent]
    return code or (Exit.PARTIAL if missing else Exit.DONE)


def _stop(session: Session, agents: Sequence[Agent]) -> int:
    actions = {agent.address: Untrace() for agent in agents}
    answers = session.answered(session.ask(actions, timeout=ANSWER_TIMEOUT))
    for each in answers:
        done = each.answer.error or each.answer.status if each.answer else "no answer"
        session.say(f"{each.node}: {'no trace was running' if done == 'unchanged' else done}")
    return plan.outcome(answers)


@contextmanager
def _file(name: str | None) -> Iterator[BinaryIO | None]:
    if name is None:
        yield None
    elif name == "-":
        yield sys.stdout.buffer
    else:
        path = Path(name)
        try:
            path.touch(0o600, exist_ok=False)  # it will hold what clients sent
        except OSError as error:
            raise VerbError(f"{name}: {error.strerror}; give a new file", Exit.FAILED) from error
        try:
            with path.open("wb") as file:
                try:
                    yield file
                except VerbError:  # nothing was traced
                    path.unlink()
                    raise
        except OSError as error:
            raise VerbError(f"{name}: {error.strerror}; it ends there", Exit.FAILED) from error


class _Node:
    """What came of one node's trace."""

    def __init__(self, agent: Agent, place: int) -> None:
        self.agent = agent
        self.place = place
        """In the file."""
        self.pairs = Pairs()
        self.heard = time.monotonic()
        self.entries = 0
        self.last: Packets | None = None
        self.over = ""

    def in_words(self) -> str:
        last, name = self.last, self.agent.name
        if last is None:
            return f"{name}: {self.over}, nothing was heard of it"
        kept_back = last.matched - last.entries
        words = [f"{name}: {last.matched} packets matched, {self.entries} are here"]
        if kept_back:
            words.append(f"{kept_back} were over --rate, or the ring buffer was full")
        if last.entries > self.entries:
            words.append(f"{last.entries - self.entries} were lost on the way here")
        return f"{', '.join(words)}; {self.over}"


class _Tracing:
    def __init__(
        self, session: Session, agents: Sequence[Agent], arguments: Namespace, file: BinaryIO | None
    ) -> None:
        self._session = session
        self._agents = agents
        self._output = arguments.output or ("none" if file else "table")
        self._file = file
        self._left: int | None = arguments.count or None
        self._name = uuid.uuid4().hex
        self._nodes: dict[str, _Node] = {}

    def run(self, action: Trace) -> int:
        session = self._session
        try:
            code = self._start(action)
            deadline = time.monotonic() + action.seconds + SILENT
            while self._running() and self._left != 0 and time.monotonic() < deadline:
                self._take(session.client.wait(0.5).arrived)
        except OSError:  # of a full disk: the end is told all the same
            self._file = None
            raise
        finally:
            with suppress(KeyboardInterrupt):  # a second Ctrl-C: they end by themselves
                self._end()
        lost = any(node.last is None or not node.last.ended for node in self._nodes.values())
        return code or (Exit.PARTIAL if lost else Exit.DONE)

    def _start(self, action: Trace) -> int:
        """Exit 0, or 3 if some take no part.  Raises VerbError when none does."""
        session = self._session
        # Here before the first command goes out: whatever happens now, these are told to stop.
        self._nodes = {a.address: _Node(a, place) for place, a in enumerate(self._agents)}
        answers, early = self._asked(action)
        for each in answers:
            if each.answer is None or each.answer.status != "applied":
                why = each.answer.error if each.answer else "no answer"
                session.say(f"remora: {each.node} does not trace: {why}")
                del self._nodes[each.address]
        if not self._nodes:
            raise VerbError("nothing is traced", plan.outcome(answers) or Exit.FAILED)
        if self._file:
            self._write_opening(action)
        names = ", ".join(node.agent.name for node in self._nodes.values())
        session.tell(f"tracing on {names} for {action.seconds:g} s; Ctrl-C ends it")
        self._take(early)
        return plan.outcome(answers)

    def _asked(self, action: Trace) -> tuple[list[Answered], list[Arrived]]:
        """The answers, and what came of the traces before all had answered."""
        client, timeout = self._session.client, self._session.connect_timeout
        ids = {
            client.send(a, action, timeout=timeout, operation=self._name): a for a in self._nodes
        }
        answers: dict[str, Answer | None] = {}
        early: list[Arrived] = []
        while len(answers) < len(ids):
            inbox = client.wait(timeout)
            early += inbox.arrived
            answers |= {ids[r.id]: r.answer for r in inbox.replies if r.id in ids}
        return self._session.answered(answers), early

    def _write_opening(self, action: Trace) -> None:
        nodes = []
        for place, node in enumerate(self._nodes.values()):
            node.place = place
            snapshot = node.agent.node
            nodes.append((node.agent.name, snapshot.interface if snapshot else "?"))
        self._put(pcapng.opening(nodes, repr(action)))

    def _running(self) -> bool:
        now = time.monotonic()
        for node in self._nodes.values():
            if not node.over and now - node.heard > SILENT:
                node.over = f"no word for {SILENT:.0f} s"
        return any(not node.over for node in self._nodes.values())

    def _take(self, arrived: Iterable[Arrived]) -> None:
        for address, message, _ in arrived:
            node = self._nodes.get(address)
            if isinstance(message, Packets) and message.trace == self._name and node:
                node.heard, node.last = time.monotonic(), message
                node.over = message.ended
                self._show(node, message)
        if self._file:
            self._file.flush()

    def _show(self, node: _Node, message: Packets) -> None:
        node.entries += sum(packet.stage == "entry" for packet in message.packets)
        for packet in message.packets if self._file else ():
            self._put(pcapng.packet(packet, node=node.place, offset=message.offset))
        for passage in node.pairs.take(message):
            if self._left == 0:
                return
            if self._output == "table":
                self._session.write(trace_lines.line(passage))
            elif self._output != "none":
                self._session.write(json.dumps(trace_lines.item(passage)))
            if self._left is not None:
                self._left -= 1

    def _put(self, block: bytes) -> None:
        assert self._file is not None
        self._file.write(block)

    def _end(self) -> None:
        """On every node where it may still be running; then what each has to say."""
        running = [address for address, node in self._nodes.items() if not node.over]
        sent = time.monotonic()
        for address in running:
            self._session.client.send(address, Untrace(self._name), timeout=LAST_WORDS)
        while self._running() and time.monotonic() < sent + LAST_WORDS:
            self._take(self._session.client.wait(0.2).arrived)
        for node in self._nodes.values():
            node.over = node.over or "its end was not heard"
            if self._file and node.last:
                self._put(pcapng.closing(node.last, node=node.place))
            self._session.say(node.in_words())
