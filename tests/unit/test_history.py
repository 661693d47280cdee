# SPDX-License-Identifier: Apache-2.0
"""The agent's own last hour: bounded in time and bytes, readable after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.records import history as module
from agent.records.history import FULL, History
from shared import recording
from shared.recording import Record

START = 1.79e9


def filled(directory: Path, seconds: Iterator[float] | range, limit: int = 1 << 30) -> History:
    history = History(directory, limit)
    for second in seconds:
        if history.add(Record(START + second, "lb1", (b"node", b"\x01", bytes(100)))):
            history.write(history.take())
    return history


def seconds_of(blocks: tuple[bytes, ...]) -> list[float]:
    return [record.at - START for block in blocks for record in recording.unblock(block)]


def test_an_hour_is_kept_and_no_more(tmp_path: Path) -> None:
    history = filled(tmp_path, range(3 * 3600))
    last = 3 * 3600 - 1
    kept: list[float] = []
    since = 0.0
    while part := [s for s in seconds_of(history.blocks(since, START + last)) if s + START > since]:
        kept += part
        since = START + part[-1]
    assert kept == [float(n) for n in range(int(kept[0]), last + 1)], "no second is missing"
    assert 3600 <= last - kept[0] <= 3600 + 2 * module.SEGMENT


def test_bytes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT", 10.0)
    filled(tmp_path, range(1000), limit=20_000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 20_000 + 2_000


def test_an_answer_is_bounded_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_ANSWER", 500)
    history = filled(tmp_path, range(100))
    first = seconds_of(history.blocks(START, START + 100))
    assert 0 < len(first) < 100
    assert seconds_of(history.blocks(START + first[-1], START + 100))[0] == first[-1] + 1


def test_after_a_kill_all_but_the_last_block_is_there(tmp_path: Path) -> None:
    filled(tmp_path, range(20))  # and is gone without a word
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes()[:-7])
    again = filled(tmp_path, range(30, 50))
    assert len(list(tmp_path.iterdir())) == 2, "nothing is appended to what may be torn"
    found = seconds_of(again.blocks(START, START + 100))
    assert set(range(12)) <= set(found)
    assert set(range(30, 50)) <= set(found)


def test_a_clock_that_jumps_back_begins_a_segment(tmp_path: Path) -> None:
    """An hour back and on again: what was written stays readable."""
    history = filled(tmp_path, (*range(4000, 4020), *range(400, 420)))  # type: ignore[arg-type]
    assert set(range(400, 415)) <= set(seconds_of(history.blocks(START, START + 5000)))


def test_so_far_back_one_can_look(tmp_path: Path) -> None:
    assert History(tmp_path, 1 << 30).kept_from() == 0.0, "nothing yet"
    history = filled(tmp_path, range(400))
    assert history.kept_from() == START
    assert seconds_of(history.blocks(0.0, START))[0] == 0.0


def test_a_disk_that_refuses_costs_history_only() -> None:
    history = filled(Path("/proc/no/such"), range(20))
    assert history.failed >= 2
    assert seconds_of(history.blocks(START, START + 100)), "what is not written yet"


def test_a_disk_that_hangs_takes_one_thread_and_not_all_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads are few and shared: checks of files, configs and read-backs wait for one too."""
    monkeypatch.setattr(module, "MOST_WAITING", 4 * FULL)
    history = History(tmp_path, 1 << 30)
    large = [Record(START + n, "lb1", (b"real", b"\1", bytes(FULL))) for n in range(12)]
    assert history.add(large[0])
    hanging = history.take()
    assert [history.add(record) for record in large[1:10]] == [False] * 9
    assert history.failed > 0, "what was too much was let go, and counted"
    assert len(seconds_of(history.blocks(START, START + 20))) <= 5
    history.write(hanging)
    assert history.add(large[10]), "its turn again"
    history.write(history.take())
    assert seconds_of(history.blocks(START - 1, START + 20))[-1] == 10


def test_a_large_node_waits_for_no_block(tmp_path: Path) -> None:
    """What is not written yet is memory: never much more than FULL."""
    history = History(tmp_path, 1 << 30)
    large = Record(START, "lb1", (b"real", b"\1", bytes(FULL)))
    assert history.add(large)
    assert history.take() == (large,)
    assert not history.add(Record(START, "lb1", (b"node", b"\1", bytes(100)))), "counted anew"
