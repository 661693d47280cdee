# SPDX-License-Identifier: Apache-2.0
"""The journal survives what disks and power cuts do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.boundary import EffectError, Override, Remember
from agent.journal import Journal
from shared.messages import Command, Drain
from shared.model import Admin

DRAINED = Override("web", "10.3.1.2", Admin.DRAINING, None)
BACK = Override("web", "10.3.1.2", Admin.ENABLED, None)
HEAVY = Override("web", "10.3.2.2", Admin.ENABLED, 300)
COMMAND = Command(id="7", who="ann@jump", action=Drain(real="10.3.1.2", vip="web"), why="INC-7")


def entry(revision: int, *overrides: Override) -> Remember:
    return Remember(COMMAND, "applied", revision, overrides)


def test_recalls_the_last_word_on_each_real(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    journal.write(entry(1, DRAINED, HEAVY))
    journal.write(entry(2, BACK))
    journal.close()
    recalled = Journal(tmp_path / "state").recall()
    assert set(recalled.overrides) == {BACK, HEAVY}
    assert recalled.revision == 2
    assert recalled.damaged == ()


def test_says_who_what_when_why_and_the_result(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(entry(1, DRAINED))
    line = json.loads(journal.path.read_text())
    assert line["who"] == "ann@jump"
    assert line["what"] == "drain real/10.3.1.2@web"
    assert line["why"] == "INC-7"
    assert line["result"] == "applied"
    assert line["at"] > 1e9


def test_torn_last_line_costs_only_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(entry(1, DRAINED))
    journal.write(entry(2, HEAVY))
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-20])
    again = Journal(tmp_path)
    again.write(entry(3, HEAVY))
    recalled = again.recall()
    assert recalled.damaged == (2,)
    assert set(recalled.overrides) == {DRAINED, HEAVY}
    assert recalled.revision == 3


def test_damaged_line_is_named_and_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(entry(1, DRAINED))
    with journal.path.open("ab") as file:
        file.write(b'\xff\xfe{"nonsense"\n[]\n{"overrides": 3, "revision": 1}\n')
    journal.write(entry(2, HEAVY))
    recalled = journal.recall()
    assert recalled.damaged == (2, 3, 4)
    assert set(recalled.overrides) == {DRAINED, HEAVY}


def test_full_disk_is_an_effect_error_and_leaves_no_half_line() -> None:
    with pytest.raises(EffectError, match="journal"):
        Journal(Path("/proc/no/such/place"))


def test_a_write_that_fails_is_taken_back(tmp_path: Path) -> None:
    """/dev/full answers every write as a full disk does."""
    (tmp_path / "journal.jsonl").symlink_to("/dev/full")
    journal = Journal(tmp_path)
    with pytest.raises(EffectError, match=r"journal .*: No space left on device"):
        journal.write(entry(1, DRAINED))
