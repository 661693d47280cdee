# SPDX-License-Identifier: Apache-2.0
"""The bridge between ExaBGP and agents that come and go, with real pipes and a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import cast

import pytest

from agent.bgp import pipe as bgp_pipe
from agent.bgp.exabgp_child import LARGEST_LOG
from agent.bgp.speaker import Speaker
from agent.bgp.text import attributes, config, prefix
from agent.boundary import EffectError
from agent.config.bgp_table import Bgp, BgpPeer
from agent.nouns import Route

UP = {"type": "state", "neighbor": {"address": {"peer": "10.2.1.1"}, "state": "up"}}


class Both:
    """ExaBGP's end (pipes) and the agent's end (a socket) of one bridge process."""

    def __init__(self, directory: Path, dead_man: float) -> None:
        self.path = directory / "bgp.sock"
        self.process = subprocess.Popen(
            [sys.executable, "-I", bgp_pipe.__file__, str(self.path), str(dead_man)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def listen(self) -> socket.socket:
        self.path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(self.path))
        server.listen()
        server.settimeout(60)
        with server:
            agent, _ = server.accept()
        agent.settimeout(60)
        return agent

    def exabgp_says(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    def exabgp_hears(self, deadline: float = 60.0) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], deadline)
        assert ready, "nothing from the bridge"
        return os.read(self.process.stdout.fileno(), 4096).decode()


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    yield from _bridge(tmp_path, 0)


@pytest.fixture
def short_lived(tmp_path: Path) -> Iterator[Both]:
    yield from _bridge(tmp_path, 0.3)


def _bridge(directory: Path, dead_man: float) -> Iterator[Both]:
    both = Both(directory, dead_man)
    yield both
    both.process.kill()
    both.process.wait()
    for stream in (both.process.stdin, both.process.stdout):
        assert stream is not None
        stream.close()


def _line(agent: socket.socket) -> dict[str, object]:
    read = b""
    while not read.endswith(b"\n"):
        read += agent.recv(4096)
    line: dict[str, object] = json.loads(read)
    return line


def test_passes_both_ways(both: Both) -> None:
    with both.listen() as agent:
        assert _line(agent)["routes"] == {}
        agent.sendall(b"announce route 10.200.0.1/32 next-hop self\n")
        assert both.exabgp_hears() == "announce route 10.200.0.1/32 next-hop self\n"
        both.exabgp_says(json.dumps(UP))
        assert _line(agent) == UP


def test_h4_the_next_agent_learns_what_stands(both: Both) -> None:
    """H4: nothing is announced twice, because the bridge says what ExaBGP holds."""
    with both.listen() as agent:
        _line(agent)
        agent.sendall(b"announce route 10.200.0.1/32 next-hop self\n")
        agent.sendall(b"announce route 10.200.0.2/32 next-hop self\n")
        agent.sendall(b"withdraw route 10.200.0.2/32 next-hop self\nannounce route 10.200.0.9")
        while both.exabgp_hears().count("withdraw") == 0:
            pass
        both.exabgp_says(json.dumps(UP))
        assert _line(agent) == UP
    with both.listen() as agent:
        hello = _line(agent)
        assert hello["routes"] == {"10.200.0.1/32": "next-hop self"}, (
            "half a command of a dead agent is no route"
        )
        assert hello["peers"] == {"10.2.1.1": "up"}


def test_keeps_reading_exabgp_without_an_agent(both: Both) -> None:
    """An ExaBGP whose pipe is full misses its keepalives: 1 MB goes in without an agent."""
    line = "x" * 1000
    for _ in range(1000):  # a full pipe would hold this up for ever
        both.exabgp_says(line)


def test_dead_man_ends_exabgp(short_lived: Both) -> None:
    with short_lived.listen() as agent:
        _line(agent)
    assert short_lived.exabgp_hears() == "shutdown\n"
    assert short_lived.process.wait(60) == 0


def test_dead_man_can_be_changed(both: Both) -> None:
    """A word for the bridge itself: ExaBGP hears nothing of it."""
    with both.listen() as agent:
        _line(agent)
        agent.sendall(b"dead_man 0.3\nannounce route 10.200.0.1/32 next-hop self\n")
        assert both.exabgp_hears() == "announce route 10.200.0.1/32 next-hop self\n"
    assert both.exabgp_hears() == "shutdown\n"


def test_h4_what_some_are_told_is_remembered(both: Both) -> None:
    """H4: which peers are hushed, and that a route stands although it was withdrawn from one."""
    with both.listen() as agent:
        assert _line(agent)["hushed"] == []
        for words, more in (
            ("announce route 10.200.0.1/32 next-hop self", ""),
            ("announce route 10.200.0.2/32 next-hop self", "hushed 10.2.1.9"),
            ("neighbor 10.2.1.9 withdraw route 10.200.0.1/32 next-hop self", ""),
            ("neighbor 10.2.1.1 announce route 10.200.0.3/32 next-hop self", "gone 10.200.0.2/32"),
            ("neighbor 10.2.1.1 withdraw route 10.200.0.2/32 next-hop self", ""),
        ):
            agent.sendall(f"{words}\n{more}\n".encode() if more else f"{words}\n".encode())
            assert both.exabgp_hears() == f"{words}\n", "and nothing of what is for us"
    with both.listen() as agent:
        hello = _line(agent)
        assert hello["routes"] == dict.fromkeys(("10.200.0.1/32", "10.200.0.3/32"), "next-hop self")
        assert hello["hushed"] == ["10.2.1.9"]
        agent.sendall(b"hushed\nshow neighbor summary\n")
        assert both.exabgp_hears() == "show neighbor summary\n"


def test_ends_with_exabgp(both: Both) -> None:
    with both.listen() as agent:
        _line(agent)
        assert both.process.stdin is not None
        both.process.stdin.close()
        assert both.process.wait(60) == 0
        assert agent.recv(10) == b""


V4, V6 = ip_address("10.200.0.1"), ip_address("2001:db8:200::1")


def listed_bgp(peer: str, local: str, next_hop6: str | None = None) -> Bgp:
    return Bgp(
        local_as=65001,
        router_id=IPv4Address("10.2.1.2"),
        next_hop6=IPv6Address(next_hop6) if next_hop6 else None,
        peers=(BgpPeer(address=ip_address(peer), local_address=ip_address(local), asn=65000),),
    )


def test_exabgp_config() -> None:
    listed = listed_bgp("10.2.1.1", "10.2.1.2")
    text = config(listed, "python3 bgp_pipe.py /run/remora/lb1/bgp.sock 30")
    assert "neighbor 10.2.1.1 {" in text
    assert "bgp_pipe.py /run/remora/lb1/bgp.sock 30;" in text
    assert "hold-time 9;" in text
    assert "family { ipv4 unicast; }" in text
    assert "graceful-restart" not in text


@pytest.mark.parametrize(
    ("listed", "families", "hop"),
    [
        (listed_bgp("10.2.1.1", "10.2.1.2", "fd00::2"), "ipv4 unicast; ipv6 unicast;", "fd00::2"),
        (listed_bgp("fd00::1", "fd00::2"), "ipv6 unicast;", "self"),
        (listed_bgp("fd00::1", "fd00::2", "fd00::3"), "ipv6 unicast;", "fd00::3"),
    ],
    ids=["v6-over-v4", "v6", "v6-named"],
)
def test_ipv6_routes_have_a_family_and_a_next_hop(listed: Bgp, families: str, hop: str) -> None:
    assert f"family {{ {families} }}" in config(listed, "x")
    assert prefix(V6) == "2001:db8:200::1/128"
    assert attributes(listed, Route(), 6) == f"next-hop {hop}"
    assert prefix(V4) == "10.200.0.1/32"
    assert attributes(listed, Route(), 4) == "next-hop self"


def test_h4_both_families_come_back_once(tmp_path: Path) -> None:
    """H4: an agent that finds one IPv6 route standing announces the rest and repeats nothing."""

    async def story() -> tuple[str, str]:
        speaker = Speaker(
            listed_bgp("10.2.1.1", "10.2.1.2", "fd00::2"), tmp_path, lambda fact: None
        )
        server = await asyncio.start_unix_server(speaker._on_bridge, tmp_path / "bgp.sock")
        speaker.set_routes(dict.fromkeys([V4, V6, ip_address("2001:db8:200::2")], Route()))
        reader, writer = await asyncio.open_unix_connection(tmp_path / "bgp.sock")
        standing = {"2001:db8:200::1/128": "next-hop fd00::2"}
        hello = {"bridge": 1, "routes": standing, "peers": {}}
        writer.write(json.dumps(hello).encode() + b"\n")
        announced = await reader.readline() + await reader.readline()
        writer.write(b"done\ndone\n")
        speaker.set_routes({V4: Route()})
        withdrawn = await reader.readline() + await reader.readline()
        writer.close()
        server.close()
        return announced.decode(), withdrawn.decode()

    announced, withdrawn = asyncio.run(story())
    assert announced == (
        "announce route 10.200.0.1/32 next-hop self\n"
        "announce route 2001:db8:200::2/128 next-hop fd00::2\n"
    )
    assert withdrawn == (
        "withdraw route 2001:db8:200::1/128 next-hop fd00::2\n"
        "withdraw route 2001:db8:200::2/128 next-hop fd00::2\n"
    )


TWO = Bgp(
    local_as=65001,
    router_id=IPv4Address("10.2.1.2"),
    peers=tuple(
        BgpPeer(address=ip_address(a), local_address=ip_address("10.2.1.2"), asn=65000)
        for a in ("10.2.1.1", "10.2.1.9")
    ),
)


class Pieces:
    """The agent's end of a connection: what was written at once is one piece."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.written: list[str] = []
        self.come = asyncio.Event()
        """Three of them."""

    def write(self, content: bytes) -> None:
        self.written.append(content.decode())
        if len(self.written) == 3:
            self.come.set()


def two_peers(run_dir: Path, **hello: object) -> tuple[Speaker, Pieces]:
    """A speaker whose bridge said hello."""
    speaker = Speaker(TWO, run_dir, lambda fact: None)
    return speaker, say_hello(speaker, **hello)


def say_hello(speaker: Speaker, **hello: object) -> Pieces:
    """As a bridge does; without `hushed`, one of 0.1.0."""
    pieces = Pieces()
    speaker._bridge = cast("asyncio.StreamWriter", pieces)
    speaker._on_line(json.dumps({"bridge": 1, "routes": {}, "peers": {}} | hello).encode())
    return pieces


def test_h4_the_bridge_remembers_what_exabgp_is_told(tmp_path: Path) -> None:
    """H4: in one piece, so that no agent dies between the one and the other."""
    speaker, pieces = two_peers(tmp_path, hushed=[])
    speaker.set_routes(dict.fromkeys([V4, V6], Route()))
    speaker.set_routes({V4: Route()}, frozenset({"10.2.1.9"}))
    speaker.set_routes({}, frozenset({"10.2.1.9"}))
    assert [piece.count(" route ") for piece in pieces.written] == [2, 2, 1]
    assert pieces.written[1].startswith("hushed 10.2.1.9\n")
    assert "gone 10.200.0.1/32\n" in pieces.written[2]


@pytest.mark.parametrize("hushes", [True, False])
def test_h4_what_a_peer_was_not_told_is_said_and_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hushes: bool
) -> None:
    """H4: a withdrawal from one peer that ExaBGP refuses is no success, nor is its way back."""
    monkeypatch.setattr("agent.bgp.speaker.RESPAWN", 0.0)
    nobody: frozenset[str] = frozenset()
    one = frozenset({"10.2.1.9"})
    before, after = (nobody, one) if hushes else (one, nobody)

    async def story() -> tuple[str, list[str], str]:
        speaker, pieces = two_peers(tmp_path, hushed=[])
        speaker.set_routes({V4: Route()}, before)
        speaker._on_line(b"done")
        pieces.forget()
        speaker.set_routes({V4: Route()}, after)
        speaker._on_line(b"error")
        refused = speaker.difference()
        async with asyncio.timeout(60):
            await pieces.come.wait()
        speaker._on_line(b"done")
        return refused, pieces.written, speaker.difference()

    refused, (first, correction, again), at_last = asyncio.run(story())
    assert refused == "routes: ExaBGP was not told of 10.2.1.9"
    assert correction == f"hushed {' '.join(before)}".rstrip() + "\n"
    assert again == first
    assert at_last == ""


def test_h4_an_old_bridge_is_not_asked_to_hush_a_peer(tmp_path: Path) -> None:
    """H4: one of 0.1.0 reads no selectors, so it would remember routes that are gone."""
    speaker, pieces = two_peers(tmp_path)
    speaker.set_routes(dict.fromkeys([V4, V6], Route()))
    with pytest.raises(EffectError, match="systemctl restart"):
        speaker.set_routes(dict.fromkeys([V4, V6], Route()), frozenset({"10.2.1.9"}))
    speaker.set_routes({})
    for _ in range(4):
        speaker._on_line(b"done")
    assert speaker.difference() == ""
    assert "neighbor" not in "".join(pieces.written)
    assert "".join(pieces.written).count("withdraw") == 2


def test_h4_with_an_old_bridge_who_was_hushed_before_is_told_and_that_is_said(
    tmp_path: Path,
) -> None:
    """H4: and routes change as ever."""
    speaker = Speaker(TWO, tmp_path, lambda fact: None)
    hushed = frozenset({"10.2.1.9"})
    speaker.set_routes({V4: Route()}, hushed)
    pieces = say_hello(speaker)
    speaker.set_routes({}, hushed)
    announced, withdrawn = pieces.written
    assert announced == "announce route 10.200.0.1/32 next-hop self\n"
    assert withdrawn == "withdraw route 10.200.0.1/32 next-hop self\n"
    assert speaker.difference() == "routes: ExaBGP was not told of 10.2.1.9"


def test_exabgps_log_is_cut_while_it_is_written(tmp_path: Path) -> None:
    """What is appended after the cut is at the beginning, not behind a hole."""
    speaker = Speaker(listed_bgp("10.2.1.1", "10.2.1.2"), tmp_path, lambda fact: None)
    with (tmp_path / "exabgp.log").open("ab", buffering=0) as log:
        log.write(b"x" * 100)
        speaker.trim_log()
        assert not (tmp_path / "exabgp.log.1").exists()
        log.write(b"x" * LARGEST_LOG)
        speaker.trim_log()
        log.write(b"later")
    assert (tmp_path / "exabgp.log").read_bytes() == b"later"
    assert (tmp_path / "exabgp.log.1").stat().st_size == LARGEST_LOG + 100
