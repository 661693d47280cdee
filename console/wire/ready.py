# SPDX-License-Identifier: Apache-2.0
"""Which of many ZeroMQ sockets may have something: the kernel is asked once, not every socket.

`zmq_poll` looks into each socket at every call, which for 500 agents is half of what the console
does.  A socket's descriptor (ZMQ_FD) is readable while it has anything to see to, and stays so
until the socket was read to the end; what a send or a subscription saw to in passing is signalled
no more, so that such a socket is looked at without having asked (zmq_getsockopt(3)).
"""

from __future__ import annotations

import select
from collections.abc import Callable

import zmq

Socket = zmq.Socket[bytes]


class Ready:
    """Every reader must read its socket until there is nothing more."""

    def __init__(self, woken: int) -> None:
        """`woken` is a pipe's end: readable when the caller has something to do besides."""
        self._epoll = select.epoll()
        self._epoll.register(woken, select.EPOLLIN)
        self._readers: dict[int, Callable[[], None]] = {}
        self._touched: dict[int, None] = {}
        self._soon = False

    def read(self, socket: Socket, reader: Callable[[], None]) -> None:
        self._readers[socket.fileno()] = reader
        self._epoll.register(socket.fileno(), select.EPOLLIN)
        self.touch(socket)

    def touch(self, socket: Socket, *, soon: bool = True) -> None:
        """Something else than reading was done with it: it is looked at next time, or `soon`."""
        self._touched[socket.fileno()] = None
        self._soon |= soon

    def wait(self, seconds: float | None) -> bool:
        """Reads what there is, else waits for it; True when `woken` was among it."""
        waits, self._soon = 0.0 if self._soon else seconds, False
        ready = [number for number, _ in self._epoll.poll(waits)]
        wanted = dict.fromkeys((*ready, *self._touched))
        self._touched.clear()
        for number in wanted:
            if number in self._readers:
                self._readers[number]()
        return any(number not in self._readers for number in ready)

    def close(self) -> None:
        self._epoll.close()
