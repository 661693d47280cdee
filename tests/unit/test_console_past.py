# SPDX-License-Identifier: Apache-2.0
"""Recording and looking back: what was there then, by the same verbs, and nothing is sent."""

from __future__ import annotations

import json
import stat
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.records import history
from agent.records.audit import Audit, Given
from console.cli import main as cli
from console.exits import Exit, VerbError
from console.format import clock
from console.model.moment import moment
from console.model.store import Arrived, Inbox, Liveness, Store
from console.model.tracks import added
from console.wire.archive import Archive
from console.wire.client import Client
from console.wire.hour import recalled
from console.wire.playback import opened
from shared import chain, recording
from shared.grants import LOCAL
from shared.messages import Answer, Command, Drain, Look, NodeSnapshot
from shared.recording import Record
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import LB1, LB2, WALL, Fleet, records


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two minutes of two nodes, in blocks of ten seconds; the second falls silent at 100 s."""
    path = tmp_path / "fleet.rec"
    nodes = {LB1: Fleet("lb1"), LB2: Fleet("lb2")}
    made = sorted(records(nodes, range(120), silent_from={LB2: 100}), key=lambda r: r.at)
    with path.open("wb") as out:
        out.write(recording.MAGIC)
        for start in range(0, 120, 10):
            part = [r._replace(at=r.at + WALL) for r in made if start <= r.at < start + 10]
            out.write(recording.block(part))
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.main([*words])
    return code, capsys.readouterr().out


def test_a_verb_sees_the_moment(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--from", str(file), "--at", "60s"]
    code, text = said(capsys, "get", "node", "-o", "json", *at)
    assert (code, [n["name"] for n in json.loads(text)["items"]]) == (0, ["lb1", "lb2"])
    code, text = said(capsys, "get", "vip", "-o", "wide", *at)
    assert "2.00k" in text, "rates, of both nodes together"
    code, text = said(capsys, "get", "node", "--from", str(file))
    assert code == Exit.PARTIAL, "at its end one of them had been silent for 19 s"
    assert said(capsys, "status", *at)[0] in (Exit.DONE, Exit.FAILED)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--at", "1d"], "is not in it: it goes from"),
        (["--at", "noon"], "must be a time such as"),
    ],
)
def test_moments_that_are_none(
    file: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["get", "node", "--from", str(file), *words]) != Exit.DONE
    assert says in capsys.readouterr().err


def test_telemetry_that_is_older_than_somebody_takes(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """K4: what is old is missing, and with nothing that is young enough there is no answer."""
    code = cli.main(["get", "node", "--from", str(file), "--max-age", "0.000001"])
    assert code == Exit.NO_AGENT
    assert "no telemetry of the last 1e-06 s (--max-age): the newest is" in capsys.readouterr().err
    assert cli.main(["get", "node", "--from", str(file), "--max-age", "1h"]) == Exit.DONE


def test_times_are_utc_wherever_one_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read off the screen can be typed: both are UTC; an offset says otherwise."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        there = moment("2026-11-23T14:02:30", 0.0)
        assert clock(there) == "14:02:30"
        assert moment(clock(there), there) == there
        assert moment("2026-11-23T14:02:30+01:00", 0.0) == there - 3600
    finally:
        monkeypatch.undo()
        time.tzset()


def test_times() -> None:
    now = moment("2026-11-23T14:02:30", 0.0)
    assert moment("14:02:30", now) == now
    assert moment("14:02", now) == now - 30
    assert moment("14:02:31", now) == now - 86399, "yesterday's: today's is not over"
    assert moment("-5m", now) == now - 300


@pytest.mark.parametrize("text", ["99999999999d", "0001-01-01T00:00:00+23:00", "1800-01-01"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(VerbError, match="must be a time"):
        moment(text, WALL)


def test_an_archive_takes_no_commands(file: Path) -> None:
    with file.open("rb") as source:
        archive = Archive(recording.read(source), WALL + 60, [LB1, LB2])
    id_ = archive.send(LB1, Drain(node=True))
    (reply,) = archive.take().replies
    assert (reply.id, reply.answer and reply.answer.status) == (id_, "refused")


def test_waiting_for_what_will_not_come_costs_no_processor(file: Path) -> None:
    with file.open("rb") as source:
        archive = Archive(recording.read(source), WALL + 60, [LB1, LB2])
    assert archive.wait(30.0).arrived, "what is there comes at once"
    before, began = time.thread_time(), time.monotonic()
    assert archive.wait(1.0) == Inbox()
    assert time.monotonic() - began >= 1.0
    assert time.thread_time() - before < 0.4, "a collection of garbage may take some of it"
    archive.send(LB1, Look())
    assert archive.wait(30.0).replies
    assert cli.main(["events", "-f", "--from", str(file)]) == Exit.USAGE


def test_playback_jumps_and_stands_still(file: Path) -> None:
    playback = opened(file)
    assert playback.addresses == (LB1, LB2)
    playback.pace(0.0)
    playback.seek(WALL + 90)
    store = Store(playback.addresses)
    store.take(playback.take())
    node = store.agents[LB2].node
    assert node is not None
    assert node.at == 5090.0
    assert playback.take().arrived == (), "it stands"
    playback.seek(WALL + 30)
    again = Store(playback.addresses)
    again.take(playback.take())
    node = again.agents[LB1].node
    assert node is not None
    assert node.at == 5030.0, "back in time"


def test_a_damaged_block_is_a_gap_not_an_end(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    file.write_bytes(raw)
    playback = opened(file)
    playback.pace(0.0)
    playback.seek(WALL + 119)
    store = Store(playback.addresses)
    store.take(playback.take())
    assert store.agents[LB1].node is not None


@pytest.mark.parametrize("raw", [0, 5, 1 << 20])
def test_a_block_that_lies_is_a_gap(raw: int) -> None:
    """K4: a compromised agent's history, with the right checksum: no bomb, no zlib.error."""
    bomb = zlib.compress(bytes(64 << 20), 9)
    for body in (b"no zlib", bomb):
        head = struct.pack(">4sIIddI", b"rblk", len(body), raw, 0.0, 1.0, zlib.crc32(body))
        tracemalloc.start()
        with pytest.raises(recording.RecordingError):
            recording.unblock(head + body)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 16 << 20, f"{peak} bytes for a block of {len(body)}"


def test_not_a_recording(tmp_path: Path) -> None:
    for text in (b"", b"hello", recording.MAGIC):
        (tmp_path / "x").write_bytes(text)
        with pytest.raises(VerbError):
            opened(tmp_path / "x")


@pytest.fixture
def ticking(tmp_path: Path) -> Iterator[FakeAgent]:
    over = threading.Event()
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as agent:

        def tick() -> None:
            while not over.wait(0.1):
                agent.tick()

        thread = threading.Thread(target=tick)
        thread.start()
        yield agent
        over.set()
        thread.join()


def test_record_keeps_every_message(
    ticking: FakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.rec"
    words = ["-a", ticking.address, "record", str(path)]
    assert cli.main([*words, "--seconds", "1.5"]) == Exit.DONE
    assert "messages" in capsys.readouterr().out
    with path.open("rb") as source:
        found = [r for r in recording.read(source) if r.frames[0] == b"node"]
    assert len(found) >= 10, "each, not only the newest"
    assert cli.main(words) == Exit.FAILED, "a recording is never overwritten"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "packets of clients are in it"


# ---- the agents' own last hour


def kept_by(
    agent: FakeAgent, directory: Path, seconds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers from a real agent's history, a few seconds at a time."""
    monkeypatch.setattr(history, "LARGEST_ANSWER", 3000)
    own = history.History(directory, 1 << 30)
    for record in records({agent.address: agent.fleet}, seconds):
        own.add(record._replace(at=record.at + WALL, address=agent.fleet.name))
        if record.frames[0] == b"drop":  # a second's last
            own.write(own.take())
    own.write(own.take())
    agent.kept = lambda asked: own.blocks(asked.since, asked.until)


def test_what_was_before_the_console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked part by part, of all agents side by side; who keeps nothing is no error."""
    with FakeAgent(tmp_path / "a", Fleet("lb1")) as lb1, FakeAgent(tmp_path / "b", Fleet("lb2")):
        kept_by(lb1, tmp_path / "kept", range(100), monkeypatch)
        addresses = [lb1.address, f"ipc://{tmp_path}/b", f"ipc://{tmp_path}/away"]
        client = Client(addresses, "test@here")
        try:
            past = recalled(client, WALL + 20, WALL + 60, patience=2.0)
        finally:
            client.close()
    seconds = [r.at - WALL for r in past.records if r.frames[0] == b"node"]
    assert seconds == [float(n) for n in range(21, 61)], "since is not in it, until is"
    assert {record.address for record in past.records} == {lb1.address}
    assert past.silent == (addresses[2],)
    assert past.kept_from == dict.fromkeys(addresses[:2], 1.0)


def test_a_damaged_part_is_a_gap(tmp_path: Path) -> None:
    with FakeAgent(tmp_path / "a", Fleet("lb1")) as agent:
        whole = recording.block([Record(WALL + 5, "lb1", (b"node", b"x"))])
        agent.kept = lambda asked: (b"rblk?", whole) if asked.since < WALL + 5 else ()
        client = Client([agent.address], "test@here")
        try:
            past = recalled(client, WALL, WALL + 60)
        finally:
            client.close()
    assert [record.at for record in past.records] == [WALL + 5]


# ---- audit


def test_audit_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = Audit(tmp_path / "audit.jsonl", "lb1")
    command = Command(id="1", who="ann@jump", action=Drain(node=True), why="INC-7")
    for revision in range(5):
        answer = Answer(id="1", node="lb1", status="applied", revision=revision)
        audit.answered(Given(command, LOCAL), answer, WALL)
    audit.close()
    file = str(audit.path)
    code, text = said(capsys, "audit", "--file", file)
    assert (code, text.count("drain node: applied  why: INC-7")) == (0, 5)
    code, text = said(capsys, "audit", "--file", file, "--verify")
    assert (code, "5 records, chain ok" in text) == (0, True)
    lines = audit.path.read_bytes().splitlines(keepends=True)
    audit.path.write_bytes(b"".join(lines[:2] + lines[3:]))
    code, text = said(capsys, "audit", "--file", file, "--verify")
    assert (code, "line 3: does not follow" in text) == (Exit.FAILED, True)
    assert chain.verify(lines[0:1]).records == 1


def test_an_audit_that_was_tampered_with_is_shown_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """K4: no value in it ends the verb, and none steers the terminal."""
    file = tmp_path / "audit.jsonl"
    lines = [
        '{"at": "soon", "what": "a"}', '{"at": 1e300, "key": ["x"], "node": 7, "what": "b"}',
        '{"at": null, "what": "c\\u001b]0;x\\u0007"}', "[" * 100_000, "{}", '{"at": NaN}',
    ]  # fmt: skip
    file.write_text("\n".join(lines))
    code, text = said(capsys, "audit", "--file", str(file))
    assert (code, text.count("\n")) == (0, len(lines))
    assert "\x1b" not in text
    assert said(capsys, "audit", "--file", str(file), "--verify")[0] == Exit.FAILED


def test_looking_asks_nobody() -> None:
    archive = Archive([Record(WALL, LB1, (b"x",))], WALL, [LB1])
    archive.send(LB1, Look())
    archive.send("ipc:///never", Look())
    answers = [reply.answer for reply in archive.take().replies]
    assert [answer is not None for answer in answers] == [True, False]


# ---- clocks


def test_a_clock_that_jumps_an_hour_changes_no_rate() -> None:
    """The agent's wall clock is shown, never divided by; neither does age depend on it."""
    store = Store([LB1])
    for second in range(20):
        node = Fleet("lb1").at(float(second))[0]
        assert isinstance(node, NodeSnapshot)
        jumped = msgspec.structs.replace(node, wall=node.wall + (3600.0 if second > 9 else 0.0))
        store.take(Inbox([Arrived(LB1, jumped, 100.0 + second)]))
    rates = {rate for rate in added([store.agents[LB1].track("node")]) if rate is not None}
    assert len(rates) == 1, "one steady rate, before, over and after the jump"
    assert store.agents[LB1].liveness(120.0) is Liveness.LIVE
