# SPDX-License-Identifier: Apache-2.0
"""One agent per run directory: the lock that says so, who holds it, how it is asked to leave."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

from agent.boundary import EffectError

HAND_OVER = signal.SIGUSR2
"""End, but leave routes and ExaBGP as they are: the next agent adopts them (as after a crash)."""
PATIENCE = 20.0
"""Seconds for a stop."""
LEFT_BEHIND = ("telemetry.sock", "command.sock", "bgp.sock", "exabgp.conf", "exabgp.log", "lock")


@contextlib.contextmanager
def only_one(run_dir: Path) -> Iterator[None]:
    """Hold the run directory's lock.  Raises EffectError when another agent holds it."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = (run_dir / "lock").open("a+")
    except OSError as error:
        raise EffectError(f"run_dir {run_dir}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EffectError(f"run_dir {run_dir}: another agent is running here") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def running(run_dir: Path) -> int | None:
    """The pid of the agent that holds the lock; None: there is none."""
    try:
        with (run_dir / "lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read().strip())
    except (FileNotFoundError, ValueError):
        return None
    return None


def end(run_dir: Path, how: signal.Signals) -> bool:
    """Ask the agent to end and wait for it; False: there is none.  Raises EffectError."""
    pid = running(run_dir)
    if pid is None:
        return False
    try:
        agent = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(agent, how)
        ended, _, _ = select.select([agent], [], [], PATIENCE)
    except OSError as error:
        raise EffectError(f"agent {pid}: {error.strerror}") from error
    finally:
        os.close(agent)
    if not ended:
        raise EffectError(f"agent {pid}: still there after {PATIENCE:g} s; see its log")
    return True


def tidy(run_dir: Path) -> None:
    """Take away what an agent that is gone for good leaves in its run directory."""
    for name in LEFT_BEHIND:
        (run_dir / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something of somebody else's
        run_dir.rmdir()
