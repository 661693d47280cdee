# SPDX-License-Identifier: Apache-2.0
"""The console as a process on a pseudo-terminal: how it fails, leaves and comes back."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.tui import crash

ROOT = Path(__file__).parents[2]
RESTORED = b"\x1b[?1049l"
RUN = """\
import sys
from console.tui import app
from console.settings import Settings
{change}
sys.exit(app.run(Settings(("ipc://{place}/lb1",), "lab"), "test@here"))
"""
FAILING = """\
def draw(self, view):
    password = "hunter2-" + "x" * 3
    raise LookupError("no such row")
app.FleetScreen.draw = draw
"""


class Process:
    """A program on a pseudo-terminal of 80x24."""

    def __init__(self, code: str, place: Path) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.seen = b""
        self.child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env={**os.environ, "XDG_STATE_HOME": str(place / "state")},
            start_new_session=True,
        )
        self.slave = slave

    def read(self, seconds: float) -> bytes:
        """What comes in that time, at most 64 KiB."""
        if not select.select([self.master], [], [], seconds)[0]:
            return b""
        new = os.read(self.master, 65536)
        self.seen += new
        return new

    def sees(self, text: bytes) -> None:
        deadline = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < deadline, f"never: {text!r} in {self.seen[-2000:]!r}"
            self.read(0.1)

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def hang_up(self) -> None:
        os.close(self.slave)
        os.close(self.master)
        self.slave = self.master = -1

    def ended(self) -> int:
        deadline = time.monotonic() + 60
        while (code := self.child.poll()) is None:
            assert time.monotonic() < deadline, f"still there; it wrote {self.seen[-500:]!r}"
            if self.master >= 0:
                self.read(0.05)
        while self.master >= 0 and self.read(0.1):
            pass
        return code

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.kill()
            self.child.wait()
        for descriptor in (self.master, self.slave):
            if descriptor >= 0:
                os.close(descriptor)


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def make(change: str = "") -> Process:
        process = Process(RUN.format(change=change, place=tmp_path), tmp_path)
        started.append(process)
        return process

    yield make
    for process in started:
        process.close()


def test_a_failure_is_one_line_and_a_report_without_values(start: Start, tmp_path: Path) -> None:
    process = start(FAILING)
    assert process.ended() == 1
    screen, _, after = process.seen.rpartition(RESTORED)
    assert screen, "the terminal is as it was"
    assert termios.tcgetattr(process.slave) == process.before
    words = after.decode()[after.decode().index("remora:") :]
    assert words.count("\n") == 1, f"one line, not {words!r}"
    assert "the nodes did not: LookupError: no such row; report: " in words
    report = Path(words.strip().rpartition("report: ")[2])
    assert report.parent == tmp_path / "state" / "remora"
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    text = report.read_text()
    assert 'raise LookupError("no such row")' in text or "in draw" in text
    assert "textual" in text
    assert "hunter2-xxx" not in text


def test_it_leaves_when_the_terminal_is_gone(start: Start) -> None:
    """Also where no SIGHUP comes: reading from a dead terminal would eat a processor."""
    process = start("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    process.sees(b"Fleet")
    process.hang_up()
    assert process.ended() == 1


def test_a_terminal_that_another_program_left_non_blocking(start: Start) -> None:
    """What its buffer does not take would be lost; it is mended, and all drawn again."""
    process = start("import os; os.set_blocking(2, False)")
    process.sees(b"quit")
    assert os.get_blocking(process.slave)
    while process.read(0.2):
        pass
    process.seen = b""
    os.set_blocking(process.slave, False)
    process.sees(b"quit")
    assert os.get_blocking(process.slave)
    process.press(b"q")
    assert process.ended() == 0


def test_a_termination_restores_the_terminal(start: Start) -> None:
    process = start()
    process.sees(b"Fleet")
    process.child.send_signal(signal.SIGTERM)
    assert process.ended() == 130
    assert RESTORED in process.seen
    assert termios.tcgetattr(process.slave) == process.before


@pytest.mark.parametrize("stop", [signal.SIGTSTP, signal.SIGSTOP], ids=["tstp", "stop"])
def test_after_a_stop_everything_is_drawn_again(start: Start, stop: signal.Signals) -> None:
    """The shell has used the terminal meanwhile; keys still work once, and the way out too."""
    process = start()
    process.sees(b"quit")
    process.child.send_signal(stop)
    deadline = time.monotonic() + 60
    # Its last words go to the terminal first: who does not read them would wait for ever.
    while not os.waitid(os.P_PID, process.child.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG):
        assert time.monotonic() < deadline, "it was never stopped"
        process.read(0.05)
    while process.read(0.2):
        pass
    process.seen = b""
    process.child.send_signal(signal.SIGCONT)
    process.sees(b"Fleet")
    process.sees(b"quit")
    process.press(b"q")
    assert process.ended() == 0
    assert termios.tcgetattr(process.slave) == process.before


def test_a_report_finds_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory that cannot be made is no reason to lose it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    blocked = tmp_path / "file"
    blocked.write_text("")
    report = crash.write("Traceback\nLookupError: x\n", {"XDG_STATE_HOME": str(blocked)})
    assert report.parent.parent == tmp_path
    assert report.read_text().endswith("LookupError: x\n")


def test_what_is_copied_is_kept_whatever_the_locale(tmp_path: Path) -> None:
    """`c` on a row with a sparkline where the locale is ASCII: no crash, and the row as it is."""
    program = "from console.tui.files import kept_copy; print(kept_copy('web \\u2583 \\u25cf up'))"
    legacy = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **legacy, "XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_text(encoding="utf-8") == "web \u2583 \u25cf up\n"
