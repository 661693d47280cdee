# SPDX-License-Identifier: Apache-2.0
"""ExaBGP as a child, steered through its bridge (bgp_pipe.py).

The set of routes is declared; this side knows what ExaBGP holds (the bridge tells it on every
connection) and sends the difference, so nothing is announced twice and nothing is forgotten after a
restart of either side.  ExaBGP outlives a crashed agent: the next one adopts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from agent import bgp_pipe, bgp_text
from agent.bgp_table import Bgp
from agent.boundary import EffectError, PeerChanged
from agent.maglev import Address
from agent.nouns import Route

log = logging.getLogger("remora.bgp")

RESPAWN = 1.0
"""Seconds between ExaBGP's death and the next one."""
WITHDRAW = 2.0
"""Seconds that a clean stop gives ExaBGP to acknowledge the withdrawals."""
LONGEST_LINE = 1 << 20
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


class Speaker:
    """The node's BGP.  advertise() may be called at any time; it is sent as soon as it can be."""

    def __init__(self, listed: Bgp, run_dir: Path, tell: Callable[[PeerChanged], None]) -> None:
        self._listed = listed
        self._socket = run_dir / "bgp.sock"
        self._conf = run_dir / "exabgp.conf"
        self._pid_file = run_dir / "exabgp.pid"
        self._log = run_dir / "exabgp.log"
        self._tell = tell
        self._wanted: dict[str, str] = {}
        """Prefix -> attributes, as ExaBGP's commands have them."""
        self._standing: dict[str, str] | None = None
        """What ExaBGP holds; None: no bridge is connected."""
        self._bridge: asyncio.StreamWriter | None = None
        self._unanswered: deque[tuple[str, str]] = deque()
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self._server: asyncio.Server | None = None
        self._pidfd = -1
        self._stopping = False

    async def start(self) -> None:
        """Adopt the ExaBGP that a former agent left, or start one.  Raises EffectError."""
        self._socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._on_bridge, self._socket, limit=LONGEST_LINE
        )
        bridge = f"{sys.executable} -I {bgp_pipe.__file__} {self._socket} {self._listed.dead_man:g}"
        text = bgp_text.config(self._listed, bridge)
        left = self._left_behind()
        if left is not None and self._conf.exists() and self._conf.read_text() == text:
            log.info("exabgp adopted pid=%d", left)
            self._watch(left)
            return
        if left is not None:
            log.info("exabgp replaced: its config changed pid=%d", left)
            await _end(os.pidfd_open(left), signal.SIGTERM)
        self._write_config(text)
        self._spawn()

    def advertise(self, routes: Mapping[Address, Route]) -> None:
        self._wanted = {
            bgp_text.prefix(address, route.length): bgp_text.attributes(
                self._listed, route, address.version
            )
            for address, route in sorted(routes.items(), key=lambda item: _order(item[0]))
        }
        self._send_difference()

    async def stop(self) -> None:
        """Withdraw everything, then end ExaBGP."""
        self._stopping = True
        self.advertise({})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_answered.wait(), WITHDRAW)
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            await _end(self._pidfd, signal.SIGTERM)
            self._pidfd = -1
        self._pid_file.unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()
        if self._bridge is not None:
            self._bridge.close()

    async def leave(self) -> None:
        """Let go of ExaBGP, which announces on: the next agent adopts it."""
        self._stopping = True
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._server is not None:
            self._server.close()
        if self._bridge is not None:
            self._bridge.close()

    def trim_log(self) -> None:
        """ExaBGP appends to its log for as long as it lives: what is too much goes to `.1`."""
        with contextlib.suppress(OSError):
            if self._log.stat().st_size > LARGEST_LOG:
                shutil.copyfile(self._log, self._log.with_name(f"{self._log.name}.1"))
                os.truncate(self._log, 0)

    # ---- the process

    def _write_config(self, text: str) -> None:
        """It may hold passwords."""
        self._conf.unlink(missing_ok=True)
        self._conf.touch(mode=0o600)
        self._conf.write_text(text)

    def _left_behind(self) -> int | None:
        """The pid of a running ExaBGP of this node, if a former agent left one."""
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self._conf).encode() in command else None

    def _spawn(self) -> None:
        beside = Path(sys.executable).with_name("exabgp")
        program = str(beside) if beside.exists() else shutil.which("exabgp")
        if program is None:
            raise EffectError("exabgp: not found; install remora with its `agent` extra")
        pid = self._fork(program)
        self._pid_file.write_text(f"{pid}\n")
        self._watch(pid)
        log.info("exabgp started pid=%d", pid)

    def _fork(self, program: str) -> int:
        # Not asyncio's subprocess: the child must be able to outlive us and is watched by pidfd,
        # just like one that we adopted.
        with self._log.open("ab") as output:
            return os.posix_spawn(
                program,
                [program, "server", str(self._conf)],
                {**os.environ, **SETTINGS},
                setsid=True,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
                ],
            )

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
        self._all_peers_down("exabgp died")
        if not self._stopping:
            loop.call_later(RESPAWN, self._respawn)

    def _respawn(self) -> None:
        if self._stopping:
            return
        try:
            self._spawn()
        except (EffectError, OSError) as error:
            log.error("exabgp cannot be started: %s", error)  # noqa: TRY400  # the text says it all
            asyncio.get_running_loop().call_later(RESPAWN, self._respawn)

    # ---- the bridge

    async def _on_bridge(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._bridge is not None:
            self._bridge.close()
        self._bridge, self._standing = writer, None
        self._forget_unanswered()
        try:
            while line := await reader.readline():
                self._on_line(line)
        except (OSError, ValueError) as error:
            log.warning("bridge: %s", error)
        finally:
            writer.close()
            if self._bridge is writer:
                self._bridge, self._standing = None, None
                self._forget_unanswered()

    def _forget_unanswered(self) -> None:
        self._unanswered.clear()
        self._all_answered.set()

    def _on_line(self, line: bytes) -> None:
        if line.strip() in (b"done", b"error"):
            self._on_acknowledged(ok=line.strip() == b"done")
            return
        try:
            event = json.loads(line)
            if "bridge" in event:
                self._on_hello(event)
            elif event.get("type") == "state":
                neighbor = event["neighbor"]
                self._on_peer(neighbor["address"]["peer"], neighbor["state"], neighbor)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("bridge: unexpected line %r: %s", line[:200], error)

    def _on_hello(self, hello: dict[str, object]) -> None:
        routes, peers = hello["routes"], hello["peers"]
        if not isinstance(routes, dict | list) or not isinstance(peers, dict):
            raise TypeError("hello")
        # The bridge of an older agent tells prefixes only: their attributes are declared anew.
        self._standing = dict(routes) if isinstance(routes, dict) else dict.fromkeys(routes, "")
        for peer, state in peers.items():
            self._on_peer(peer, state, {})
        self._send_difference()

    def _on_peer(self, peer: str, state: str, neighbor: dict[str, str]) -> None:
        reason = neighbor.get("reason", "")
        detail = reason or ("established" if state == "up" else state)
        self._tell(PeerChanged(peer, "up" if state == "up" else "down", detail, reason))

    def _all_peers_down(self, why: str) -> None:
        for peer in self._listed.peers:
            self._tell(PeerChanged(str(peer.address), "down", why, why))

    def _send_difference(self) -> None:
        if self._bridge is None or self._standing is None:
            return
        # Withdrawals first, sorted, so that logs and tests read alike.
        for prefix in self._standing:
            if prefix not in self._wanted:
                self._send("withdraw", prefix, self._standing[prefix])
        for prefix, attributes in self._wanted.items():
            if self._standing.get(prefix) != attributes:
                self._send("announce", prefix, attributes)  # in place of what stands
        self._standing = dict(self._wanted)

    def _send(self, verb: str, prefix: str, attributes: str) -> None:
        assert self._bridge is not None
        self._bridge.write(f"{verb} route {prefix} {attributes}".rstrip().encode("ascii") + b"\n")
        self._unanswered.append((verb, prefix))
        self._all_answered.clear()
        log.info("%s route=%s %s", verb, prefix, attributes)

    def _on_acknowledged(self, *, ok: bool) -> None:
        if not self._unanswered:
            return
        verb, prefix = self._unanswered.popleft()
        if not self._unanswered:
            self._all_answered.set()
        if ok:
            return
        log.error("exabgp refused to %s %s; see %s", verb, prefix, self._log)
        if self._standing is not None and verb == "announce":
            self._standing.pop(prefix, None)
        elif self._standing is not None:
            self._standing[prefix] = ""
        asyncio.get_running_loop().call_later(RESPAWN, self._send_difference)


def _order(address: Address) -> tuple[int, int]:
    return address.version, int(address)


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
