# SPDX-License-Identifier: Apache-2.0
"""`r`: what the console gets goes into a file as well, until `r` again; the file is a recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.tui.files import NotWrittenError, new_file
from console.wire.recorder import Recorder
from shared import recording
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet, dropped
from tests.tui.test_plan import console, sees
from tests.tui.test_screens import painted


async def test_r_records_every_topic_and_says_where_and_how_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("console.wire.recorder.BLOCK", 0.05)
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one:
        async with console(one) as (app, pilot):
            await sees(pilot, "● up")
            await pilot.press("r")
            await sees(pilot, "recording to", "REC ")
            recorder = app.recorder
            assert recorder is not None
            for _ in range(3):
                one.tick()
                await pilot.pause()
            one.publish(one.fleet.event(0, 3, dropped()))
            await sees(pilot, "kB  LIVE")
            await pilot.press("4", "tab")
            await sees(pilot, "192.0.2.9")
            await pilot.press("r")
            await sees(pilot, "recorded ", " messages")
            assert "REC" not in painted(app, "#header")
            assert app.recorder is None
    with recorder.path.open("rb") as source:
        kinds = {record.frames[0] for record in recording.read(source)}
    assert {b"node", b"vip", b"real", b"cpu", b"drop", b"event"} <= kinds


def test_a_full_disk_ends_it_and_is_said(tmp_path: Path) -> None:
    """Nothing of the console fails with it: the records are let go."""
    recorder = Recorder(tmp_path / "a.rec")
    recorder._file.close()
    recorder._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115  # closed by close
    recorder.put(recording.Record(1.0, "ipc:///x", (b"node",)))
    recorder.close()
    assert recorder.failed is not None
    assert recorder.written.records == 0


def test_a_place_that_takes_no_file_is_said_and_no_file_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    first = new_file(Recorder, "remora", "rec", 0.0, state)
    second = new_file(Recorder, "remora", "rec", 0.0, state)
    assert first.path.parent == tmp_path
    assert second.path.parent == tmp_path / "state" / "remora"
    with pytest.raises(NotWrittenError, match="File exists"):
        new_file(Recorder, "remora", "rec", 0.0, state)
    first.close()
    second.close()
