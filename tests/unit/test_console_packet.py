# SPDX-License-Identifier: Apache-2.0
"""Heads of frames in words: against scapy, and against anything at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from console.model.recording import inbox
from console.model.rows import vips
from console.model.store import Store
from console.views.export import export, item, text
from console.views.packet import GUE_PORT, headers, hex_lines
from console.views.tail_rows import EventPlace, opens, packet_lines, tail_rows
from shared.messages import HealthEvent
from shared.model import Health
from tests.tui.recorded import LB1, Fleet, dropped, records

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
CLIENT, VIP = "192.0.2.9", "10.200.0.1"
SYN = IP(src=CLIENT, dst=VIP, ttl=7, id=0x4F1A, tos=0x28) / TCP(sport=4422, dport=80, flags="S")


def names(frame: Packet) -> list[str]:
    return [f"{h.depth} {h.name}" for h in headers(bytes(frame))]


def said(frame: Packet, name: str) -> str:
    return next(h.text for h in headers(bytes(frame)) if h.name == name)


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (ETHER / SYN, ["0 eth", "0 ipv4", "0 tcp"]),
        (ETHER / Dot1Q(vlan=7) / SYN, ["0 eth", "0 vlan", "0 ipv4", "0 tcp"]),
        (ETHER / IP(dst="10.3.1.2") / SYN, ["0 eth", "0 ipv4", "1 ipv4", "1 tcp"]),
        (ETHER / IPv6() / SYN, ["0 eth", "0 ipv6", "1 ipv4", "1 tcp"]),
        (
            ETHER / IP() / UDP(dport=GUE_PORT) / SYN,
            ["0 eth", "0 ipv4", "0 udp", "1 ipv4", "1 tcp"],
        ),
        (
            ETHER / IP() / ICMP(type=3, code=4) / SYN,
            ["0 eth", "0 ipv4", "0 icmp", "1 ipv4", "1 tcp"],
        ),
        (
            ETHER / IPv6() / ICMPv6PacketTooBig() / IPv6() / UDP(),
            ["0 eth", "0 ipv6", "0 icmp6", "1 ipv6", "1 udp"],
        ),
        (ETHER / IP(frag=185) / Raw(b"x" * 40), ["0 eth", "0 ipv4"]),
        (Ether(type=0x0806) / Raw(b"x" * 40), ["0 eth"]),
    ],
)  # fmt: skip
def test_outer_and_inner_headers(frame: Packet, wanted: list[str]) -> None:
    assert names(frame) == wanted


def test_what_the_headers_say() -> None:
    frame = ETHER / SYN
    ip = said(frame, "ipv4")
    for part in (f"{CLIENT} -> {VIP}", "ttl 7", "id 0x4f1a", "dscp 10", "tcp"):
        assert part in ip
    assert "4422 -> 80  SYN" in said(frame, "tcp")
    assert said(frame, "eth").startswith("02:00:00:00:00:01 -> 02:00:00:00:00:02")
    assert "fragment at 1480, more follow" in said(ETHER / IP(frag=185, flags="MF"), "ipv4")
    assert "DF" in said(ETHER / IP(flags="DF") / UDP(), "ipv4")
    assert "type 3  code 4" in said(ETHER / IP() / ICMP(type=3, code=4), "icmp")


@given(st.binary(max_size=160))
def test_nothing_in_a_frame_raises(head: bytes) -> None:
    for header in headers(head):
        assert header.text
    assert len(hex_lines(head)) == -(-len(head) // 16)


@given(st.integers(0, 94))
def test_a_frame_may_be_cut_anywhere(size: int) -> None:
    """What there is is read; what is missing is said, never guessed."""
    frame = bytes(ETHER / IP() / UDP(dport=GUE_PORT) / SYN)[:size]
    assert headers(frame)


def test_the_tail_has_gaps_as_rows_and_packets_open() -> None:
    store = Store((LB1,))
    store.take(inbox(records({LB1: Fleet("lb1")}, range(3))))
    node = Fleet("lb1")
    agents = list(store.agents.values())
    agents[0].log.publish(node.event(40, 9.0, dropped()))
    rows = tail_rows(agents)
    assert any(row.body is None for row in rows), "the gap"
    assert len({row.key for row in rows}) == len(rows)
    newest = rows[-1]
    place, name = opens(newest) or ("", "")
    assert place == "packet"
    found = agents[0].log.event(EventPlace.of(name)[1:])
    assert found is not None
    lines = ["".join(cell.text for cell in one) for one in packet_lines(found, 80)]
    assert "fragment" in lines[0]
    assert any(line.startswith(" remedy") for line in lines)
    health = node.event(41, 9.1, HealthEvent("web", "10.3.1.2", Health.UP, Health.DOWN, "x"))
    agents[0].log.publish(health)
    assert opens(tail_rows(agents)[-1]) == ("real", "10.3.1.2@web")


def test_tables_as_files() -> None:
    from console.views import tables

    store = Store((LB1,))
    store.take(inbox(records({LB1: Fleet("lb1")}, range(3))))
    found = vips(list(store.agents.values()), 2.5)
    assert item(found[0], tables.VIPS)["packets_per_s"] == 1000.0, "raw, the unit in the key"
    table = export(found, tables.VIPS, "csv").splitlines()
    assert table[0].startswith("name,address,state")
    assert len(table) == 3
    assert len(export(found, tables.VIPS, "jsonl").splitlines()) == 2
    markdown = export(found, tables.VIPS[:4], "md").splitlines()
    assert markdown[:2] == ["| VIP | ADDRESS | STATE | PPS |", "| -- | -- | -- | --: |"]
    assert text(found[0], tables.VIPS[:3]) == "web\t10.200.0.1:80/tcp\t● up"
