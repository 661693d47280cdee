# SPDX-License-Identifier: Apache-2.0
"""The audit: every record is there, and nobody changes one unseen."""

from __future__ import annotations

import asyncio
import errno
import json
import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.boundary import Asked, EffectError
from agent.config.file import parse
from agent.core import maglev
from agent.core.state import NodeState
from agent.records import audit as module
from agent.records.audit import Audit, Given
from agent.records.state_disk import StateDisk
from agent.wire.gate import Refusal
from agent.wire.questions import Questions
from shared import chain
from shared.grants import LOCAL
from shared.messages import Answer, AuditPart, Batch, Change, Command, Drain, ReadAudit, Withdraw
from tests.unit.world import ONE_VIP

CHANGE = Change("web", "10.3.1.2", "enabled", "draining", 9, 0, 9, 1, 2)
ANSWER = Answer(id="1", node="lb1", status="applied", revision=4, changes=(CHANGE,))


def given_(id_: str, *, dry_run: bool = False) -> Given:
    action = Drain(real="10.3.1.2", vip="web")
    return Given(
        Command(id=id_, who="ann@jump", action=action, why="INC-7", dry_run=dry_run), LOCAL
    )


@contextmanager
def opened(directory: Path) -> Iterator[Audit]:
    with closing(Audit(directory / "audit.jsonl", "lb1")) as audit:
        yield audit


def lines(audit: Audit) -> list[bytes]:
    return audit.path.read_bytes().splitlines()


def test_who_when_what_why_plan_result(tmp_path: Path) -> None:
    with opened(tmp_path) as audit:
        audit.answered(given_("1"), ANSWER, 1.79e9)
        (record,) = map(json.loads, lines(audit))
    assert record["n"] == 1
    assert (record["node"], record["key"], record["who"]) == ("lb1", "local", "ann@jump")
    assert (record["at"], record["what"]) == (1.79e9, "drain real/10.3.1.2@web")
    assert (record["why"], record["result"], record["revision"]) == ("INC-7", "applied", 4)
    assert record["plan"][0]["slots_moved"] == 9


def test_k2_a_withdrawal_has_what_its_sender_said_of_the_other_nodes(tmp_path: Path) -> None:
    """The guard last-announcer goes by it, and nobody can look it up later anywhere else."""
    action = Batch((Withdraw(vip="web", elsewhere={"web": 2}), Drain(vip="dns")))
    command = Command(id="1", who="ann@jump", action=action, why="INC-7")
    with opened(tmp_path) as audit:
        audit.answered(Given(command, LOCAL), ANSWER, 1.79e9)
        audit.answered(given_("2"), ANSWER, 1.79e9)
        withdrawn, drained = map(json.loads, lines(audit))
    assert withdrawn["elsewhere"] == {"web": 2}
    assert "elsewhere" not in drained


def test_the_chain_goes_on_over_a_restart(tmp_path: Path) -> None:
    for n in range(3):
        with opened(tmp_path) as audit:
            audit.answered(given_(str(n)), ANSWER, 1.79e9)
    checked = chain.verify(lines(audit))
    assert checked == (3, audit.head, ())
    assert audit.records == 3


def test_a_torn_line_is_seen_and_costs_only_itself(tmp_path: Path) -> None:
    with opened(tmp_path) as audit:
        audit.answered(given_("1"), ANSWER, 1.79e9)
        audit.answered(given_("2"), ANSWER, 1.79e9)
    audit.path.write_bytes(audit.path.read_bytes()[:-20])
    with opened(tmp_path) as audit:
        audit.answered(given_("3"), ANSWER, 1.79e9)
        assert chain.verify(lines(audit)).breaks == ((2, "damaged: not a whole record"),)
        assert audit.records == 2


@given(st.data())
def test_no_change_goes_unseen(data: st.DataObject) -> None:
    """Any byte altered, any line taken out, any two exchanged; only the end can be cut off."""
    whole, previous = [], chain.START
    for n in range(6):
        line, previous = chain.link({"n": n, "why": data.draw(st.text(max_size=5))}, previous)
        whole.append(line.rstrip(b"\n"))
    assert chain.verify(whole).breaks == ()
    at = data.draw(st.integers(0, 4))
    match data.draw(st.sampled_from(["alter", "remove", "swap"])):
        case "alter":
            place = data.draw(st.integers(0, len(whole[at]) - 1))
            other = data.draw(st.integers(0, 255).filter(lambda b: b != whole[at][place]))
            whole[at] = whole[at][:place] + bytes([other]) + whole[at][place + 1 :]
        case "remove":
            del whole[at]
        case "swap":
            whole[at], whole[at + 1] = whole[at + 1], whole[at]
    assert chain.verify(whole).breaks


def test_refusals_are_counted_not_poured_out(tmp_path: Path) -> None:
    with opened(tmp_path) as audit:
        for n in range(1000):
            audit.refused("eve", Refusal("rate", "too many"), None, wall=1.79e9, now=n / 100)
        audit.refused("eve", Refusal("rate", "too many"), None, wall=1.79e9, now=100.0)
        records: list[dict[str, Any]] = list(map(json.loads, lines(audit)))
    assert [(r["guard"], r["also"]) for r in records] == [("rate", 0), ("rate", 999)]


def test_rotation_keeps_the_chain_and_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_FILE", 1500)
    with opened(tmp_path) as audit:
        for n in range(12):
            audit.answered(given_(str(n)), ANSWER, 1.79e9)
        kept = audit.lines(1, 100)
        assert len(kept) == 12
        assert chain.verify(line.encode() for line in kept) == (12, audit.head, ())
        assert [json.loads(line)["n"] for line in audit.lines(-2, 10)] == [11, 12]
    assert (tmp_path / "audit.jsonl.1").exists()
    with opened(tmp_path) as audit:
        assert audit.records == 12


def test_a_full_file_that_cannot_be_renamed_grows_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that refuses ends no agent, and the record is there."""
    monkeypatch.setattr(module, "LARGEST_FILE", 1500)
    with opened(tmp_path) as audit:
        (tmp_path / "audit.jsonl.8").mkdir()
        (tmp_path / "audit.jsonl.7").write_text("a file cannot take a directory's name")
        for n in range(20):
            audit.answered(given_(str(n)), ANSWER, 1.79e9)
        assert audit.failed == 0
        assert chain.verify(lines(audit)).records == 20
        (tmp_path / "audit.jsonl.8").rmdir()
        audit.answered(given_("21"), ANSWER, 1.79e9)
        assert len(lines(audit)) == 1, "in a new file, as soon as it can be"
        assert chain.verify(lines(audit), previous=None).breaks == ()


def test_a_line_that_is_damaged_inside_does_not_stop_a_start(tmp_path: Path) -> None:
    with opened(tmp_path) as audit:
        audit.answered(given_("1"), ANSWER, 1.79e9)
        audit.answered(given_("2"), ANSWER, 1.79e9)
        first, second = lines(audit)
    audit.path.write_bytes(first + b"\n" + second.replace(b'"n":2', b'"n":x') + b"\n")
    with opened(tmp_path) as audit:
        audit.answered(given_("3"), ANSWER, 1.79e9)
        assert chain.verify(lines(audit)).breaks[0].line == 2


def test_recent_results_are_found_again(tmp_path: Path) -> None:
    with opened(tmp_path) as audit:
        audit.answered(given_("old"), ANSWER, 1.79e9 - 1000)
        audit.answered(given_("plan", dry_run=True), ANSWER, 1.79e9)
        audit.answered(given_("new"), ANSWER, 1.79e9)
        assert audit.settled(1.79e9) == {"new": ("applied", "", "", 4)}


def test_a_full_disk_costs_records_not_answers(tmp_path: Path) -> None:
    with opened(tmp_path) as audit:
        audit.answered(given_("1"), ANSWER, 1.79e9)
        before = audit.path.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
        try:
            audit.answered(given_("2"), ANSWER, 1.79e9)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (audit.failed, audit.path.read_bytes()) == (1, before)
        audit.answered(given_("3"), ANSWER, 1.79e9)
        assert chain.verify(lines(audit)).breaks == ()


def test_a_place_that_cannot_be_written_is_an_effect_error() -> None:
    with pytest.raises(EffectError, match=r"audit /proc/no/.*"):
        Audit(Path("/proc/no/such/place"), "lb1")


def test_k1_an_audit_that_cannot_be_read_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K1: who asks always hears; a file may be renamed just when it is to be read."""
    answers: list[Answer] = []

    class Door:
        async def reply(self, sender: bytes, answer: Answer) -> None:
            answers.append(answer)

    async def ask(audit: Audit) -> None:
        disk = StateDisk("/var/lib/remora")
        state = NodeState(parse(ONE_VIP, "test.toml"))
        dataplane = SimpleNamespace(fill=maglev.fill)
        questions = Questions(state, *cast(Any, (None, Door(), audit, dataplane)), disk=disk)
        command = Command(id="q", who="ann", action=ReadAudit())
        await questions.answer(Asked(command, b"L1"))
        await asyncio.gather(*questions._reading)
        await disk.close()

    def gone(first: int, count: int) -> AuditPart:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "audit.jsonl.1")

    with opened(tmp_path) as audit:
        monkeypatch.setattr(audit, "part", gone)
        asyncio.run(ask(audit))
    (answer,) = answers
    assert (answer.status, answer.error) == ("failed", "audit.jsonl.1: No such file or directory")
