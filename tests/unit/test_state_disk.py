# SPDX-License-Identifier: Apache-2.0
"""K1, K5: what is answered is on the disk; a disk that hangs costs changes and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.boundary import EffectError, Remember
from agent.records.audit import Audit
from agent.records.history import History
from agent.records.journal import Journal
from agent.records.state_disk import MOST, StateDisk, silence
from agent.wire.eventlog import EventLog
from shared.messages import Command, Drain
from shared.recording import Record
from tests.tui.recorded import Fleet, dropped

DRAIN = Drain(real="10.3.1.2", vip="web")


def entry(id_: str) -> Remember:
    return Remember(Command(id=id_, who="ann@jump", action=DRAIN), "applied", 1)


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(test(**fixtures))

    return run


class Hang:
    """In place of os.fsync: it answers when the test lets it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.calls = 0

    def __call__(self, fd: int) -> None:
        self.calls += 1
        assert self.open.wait(30)


@asynccontextmanager
async def opened(
    patience: float = 0.2, *files: Journal | Audit, directory: Path = Path("/var/lib/remora")
) -> AsyncIterator[StateDisk]:
    disk = StateDisk(str(directory), patience=patience)
    try:
        yield disk
    finally:
        await disk.close()
        for file in files:
            file.close()


async def written(disk: StateDisk, work: Callable[[], None], take_back: Callable[[], None]) -> None:
    """At last: on a busy machine this disk, too, may be slow for once."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(EffectError):
                return await disk.write(work, take_back)
            await asyncio.sleep(0.01)


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110  # a thread sets no asyncio.Event
            await asyncio.sleep(0.01)


def ids(journal: Journal) -> list[str]:
    return [json.loads(line)["id"] for line in journal.path.read_bytes().splitlines()]


@in_a_loop
async def test_what_is_written_is_written_when_it_returns_and_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    async with opened(30.0, journal) as disk:
        for number in range(50):
            await disk.write(functools.partial(journal.append, entry(str(number))))
            assert disk.later(journal.tidy)
            assert ids(journal)[-1] == str(number)
    assert ids(journal) == [str(number) for number in range(50)]


@in_a_loop
async def test_an_error_of_the_disk_is_whose_it_is() -> None:
    def full() -> None:
        raise EffectError("journal: the disk is full")

    async with opened(30.0) as disk:
        with pytest.raises(EffectError, match="full"):
            await disk.write(full)
        await disk.write(lambda: None)


@in_a_loop
async def test_a_disk_that_hangs_refuses_changes_and_the_loop_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, hang = Journal(tmp_path / "journal.jsonl"), Hang()
    journal.write(entry("before"))
    monkeypatch.setattr("agent.records.journal.os.fsync", hang)
    async with opened(2.0, journal) as disk:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        going_on = asyncio.create_task(others())
        write = functools.partial(journal.append, entry("late"))
        with pytest.raises(EffectError, match=r"state disk .* has not answered"):
            await disk.write(write, journal.take_back)
        assert turns > 3, "checks, BGP and telemetry had their turns"
        await until(lambda: disk.silent > 0)  # it began a little later than who waits for it
        seen = hang.calls
        with pytest.raises(EffectError, match="has not answered"):
            await disk.write(functools.partial(journal.append, entry("no")), journal.take_back)
        assert hang.calls == seen, "refused at once"
        hang.open.set()
        await written(disk, functools.partial(journal.append, entry("after")), journal.take_back)
        going_on.cancel()
    assert ids(journal) == ["before", "after"], "what was refused is not in force after a restart"


@in_a_loop
async def test_what_was_given_up_before_its_turn_is_never_done() -> None:
    hang, done = Hang(), []
    async with opened() as disk:
        assert disk.later(functools.partial(hang, 0))
        with pytest.raises(EffectError):
            await disk.write(lambda: done.append(1))
        hang.open.set()
        await written(disk, lambda: done.append(2), done.clear)
    assert done == [2]


@in_a_loop
async def test_the_audit_waits_for_the_disk_and_keeps_no_answer_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole chains, also of what was said while the disk hung."""
    hang = Hang()
    command = Command(id="1", who="ann@jump", action=DRAIN)
    async with opened() as disk:
        audit = Audit(tmp_path / "audit.jsonl", "lb1", disk)
        audit.own(command, "applied", 1, 1.79e9)
        await written(disk, lambda: None, lambda: None)
        assert audit.records == 1
        monkeypatch.setattr("agent.records.audit.os.fsync", hang)
        for _ in range(3):
            audit.own(command, "applied", 1, 1.79e9)
            await audit.durable()
        hang.open.set()
        await written(disk, lambda: None, lambda: None)
        assert (audit.records, audit.failed) == (4, 0)
    audit.close()
    assert [json.loads(line)["n"] for line in audit.path.read_bytes().splitlines()] == [1, 2, 3, 4]


@in_a_loop
async def test_what_is_read_comes_in_its_turn_and_is_refused_by_a_disk_that_hangs() -> None:
    hang = Hang()
    async with opened(2.0) as disk:
        assert await disk.ask(lambda: 7) == 7
        with pytest.raises(FileNotFoundError):
            await disk.ask(lambda: Path("/no/such/file").read_bytes())
        assert disk.later(functools.partial(hang, 0))
        with pytest.raises(EffectError, match="has not answered"):
            await disk.ask(lambda: 8)
        hang.open.set()


@in_a_loop
async def test_a_disk_that_hangs_takes_none_of_the_loop_s_threads(tmp_path: Path) -> None:
    """Of which ring, read-back and config files live: however much is asked of it meanwhile."""
    hang = Hang()
    threads = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(threads)
    async with opened() as disk:
        history = History(tmp_path / "history", 1 << 20)
        history.add(Record(1.79e9, "lb1", (b"node", bytes(100))))
        assert disk.later(functools.partial(hang, 0))
        assert disk.later(functools.partial(history.write, history.take()))
        asked = [asyncio.create_task(disk.ask(history.kept_from)) for _ in range(20)]
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "ring"), 5) == "ring"
        said = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(each) for each in said} == {EffectError}
        hang.open.set()


def test_history_goes_on_after_what_never_had_its_turn(tmp_path: Path) -> None:
    history = History(tmp_path, 1 << 20)
    for at in (0.0, 10.0):
        history.add(Record(1.79e9 + at, "lb1", (b"node", bytes(100))))
    history.take()
    history.let_go()
    history.add(Record(1.79e9 + 20, "lb1", (b"node", bytes(100))))
    assert history.add(Record(1.79e9 + 30, "lb1", (b"node", bytes(100))))
    assert history.failed == 1


@in_a_loop
async def test_more_than_can_wait_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = Hang()
    monkeypatch.setattr("agent.records.state_disk.MOST", 3)
    async with opened() as disk:
        audit = Audit(tmp_path / "audit.jsonl", "lb1", disk)
        assert disk.later(functools.partial(hang, 0))
        for _ in range(8):
            audit.own(Command(id="1", who="ann@jump", action=DRAIN), "applied", 1, 1.79e9)
        assert 5 <= audit.failed <= 6, "one may have begun"
        hang.open.set()
    audit.close()


@in_a_loop
async def test_a_long_look_at_a_file_is_no_silence(tmp_path: Path) -> None:
    """Changes are not refused, so nobody is told that they are."""
    look, long = Hang(), StateDisk(str(tmp_path), patience=0.01)
    os.utime(tmp_path, (0, 0))
    async with opened(30.0, directory=tmp_path) as records:
        assert long.later(functools.partial(look, 0))
        await until(lambda: long.silent > 0)
        assert silence(records, long) == 0
        assert await records.ask(lambda: tmp_path.stat().st_mtime) > 0, "it was tried"
        assert silence(records, long) == 0
        look.open.set()
        await long.close()


@in_a_loop
async def test_a_disk_that_hangs_is_told_though_nobody_wants_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang, long = Hang(), StateDisk(str(tmp_path), patience=0.01)
    monkeypatch.setattr("agent.records.state_disk.os.fsync", hang)
    async with opened(0.05, directory=tmp_path) as records:
        assert silence(records, long) == 0
        assert long.later(functools.partial(hang, 0))
        await until(lambda: silence(records, long) > 0)
        for _ in range(3):
            silence(records, long)
        assert hang.calls == 2, "it is tried once, and not again before it answers"
        hang.open.set()
        await until(lambda: not silence(records, long))
        await long.close()


@asynccontextmanager
async def events(hang: Hang, file: Path) -> AsyncIterator[EventLog]:
    """A log whose disk hangs, once it is open, until the test lets it go on."""
    log = EventLog(str(file))
    assert log._disk is not None
    log._disk._patience = 30.0
    await log.open()
    log._disk.later(functools.partial(hang, 0))
    try:
        yield log
    finally:
        hang.open.set()
        await log.close()


@in_a_loop
async def test_a_burst_of_events_waits_and_is_written_in_order(tmp_path: Path) -> None:
    hang, file, burst = Hang(), tmp_path / "logs" / "events.jsonl", 2 * MOST
    async with events(hang, file) as log:
        for number in range(burst):
            log.take(Fleet("lb1").event(number, 3.0, dropped()))
        assert file.read_bytes() == b"", "nobody waited for it"
    lines = file.read_bytes().splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == list(range(burst))
    assert log.lost == 0


@in_a_loop
async def test_an_event_log_that_hangs_is_left_without_waiting(tmp_path: Path) -> None:
    """For another one, by a reload, say: what waits is written when its disk answers again."""
    hang, file = Hang(), tmp_path / "events.jsonl"
    async with events(hang, file) as log:
        log.take(Fleet("lb1").event(7, 3.0, dropped()))
        log.end()
        assert file.read_bytes() == b""
    assert len(file.read_bytes().splitlines()) == 1


@in_a_loop
async def test_an_event_log_that_cannot_be_opened_is_refused_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, hang = EventLog(str(tmp_path)), Hang()
    monkeypatch.setattr(log._disk, "_patience", 30.0)
    with pytest.raises(EffectError, match=r"^telemetry.event_log .*: Is a directory$"):
        await log.open()
    log = EventLog(str(tmp_path / "events.jsonl"))
    monkeypatch.setattr(log, "_open", functools.partial(hang, 0))
    monkeypatch.setattr(log._disk, "_patience", 0.2)
    with pytest.raises(EffectError, match=r"^telemetry.event_log .*event log's disk .*answered"):
        await log.open()
    hang.open.set()


@in_a_loop
async def test_a_thread_that_is_faster_than_who_tells_it_misses_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(str(tmp_path / "events.jsonl"))
    assert log._disk is not None
    with monkeypatch.context() as at_once:
        at_once.setattr(log._disk, "later", lambda work: work())
        for number in range(3):
            log.take(Fleet("lb1").event(number, 3.0, dropped()))
        assert len((tmp_path / "events.jsonl").read_bytes().splitlines()) == 3
    await log.close()


@in_a_loop
async def test_more_lines_than_can_wait_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = Hang()
    monkeypatch.setattr("agent.wire.eventlog.MOST_WAITING", 3)
    async with events(hang, tmp_path / "events.jsonl") as log:
        for number in range(8):
            log.take(Fleet("lb1").event(number, 3.0, dropped()))
        assert log.lost == 5


@in_a_loop
async def test_events_for_the_journal_wait_for_no_disk(capsys: pytest.CaptureFixture[str]) -> None:
    log = EventLog("journal")
    await log.open()
    log.take(Fleet("lb1").event(7, 3.0, dropped()))
    assert json.loads(capsys.readouterr().err)["sequence"] == 7
    await log.close()
