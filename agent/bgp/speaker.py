# SPDX-License-Identifier: Apache-2.0
"""The node's BGP: ExaBGP (exabgp_child.py), steered through its bridge (pipe.py).

The set of routes is declared; this side knows what ExaBGP holds (the bridge tells it on every
connection) and sends the difference, so nothing is announced twice and nothing is forgotten after a
restart of either side.  So are the peers: a changed config is reloaded, and only the sessions that
it changes begin anew.  Peers may be hushed: saying.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agent.bgp import pipe as bgp_pipe
from agent.bgp import saying
from agent.bgp import text as bgp_text
from agent.bgp.exabgp_child import RESPAWN, Child
from agent.bgp.saying import Held, Said
from agent.boundary import EffectError, PeerChanged
from agent.config.bgp_table import Bgp, BgpPeer
from agent.host.logline import quoted
from agent.nouns import Address, Route

log = logging.getLogger("remora.bgp")

WITHDRAW = 2.0
"""Seconds that a clean stop gives ExaBGP to acknowledge the withdrawals."""
RELOAD = 5.0
"""Seconds within which ExaBGP must have taken a changed config."""
LOOK_AGAIN = 0.05
LONGEST_LINE = 1 << 20
OLD_BRIDGE = (
    "bgp: ExaBGP still runs as an older agent started it, and cannot withdraw from one peer "
    "only: `systemctl restart` the agent (its routes go and come back), then try again"
)

OnAnswer = Callable[[bool], None]
"""Told whether ExaBGP said `done`."""


class Speaker:
    """set_routes() may be called at any time; it is sent as soon as it can be."""

    def __init__(self, listed: Bgp, run_dir: Path, tell: Callable[[PeerChanged], None]) -> None:
        self._listed = listed
        self._socket = run_dir / "bgp.sock"
        self._tell = tell
        self._routes: Mapping[Address, Route] = {}
        self._wanted: dict[str, str] = {}
        """Prefix -> attributes, as ExaBGP's commands have them."""
        self._standing: dict[str, str] | None = None
        """What ExaBGP holds; None: no bridge is connected."""
        self._hushed: frozenset[str] = frozenset()
        """Addresses of the peers that are to be told nothing..."""
        self._standing_hushed: frozenset[str] = frozenset()
        """...and of those that are."""
        self._knows_hushed = False
        """The bridge remembers them; one of an agent of 0.1.0 does not."""
        self._bridge: asyncio.StreamWriter | None = None
        self._unanswered: deque[OnAnswer] = deque()
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self._in_force = ""
        """Mark of the config that ExaBGP showed last."""
        self._server: asyncio.Server | None = None
        self._child = Child(run_dir, self._on_death)
        self.trim_log = self._child.trim_log

    async def start(self) -> None:
        """Adopt the ExaBGP that a former agent left, or start one.  Raises EffectError."""
        self._socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._on_bridge, self._socket, limit=LONGEST_LINE
        )
        await self._child.start(self._config())

    def set_routes(
        self, routes: Mapping[Address, Route], hushed: frozenset[str] = frozenset()
    ) -> None:
        """From now on these, and no others; to these peers none.

        Raises EffectError, with all as it was, when a peer is to be hushed by an old bridge.
        """
        if self._standing is not None and not self._knows_hushed and hushed - self._hushed:
            raise EffectError(OLD_BRIDGE)
        self._routes, self._hushed = routes, hushed
        self._wanted = {
            bgp_text.prefix(address, route.length): bgp_text.attributes(
                self._listed, route, address.version
            )
            for address, route in sorted(routes.items(), key=lambda item: _order(item[0]))
        }
        self._send_difference()

    def difference(self) -> str:
        """How what ExaBGP has taken differs from what was declared; empty: not at all."""
        if self._standing is None:
            return "routes: ExaBGP is not there"
        if self._standing != self._wanted:
            prefixes = {p for p, _ in self._standing.items() ^ self._wanted.items()}
            return f"routes: ExaBGP did not take {', '.join(sorted(prefixes))}"
        if self._standing_hushed != self._hushed:
            peers = ", ".join(sorted(self._standing_hushed ^ self._hushed))
            return f"routes: ExaBGP was not told of {peers}"
        return "" if self._all_answered.is_set() else "routes: ExaBGP has not answered yet"

    async def stop(self) -> None:
        """Withdraw everything, then end ExaBGP."""
        self.set_routes({})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_answered.wait(), WITHDRAW)
        await self._child.end()
        self._hang_up()

    async def leave(self) -> None:
        """Let go of ExaBGP, which announces on: the next agent adopts it."""
        self._child.leave()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._bridge is not None:
            self._bridge.close()

    def _on_death(self) -> None:
        for peer in self._listed.peers:
            self._tell(PeerChanged(str(peer.address), "down", "exabgp died", "exabgp died"))

    # ---- another config

    async def reconfigure(self, listed: Bgp) -> None:
        """Other peers or settings.  Sessions that are as they were go on.

        Raises EffectError when ExaBGP does not take the config.
        """
        if listed == self._listed:
            return
        before, self._listed = self._listed, listed
        text = self._config()
        self._child.write_config(text)
        self._send_dead_man()
        if self._child.lives:
            try:
                await asyncio.wait_for(self._taken(bgp_text.mark(text)), RELOAD)
            except TimeoutError:
                raise EffectError(
                    f"bgp: exabgp did not take the changed peers within {RELOAD:g} s; "
                    f"see {self._child.log}"
                ) from None
        log.info("exabgp reconfigured peers=%d", len(listed.peers))
        self.set_routes(self._routes, self._hushed)  # by the next hops of now
        for peer in listed.peers:
            if bgp_text.session(listed, peer) not in _sessions(before):
                self._acquaint(peer)

    async def _taken(self, mark: str) -> None:
        """Until ExaBGP shows the config of this mark.

        It says `done` before it reloads, and forgets a reload when it is busy: so ask, and again.
        """
        while await self._shown() != mark and self._child.lives:
            if self._bridge is not None:
                await self._command("reload")
            await asyncio.sleep(LOOK_AGAIN)

    async def _shown(self) -> str:
        self._in_force = ""
        await self._command("show neighbor configuration")
        return self._in_force

    async def _command(self, line: str) -> None:
        """Sends a line and waits for its answer; a bridge that leaves is one, too."""
        if self._bridge is None:
            return
        answered = asyncio.Event()
        self._say(line, lambda ok: answered.set())
        await answered.wait()

    def _acquaint(self, peer: BgpPeer) -> None:
        """ExaBGP tells a new session nothing of what was announced before it was there."""
        if self._bridge is None or str(peer.address) in self._hushed:
            return
        self._send(saying.to_some(self._listed, "announce", [peer], self._standing or {}))

    def _config(self) -> str:
        bridge = f"{sys.executable} -I {bgp_pipe.__file__} {self._socket} {self._listed.dead_man:g}"
        return bgp_text.config(self._listed, bridge)

    def _send_dead_man(self) -> None:
        """To the bridge itself, which ExaBGP does not start anew."""
        self._write(f"dead_man {self._listed.dead_man:g}")

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
        forgotten = tuple(self._unanswered)
        self._unanswered.clear()
        self._all_answered.set()
        for told in forgotten:
            told(True)  # nothing is known, and all is told anew to the next bridge

    def _on_line(self, line: bytes) -> None:
        if line.strip() in (b"done", b"error"):
            self._on_acknowledged(ok=line.strip() == b"done")
        elif line.startswith(b"{"):
            self._on_event(line)
        elif mark := bgp_text.mark(line.decode("utf-8", "replace")):
            self._in_force = mark  # the rest of what is shown holds passwords: no word of it

    def _on_event(self, line: bytes) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
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
        hushed = hello.get("hushed")
        self._knows_hushed = isinstance(hushed, list)
        self._standing_hushed = frozenset(hushed if isinstance(hushed, list) else ())
        for peer, state in peers.items():
            self._on_peer(peer, state, {})
        self._send_difference()

    def _on_peer(self, peer: str, state: str, neighbor: dict[str, str]) -> None:
        reason = neighbor.get("reason", "")
        detail = reason or ("established" if state == "up" else state)
        self._tell(PeerChanged(peer, "up" if state == "up" else "down", detail, reason))

    def _send_difference(self) -> None:
        if self._bridge is None or self._standing is None:
            return
        hushed = self._hushed if self._knows_hushed else frozenset()  # difference() says so
        held, wanted = Held(self._standing, self._standing_hushed), Held(self._wanted, hushed)
        words = self._note_hushed(hushed)
        self._send(saying.difference(self._listed, held, wanted), words)
        self._standing = dict(self._wanted)

    def _note_hushed(self, hushed: frozenset[str]) -> list[str]:
        """For the bridge to remember.  Before it is so: the journal has it later still, and a next
        agent that knows nothing of it tells the peers their routes again."""
        changed, self._standing_hushed = hushed != self._standing_hushed, hushed
        words = f"hushed {' '.join(sorted(hushed))}".rstrip()
        return [words] if changed and self._knows_hushed else []

    def _send(self, commands: Iterable[Said], words: Iterable[str] = ()) -> None:
        """With words for the bridge itself, which it does not pass on.  In one piece: what it
        remembers is what ExaBGP was told, whenever this agent dies."""
        lines = list(words)
        for said in commands:
            if self._knows_hushed and said.of_route and said.whom and said.verb == "withdraw":
                lines.append(f"gone {said.prefix}")
            lines.append(said.line)
            self._expect(partial(self._on_answer, said))
            log.info("%s route=%s attributes=%s", said.verb, said.prefix, quoted(said.attributes))
        self._write(*lines)

    def _say(self, line: str, told: OnAnswer) -> None:
        self._expect(told)
        self._write(line)

    def _expect(self, told: OnAnswer) -> None:
        self._unanswered.append(told)
        self._all_answered.clear()

    def _write(self, *lines: str) -> None:
        if self._bridge is not None and lines:
            self._bridge.write("".join(f"{line}\n" for line in lines).encode("ascii"))

    def _on_acknowledged(self, *, ok: bool) -> None:
        if not self._unanswered:
            return
        told = self._unanswered.popleft()
        if not self._unanswered:
            self._all_answered.set()
        told(ok)

    def _on_answer(self, said: Said, ok: bool) -> None:
        if not ok:
            self._on_refused(said)

    def _on_refused(self, said: Said) -> None:
        log.error("exabgp refused %r; see %s", said.line, self._child.log)
        if self._standing is None:
            return
        if not said.of_route:
            self._write(*self._note_hushed(saying.unheard(self._standing_hushed, said)))
        elif said.verb == "announce":
            self._standing.pop(said.prefix, None)
        else:
            self._standing[said.prefix] = ""
        asyncio.get_running_loop().call_later(RESPAWN, self._send_difference)


def _sessions(listed: Bgp) -> set[bgp_text.Session]:
    return {bgp_text.session(listed, peer) for peer in listed.peers}


def _order(address: Address) -> tuple[int, int]:
    return address.version, int(address)
