# SPDX-License-Identifier: Apache-2.0
"""The console against a hostile agent: whatever decodes can be filed and shown, nothing raises."""

from __future__ import annotations

import io
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.server import Server
from console.model import recording as recorded
from console.model import rows
from console.model.store import Arrived, Inbox, Reply, Store
from console.views.problems import problems
from shared import codec, recording
from shared.codec import WireError, answer_of, telemetry_frames, telemetry_of
from shared.messages import Event, LostEvent
from shared.recording import Record, RecordingError
from tests.unit.test_codec import ANSWER, TELEMETRY
from tests.unit.test_server import rss

ADDRESS = "ipc:///run/remora/lb1"
FUZZ = 100_000


def mutated(noise: random.Random, payload: bytes) -> bytes:
    damaged = bytearray(payload)
    for _ in range(noise.randint(1, 4)):
        damaged[noise.randrange(len(damaged))] = noise.randrange(256)
    if noise.random() < 0.2:
        at = noise.randrange(len(damaged))
        damaged[at:at] = noise.randbytes(noise.randint(1, 8))
    return bytes(damaged)


@pytest.mark.timeout(300)
def test_mutated_telemetry_is_a_fault_or_a_message_that_can_be_shown() -> None:
    """100,000 damaged messages of every kind, filed and made into rows; memory stays flat."""
    noise = random.Random(7)
    store = Store([ADDRESS])
    whole = [telemetry_frames(message) for message in TELEMETRY.values()]
    decoded = flat = 0
    for n in range(FUZZ):
        flat = rss() if n == FUZZ // 2 else flat
        topic, version, payload = noise.choice(whole)
        try:
            message = telemetry_of([topic, version, mutated(noise, payload)])
        except WireError:
            continue
        decoded += 1
        store.take(Inbox([Arrived(ADDRESS, message, float(n))]))
        if decoded % 50 == 0:
            shown(store, float(n))
    assert decoded > FUZZ // 20, "or nothing was tried"
    assert rss() - flat < 32 << 20


def shown(store: Store, now: float) -> None:
    agents = list(store.agents.values())
    rows.nodes(agents, now)
    rows.vips(agents, now)
    rows.reals(agents, now)
    rows.drops(agents, now)
    problems(agents, now)
    store.lines(100)


@given(st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_mutated_answers_are_faults_or_answers(noise: random.Random) -> None:
    version, payload = codec.command_frames(ANSWER)
    try:
        answer = answer_of([version, mutated(noise, payload)])
    except WireError:
        return
    store = Store([ADDRESS])
    store.take(Inbox(replies=[Reply(ADDRESS, answer.id, answer, 1.0)]))
    shown(store, 1.0)


@given(st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_mutated_recordings_are_gaps_or_errors(noise: random.Random) -> None:
    made = [Record(float(n), ADDRESS, tuple(telemetry_frames(m))) for n, m in
            enumerate(TELEMETRY.values())]  # fmt: skip
    raw = recording.MAGIC + b"".join(recording.block([record]) for record in made)
    try:
        found = list(recording.read(io.BytesIO(mutated(noise, raw))))
    except RecordingError:
        return
    recorded.inbox(found)


_READER = (
    "import sys, zmq; from shared.model import endpoints; s = zmq.Context().socket(zmq.SUB)\n"
    "s.subscribe(b''); s.connect(endpoints(sys.argv[1])[0])\n"
    "print(len(s.recv_multipart()), flush=True)\nwhile True: s.recv_multipart()"
)


@pytest.mark.timeout(120)
def test_k4_a_stopped_subscriber_costs_nothing(tmp_path: Path) -> None:
    """K4: ten minutes of telemetry that a stopped process does not take: the agent is not slowed
    and does not grow."""
    import asyncio

    long = Event(
        node="lb1", boot="b", sequence=1, at=1.0, wall=1.0, body=LostEvent(1, "x" * 50_000)
    )
    command = [sys.executable, "-c", _READER, f"ipc://{tmp_path}"]

    async def story(reader: subprocess.Popen[bytes]) -> tuple[int, float]:
        server = Server("lb1", tmp_path, lambda asked: None)
        assert reader.stdout is not None
        heard = asyncio.create_task(asyncio.to_thread(reader.stdout.readline))
        while not heard.done():
            server.publish(long)
            await asyncio.sleep(0.02)
        reader.send_signal(signal.SIGSTOP)
        for _ in range(150):  # what the high-water mark and the kernel take
            server.publish(long)
        flat, start = rss(), time.monotonic()
        for _ in range(600 * 6):
            server.publish(long)
        took = time.monotonic() - start
        assert server.overruns >= 1, "it is known that somebody lost messages"
        await server.close()
        return rss() - flat, took

    reader = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        grown, took = asyncio.run(story(reader))
    finally:
        reader.kill()
        reader.communicate()
    assert grown < 8 << 20, "of 180 MB that were published"
    assert took < 60, "one in ten of the time that it stands for, on a slow machine"
