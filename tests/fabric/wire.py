# SPDX-License-Identifier: Apache-2.0
"""The agents' sockets without the console: what telemetry says, and bytes that no console sends."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import zmq

from shared.codec import answer_of, command_frames, topic_of
from shared.messages import (
    Action,
    Answer,
    Command,
    CpuSnapshot,
    FlowtableSnapshot,
    NodeSnapshot,
    RealRow,
    RealSnapshot,
    Snapshot,
    VipRow,
    VipSnapshot,
)
from shared.messages import Look as LookAction
from shared.model import endpoints

PATIENCE = 20

S = TypeVar("S", bound=Snapshot)


class Look(NamedTuple):
    """A node's snapshots at one moment."""

    node: NodeSnapshot
    cpu: CpuSnapshot
    flowtable: FlowtableSnapshot
    vips: dict[str, VipRow]
    """By the VIP's name."""
    reals: dict[tuple[str, str], RealRow]
    """By the VIP's name and the real's address."""


def look(address: str) -> Look:
    """Raises TimeoutError when the agent does not answer."""
    answer = ask(address, LookAction())
    by_topic = {topic_of(snapshot).decode(): snapshot for snapshot in answer.snapshots}

    def of(topic: str, kind: type[S]) -> S:
        snapshot = by_topic[topic]
        assert isinstance(snapshot, kind)
        return snapshot

    return Look(
        node=of("node", NodeSnapshot),
        cpu=of("cpu", CpuSnapshot),
        flowtable=of("flowtable", FlowtableSnapshot),
        vips={row.name: row for row in of("vip", VipSnapshot).vips},
        reals={(row.vip, row.address): row for row in of("real", RealSnapshot).reals},
    )


def ask(address: str, action: Action, *, dry_run: bool = False) -> Answer:
    """Send one command and await its answer."""
    return answer_of(exchange(address, _framed(action, dry_run=dry_run)))


@contextmanager
def connected(address: str) -> Iterator[Callable[[Action], Answer]]:
    """Asks one after the other by a connection that stands."""
    with _dealer(address) as socket:

        def ask_here(action: Action) -> Answer:
            socket.send_multipart(_framed(action))
            return answer_of(_receive(socket))

        ask_here(LookAction())
        yield ask_here


def _framed(action: Action, *, dry_run: bool = False) -> list[bytes]:
    return command_frames(
        Command(
            id=uuid.uuid4().hex,
            who="tests@fabric",
            action=action,
            dry_run=dry_run,
            sent=time.time(),
        )
    )


def exchange(address: str, frames: Sequence[bytes]) -> list[bytes]:
    """Whatever bytes to the command socket; the first answer's frames."""
    with _dealer(address) as socket:
        socket.send_multipart(frames)
        return _receive(socket)


@contextmanager
def _dealer(address: str) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoints(address)[1])
        yield socket


def _receive(socket: zmq.Socket[bytes]) -> list[bytes]:
    if not socket.poll(PATIENCE * 1000):
        raise TimeoutError(f"no answer within {PATIENCE} s")
    return socket.recv_multipart()
