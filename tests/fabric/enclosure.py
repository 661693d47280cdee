# SPDX-License-Identifier: Apache-2.0
"""Runs a command in private network, mount and process namespaces, and leaves nothing behind.

The fabric's network namespaces, links, BPF objects, mounts and daemons live inside and die with
it, whatever becomes of the command: the first process of a PID namespace takes all others with it.
Files are shared with the outside, so a console outside reaches the agents by the path of their
sockets, below `directory()`.  This module knows nothing of what runs inside.

Like `unshare --net --mount --pid --fork --kill-child --mount-proc`, but SIGTERM is passed on, and
the directory goes away even when this process is killed with SIGKILL.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_MARK = "REMORA_FABRIC"
_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)

_libc = ctypes.CDLL(None, use_errno=True)


class EnclosureError(Exception):
    """This machine or user cannot have private namespaces; the text says what to do."""


def directory() -> Path | None:
    """The enclosure's directory, or None outside of one."""
    path = os.environ.get(_MARK)
    return Path(path) if path else None


def run(command: Sequence[str]) -> int:
    """Run `command` inside; returns its exit status (128 + signal when a signal ended it)."""
    if os.geteuid() != 0:
        raise EnclosureError("namespaces and BPF need root: run it with sudo")
    # A socket path has room for about 100 bytes: a long TMPDIR must not use them up.
    place = Path(tempfile.mkdtemp(prefix="remora-fabric-", dir="/tmp"))
    place.chmod(0o755)
    sweeper, alive = _start_sweeper(place)
    _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET), "unshare")
    first = os.fork()
    if first == 0:
        _be_first(command, place)
    # The terminal sends SIGINT to the command as well, which decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = _wait_passing_signals(first)
    os.close(alive)
    os.waitpid(sweeper, 0)
    return status


def _start_sweeper(place: Path) -> tuple[int, int]:
    """A process that removes `place` once nobody holds the returned descriptor any more."""
    reader, writer = os.pipe()
    sweeper = os.fork()
    if sweeper:
        os.close(reader)
        return sweeper, writer
    os.setsid()
    os.close(writer)
    os.read(reader, 1)
    deadline = time.monotonic() + 5
    # When the enclosure was killed its processes may still be writing for a moment.
    while place.exists() and time.monotonic() < deadline:
        shutil.rmtree(place, ignore_errors=True)
        time.sleep(0.02)
    os._exit(0)


def _be_first(command: Sequence[str], place: Path) -> None:
    """The first process of the PID namespace: mounts, starts the command, reaps orphans."""
    try:
        _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
        _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
        _mount("proc", "/proc", "proc")
        _furnish(place)
        pid = os.fork()
        if pid == 0:
            os.execvp(command[0], list(command))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os._exit(_wait_passing_signals(pid))
    except (OSError, EnclosureError, subprocess.CalledProcessError) as error:
        print(f"enclosure: {error}", file=sys.stderr)
        os._exit(1)


def nest(name: str) -> None:
    """Moves this process into a room of its own within the enclosure, side by side with others:
    network, names of namespaces, bpffs, `directory()`."""
    outer = directory()
    assert outer is not None, "only inside an enclosure"
    place = outer / name
    place.mkdir()
    _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET), "unshare")
    _furnish(place)


def _furnish(place: Path) -> None:
    """What this process and its children find in fresh network and mount namespaces."""
    # `ip netns` keeps its names in /run/netns; the host's /run is none of our business.
    _mount("tmpfs", "/run", "tmpfs", options="mode=755")
    # Not below /sys: `ip netns exec` mounts a fresh one over it.
    bpffs = place / "bpffs"
    bpffs.mkdir()
    _mount("bpf", str(bpffs), "bpf", options="mode=700")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ[_MARK] = str(place)


def _mount(
    source: str, target: str, kind: str | None, flags: int = 0, *, options: str | None = None
) -> None:
    encoded = [text.encode() if text is not None else None for text in (source, target, kind)]
    words = options.encode() if options else None
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), words), f"mount of {target}")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise EnclosureError(
            f"{what} failed: {os.strerror(number)}; in a container, run it privileged"
        )


def _wait_passing_signals(pid: int) -> int:
    """Wait for `pid`, reaping whatever else ends; SIGTERM and SIGHUP go on to it."""

    def pass_on(number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    while True:
        ended, status = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except EnclosureError as error:
        sys.exit(f"enclosure: {error}")
