# SPDX-License-Identifier: Apache-2.0
"""A relay passes on telemetry and nothing else, and no agent takes all its memory."""

from __future__ import annotations

import pytest

from console.wire import sieve
from console.wire.sieve import Sieve, wrong
from shared.codec import telemetry_frames
from shared.messages import WIRE_VERSION
from shared.recording import Record
from tests.tui.recorded import LB1, LB2, Fleet

VERSION = bytes([WIRE_VERSION])
MAP = b"\x80"


def record(*frames: bytes, address: str = LB1) -> Record:
    return Record(0.0, address, frames)


def test_all_that_agents_publish_passes() -> None:
    found = Fleet("lb1").at(1.0)
    assert len(found) > 3
    assert [wrong(telemetry_frames(message)) for message in found] == [""] * len(found)


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ((), "frames"),
        ((b"node", VERSION), "frames"),
        ((b"node", VERSION, MAP, b"more"), "frames"),
        ((b"nodes", VERSION, MAP), "topic"),
        ((b"", VERSION, MAP), "topic"),
        ((b"node", b"", MAP), "version"),
        ((b"node", bytes([WIRE_VERSION + 1]), MAP), "version"),
        ((b"node", VERSION, b""), "payload"),
        ((b"node", VERSION, b"\x93garbage"), "payload"),
    ],
)
def test_what_is_none_is_counted_and_goes_no_further(frames: tuple[bytes, ...], why: str) -> None:
    made = Sieve()
    made.put(record(*frames))
    assert made.take() == []
    assert made.dropped() == {(LB1, why): 1}
    assert made.newest(b"node") == []


def test_what_nobody_takes_costs_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieve, "MOST_WAITING", 100)
    made = Sieve()
    for _ in range(9):
        made.put(record(b"event", VERSION, MAP + bytes(34)))  # 41 bytes
    assert len(made.take()) == 2
    assert made.dropped() == {(LB1, "backlog"): 7}
    made.put(record(b"event", VERSION, MAP))
    assert len(made.take()) == 1, "there is room again"


def test_of_each_agent_the_newest_is_kept_within_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sieve, "MOST_KEPT", 100)
    made = Sieve()

    def put(topic: bytes, size: int, address: str = LB1) -> None:
        made.put(record(topic, VERSION, MAP + bytes(size - 1), address=address))
        assert len(made.take()) == 1, "passed on in any case"

    put(b"real", 60)
    put(b"real", 90)
    assert [len(frames[2]) for frames in made.newest(b"real")] == [90]
    put(b"vip", 20)
    assert made.newest(b"vip") == []
    put(b"vip", 20, LB2)
    assert [frames[3].decode() for frames in made.newest(b"vip")] == [LB2], "its own share"
    put(b"real", 101)
    assert made.newest(b"real") == [], "an old one is not the newest"
    assert made.dropped() == {(LB1, "not kept"): 2}
    put(b"event", 5)
    assert made.newest(b"event") == []
