# SPDX-License-Identifier: Apache-2.0
"""The journal survives what disks and power cuts do."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.boundary import EffectError, Remember
from agent.nouns import Override
from agent.records import journal as module
from agent.records.journal import Journal, recall
from agent.records.recollection import Recalled
from shared.messages import Command, Drain
from shared.model import Admin

DRAINED = Override("web", "10.3.1.2", Admin.DRAINING, None)
BACK = Override("web", "10.3.1.2", Admin.ENABLED, None)
HEAVY = Override("web", "10.3.2.2", Admin.ENABLED, 300)
COMMAND = Command(id="7", who="ann@jump", action=Drain(real="10.3.1.2", vip="web"), why="INC-7")


def entry(revision: int, *overrides: Override) -> Remember:
    return Remember(COMMAND, "applied", revision, overrides)


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(directory / "journal.jsonl")) as journal:
        yield journal


def test_recalls_the_last_word_on_each_real(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as journal:
        journal.write(entry(1, DRAINED, HEAVY))
        journal.write(entry(2, BACK))
    with opened(tmp_path / "state") as journal:
        recalled = recall(journal.path)
    assert set(recalled.overrides) == {BACK, HEAVY}
    assert recalled.revision == 2
    assert recalled.damaged == ()


def test_says_who_what_when_why_and_the_result(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.write(entry(1, DRAINED))
    line = json.loads(journal.path.read_text())
    assert line["who"] == "ann@jump"
    assert line["what"] == "drain real/10.3.1.2@web"
    assert line["why"] == "INC-7"
    assert line["result"] == "applied"
    assert line["at"] > 1e9


def test_torn_last_line_costs_only_itself(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.write(entry(1, DRAINED))
        journal.write(entry(2, HEAVY))
    journal.path.write_bytes(journal.path.read_bytes()[:-20])
    with opened(tmp_path) as journal:
        journal.write(entry(3, HEAVY))
        recalled = recall(journal.path)
    assert recalled.damaged == (2,)
    assert set(recalled.overrides) == {DRAINED, HEAVY}
    assert recalled.revision == 3


def test_damaged_line_is_named_and_passed_over(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.write(entry(1, DRAINED))
        with journal.path.open("ab") as file:
            file.write(b'\xff\xfe{"nonsense"\n[]\n{"overrides": 3, "revision": 1}\n')
        journal.write(entry(2, HEAVY))
        recalled = recall(journal.path)
    assert recalled.damaged == (2, 3, 4)
    assert set(recalled.overrides) == {DRAINED, HEAVY}


def test_a_place_that_cannot_be_written_is_an_effect_error() -> None:
    with pytest.raises(EffectError, match=r"journal /proc/no/.*"):
        Journal(Path("/proc/no/such/place"))


def test_no_journal_yet_is_an_empty_one(tmp_path: Path) -> None:
    assert recall(tmp_path / "none") == Recalled((), 0, ())


def test_k5_half_a_line_is_taken_back(tmp_path: Path) -> None:
    """K5: a disk that takes a part of the line refuses the command, and no trace of it stays."""
    with opened(tmp_path) as journal:
        journal.write(entry(1, DRAINED))
        before = journal.path.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
        try:
            with pytest.raises(EffectError, match=r"journal .*: the disk is full"):
                journal.write(entry(2, HEAVY))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert journal.path.read_bytes() == before
        journal.write(entry(2, HEAVY))
        assert recall(journal.path).revision == 2


def test_k5_a_new_file_needs_nothing_that_could_fail_when_the_old_one_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next command would end the agent: out of descriptors the new one is not opened."""
    monkeypatch.setattr(module, "LARGEST", 1)
    open_ = Path.open

    def refusing(path: Path, *args: Any, **words: Any) -> Any:  # noqa: ANN401
        if path.name == "journal.jsonl":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return open_(path, *args, **words)

    with opened(tmp_path) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refusing)
            patch.setattr(Path, "read_bytes", lambda path: os.read(os.open(path, 0), 1 << 20))
            journal.write(entry(1, DRAINED))
            journal.write(entry(2, HEAVY))
        journal.write(entry(3))
        recalled = recall(journal.path)
    assert (recalled.revision, set(recalled.overrides)) == (3, {DRAINED, HEAVY})
    assert (tmp_path / "journal.jsonl.1").exists()
