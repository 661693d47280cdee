# SPDX-License-Identifier: Apache-2.0
"""The client against agents that are away, deaf or speak garbage; real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import zmq

from console.model.store import Inbox, Liveness, Reply
from console.wire import traffic
from console.wire.client import Client
from shared.codec import telemetry_of
from shared.messages import Answer, Command, Drain, Look, NodeSnapshot
from shared.model import AddressError, Admin, endpoints
from shared.recording import Record
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

DRAIN = Drain(real="10.3.1.2", vip="web")


@pytest.fixture
def agent(tmp_path: Path) -> FakeAgent:
    return FakeAgent(tmp_path / "lb1", Fleet("lb1"))


@pytest.fixture
def client(agent: FakeAgent) -> Iterator[Client]:
    client = Client([agent.address], "test@here", topics={"node"})
    yield client
    client.close()


def until(client: Client, fact: Callable[[Inbox], bool], what: str) -> Inbox:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        inbox = client.wait(0.5)
        if fact(inbox):
            return inbox
    raise AssertionError(f"never: {what}")


def reply_to(client: Client, id_: str) -> Reply:
    inbox = until(client, lambda i: any(r.id == id_ for r in i.replies), "a reply")
    return next(reply for reply in inbox.replies if reply.id == id_)


def test_no_command_waits_for_an_agent_that_is_away(agent: FakeAgent, client: Client) -> None:
    """What was given up never takes effect when the agent comes back."""
    assert reply_to(client, client.send(agent.address, DRAIN, timeout=0.3)).answer is None
    with agent:
        until(client, lambda i: any(r.answer is not None for r in i.replies), "its look")
        assert agent.changes == []


def test_a_lost_answer_is_asked_for_under_the_same_id(agent: FakeAgent, client: Client) -> None:
    """K1: applied once, answered twice."""
    agent.deaf = True
    with agent:
        id_ = client.send(agent.address, DRAIN)
        deadline = time.monotonic() + 60
        while not agent.changes and time.monotonic() < deadline:
            client.wait(0.05)
        agent.deaf = False
        answer = reply_to(client, id_).answer
    assert answer is not None
    assert (answer.status, answer.revision) == ("applied", 8)
    assert [command.id for command in agent.changes] == [id_]
    assert agent.fleet.admin == {("web", "10.3.1.2"): Admin.DRAINING}


@pytest.mark.parametrize("lost", ["", "accepted", "applied", "verified"])
def test_k1_every_step_comes_even_if_an_answer_is_lost(
    agent: FakeAgent, client: Client, lost: str
) -> None:
    agent.lost = {lost}
    seen: list[Reply] = []
    with agent:
        id_ = client.send(agent.address, DRAIN, steps=True)
        deadline = time.monotonic() + 60
        while not any(r.last for r in seen) and time.monotonic() < deadline:
            seen += [r for r in client.wait(0.5).replies if r.id == id_]
    steps = [reply.answer.status for reply in seen if reply.answer]
    assert steps[-1] == "verified"
    assert steps == [s for s in ("accepted", "applied", "verified") if s in steps], "in order, once"
    assert [command.id for command in agent.changes] == [id_], "applied once"
    assert agent.fleet.revision == 8


def test_k1_a_step_that_does_not_come_is_not_made_up(
    agent: FakeAgent, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last thing that is known is that it was applied, and more was to come."""
    monkeypatch.setattr(traffic, "NEXT_STEP", 1.0)
    agent.silent_about = "verified"
    with agent:
        id_ = client.send(agent.address, DRAIN, steps=True, timeout=0.5)
        last = until(client, lambda i: any(r.last and r.id == id_ for r in i.replies), "its end")
    answer = next(reply.answer for reply in last.replies if reply.id == id_ and reply.last)
    assert answer is not None
    assert (answer.status, answer.more) == ("applied", True)


def test_k1_a_refused_repetition_says_nothing_of_what_was_accepted(
    agent: FakeAgent, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "NEXT_STEP", 2.5)
    agent.silent_about, agent.refuses_repetitions = "verified", "rate"
    with agent:
        id_ = client.send(agent.address, DRAIN, steps=True, timeout=2.5)
        last = until(client, lambda i: any(r.last and r.id == id_ for r in i.replies), "its end")
        assert agent.refusals, "it was repeated, and refused"
    answer = next(reply.answer for reply in last.replies if reply.id == id_ and reply.last)
    assert answer is not None
    assert answer.status == "applied"


def test_an_agent_of_before_the_steps_answers_once(agent: FakeAgent, client: Client) -> None:
    agent.steps = False
    with agent:
        reply = reply_to(client, client.send(agent.address, DRAIN, steps=True))
    assert reply.answer is not None
    assert (reply.answer.status, reply.last) == ("applied", True)


def test_only_the_newest_snapshot_is_kept(agent: FakeAgent, client: Client) -> None:
    """K4: a reader that does not read costs neither memory nor the agent anything."""
    with agent:
        until(client, lambda i: bool(i.replies), "connected")
        many = [agent.fleet.at(float(n))[0] for n in range(100, 200)]
        agent.publish(*many)
        # A reader that takes would empty it as it fills: look at what waits instead.
        intake = client._intake

        def newest() -> bool:
            waits = intake.newest(agent.address, b"node")
            return waits is not None and telemetry_of(waits.frames).at == 5199.0

        deadline = time.monotonic() + 60
        while not intake.wait(1.0, newest):
            assert time.monotonic() < deadline, "the newest"
            agent.publish(*many)  # who had not subscribed yet heard nothing of it
        inbox = client.take()
    kept = [a.message.at for a in inbox.arrived if isinstance(a.message, NodeSnapshot)]
    assert kept == [5199.0]


def test_garbage_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    address = f"ipc://{tmp_path}/bad"
    telemetry, command = endpoints(address)
    with (
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as router,
        context.socket(zmq.XPUB) as publisher,
    ):
        router.linger = publisher.linger = 0
        router.bind(command)
        publisher.bind(telemetry)
        client = Client([address], "test@here", topics={"node"})
        try:
            sender, *_ = router.recv_multipart()
            router.send_multipart([sender, b"\x63", b"from the future"])
            inbox = until(client, lambda i: bool(i.faults), "a fault")
            assert [fault.absence for fault in inbox.faults] == [Liveness.FOREIGN]
            assert publisher.recv() == b"\x01node"
            publisher.send_multipart([b"node", b"\x01", b"\xc1"])
            inbox = until(client, lambda i: bool(i.faults), "a fault")
            assert [fault.absence for fault in inbox.faults] == [None]
        finally:
            client.close()


def test_an_address_that_cannot_be_one() -> None:
    with pytest.raises(AddressError):
        Client(["tcp://192.0.2.1"], "test@here")


def test_a_client_that_waits_for_its_start(agent: FakeAgent) -> None:
    """The screen is there first; what it asked meanwhile goes out then; close always ends it."""
    with agent:
        client = Client([agent.address], "test@here", topics={"node"}, at_once=False)
        id_ = client.send(agent.address, DRAIN)
        assert client.wait(0.2) == Inbox((), (), ())
        assert agent.changes == []
        client.start()
        client.start()
        assert reply_to(client, id_).answer is not None
        client.close()
    Client([agent.address], "test@here", at_once=False).close()


def test_many_agents_at_once_and_none_is_overlooked(tmp_path: Path) -> None:
    """Sockets are looked at only when the kernel says so (`ready.py`): every agent's telemetry and
    answers come nevertheless, while commands are sent and topics change all the time."""
    agents = [FakeAgent(tmp_path / f"lb{n:02}", Fleet(f"lb{n:02}")) for n in range(25)]
    with ExitStack() as running:
        for each in agents:
            running.enter_context(each)
        client = Client([a.address for a in agents], "test@here", topics={"node"})
        running.callback(client.close)
        for round_ in range(3):
            ids = {client.send(a.address, Look()): a.address for a in agents}
            client.follow({"node", "vip"} if round_ % 2 else {"node", "drop"})
            heard: set[str] = set()
            answered: set[str] = set()
            deadline = time.monotonic() + 60
            while len(heard) + len(answered) < 50 and time.monotonic() < deadline:
                for each in agents:
                    # No faster than they come to say it: 25 threads share one interpreter.
                    if each.address not in heard and each.said_all:
                        each.tick()
                inbox = client.wait(0.1)
                heard |= {arrived.address for arrived in inbox.arrived}
                answered |= {ids[r.id] for r in inbox.replies if r.id in ids and r.answer}
            assert len(heard) == len(answered) == 25


def test_no_agent_answers_for_another(tmp_path: Path) -> None:
    """K4: ids are counted up, so a compromised agent can guess those that others were sent."""
    one, other = (FakeAgent(tmp_path / name, Fleet(name)) for name in ("lb1", "lb2"))
    other.deaf = True
    answer = one.answer

    def forged(command: Command) -> Answer:
        prefix, _, number = command.id.partition("-")
        found = answer(command)
        if isinstance(command.action, Look):
            return found
        return msgspec.structs.replace(found, id=f"{prefix}-{int(number) + 1}")

    one.answer = forged  # type: ignore[method-assign]
    client = Client([one.address, other.address], "test@here")
    with one, other:
        client.send(one.address, DRAIN, timeout=1.0)
        second = client.send(other.address, DRAIN, timeout=1.0)
        assert reply_to(client, second).answer is None
    client.close()


def test_a_thread_that_failed_is_not_taken_for_silent_agents(agent: FakeAgent) -> None:
    def full(record: Record) -> None:
        raise OSError(28, "No space left on device")

    client = Client([agent.address], "test@here", topics={"node"}, tap=full)
    with agent:
        deadline = time.monotonic() + 60
        while client._thread.is_alive():
            assert time.monotonic() < deadline, "never: a message came"
            agent.tick()
            client._thread.join(0.1)
        with pytest.raises(OSError, match="No space"):
            client.wait(10)
    client.close()
