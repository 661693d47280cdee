# SPDX-License-Identifier: Apache-2.0
"""Two TCP ports in a row that are free right now, for an agent's telemetry and commands."""

from __future__ import annotations

import itertools
import os
import socket

_FIRST = 20_000
_counted = itertools.count(os.getpid() * 7 % 5000)


def free_port() -> int:
    """The first of the two.  Below the range of which the kernel gives to clients."""
    for n in _counted:
        port = _FIRST + 2 * (n % 5000)
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError
