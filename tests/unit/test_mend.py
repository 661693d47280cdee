# SPDX-License-Identifier: Apache-2.0
"""`preflight --fix` and `--undo`: what was before is on disk before anything changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.preflight import apply, ethtool, mend, settings
from agent.preflight.findings import Finding, Level, mended
from agent.preflight.settings import Change, Done, Kind, Setting


class Machine:
    """Files that stand for /proc and /sys."""

    def __init__(self, place: Path) -> None:
        self.place, self.state = place / "sys", place / "state"
        self.place.mkdir()

    def put(self, name: str, value: str) -> Setting:
        (self.place / name).write_text(value + "\n")
        return Setting(Kind.FILE, str(self.place / name))

    def get(self, setting: Setting) -> str:
        return apply.read(setting)

    def record(self) -> list[tuple[str, str, str]]:
        found = json.loads((self.state / mend.RECORD).read_text())
        return [(Path(e["where"]).name, e["before"], e["after"]) for e in found["changes"]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def finding(*changes: Change) -> Finding:
    return mended("rp_filter", "eth0", Level.NOTE, "strict", "because", *changes)


def test_a_feature_of_which_the_driver_says_nothing_now_is_no_traceback(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the record is set back all the same."""
    said = {"rx-lro": True}
    monkeypatch.setattr(ethtool, "features", lambda interface: said)
    monkeypatch.setattr(
        ethtool, "set_feature", lambda interface, name, *, on: said.update({name: on})
    )
    monkeypatch.setattr(apply, "attached", lambda index: None)
    a = machine.put("a", "1")
    mend.fix([finding(Change(a, "2"), settings.feature_off("lo", "rx-lro"))], machine.state)
    assert said == {"rx-lro": False}
    said.clear()
    (silent,) = mend.fix([finding(settings.feature_off("lo", "rx-lro"))], machine.state)
    assert silent.failed == "the driver says nothing of rx-lro"
    feature, file = mend.undo(machine.state)
    assert (feature.failed, file.changed) == ("the driver says nothing of rx-lro", True)
    assert machine.get(a) == "1"


def test_a_machine_without_proc_is_not_mended(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mend, "_BOOT", tmp_path / "boot_id")
    with pytest.raises(mend.MendError, match="boot_id: No such file or directory"):
        mend.fix([finding(Change(machine.put("a", "1"), "2"))], machine.state)


def test_what_is_set_is_set_back_newest_first(machine: Machine) -> None:
    a, b = machine.put("a", "1"), machine.put("b", "0-3")
    done = mend.fix([finding(Change(a, "2"), Change(b, "0"))], machine.state)
    assert [(one.before, one.after, one.failed) for one in done] == [
        ("1", "2", ""),
        ("0-3", "0", ""),
    ]
    assert (machine.get(a), machine.get(b)) == ("2", "0")
    assert machine.record() == [("a", "1", "2"), ("b", "0-3", "0")]
    back = mend.undo(machine.state)
    assert [one.setting for one in back] == [b, a]
    assert all(one.changed for one in back)
    assert (machine.get(a), machine.get(b)) == ("1", "0-3")
    assert list(machine.state.iterdir()) == [], "no record of nothing"
    assert mend.undo(machine.state) == []


def test_twice_fixed_goes_back_to_what_was_before_the_first(machine: Machine) -> None:
    a = machine.put("a", "1")
    mend.fix([finding(Change(a, "2"))], machine.state)
    (same,) = mend.fix([finding(Change(a, "2"))], machine.state)
    assert same.said == "is so already"
    mend.fix([finding(Change(a, "3"))], machine.state)
    assert machine.record() == [("a", "1", "3")]
    mend.undo(machine.state)
    assert machine.get(a) == "1"


def test_what_somebody_else_has_set_since_is_left_alone(machine: Machine) -> None:
    a, b, c = machine.put("a", "1"), machine.put("b", "1"), machine.put("c", "1")
    mend.fix([finding(Change(a, "2"), Change(b, "2"), Change(c, "2"))], machine.state)
    machine.put("a", "7")
    machine.put("b", "1")
    Path(c.where).unlink()
    gone, same, other = mend.undo(machine.state)
    assert (gone.said, gone.failed) == ("is gone", "")
    assert (same.said, same.after) == ("", "1")
    assert "before it was 1" in other.said
    assert machine.get(a) == "7"
    assert not (machine.state / mend.RECORD).exists()


def test_one_that_is_refused_leaves_the_others_and_no_trace(machine: Machine) -> None:
    a, missing = machine.put("a", "1"), Setting(Kind.FILE, str(machine.place / "no" / "file"))
    refused, done = mend.fix([finding(Change(missing, "2"), Change(a, "2"))], machine.state)
    assert "No such file" in refused.failed
    assert done.changed
    assert machine.record() == [("a", "1", "2")]


def test_the_record_is_there_before_the_change(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it ends (here: at the moment of the change), undo knows; and one that was not made
    is no harm."""
    a = machine.put("a", "1")

    def die(_: Change) -> None:
        assert machine.record() == [("a", "1", "2")]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(apply, "write", die)
        with pytest.raises(KeyboardInterrupt):
            mend.fix([finding(Change(a, "2"))], machine.state)
    assert machine.record() == [("a", "1", "2")]
    (back,) = mend.undo(machine.state)
    assert (back.after, machine.get(a)) == ("1", "1")


def test_a_half_written_record_is_never_the_record(machine: Machine) -> None:
    a = machine.put("a", "1")
    mend.fix([finding(Change(a, "2"))], machine.state)
    (machine.state / mend.RECORD).with_suffix(".new").write_bytes(b'{"v":1,"bo')
    mend.undo(machine.state)
    assert machine.get(a) == "1"


def test_nothing_is_set_that_could_not_be_set_back(machine: Machine, tmp_path: Path) -> None:
    a, file = machine.put("a", "1"), tmp_path / "file"
    file.touch()
    with pytest.raises(mend.MendError, match="Not a directory; what cannot be undone is not done"):
        mend.fix([finding(Change(a, "2"))], file / "below")
    machine.state.mkdir()
    (machine.state / mend.RECORD).with_suffix(".new").mkdir()  # cannot be written
    with pytest.raises(mend.MendError, match="what cannot be undone is not done"):
        mend.fix([finding(Change(a, "2"))], machine.state)
    assert machine.get(a) == "1"


@pytest.mark.parametrize("content", ["", "{", '{"v":1}', '{"v":2,"boot":"","changes":[]}'])
def test_a_damaged_record_is_said_and_stops_everything(machine: Machine, content: str) -> None:
    a = machine.put("a", "1")
    machine.state.mkdir()
    (machine.state / mend.RECORD).write_text(content)
    with pytest.raises(mend.MendError, match=r"undo\.json: cannot be read .* remove it"):
        mend.fix([finding(Change(a, "2"))], machine.state)
    with pytest.raises(mend.MendError, match="cannot be read"):
        mend.undo(machine.state)
    assert machine.get(a) == "1"


def test_a_record_of_an_earlier_boot_is_of_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Settings do not outlive a boot: what has the value by now was set by somebody else."""
    a, boot = machine.put("a", "1"), tmp_path / "boot_id"
    boot.write_text("one\n")
    monkeypatch.setattr(mend, "_BOOT", boot)
    mend.fix([finding(Change(a, "2"))], machine.state)
    boot.write_text("two\n")
    assert mend.undo(machine.state) == []
    assert machine.get(a) == "2"
    assert not (machine.state / mend.RECORD).exists()
    mend.fix([finding(Change(a, "3"))], machine.state)
    assert machine.record() == [("a", "2", "3")]


def test_two_at_once_are_refused(machine: Machine) -> None:
    a = machine.put("a", "1")
    machine.state.mkdir()
    code = f"""
import fcntl, os, sys
fcntl.flock(os.open({str(machine.state)!r}, os.O_RDONLY), fcntl.LOCK_EX)
print("mine", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(mend.MendError, match="another preflight sets or undoes"):
            mend.fix([finding(Change(a, "2"))], machine.state)
        other.communicate()
    assert mend.fix([finding(Change(a, "2"))], machine.state)[0].changed


def test_nothing_to_do_needs_no_directory(tmp_path: Path) -> None:
    calm = Finding("mtu", "eth0", Level.FAIL, "1400", "because", "ip link set dev eth0 mtu 1600")
    assert mend.fix([calm], tmp_path / "state") == []
    assert mend.undo(tmp_path / "state") == []
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize(
    ("change", "command"),
    [
        (settings.ipv4_of("eth0", "rp_filter", 2), "sysctl -w net.ipv4.conf.eth0.rp_filter=2"),
        (settings.ipv4_of("eth0.7", "rp_filter", 2), "sysctl -w net.ipv4.conf.eth0/7.rp_filter=2"),
        (settings.pin(41, 3), "echo 3 > /proc/irq/41/smp_affinity_list"),
        (settings.queues("eth0", "combined", 8), "ethtool -L eth0 combined 8"),
        (settings.ring("eth0", "rx", 1024), "ethtool -G eth0 rx 1024"),
        (settings.feature_off("eth0", "rx-lro"), "ethtool -K eth0 rx-lro off"),
        (settings.address("lo", "10.200.0.1/32"), "ip addr add 10.200.0.1/32 dev lo"),
    ],
)
def test_each_change_has_the_command_that_does_the_same(change: Change, command: str) -> None:
    assert change.command == command


def test_what_was_done_in_words() -> None:
    eth0 = settings.ipv4_of("eth0", "rp_filter", 2).setting
    done = [Done("rp_filter", eth0, "1", "2"), Done("rx-queues", eth0, "1", "1", failed="busy"),
            Done("jit", eth0, "1", "1", "is so already")]  # fmt: skip
    text = settings.as_text(done, "set", "until the next boot")
    assert [line.split()[0] for line in text.splitlines()] == ["done", "fail", "note", "1"]
    assert text.endswith("1 of 3 set; until the next boot")
    assert json.loads(json.dumps(settings.as_json(done)))[1]["failed"] == "busy"
