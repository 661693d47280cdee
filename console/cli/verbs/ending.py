# SPDX-License-Identifier: Apache-2.0
"""A verb that must not leave things as they are when it is ended: a trace, a rollout."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

GONE = (signal.SIGTERM, signal.SIGHUP)
"""`timeout 10 remora ...`, and an ssh session that broke."""


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Those are KeyboardInterrupt, too; a signal that was ignored before (nohup) stays so."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in GONE}
    for number, was in before.items():
        if was is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)
