# SPDX-License-Identifier: Apache-2.0
"""Trace, the console's side: words of a filter, lines of packets, pcapng that others read."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgReader

from console.cli import trace_words
from console.exits import VerbError
from console.model.store import Agent, Arrived
from console.views import pcapng, trace_lines
from console.views.trace_lines import Pairs, Passage
from shared.capture import tcp_flags
from shared.messages import Packets, Trace, TracedPacket
from tests.tui.recorded import Fleet


def agents() -> list[Agent]:
    found = []
    for name in ("lb1", "lb2"):
        agent = Agent(f"ipc:///run/{name}")
        for snapshot in Fleet(name).at(1.0):
            agent.file(Arrived(agent.address, snapshot, 1.0))
        found.append(agent)
    return found


AGENTS = agents()


@pytest.mark.parametrize(
    ("words", "nodes", "action"),
    [
        ("", (), Trace()),
        ("lb1 node/lb2 lb1", ("lb1", "lb2"), Trace()),
        ("vip/web", (), Trace(vip="web")),
        ("real/10.3.1.2@web", (), Trace(vip="web", real="10.3.1.2")),
        ("vip/web real/10.3.1.2@web", (), Trace(vip="web", real="10.3.1.2")),
        (
            "src=198.51.100.0/24 dst=2001:db8::1 sport=1 dport=65535 proto=udp ip=4",
            (),
            Trace(
                source="198.51.100.0/24",
                destination="2001:db8::1",
                source_port=1,
                destination_port=65535,
                protocol="udp",
                version=4,
            ),
        ),
    ],
)
def test_words(words: str, nodes: tuple[str, ...], action: Trace) -> None:
    assert trace_words.parse(words.split(), AGENTS) == (nodes, action)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("port=80", "there are src= dst= sport= dport= proto= ip="),
        ("sport=", "a value is missing"),
        ("sport=0", "must be a number from 1 to 65535"),
        ("sport=65536", "must be a number from 1 to 65535"),
        ("sport=\u0663", "must be a number"),
        ("proto=sctp", "must be one of tcp, udp, icmp, icmpv6"),
        ("src=office", "src=office: must be an address or a network"),
        ("ip=5", "Invalid enum value 5"),
        ("vip/nope", "there is none"),
        ("vip/web vip/dns", "one vip at a time"),
        ("src=10.0.0.1 src=10.0.0.2", "one source at a time"),
        ("nonsense", "no node or vip or real of that name"),
    ],
)
def test_words_that_mean_nothing_say_what_would(words: str, said: str) -> None:
    with pytest.raises(VerbError, match=said):
        trace_words.parse(words.split(), AGENTS)


_WORD = st.one_of(
    st.text(max_size=12),
    st.builds(
        "{}={}".format,
        st.sampled_from([*trace_words.FIELDS, "", "x"]),
        st.one_of(st.text(max_size=8), st.integers().map(str), st.ip_addresses().map(str)),
    ),
    st.builds("{}/{}".format, st.sampled_from(["node", "vip", "real"]), st.text(max_size=6)),
    st.sampled_from(["lb1", "vip/web", "real/10.3.1.2@web", "proto=tcp", "ip=6"]),
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(st.lists(_WORD, max_size=5), st.integers(), st.floats())
def test_any_words_are_a_trace_or_said_to_be_none(
    words: list[str], one_in: int, seconds: float
) -> None:
    try:
        wanted = trace_words.parse(words, AGENTS, one_in=one_in, rate=1, seconds=seconds)
    except VerbError:
        return
    assert set(wanted.nodes) <= {"lb1", "lb2"}
    assert 0 <= wanted.action.source_port <= 65535


# ---- packets

CLIENT = Ether(src="02:00:00:00:00:01") / IP(src="198.51.100.7", dst="10.200.0.1") / TCP(
    sport=4000, dport=80, flags="SA")  # fmt: skip
CAME = bytes(CLIENT)
LEFT = bytes(Ether() / IP(src="172.16.1.2", dst="10.3.1.2") / CLIENT[IP])
OFFSET = 1_800_000_000 * 10**9 - 5 * 10**9


def traced(stage: str = "entry", **fields: Any) -> TracedPacket:  # noqa: ANN401  # its fields
    left = stage == "exit"
    plain: dict[str, Any] = {
        "at": 5_991_234_567 + 400 * left,
        "cpu": 1,
        "packet": 7,
        "rx_queue": 3,
        "length": len(LEFT if left else CAME),
        "head": LEFT if left else CAME,
        "verdict": "send" if left else "",
        "vip": "web",
        "real": "10.3.1.2",
        "slot": 4711,
    }
    return TracedPacket(stage=stage, **{**plain, **fields})  # type: ignore[arg-type]


def told(*packets: TracedPacket, **fields: Any) -> Packets:  # noqa: ANN401  # its fields
    plain: dict[str, Any] = {
        "node": "lb1",
        "boot": "b",
        "sequence": 1,
        "at": 6.0,
        "trace": "t",
        "offset": OFFSET,
        "matched": 9,
        "entries": 4,
        "exits": 4,
    }
    return Packets(packets=packets, **{**plain, **fields})


def passage(
    entry: TracedPacket | None = None, exit_: TracedPacket | None = None, offset: int = OFFSET
) -> Passage:
    return Passage("lb1", offset, entry, exit_)


def test_a_line_has_the_way_in_and_the_way_out() -> None:
    shown = trace_lines.line(passage(traced(), traced("exit")))
    assert shown == (
        "08:00:00.991234 lb1      send   web      tcp 198.51.100.7:4000 -> 10.200.0.1:80 SA 54 B"
        "  => 10.3.1.2 slot 4711  ipip 172.16.1.2 -> 10.3.1.2 74 B"
    )
    dropped = traced("exit", verdict="drop", reason="fragment", real="", head=CAME)
    shown = trace_lines.line(passage(traced(real=""), dropped))
    assert "drop fragment web" in shown
    assert shown.endswith("SA 54 B"), "nothing left"
    assert "flow" in trace_lines.line(passage(traced(), traced("exit", flow_hit=True)))
    assert trace_lines.line(passage(traced())).endswith("exit lost")
    assert "entry lost" in trace_lines.line(passage(None, traced("exit")))


def test_an_item_has_both_sides() -> None:
    item = trace_lines.item(passage(traced(), traced("exit")))
    assert item["at_ns"] == 1_800_000_000_991_234_567
    assert item["entry"]["source"] == "198.51.100.7:4000"
    assert item["exit"]["protocol"] == "ipip"
    assert item["exit"]["frame"] == LEFT.hex()
    assert trace_lines.item(passage(traced()))["exit"] is None


def test_halves_are_put_together_over_messages() -> None:
    pairs = Pairs()
    assert list(pairs.take(told(traced(packet=1), traced(packet=2)))) == []
    assert list(pairs.take(told())) == [], "silence says nothing of what is under way"
    both = list(pairs.take(told(traced("exit", packet=1), traced("exit", packet=9))))
    assert both[0] == passage(traced(packet=1), traced("exit", packet=1))
    assert both[1] == passage(None, traced("exit", packet=9))
    assert both[2] == passage(traced(packet=2)), "its exit would have been here"
    assert list(pairs.take(told(traced(packet=3), ended="over"))) == [passage(traced(packet=3))]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.booleans()), max_size=40))
def test_every_half_is_told_once(halves: list[tuple[bool, int, bool]]) -> None:
    pairs, packets, shown = Pairs(), [], []
    for number, (left, packet, send) in enumerate(halves):
        packets.append(traced("exit" if left else "entry", packet=packet, slot=number))
        if send:
            shown += list(pairs.take(told(*packets)))
            packets.clear()
    shown += list(pairs.take(told(*packets, ended="over")))
    slots = [half.slot for each in shown for half in (each.entry, each.exit) if half]
    assert len(slots) == len(set(slots))
    assert set(slots) == set(range(len(halves)))


def test_flags() -> None:
    assert tcp_flags(CAME) == "SA"
    assert tcp_flags(bytes(Ether() / IPv6() / TCP(flags="FPU"))) == "FPU"
    assert tcp_flags(bytes(Ether() / IP() / UDP())) == ""
    assert tcp_flags(bytes(Ether() / IP(frag=3, proto=6) / bytes(40))) == ""
    assert tcp_flags(CAME[:40]) == ""


@given(st.binary(max_size=80), st.integers(0, 80))
def test_any_head_has_a_line(noise: bytes, cut: int) -> None:
    for head in (noise, CAME[:12] + noise, CAME[:cut], LEFT[:cut] + noise):
        assert trace_lines.line(passage(traced(head=head), traced("exit", head=head)))


# ---- pcapng


def written(path: Path) -> Path:
    nodes = [("lb1", "eth0"), ("lb2", "eth1")]
    blocks = [pcapng.opening(nodes, "vip=web")]
    for place in range(2):
        for stage in ("entry", "exit"):
            blocks.append(pcapng.packet(traced(stage), node=place, offset=OFFSET + place))
    cut = traced("exit", verdict="drop", reason="too_big", head=CAME[:33], length=1500)
    blocks.append(pcapng.packet(cut, node=1, offset=OFFSET))
    blocks.append(pcapng.closing(told(), node=0))
    path.write_bytes(b"".join(blocks))
    return path


def test_scapy_reads_it(tmp_path: Path) -> None:
    with PcapNgReader(str(written(tmp_path / "x.pcapng"))) as reader:
        packets = list(reader)
    assert [p.sniffed_on for p in packets] == [
        "lb1:entry",
        "lb1:exit",
        "lb2:entry",
        "lb2:exit",
        "lb2:exit",
    ]
    assert [bytes(p) for p in packets[:2]] == [CAME, LEFT]
    assert packets[1].comment == b"send web 10.3.1.2 ring slot 4711 cpu 1"
    assert "entry web" in str(packets[0].comment)
    assert "drop too_big" in str(packets[4].comment)
    assert packets[4].wirelen == 1500
    assert int(packets[0].time * 10**9) // 1000 == 1_800_000_000_991_234


def test_tcpdump_reads_it_to_the_nanosecond(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pcapng")
    command = ["tcpdump", "-r", str(path), "-n", "-tt", "--nano"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    lines = shown.stdout.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("1800000000.991234567 IP 198.51.100.7.4000 > 10.200.0.1.80")
    assert lines[1].startswith("1800000000.991234967 IP 172.16.1.2 > 10.3.1.2: IP 198.51.100.7")
    assert "truncated" in lines[4] or "[|" in lines[4]


def test_blocks_are_as_the_format_says() -> None:
    """Lengths at both ends, 32-bit aligned, and the verdict as an XDP action."""
    data = written_blocks()
    kinds = []
    while data:
        kind, length = (int.from_bytes(data[i : i + 4], "little") for i in (0, 4))
        assert length % 4 == 0
        assert data[length - 4 : length] == data[4:8]
        kinds.append(kind)
        data = data[length:]
    assert kinds == [0x0A0D0D0A, 1, 1, 6, 6, 5]
    sent = pcapng.packet(traced("exit"), node=0, offset=0)
    assert b"\x07\x00\x09\x00\x02\x03" + bytes(7) in sent, "epb_verdict: XDP_TX"


def written_blocks() -> bytes:
    return b"".join(
        [
            pcapng.opening([("lb1", "eth0")], ""),
            pcapng.packet(traced(), node=0, offset=0),
            pcapng.packet(traced("exit"), node=0, offset=0),
            pcapng.closing(told(), node=0),
        ]
    )
