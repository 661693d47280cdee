# SPDX-License-Identifier: Apache-2.0
"""What systemd wants to hear: states, the watchdog's pings, log lines with a priority.

By the protocols of sd_notify(3), sd_watchdog_enabled(3) and sd-daemon(3).
Without a supervisor nothing here does anything.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Mapping

from agent.host.logline import in_line

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
_LINE = "level=%(levelname)s part=%(name)s %(message)s"


def notify(state: str) -> None:
    """Tell the supervisor: one datagram to $NOTIFY_SOCKET."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor,
        contextlib.suppress(OSError),
    ):
        supervisor.sendto(state.encode(), address)


def watchdog(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds within which each `WATCHDOG=1` must follow the last; None: nobody waits for one."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None


class _Lines(logging.Formatter):
    """key=value; for the journal with the priority in front, which it takes off."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__(_LINE)
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        record.message = in_line(record.getMessage())
        line = self.formatMessage(record)
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        if not self._journal:
            return line
        priority = _PRIORITIES.get(record.levelno, 2)
        return "\n".join(f"<{priority}>{part}" for part in line.splitlines())


def log_to_stderr(level: int) -> None:
    """Everything that is logged, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(journal=_is_journal(sys.stderr.fileno())))
    logging.basicConfig(level=level, handlers=[handler])


def _is_journal(descriptor: int) -> bool:
    """$JOURNAL_STREAM names the stream that it is about: ours may have been redirected since."""
    there = os.fstat(descriptor)
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"
