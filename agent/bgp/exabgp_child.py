# SPDX-License-Identifier: Apache-2.0
"""ExaBGP as a process: started, adopted, watched and ended.  What it says is speaker.py's.

It must be able to outlive us, so it is no subprocess of asyncio's: one that we adopted and one that
we started are watched alike, by pidfd.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from agent.bgp.text import mark
from agent.boundary import EffectError

log = logging.getLogger("remora.bgp")

RESPAWN = 1.0
"""Seconds between ExaBGP's death and the next one."""
LARGEST_LOG = 4 << 20

# ExaBGP's own settings: no user change (the bridge's socket is root's), no command pipe of its own,
# log to us.  Graceful restart stays off: with it a route outlives its speaker by the restart time.
SETTINGS = {
    "exabgp_daemon_drop": "false",
    "exabgp_daemon_user": "root",
    "exabgp_api_cli": "false",
    "exabgp_api_ack": "true",
    "exabgp_log_destination": "stderr",
    "exabgp_log_level": "INFO",
    "exabgp_log_short": "true",
    "exabgp_log_statistics": "false",
}


class Child:
    """One ExaBGP of a run directory.  `died` is called when it ended by itself."""

    def __init__(self, run_dir: Path, died: Callable[[], None]) -> None:
        self.log = run_dir / "exabgp.log"
        self._conf = run_dir / "exabgp.conf"
        self._pid_file = run_dir / "exabgp.pid"
        self._died = died
        self._pidfd = -1
        self._ending = False

    @property
    def lives(self) -> bool:
        return self._pidfd >= 0

    async def start(self, text: str) -> None:
        """Adopt the one that a former agent left with these sessions, or start one.

        Raises EffectError.
        """
        left = self._left_behind()
        if left is not None and self._conf.exists() and mark(self._conf.read_text()) == mark(text):
            log.info("exabgp adopted pid=%d", left)
            self.write_config(text)  # for its successor: the bridge may be in another place now
            self._watch(left)
            return
        if left is not None:
            log.info("exabgp replaced: its config changed pid=%d", left)
            await _end(os.pidfd_open(left), signal.SIGTERM)
        self.write_config(text)
        self._spawn()

    def write_config(self, text: str) -> None:
        """For the next start or reload.  It may hold passwords.  Raises EffectError."""
        fresh = self._conf.with_suffix(".new")
        try:
            fresh.unlink(missing_ok=True)
            fresh.touch(mode=0o600)
            fresh.write_text(text)
            fresh.rename(self._conf)
        except OSError as error:
            raise EffectError(f"{self._conf}: cannot be written: {error.strerror}") from error

    async def end(self) -> None:
        self._ending = True
        if self.lives:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            await _end(self._pidfd, signal.SIGTERM)
            self._pidfd = -1
        self._pid_file.unlink(missing_ok=True)

    def leave(self) -> None:
        """Let go of it: the next agent adopts it."""
        self._ending = True
        if self.lives:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def trim_log(self) -> None:
        """ExaBGP appends to its log for as long as it lives: what is too much goes to `.1`."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > LARGEST_LOG:
                import shutil  # noqa: PLC0415  # half a MiB, with bz2 and lzma

                shutil.copyfile(self.log, self.log.with_name(f"{self.log.name}.1"))
                os.truncate(self.log, 0)

    def _left_behind(self) -> int | None:
        """The pid of a running ExaBGP of this node, if a former agent left one."""
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self._conf).encode() in command else None

    def _spawn(self) -> None:
        program, *words = _program()
        with self.log.open("ab") as output:
            pid = os.posix_spawn(
                program,
                [program, *words, "server", str(self._conf)],
                {**os.environ, **SETTINGS},
                setsid=True,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
                ],
            )
        self._pid_file.write_text(f"{pid}\n")
        self._watch(pid)
        log.info("exabgp started pid=%d", pid)

    def _watch(self, pid: int) -> None:
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_death)

    def _on_death(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        _reap(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        log.warning("exabgp died, its routes are gone; next one in %g s", RESPAWN)
        self._died()
        if not self._ending:
            loop.call_later(RESPAWN, self._respawn)

    def _respawn(self) -> None:
        if self._ending:
            return
        try:
            self._spawn()
        except (EffectError, OSError) as error:
            log.error("exabgp cannot be started: %s", error)  # noqa: TRY400  # the text says it all
            asyncio.get_running_loop().call_later(RESPAWN, self._respawn)


def _program() -> list[str]:
    """By our launcher if ExaBGP is in our own environment, as it came otherwise."""
    if importlib.util.find_spec("exabgp"):
        return [sys.executable, "-I", str(Path(__file__).with_name("exabgp_launch.py"))]
    import shutil  # noqa: PLC0415

    program = shutil.which("exabgp")
    if program is None:
        raise EffectError("exabgp: not found; install remora with its `agent` extra")
    return [program]


def _reap(pidfd: int) -> None:
    with contextlib.suppress(ChildProcessError):  # adopted: not our child
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)


async def _end(pidfd: int, how: signal.Signals) -> None:
    """Signal a process and wait for its end; after three seconds it is killed."""
    loop = asyncio.get_running_loop()
    dead = asyncio.Event()
    loop.add_reader(pidfd, dead.set)
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, how)
        try:
            await asyncio.wait_for(dead.wait(), 3)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await dead.wait()
        _reap(pidfd)
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
