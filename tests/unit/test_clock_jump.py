# SPDX-License-Identifier: Apache-2.0
"""A node's clock jumps an hour, either way: nothing is lost, counted twice or shown as old."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio

from agent.boundary import Asked
from agent.records.audit import Audit
from agent.records.history import History
from agent.wire.server import Server
from console.model.store import Arrived, Inbox, Liveness, Reply, Store
from console.model.tracks import added
from shared import recording
from shared.codec import answer_of, command_frames
from shared.messages import Answer, Command, Drain, Event, HealthEvent, NodeSnapshot
from shared.model import Health, endpoints
from shared.recording import Record
from tests.tui.recorded import LB1, Fleet

HOUR = 3600.0
JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
AT = 10
"""Second at which the clock jumps."""


def told(second: int, jump: float) -> tuple[NodeSnapshot, Event]:
    node = Fleet("lb1").at(float(second))[0]
    assert isinstance(node, NodeSnapshot)
    moved = jump if second >= AT else 0.0
    body = HealthEvent("web", "10.3.1.2", Health.UP, Health.DOWN, "refused")
    event = Event(node="lb1", boot=node.boot, sequence=second, at=node.at,
                  wall=node.wall + moved, body=body)  # fmt: skip
    return msgspec.structs.replace(node, wall=node.wall + moved), event


@JUMPS
def test_the_console_shows_what_is_true_all_along(jump: float) -> None:
    """Age and rates are made of the agent's monotonic clock and of arrivals, never of its wall."""
    store = Store([LB1])
    for second in range(2 * AT):
        arrived = [Arrived(LB1, message, 100.0 + second) for message in told(second, jump)]
        assert not store.take(Inbox(arrived)), "no event is missed for a clock"
        assert store.agents[LB1].liveness(100.0 + second) is Liveness.LIVE
    agent = store.agents[LB1]
    rates = {rate for rate in added([agent.track("node")]) if rate is not None}
    assert len(rates) == 1, "one steady rate: before, over and after the jump"
    everything = tuple(told(second, jump)[1] for second in range(2 * AT))
    again = Answer(id="1", node="lb1", status="ok", revision=1, events=everything)
    store.take(Inbox(replies=[Reply(LB1, "1", again, 120.0)]))
    lines = store.lines(1000)
    assert len(lines) == 2 * AT, "what is replayed is not told twice"
    places = [line.place for line in agent.log.lines(1000)]
    assert places == sorted(places), "in the order in which it happened"
    assert agent.log.lost == 0


@JUMPS
def test_the_agent_s_own_hour_has_every_second_once(jump: float, tmp_path: Path) -> None:
    kept = History(tmp_path, 1 << 30)
    for second in range(60):
        at = 1.79e9 + second + (jump if second >= 30 else 0.0)
        if kept.add(Record(at, "lb1", (b"node", b"\x01", str(second).encode()))):
            kept.write(kept.take())
    blocks = kept.blocks(0.0, 4e9)
    seen = [int(r.frames[2]) for block in blocks for r in recording.unblock(block)]
    assert sorted(seen) == list(range(60))


@JUMPS
def test_commands_are_refused_by_name_until_the_clocks_agree(jump: float, tmp_path: Path) -> None:
    """A command that was accepted before is still the same command (K1)."""

    async def story() -> None:
        moved = 0.0
        inbox: asyncio.Queue[Asked] = asyncio.Queue()
        audit = Audit(tmp_path / "audit.jsonl", "lb1")
        server = Server(
            "lb1", tmp_path, inbox.put_nowait, audit=audit, wall=lambda: time.time() + moved
        )
        context = zmq.asyncio.Context()
        console = context.socket(zmq.DEALER)
        console.linger = 0
        console.connect(endpoints(str(tmp_path))[1])

        async def ask(command: Command) -> None:
            await console.send_multipart(command_frames(command))

        def command(id_: str) -> Command:
            return Command(id=id_, who="ann@jump", action=Drain(node=True), sent=time.time())

        try:
            first = command("1")
            await ask(first)
            assert (await inbox.get()).command == first
            moved = jump
            await ask(command("2"))
            refused = answer_of(await console.recv_multipart())
            assert (refused.id, refused.status) == ("2", "refused")
            assert refused.guard == ("too-old" if jump > 0 else "clock")
            await ask(first)
            assert (await inbox.get()).command == first, "its sender waits for its answer"
            moved = 0.0
            third = command("3")
            await ask(third)
            assert (await inbox.get()).command == third
        finally:
            console.close()
            context.term()
            await server.close()
            audit.close()

    asyncio.run(asyncio.wait_for(story(), 60))
