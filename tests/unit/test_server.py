# SPDX-License-Identifier: Apache-2.0
"""The command sockets take commands of those who may, and survive everything else."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio

from agent.boundary import Asked
from agent.config.tree import Wire
from agent.records.audit import Audit
from agent.wire.server import Server
from shared import chain, curve
from shared.codec import LARGEST_COMMAND, answer_of, command_frames
from shared.messages import Answer, Command, Drain, Event, Look, LostEvent, Packets, Replay
from shared.model import endpoints
from tests.ports import free_port

DRAIN = Drain(real="10.3.1.2", vip="web")
FUZZ = 100_000


def command(id_: str = "7", action: Drain | Look | Replay = DRAIN, sent: float = 0.0) -> Command:
    return Command(id=id_, who="ann@jump", action=action, sent=sent or time.time())


class Clock:
    """The server's monotonic clock, which only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.step = 0.0
        """Seconds that pass at every look."""

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class Rig:
    """A server, what it was asked, and what it wrote down."""

    def __init__(self, directory: Path, wire: Wire | None = None) -> None:
        self.directory = directory
        self.clock = Clock()
        self.inbox: asyncio.Queue[Asked] = asyncio.Queue()
        self.audit = Audit(directory / "audit.jsonl", "lb1")
        self.server = Server(
            "lb1",
            directory,
            self.inbox.put_nowait,
            audit=self.audit,
            wire=wire,
            clock=self.clock,
        )

    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.audit.path.read_text().splitlines()]


@asynccontextmanager
async def rig(directory: Path, wire: Wire | None = None) -> AsyncIterator[Rig]:
    made = Rig(directory, wire)
    try:
        yield made
    finally:
        await made.server.close()
        made.audit.close()


@contextmanager
def dealer(
    endpoint: str, own: curve.Pair | None = None, server: str = "", kind: int = zmq.DEALER
) -> Iterator[zmq.asyncio.Socket]:
    context = zmq.asyncio.Context()
    socket = context.socket(kind)
    socket.linger = 0
    if own is not None:
        curve.call(socket, own, server)
    socket.connect(endpoint)
    try:
        yield socket
    finally:
        socket.close()
        context.term()


async def asked(console: zmq.asyncio.Socket, *frames: bytes) -> Answer:
    await console.send_multipart(frames)
    return answer_of(await asyncio.wait_for(console.recv_multipart(), 60))


def test_command_and_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with rig(tmp_path) as it:
            with dealer(endpoints(str(tmp_path))[1]) as console:
                wanted = command()
                await console.send_multipart(command_frames(wanted))
                got = await it.inbox.get()
                assert got.command == wanted
                answer = Answer(id="7", node="lb1", status="applied", revision=1)
                await it.server.reply(got.sender, answer)
                assert answer_of(await console.recv_multipart()) == answer
            (record,) = it.records()
            assert (record["key"], record["what"]) == ("local", "drain real/10.3.1.2@web")
            assert record["result"] == "applied"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("age", "guard"), [(60.0, "too-old"), (-60.0, "clock"), (3600.0, "too-old")]
)
def test_k2_a_command_of_another_time_is_refused(tmp_path: Path, age: float, guard: str) -> None:
    """K2: whether it lay somewhere or a clock jumped by an hour."""

    async def story() -> None:
        async with rig(tmp_path) as it:
            with dealer(endpoints(str(tmp_path))[1]) as console:
                old = command(sent=time.time() - age)
                answer = await asked(console, *command_frames(old))
            assert (answer.status, answer.guard, answer.id) == ("refused", guard, "7")
            assert it.inbox.empty()
            assert it.server.refused == 1
            assert [record["guard"] for record in it.records()] == [guard]

    asyncio.run(story())


def test_k1_a_repeated_command_is_asked_for_again_and_a_replayed_one_refused(
    tmp_path: Path,
) -> None:
    """K1: within the time of a retry it is the same command; later, or altered, it is an attack."""

    async def story() -> None:
        async with rig(tmp_path) as it:
            with dealer(endpoints(str(tmp_path))[1]) as console:
                frames = command_frames(command())
                for _ in range(2):
                    await console.send_multipart(frames)
                    assert (await it.inbox.get()).command.id == "7"
                other = command("7", Drain(real="10.3.2.2"))
                answer = await asked(console, *command_frames(other))
                assert (answer.guard, it.inbox.empty()) == ("replay", True)
                it.clock.now += 20
                answer = await asked(console, *frames)
                assert (answer.guard, it.inbox.empty()) == ("replay", True)

    asyncio.run(story())


def test_k1_what_was_answered_before_a_restart_is_answered_again(tmp_path: Path) -> None:
    """K1: the answer was lost, the agent was killed: a retry learns the result and does nothing."""

    async def story() -> None:
        frames = command_frames(command())
        async with rig(tmp_path) as it:
            with dealer(endpoints(str(tmp_path))[1]) as console:
                await console.send_multipart(frames)
                got = await it.inbox.get()
                answer = Answer(id="7", node="lb1", status="applied", revision=4)
                await it.server.reply(got.sender, answer)
        async with rig(tmp_path) as it:
            with dealer(endpoints(str(tmp_path))[1]) as console:
                again = await asked(console, *frames)
            assert (again.status, again.revision) == ("applied", 4)
            assert it.inbox.empty()
            assert len(it.records()) == 1

    asyncio.run(story())


def test_k1_accepted_is_said_at_once_and_each_step_is_written_down(tmp_path: Path) -> None:
    async def story() -> None:
        async with rig(tmp_path) as it:
            with dealer(endpoints(str(tmp_path))[1]) as console:
                frames = command_frames(msgspec.structs.replace(command(), steps=True))
                first = await asked(console, *frames)
                assert (first.status, first.more) == ("accepted", True)
                got = await it.inbox.get()
                applied = Answer(id="7", node="lb1", status="applied", revision=4, more=True)
                await it.server.reply(got.sender, applied)
                verified = Answer(id="7", node="lb1", status="verified", revision=4)
                await it.server.reply(got.sender, verified)
                answers = [answer_of(await console.recv_multipart()) for _ in range(2)]
                assert answers == [applied, verified]
            assert [record["result"] for record in it.records()] == ["applied", "verified"]

    asyncio.run(story())


def test_k1_what_was_applied_before_a_restart_is_read_back_after_it(tmp_path: Path) -> None:
    async def story() -> None:
        frames = command_frames(msgspec.structs.replace(command(), steps=True))
        async with rig(tmp_path) as it:
            with dealer(endpoints(str(tmp_path))[1]) as console:
                await asked(console, *frames)
                got = await it.inbox.get()
                answer = Answer(id="7", node="lb1", status="applied", revision=4, more=True)
                await it.server.reply(got.sender, answer)
        async with rig(tmp_path) as it:
            with dealer(endpoints(str(tmp_path))[1]) as console:
                await console.send_multipart(frames)
                got = await it.inbox.get()
                assert got.answered is not None
                assert (got.answered.status, got.answered.revision) == ("applied", 4)

    asyncio.run(story())


def test_oversized_commands_are_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with rig(tmp_path) as it:
            with dealer(endpoints(str(tmp_path))[1]) as console:
                answer = await asked(console, b"\x01", bytes(LARGEST_COMMAND + 1))
                assert answer.guard == "malformed"
                assert f"at most {LARGEST_COMMAND} are read" in answer.error
            with dealer(endpoints(str(tmp_path))[1]) as console:
                await console.send_multipart([b"\x01", bytes(10 * LARGEST_COMMAND)])
                with dealer(endpoints(str(tmp_path))[1]) as other:
                    await other.send_multipart(command_frames(command()))
                    assert (await it.inbox.get()).command.id == "7", "the others go on"

    asyncio.run(story())


def test_too_many_commands_are_refused_until_a_while_later(tmp_path: Path) -> None:
    async def story() -> None:
        async with rig(tmp_path) as it:
            with dealer(endpoints(str(tmp_path))[1]) as console:
                for n in range(300):
                    await console.send_multipart(command_frames(command(str(n), Look())))
                answer = answer_of(await console.recv_multipart())
                assert (answer.guard, answer.id) == ("rate", "200")
                while answer_of(await console.recv_multipart()).id != "299":
                    pass
                for _ in range(200):
                    it.inbox.get_nowait()
                it.clock.now += 1
                await console.send_multipart(command_frames(command("later", Look())))
                assert (await it.inbox.get()).command.id == "later"
            assert [record["also"] for record in it.records()] == [0], "one line, not a hundred"

    asyncio.run(story())


def rss() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def garbage(noise: random.Random, whole: list[bytes]) -> list[bytes]:
    version, payload = whole
    damaged = bytearray(payload)
    for _ in range(noise.randint(1, 8)):
        damaged[noise.randrange(len(damaged))] = noise.randrange(256)
    cut = payload[: noise.randrange(len(payload))]
    return noise.choice(
        [
            [version, bytes(damaged)],
            [version, cut],
            [noise.randbytes(20)],
            [version],
            [version, b"", b"x"],
            [version, b"\x91" * noise.randint(1, 3000)],
            [version, noise.randbytes(noise.randint(0, 300))],
            [version, b"\xdf\xff\xff\xff\xff" + noise.randbytes(8)],
        ]
    )


@pytest.mark.timeout(300)
def test_k2_100_000_frames_of_garbage_change_nothing(tmp_path: Path) -> None:
    """K2: each is refused, or is a command that the gate let pass; memory stays where it was."""
    noise = random.Random(7)

    async def story() -> None:
        async with rig(tmp_path) as it:
            it.clock.step = 0.05
            endpoint = endpoints(str(tmp_path))[1]
            await asyncio.to_thread(_throw, endpoint, noise, FUZZ // 4)
            flat = rss()
            await asyncio.to_thread(_throw, endpoint, noise, FUZZ - FUZZ // 4)
            with dealer(endpoint) as console:
                await console.send_multipart(command_frames(command("last")))
                passed = 0
                while (await asyncio.wait_for(it.inbox.get(), 60)).command.id != "last":
                    passed += 1
            assert passed + it.server.refused == FUZZ + 2, "and the end mark of each thread"
            assert passed < FUZZ // 20
            assert rss() - flat < 16 << 20
            assert chain.verify(it.audit.path.read_bytes().splitlines()).breaks == ()

    asyncio.run(story())


def _throw(endpoint: str, noise: random.Random, frames: int) -> None:
    """Sends garbage and reads the answers; at the end all were read by the server."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as console:
        console.linger = 0
        console.connect(endpoint)
        answered = 0
        for n in range(frames):
            if n % 100 == 0:
                whole = command_frames(command(f"{frames}-{n}"))
            console.send_multipart(garbage(noise, whole))
            while console.poll(0):
                console.recv_multipart()
                answered += 1
        console.send_multipart(command_frames(command("7", sent=1.0)))
        while answer_of(console.recv_multipart()).id != "7":
            answered += 1
        assert answered > frames // 2


async def _read_all(console: zmq.asyncio.Socket) -> None:
    while await console.poll(0):
        await console.recv_multipart()


# ---- CURVE


class Remote:
    """A server on TCP with keys, and the files that an operator keeps."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.node = curve.make()
        curve.write(directory / "lb1.key", self.node)
        self.keys = {name: curve.make() for name in ("ann", "bob", "eve")}
        self.authorise("operator ann", "viewer bob")
        self.wire = Wire(
            listen=f"127.0.0.1:{self.port}",
            secret_key=str(directory / "lb1.key"),
            authorized_keys=str(directory / "authorized_keys"),
        )

    def authorise(self, *grants: str) -> None:
        lines = [f"{role} {self.keys[n].public} {n}" for role, n in map(str.split, grants)]
        fresh = self.directory / "authorized_keys.new"
        fresh.write_text("# who\n\n" + "\n".join(lines) + "\n")
        fresh.chmod(0o644)
        fresh.replace(self.directory / "authorized_keys")

    def dealer(self, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
        endpoint = endpoints(f"tcp://127.0.0.1:{self.port}")[1]
        return dealer(endpoint, self.keys[name], self.node.public)

    def subscriber(self, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
        endpoint = endpoints(f"tcp://127.0.0.1:{self.port}")[0]
        return dealer(endpoint, self.keys[name], self.node.public, zmq.SUB)


def test_k2_roles_are_enforced(tmp_path: Path) -> None:
    """K2: a viewer may ask and not change; the audit has the key's name beside the claimed one."""

    async def story() -> None:
        remote = Remote(tmp_path)
        async with rig(tmp_path, remote.wire) as it:
            with remote.dealer("bob") as bob, remote.dealer("ann") as ann:
                answer = await asked(bob, *command_frames(command("b1")))
                assert (answer.guard, it.inbox.empty()) == ("role", True)
                await bob.send_multipart(command_frames(command("b2", Look())))
                assert (await it.inbox.get()).command.id == "b2"
                await ann.send_multipart(command_frames(command("a1")))
                got = await it.inbox.get()
                assert got.command.who == "ann@jump (key ann)"
                await it.server.reply(
                    got.sender, Answer(id="a1", node="lb1", status="applied", revision=1)
                )
                assert answer_of(await ann.recv_multipart()).id == "a1"
            assert [(r["key"], r["result"]) for r in it.records()] == [
                ("bob", "refused"),
                ("ann", "applied"),
            ]

    asyncio.run(story())


def test_k2_packets_are_for_operators_only(tmp_path: Path) -> None:
    """A viewer who asks for the topic `trace`, or for all topics, gets every topic but that one."""
    packets = Packets(node="lb1", boot="b", sequence=1, at=1.0, trace="t", offset=0, packets=(),
                      matched=0, entries=0, exits=0)  # fmt: skip

    async def story() -> None:
        remote = Remote(tmp_path)
        async with rig(tmp_path, remote.wire) as it:
            with remote.subscriber("bob") as bob, remote.subscriber("ann") as ann:
                bob.subscribe(b"trace")
                bob.subscribe(b"")
                ann.subscribe(b"trace")
                ann.subscribe(b"event")
                await _published_until_heard(it.server, bob)
                await _published_until_heard(it.server, ann)
                it.server.publish(packets)
                while (await asyncio.wait_for(ann.recv_multipart(), 60))[0] != b"trace":
                    pass
                assert b"trace" not in [frames[0] async for frames in _all(bob)]
            with remote.subscriber("ann") as again:  # who left cost nobody a subscription
                again.subscribe(b"event")
                await _published_until_heard(it.server, again)

    asyncio.run(story())


async def _all(socket: zmq.asyncio.Socket) -> AsyncIterator[list[bytes]]:
    while await socket.poll(200):
        yield await socket.recv_multipart()


def test_unauthorised_keys_get_nothing_at_all(tmp_path: Path) -> None:
    async def story() -> None:
        remote = Remote(tmp_path)
        async with rig(tmp_path, remote.wire) as it:
            with remote.dealer("eve") as eve, remote.subscriber("eve") as ear:
                ear.subscribe(b"")
                with remote.subscriber("bob") as bob:
                    bob.subscribe(b"event")
                    await eve.send_multipart(command_frames(command("e", Look())))
                    await _published_until_heard(it.server, bob)
                assert not await ear.poll(200)
                assert not await eve.poll(0)
                assert it.inbox.empty()
                async with asyncio.timeout(60):  # both of its sockets knock until they are heard
                    while it.server.strangers < 2:  # noqa: ASYNC110  # nobody tells of one
                        await asyncio.sleep(0.01)

    asyncio.run(story())


async def _looked(server: Server) -> None:
    """The keys were looked at since now."""
    keys = server._remote._keys
    assert keys is not None
    seen, deadline = keys.ring.looks, time.monotonic() + 60
    while keys.ring.looks < seen + 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def _published_until_heard(server: Server, ear: zmq.asyncio.Socket) -> None:
    event = Event(node="lb1", boot="b", sequence=1, at=1.0, wall=1.0, body=LostEvent(1, "x"))
    deadline = time.monotonic() + 60
    while not await ear.poll(50):
        assert time.monotonic() < deadline, "never heard"
        server.publish(event)
    await ear.recv_multipart()


def test_a_subscriber_that_leaves_takes_nobody_with_it(tmp_path: Path) -> None:
    """Its unsubscriptions come without a name: the next subscriber is heard all the same."""

    async def story() -> None:
        remote = Remote(tmp_path)
        async with rig(tmp_path, remote.wire) as it:
            for _ in range(3):
                with remote.subscriber("bob") as bob:
                    bob.subscribe(b"event")
                    await _published_until_heard(it.server, bob)

    asyncio.run(story())


def test_k4_who_does_not_keep_up_is_counted_and_costs_the_others_nothing(tmp_path: Path) -> None:
    """Neither its door nor one that is shut meanwhile forgets it."""

    async def story() -> None:
        endpoint = endpoints(str(tmp_path))[0]
        long = LostEvent(1, "x" * 50_000)
        async with rig(tmp_path) as it:
            with dealer(endpoint, kind=zmq.SUB) as deaf, dealer(endpoint, kind=zmq.SUB) as good:
                for ear in (deaf, good):
                    ear.subscribe(b"event")
                    await _published_until_heard(it.server, ear)
                while await good.poll(200):
                    await good.recv_multipart()
                number, deadline = 10, time.monotonic() + 45
                while not it.server.overruns:
                    assert number < 2000, "more than it and the kernel keep for one connection"
                    assert time.monotonic() < deadline
                    number += 1
                    sent = Event(node="lb1", boot="b", sequence=number, at=1.0, wall=1.0, body=long)
                    (frames,) = it.server.publish(sent)
                    assert await asyncio.wait_for(good.recv_multipart(), 30) == frames
                assert number > 100, "what is kept for a slow one"
            it.server._shut(next(iter(it.server._tasks)))
            assert it.server.overruns == 1

    asyncio.run(story())


def test_keys_are_read_again_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is taken away loses what it had, one that is added gets in; a file with a
    mistake changes nothing."""
    monkeypatch.setattr("agent.wire.remote_door.REREAD_KEYS", 0.05)

    async def story() -> None:
        remote = Remote(tmp_path)
        async with rig(tmp_path, remote.wire) as it:
            with remote.subscriber("bob") as bob, remote.dealer("ann") as ann:
                bob.subscribe(b"")
                await _published_until_heard(it.server, bob)
                (tmp_path / "authorized_keys").write_text("operator nonsense ann\n")
                await _looked(it.server)
                await ann.send_multipart(command_frames(command("a1", Look())))
                assert (await asyncio.wait_for(it.inbox.get(), 60)).command.id == "a1"

                remote.authorise("operator ann", "viewer eve")
                await _looked(it.server)  # ZeroMQ does not knock again where it was refused
                with remote.subscriber("eve") as eve:
                    eve.subscribe(b"")
                    await _read_all(bob)
                    await _published_until_heard(it.server, eve)
                    assert not await bob.poll(200)
                await ann.send_multipart(command_frames(command("a2", Look())))
                assert (await asyncio.wait_for(it.inbox.get(), 60)).command.id == "a2"

    asyncio.run(story())


def test_a_subscriber_cannot_make_the_agent_remember(tmp_path: Path) -> None:
    """Only known topics are subscriptions: a million others cost nothing."""

    async def story() -> None:
        async with rig(tmp_path) as it:
            endpoint = endpoints(str(tmp_path))[0]
            with dealer(endpoint, kind=zmq.SUB) as hostile, dealer(endpoint, kind=zmq.SUB) as good:
                for n in range(100_000):
                    hostile.subscribe(f"evnt{n}".encode())
                    if n % 1000 == 0:
                        await asyncio.sleep(0.001)
                good.subscribe(b"event")
                await _published_until_heard(it.server, good)
                assert not await hostile.poll(100)

    asyncio.run(story())
