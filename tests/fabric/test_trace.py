# SPDX-License-Identifier: Apache-2.0
"""`remora trace` on a client's real connections: what came, what left, on every node, in files that
other programs read."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Packet
from scapy.utils import PcapNgReader

from tests.fabric import topology as t
from tests.fabric import wire
from tests.fabric.fabric import REMORA, Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

REALS = {t.real(name).address for name in t.REALS}


@contextmanager
def tracing(fabric: Fabric, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`remora trace WORDS` from when it traces; ended if it does not end by itself."""
    addresses = [word for agent in fabric.agents.values() for word in ("-a", agent.address)]
    with subprocess.Popen(
        # A suite that was started in the background ignores Ctrl-C, and so would this.
        ["env", "--default-signal=INT", *REMORA, *addresses, "trace", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            assert said.startswith("tracing on lb1, lb2"), said
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    output, said = process.communicate(timeout=60)
    assert process.returncode == 130
    return output, said


def ports_of_both(fabric: Fabric) -> dict[int, str]:
    """Requests until both nodes had one: source port -> the real that answered."""
    answered: dict[int, str] = {}
    before = {node: fabric.look(node).vips["web"].packets for node in t.NODES}
    for port in range(33000, 33100):
        answered[port] = fabric.request(port)
        if all(fabric.look(node).vips["web"].packets > before[node] for node in t.NODES):
            return answered
    raise AssertionError("the router spreads over both nodes")


def test_a_connection_in_pcapng_from_two_nodes(fabric: Fabric, tmp_path: Path) -> None:
    """Every packet of the client twice: as it came and, in the outer header, as it left."""
    path = tmp_path / "web.pcapng"
    with tracing(fabric, "vip/web", f"src={t.CLIENT_ADDRESS}", "-w", str(path)) as process:
        assert all(fabric.is_tracing(node) for node in t.NODES)
        answered = ports_of_both(fabric)
        _, said = interrupted(process)
    assert not any(fabric.is_tracing(node) for node in t.NODES), "Ctrl-C ends it everywhere"
    assert "lb1: " in said
    assert "stopped by" in said
    assert path.stat().st_mode & 0o077 == 0, "it holds what clients sent"
    entries, exits = _read(path)
    assert {name for name, _ in entries} == {"lb1:entry", "lb2:entry"}
    assert [bytes(e[IP]) for _, e in entries] == [bytes(x[IP].payload) for _, x in exits]
    for (node, frame), (out, left) in zip(entries, exits, strict=True):
        assert node.partition(":")[0] == out.partition(":")[0]
        assert frame[IP].src == t.CLIENT_ADDRESS
        assert answered[frame[TCP].sport] == t.real_at(left[IP].dst)
        assert f"send web {left[IP].dst}" in str(left.comment)
        assert abs(float(left.time) - float(frame.time)) < 0.01
    assert {frame[TCP].sport for _, frame in entries} == set(answered)
    shown = subprocess.run(
        ["tcpdump", "-nr", str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert f"{t.CLIENT_ADDRESS}.33000 > {t.WEB}.80: Flags [S]" in shown.stdout
    assert "IP (proto 4)" not in shown.stderr


Frames = list[tuple[str, Packet]]


def _read(path: Path) -> tuple[Frames, Frames]:
    """(entries, exits): interface name and frame, in the file's order per node."""
    with PcapNgReader(str(path)) as reader:
        frames = [(str(packet.sniffed_on), packet) for packet in reader]
    frames.sort(key=lambda each: each[0])
    entries = [frame for frame in frames if frame[0].endswith(":entry")]
    return entries, [frame for frame in frames if frame[0].endswith(":exit")]


def test_lines_and_json_say_the_same(fabric: Fabric) -> None:
    port = 34000
    words = ("vip/web", f"src={t.CLIENT_ADDRESS}", f"sport={port}", "--count", "3")
    with tracing(fabric, *words) as process:
        real = fabric.request(port)
        output, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    lines = output.splitlines()
    assert len(lines) == 3
    address = t.real(real).address
    assert f"tcp {t.CLIENT_ADDRESS}:{port} -> {t.WEB}:80 S 74 B  => {address} slot" in lines[0]
    assert f"-> {address} 94 B" in lines[0]
    assert "  ipip 172." in lines[0], "the outer source"
    assert f"=> {address} flow" in lines[1]
    with tracing(fabric, *words[:-1], "1", "-o", "json") as process:
        fabric.request(port)
        output, _ = process.communicate(timeout=60)
    (shown,) = map(json.loads, output.splitlines())
    assert (shown["verdict"], shown["vip"], shown["real"]) == ("send", "web", address)
    assert shown["entry"]["source"] == f"{t.CLIENT_ADDRESS}:{port}"
    assert bytes.fromhex(shown["exit"]["frame"])[34:] == bytes.fromhex(shown["entry"]["frame"])[14:]


def test_a_pipe_into_tcpdump(fabric: Fabric) -> None:
    addresses = [word for agent in fabric.agents.values() for word in ("-a", agent.address)]
    words = ("trace", "vip/web", f"src={t.CLIENT_ADDRESS}", "--count", "3", "-w", "-")
    with (
        subprocess.Popen(
            [*REMORA, *addresses, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as tracer,
        subprocess.Popen(
            ["tcpdump", "-nr", "-"], stdin=tracer.stdout, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL,
        ) as reader,
    ):  # fmt: skip
        assert tracer.stderr is not None
        assert tracer.stderr.readline().startswith(b"tracing on")
        fabric.request(35000)
        shown, _ = reader.communicate(timeout=60)
    lines = shown.splitlines()
    assert f"IP {t.CLIENT_ADDRESS}.35000 > {t.WEB}.80: Flags [S]" in lines[0]
    assert f": IP {t.CLIENT_ADDRESS}.35000 > {t.WEB}.80: Flags [S]" in lines[1], "encapsulated"


def test_it_ends_at_its_time_by_itself(fabric: Fabric) -> None:
    with tracing(fabric, "--for", "1s") as process:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0
    assert said.count("its time is over") == 2
    assert not any(fabric.is_tracing(node) for node in t.NODES)


def test_who_dies_leaves_nothing_behind(fabric: Fabric) -> None:
    """A killed CLI: anybody may end its trace.  A killed agent: the next one does."""
    with tracing(fabric, "--for", "60s") as process:
        process.kill()
    refused = fabric.cli("trace")
    assert refused.returncode == 4
    assert "traces here for" in refused.stderr
    assert fabric.cli("trace", "--stop", "node/lb2").returncode == 0
    until(lambda: not fabric.is_tracing("lb2"), 2, "stopped on lb2")
    assert fabric.is_tracing("lb1")
    agent = fabric.agents["lb1"]
    agent.kill()
    agent.start()
    assert not fabric.is_tracing("lb1")
    assert wire.look(agent.address).node.node == "lb1"
    assert "no trace was running" in fabric.cli("trace", "--stop").stderr


def test_nonsense_is_refused_and_leaves_no_file(fabric: Fabric, tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    for words, said in (
        (("src=10.0.0.1/8",), "has host bits set"),
        (("--rate", "0"), "must be 1 to 10000"),
        (("--for", "11m"), "at most 600"),
        (("src=10.0.0.0/8", "dst=2001:db8::/32"), "one is IPv4"),
    ):
        done = fabric.cli("trace", *words, "-w", str(path))
        assert done.returncode == 4, (words, done.stderr)
        assert said in done.stderr
        assert not path.exists()
    done = fabric.cli("trace", "port=80")
    assert done.returncode == 2
    assert "there are src=" in done.stderr
