# SPDX-License-Identifier: Apache-2.0
"""What a relay counts: what did not come, what it did not pass on, who does not keep up."""

from __future__ import annotations

import asyncio
import time

import pytest
import zmq
import zmq.asyncio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from console.wire.gaps import Gaps
from console.wire.outlet import Outlet
from console.wire.relay_metrics import FAMILIES, Counted, exposed
from shared.codec import numbered, telemetry_frames
from shared.messages import WIRE_VERSION
from shared.recording import Record
from tests.ports import free_port
from tests.tui.recorded import LB1, LB2, Fleet

LARGE = bytes(1 << 16)
MOST = 2000
"""Messages of that size: more than the kernel keeps for one connection."""


def message(number: int, topic: str = "vip", address: str = LB1) -> Record:
    sent = [telemetry_frames(each) for each in Fleet("lb1").at(float(number))]
    (frames,) = [each for each in sent if each[0] == topic.encode()]
    assert numbered(frames[2]) is not None
    return Record(0.0, address, tuple(frames))


def test_every_kind_of_telemetry_has_a_number() -> None:
    found = Fleet("lb1").at(3.0)
    told = [numbered(telemetry_frames(each)[2]) for each in found]
    assert told == [each.sequence for each in found]


@pytest.mark.parametrize("payload", [b"", b"\x80", b"garbage", b"\x81\xa8sequence\xa1x"])
def test_what_has_no_number_says_nothing(payload: bytes) -> None:
    made = Gaps()
    made.take(Record(0.0, LB1, (b"vip", bytes([WIRE_VERSION]), payload)))
    assert numbered(payload) is None
    assert made.missed() == {}


def test_a_gap_is_what_did_not_come_and_a_restart_is_none() -> None:
    first = numbered(message(1).frames[2])
    assert first is not None
    steps = [numbered(message(n).frames[2]) for n in (1, 2, 5, 6)]
    assert [step - first for step in steps if step is not None] == [0, 1, 4, 5], "one a second"
    made = Gaps()
    for number in (1, 2, 5, 6, 6, 1, 2):
        made.take(message(number))
    made.take(message(9, "node"))
    made.take(message(9, address=LB2))
    assert made.missed() == {(LB1, "vip"): 2}, "each topic and agent counts for itself"


def test_metrics_say_what_was_counted() -> None:
    counted = Counted(
        passed={LB1: 7, LB2: 0},
        dropped={(LB1, "version"): 3, (LB1, "not kept"): 2},
        missed={(LB2, "real"): 4},
        overruns=5,
    )

    class Fixed:
        def collect(self) -> object:
            return exposed(counted)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Fixed())  # type: ignore[arg-type]  # a collector as good as any
    text = generate_latest(registry).decode()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == {
        ("remora_relay_messages_total", LB1): 7,
        ("remora_relay_messages_total", LB2): 0,
        ("remora_relay_missed_messages_total", LB2, "real"): 4,
        ("remora_relay_dropped_messages_total", LB1, "version"): 3,
        ("remora_relay_unkept_messages_total", LB1): 2,
        ("remora_relay_overruns_total",): 5,
    }
    assert {name for name, *_ in found} == {family.name for family in FAMILIES}


@pytest.mark.timeout(60)
def test_who_does_not_read_is_counted_and_costs_the_others_nothing() -> None:
    asyncio.run(_one_reads_and_one_does_not())


async def _one_reads_and_one_does_not() -> None:
    context, place = zmq.asyncio.Context(), f"127.0.0.1:{free_port()}"
    outlet = Outlet(context, place, high_water=100)
    readers = [await _reader(context, outlet, place) for _ in range(2)]
    try:
        sent = 0
        deadline = time.monotonic() + 45
        while not outlet.overruns:
            assert sent < MOST
            assert time.monotonic() < deadline
            sent += 1
            # The large frame is the last: libzmq aborts when a socket is closed while one that is
            # half sent has others behind it (src/session_base.cpp, errno_assert in clean_pipes).
            frames = [b"real", bytes([WIRE_VERSION]), LARGE]
            await outlet.publish(frames)
            assert await asyncio.wait_for(readers[0].recv_multipart(), 30) == frames
        assert sent > 100, "what is kept for a slow one"
        assert outlet.overruns == 1
    finally:
        context.destroy(linger=0)


async def _reader(context: zmq.asyncio.Context, outlet: Outlet, place: str) -> zmq.asyncio.Socket:
    reader = context.socket(zmq.SUB)
    reader.setsockopt(zmq.RCVHWM, 10)
    reader.connect(f"tcp://{place}")
    reader.subscribe(b"real")
    asked = await asyncio.wait_for(outlet.socket.recv(), 30)
    outlet.socket.setsockopt(zmq.SUBSCRIBE, asked[1:])
    return reader
