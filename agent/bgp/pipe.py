# SPDX-License-Identifier: Apache-2.0
"""The bridge that ExaBGP starts: joins ExaBGP's stdin/stdout to the agent's socket.

ExaBGP speaks only to processes that it forks, and it must outlive the agent: a crashed agent that
returns in time costs no route.  So this small process sits between: it reconnects to every new
agent and tells it, in a first line, which routes stand, which peers are up and which of them are
told no route (ExaBGP replays nothing).  When no agent has been there for `dead_man` seconds it ends
ExaBGP, which withdraws everything.

It must always read its stdin: an ExaBGP whose pipe is full misses its keepalives.
Standard library only, run with `python -I`: `pipe.py SOCKET DEAD_MAN`.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time

RECONNECT = 0.2
FROM_EXABGP, TO_EXABGP = 0, 1


class Bridge:
    """What the bridge remembers for the next agent, and the two streams."""

    def __init__(self, path: str, dead_man: float) -> None:
        self.path = path
        self.dead_man = dead_man
        self.routes: dict[str, str] = {}
        """Prefix -> the attributes that it stands with, as they were commanded."""
        self.peers: dict[str, str] = {}
        self.hushed: list[str] = []
        """Addresses of the peers that are told none of the routes."""
        self.agent: socket.socket | None = None
        self.left_at = time.monotonic()
        self.from_agent = b""
        self.from_exabgp = b""

    def run(self) -> None:
        while True:
            if self.agent is None:
                self.connect()
            streams = [FROM_EXABGP] + ([self.agent.fileno()] if self.agent else [])
            ready, _, _ = select.select(streams, [], [], None if self.agent else RECONNECT)
            if FROM_EXABGP in ready and not self.read_exabgp():
                return
            if self.agent is not None and self.agent.fileno() in ready:
                self.read_agent()
            if self.agent is None and self.alone_too_long():
                _write(TO_EXABGP, b"shutdown\n")
                return

    def alone_too_long(self) -> bool:
        return self.dead_man > 0 and time.monotonic() - self.left_at > self.dead_man

    def connect(self) -> None:
        agent = socket.socket(socket.AF_UNIX)
        try:
            agent.connect(self.path)
        except OSError:
            agent.close()
            return
        self.agent, self.from_agent = agent, b""
        hello = {
            "bridge": os.getppid(),
            "routes": self.routes,
            "peers": self.peers,
            "hushed": self.hushed,
        }
        self.tell_agent(json.dumps(hello).encode() + b"\n")

    def disconnect(self) -> None:
        if self.agent is not None:
            self.agent.close()
            self.agent, self.left_at = None, time.monotonic()

    def tell_agent(self, line: bytes) -> None:
        if self.agent is None:
            return
        try:
            self.agent.sendall(line)
        except OSError:
            self.disconnect()

    def read_exabgp(self) -> bool:
        """Pass events and acknowledgements on; False when ExaBGP closed the pipe."""
        read = os.read(FROM_EXABGP, 65536)
        *lines, self.from_exabgp = (self.from_exabgp + read).split(b"\n")
        for line in lines:
            self.note_peer(line)
            self.tell_agent(line + b"\n")
        return bool(read)

    def note_peer(self, line: bytes) -> None:
        if not line.startswith(b"{"):
            return
        try:
            event = json.loads(line)
            if event["type"] == "state":
                self.peers[event["neighbor"]["address"]["peer"]] = event["neighbor"]["state"]
        except (ValueError, KeyError, TypeError):
            return  # not an event of a peer

    def read_agent(self) -> None:
        """Only whole lines go to ExaBGP: half a command of a dying agent is dropped."""
        assert self.agent is not None
        try:
            read = self.agent.recv(65536)
        except OSError:
            read = b""
        if not read:
            self.disconnect()
            return
        *lines, self.from_agent = (self.from_agent + read).split(b"\n")
        for line in lines:
            if line.startswith(b"dead_man "):  # for us
                self.dead_man = float(line.split()[1])
                continue
            word, *rest = line.decode("ascii", "replace").split() or [""]
            if word in ("hushed", "gone"):  # so are these
                self.note_word(word, rest)
                continue
            self.note_route(line.decode("ascii", "replace"))
            _write(TO_EXABGP, line + b"\n")

    def note_word(self, word: str, rest: list[str]) -> None:
        if word == "hushed":
            self.hushed = rest
        for prefix in rest if word == "gone" else ():
            self.routes.pop(prefix, None)

    def note_route(self, line: str) -> None:
        """A route stands when it is announced, be it to some peers only; of one that is withdrawn
        from some, the agent says whether it is gone or stands for the others."""
        before, _, rest = line.partition(" route ")
        prefix, _, attributes = rest.partition(" ")
        if before.endswith("announce"):
            self.routes[prefix] = attributes
        elif before == "withdraw":
            self.routes.pop(prefix, None)


def _write(stream: int, content: bytes) -> None:
    while content:
        content = content[os.write(stream, content) :]


if __name__ == "__main__":
    Bridge(sys.argv[1], float(sys.argv[2])).run()
