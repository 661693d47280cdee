# SPDX-License-Identifier: Apache-2.0
"""Captures: read as scapy wrote them, whatever the format, and nothing but CaptureError for the
rest."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet
from scapy.utils import PcapNgWriter, PcapWriter

from console.model.capture_file import CaptureError, Frame, frames
from console.model.captured_flows import captured, flow_of
from console.views import pcapng
from shared.flows import Flow, chunks, packed, unpacked
from shared.messages import DropEvent, Event

TO = "10.200.0.1"
WEB = Ether() / IP(src="198.51.100.7", dst=TO) / TCP(sport=1234, dport=80)
WEB6 = Ether() / IPv6(src="2001:db8::7", dst="2001:db8::80") / UDP(sport=1, dport=443)
PACKETS = (WEB, WEB6, Ether() / ARP(), Ether() / Dot1Q(vlan=7) / IP(dst=TO) / UDP(sport=5, dport=6))


def read(content: bytes) -> list[Frame]:
    return list(frames(io.BytesIO(content).read))


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_pcap(tmp_path: Path, endianness: str, *, nano: bool) -> None:
    file = tmp_path / "x.pcap"
    with PcapWriter(str(file), nano=nano, endianness=endianness) as writer:
        for packet in PACKETS:
            writer.write(packet)
    found = read(file.read_bytes())
    assert found == [Frame(1, bytes(packet)) for packet in PACKETS]


def test_pcapng(tmp_path: Path) -> None:
    file = tmp_path / "x.pcapng"
    with PcapNgWriter(str(file)) as writer:
        for packet in PACKETS:
            writer.write(packet)
    assert read(file.read_bytes()) == [Frame(1, bytes(packet)) for packet in PACKETS]


def test_pcapng_of_our_own() -> None:
    """`events --pcap` and `trace -w` write such files; two of them may be put together."""
    body = DropEvent(1, "fragment", "web", "a", "b", "tcp", 60, 1, 0, bytes(WEB))
    event = Event(node="lb1", boot="b", sequence=1, at=1.0, wall=1e9, body=body)
    section = pcapng.drops_opening() + pcapng.drops_interface("lb1")
    section += pcapng.dropped(event, body, node=0)
    assert read(section * 2) == [Frame(1, bytes(WEB))] * 2


def test_big_endian_pcapng_and_simple_packets() -> None:
    def block(kind: int, content: bytes) -> bytes:
        length = struct.pack(">I", 12 + len(content))
        return struct.pack(">I", kind) + length + content + length

    head = block(0x0A0D0D0A, struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(1, struct.pack(">HHI", 101, 0, 0))
    content = bytes(WEB[IP])
    simple = block(3, struct.pack(">I", len(content)) + content)
    (frame,) = read(head + interface + simple)
    assert (frame.link, flow_of(frame)) == (101, flow_of(Frame(1, bytes(WEB))))


def test_a_file_that_ends_in_the_middle(tmp_path: Path) -> None:
    """tcpdump was killed: what is whole counts."""
    file = tmp_path / "x.pcap"
    with PcapWriter(str(file)) as writer:
        writer.write(WEB)
        writer.write(WEB)
    assert len(read(file.read_bytes()[:-5])) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "neither"),
        (b"hello, world", "neither"),
        (b"\x1f\x8b\x08\x00", "compressed \\(gzip\\)"),
        (b"\xd4\xc3\xb2\xa1" + bytes(28) + b"\xff" * 8, "no capture"),
        (b"\x0a\x0d\x0d\x0a" + bytes(8), "without a byte order"),
    ],
)
def test_what_is_no_capture(content: bytes, says: str) -> None:
    with pytest.raises(CaptureError, match=says):
        read(content)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a"]))
def test_no_bytes_raise_anything_else(content: bytes, magic: bytes) -> None:
    try:
        captured(frames(io.BytesIO(magic + content).read), 100)
    except CaptureError:
        return


@given(st.binary(max_size=80), st.sampled_from([1, 101, 113, 276, 999]))
def test_no_frame_raises(content: bytes, link: int) -> None:
    flow = flow_of(Frame(link, content))
    assert flow is None or list(unpacked(packed(flow))) == [flow]


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (WEB, "198.51.100.7:1234 -> 10.200.0.1:80/tcp"),
        (WEB6, "[2001:db8::7]:1 -> [2001:db8::80]:443/udp"),
        (Ether() / IP(src="172.16.0.1", dst="10.3.1.2") / WEB[IP],
         "198.51.100.7:1234 -> 10.200.0.1:80/tcp"),
        (Ether() / IPv6() / WEB[IP], "198.51.100.7:1234 -> 10.200.0.1:80/tcp"),
        (Ether() / IP(dst=TO, flags="MF") / TCP(sport=1, dport=2), None),
        (Ether() / IP(dst=TO, frag=8) / TCP(sport=1, dport=2), None),
        (Ether() / IP(dst=TO) / ICMP(), None),
        (Ether() / IP(dst=TO) / TCP(sport=0, dport=2), None),
    ],
)  # fmt: skip
def test_flows(packet: Packet, said: str | None) -> None:
    found = flow_of(Frame(1, bytes(packet)))
    assert (str(found) if found else None) == said


def test_what_tcpdump_writes_of_any_interface() -> None:
    ip = bytes(WEB[IP])
    cooked = struct.pack("!HHH8sH", 0, 1, 6, bytes(8), 0x0800) + ip
    cooked2 = struct.pack("!HHIHBB8s", 0x0800, 0, 2, 1, 0, 6, bytes(8)) + ip
    assert flow_of(Frame(113, cooked)) == flow_of(Frame(276, cooked2)) == flow_of(Frame(101, ip))


def test_each_flow_once() -> None:
    found = captured([Frame(1, bytes(p)) for p in (WEB, WEB6, WEB, Ether() / ARP())], 100)
    assert (len(found.flows), found.packets, found.others, found.more) == (2, 4, 1, False)
    found = captured([Frame(1, bytes(p)) for p in (WEB, WEB6, WEB)], 1)
    assert (len(found.flows), found.more) == (1, True)


def test_flows_as_bytes() -> None:
    flows = [flow for p in (WEB, WEB6) if (flow := flow_of(Frame(1, bytes(p))))]
    assert [len(packed(flow)) for flow in flows] == [14, 38]
    assert [len(part) for part in chunks(flows * 3, 60)] == [52, 52, 52]
    whole: list[Flow] = list(unpacked(b"".join(chunks(flows, 14))))
    assert whole == flows
    for wrong in (b"\4", packed(flows[0])[:-1], b"\5" + packed(flows[0])[1:], b"\4\1" + bytes(12)):
        with pytest.raises(ValueError, match="flow at byte 0"):
            list(unpacked(wrong))
