# SPDX-License-Identifier: Apache-2.0
"""decap.c: what lb.c wrapped comes out as it was; everything else is left alone."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP, UDP, IPOption
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Packet, Raw

from agent.dataplane import abi, bpf_syscall, loader, mapped
from agent.nouns import Encap, VipKey
from tests.bpf import frames
from tests.bpf.rig import DROP, PASS, TX, WEB, WEB6, Rig
from tests.bpf.test_drops import patched

pytestmark = pytest.mark.root

REAL = "10.3.1.2"
GUE_PORT = loader.GUE_PORT


class Decap(NamedTuple):
    program: int
    totals: NDArray[np.void]

    def run(self, frame: bytes) -> tuple[int, bytes, dict[str, int]]:
        """Action, frame, and what of the totals moved; each frame has one outcome."""
        before = self._sums()
        ran = bpf_syscall.run_program(self.program, frame)
        moved = {k: v - before[k] for k, v in self._sums().items() if v != before[k]}
        outcomes = ("decapsulated_packets", "pass_packets", "drop_packets")
        assert sum(moved.get(name, 0) for name in outcomes) == moved["rx_packets"] == 1
        assert moved["rx_bytes"] == len(frame)
        return ran.result, ran.output, moved

    def _sums(self) -> dict[str, int]:
        return {n: int(self.totals[n].sum()) for n in self.totals.dtype.names or () if n != "pad"}


@pytest.fixture(scope="module")
def decap(bpffs: Path) -> Iterator[Decap]:
    pins = loader.pins(bpffs, "decap")
    loaded = loader.load(loader.Request(pins, ("decap.c",), flows_per_cpu=1024, ring_rows=8))
    assert loaded.created == ("decap_totals",)
    program = bpf_syscall.obj_get(str(loaded.programs["decap"].pin))
    fd = bpf_syscall.obj_get(str(pins / "decap_totals"))
    yield Decap(program, mapped.view(fd, abi.DecapTotals, bpf_syscall.map_info(fd).max_entries))
    os.close(fd)
    os.close(program)
    loader.detach(pins)


OUTER4 = IP(src="10.9.1.1", dst=REAL, id=0, flags="DF", ttl=64)
OUTER6 = IPv6(src="100::1", dst="fd00:3:1::2", hlim=64)
IPV4_INNER = IP(src=frames.CLIENT, dst=frames.VIP) / TCP(dport=80) / Raw(bytes(40))
IPV6_INNER = IPv6(src=frames.CLIENT6, dst=frames.VIP6) / TCP(dport=80) / Raw(bytes(40))


def wrapped(inner: Packet, *, tos: int = 0, outer: Packet = OUTER4, gue: bool = False) -> bytes:
    """By any outer header; `gue` puts UDP between the two."""
    head = outer.copy()
    setattr(head, "tos" if head.version == 4 else "tc", tos)
    number = 17 if gue else 4 if inner.version == 4 else 41
    setattr(head, "proto" if head.version == 4 else "nh", number)
    between = UDP(sport=50000, dport=GUE_PORT, chksum=0) if gue else b""
    return bytes(Ether(src=frames.OWN_MAC, dst=frames.GATEWAY_MAC) / head / between / inner)


@pytest.mark.parametrize("size", [0, 1, 600, 1380])
@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("real", [REAL, "fd00:3:1::2"])
@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_p2_there_and_back(
    rig: Rig, decap: Decap, key: VipKey, real: str, *, encap: Encap, size: int
) -> None:
    """What a client sent is what the real's host sees, byte for byte behind the MACs."""
    rig.serve(key, {real: 1}, encap)
    rig.configure(gue_port=GUE_PORT)
    frame = frames.tcp(to=str(key.address), payload=b"\xa5" * size, tos=0xB8)
    sent = rig.run(frame)
    assert sent.action == TX
    action, output, moved = decap.run(sent.output)
    assert action == PASS
    assert output[12:] == frame[12:]
    assert output[:12] == sent.output[:12]
    assert moved["decapsulated_packets"] == 1
    assert moved["decapsulated_bytes"] == len(frame)


@pytest.mark.parametrize("inner", range(4))
@pytest.mark.parametrize("mark", range(4))
@pytest.mark.parametrize("gue", [False, True], ids=["ipip", "gue"])
@pytest.mark.parametrize("outer", [OUTER4, OUTER6], ids=["outer4", "outer6"])
@pytest.mark.parametrize("family", [4, 6])
def test_ecn_follows_rfc_6040(
    decap: Decap, family: int, outer: Packet, mark: int, inner: int, *, gue: bool
) -> None:
    """Its table (section 4.2): a congestion mark arrives, or the packet is dropped."""
    packet = (IPV4_INNER if family == 4 else IPV6_INNER).copy()
    name = "tos" if family == 4 else "tc"
    setattr(packet, name, 0xB8 | inner)
    action, output, _ = decap.run(wrapped(packet, tos=mark, outer=outer, gue=gue))
    if mark == 3 and inner == 0:
        assert action == DROP
        return
    # ECT(1) outside an ECT(0) packet is carried over by the RFC; we leave it: it says nothing.
    setattr(packet, name, 0xB8 | (3 if mark == 3 else inner))
    assert action == PASS
    assert output[14:] == bytes(packet)


def test_p5_everything_else_is_passed_untouched(decap: Decap) -> None:
    others = frames.strangers()
    for name in ("ipip-to-vip", "6in4-to-vip", "6in6-to-vip", "4in6-to-vip"):
        del others[name]
    others["tcp"] = frames.tcp()
    others["gre"] = bytes(Ether() / IP(dst=REAL) / GRE() / IP(dst=frames.VIP) / TCP(dport=80))
    others["fragment-of-ipip"] = wrapped(IPV4_INNER, outer=IP(dst=REAL, flags="MF"))
    others["options"] = wrapped(IPV4_INNER, outer=IP(dst=REAL, options=[IPOption(b"\x01" * 4)]))
    for outer in (OUTER4, OUTER6):
        kind = f"in{outer.version}"
        ether = Ether(src=frames.OWN_MAC, dst=frames.GATEWAY_MAC)
        udp, other = UDP(sport=50000, dport=GUE_PORT), UDP(sport=50000, dport=GUE_PORT + 1)
        others[f"other-port-{kind}"] = bytes(ether / outer / other / Raw(bytes(IPV4_INNER)))
        others[f"gue-0-{kind}"] = bytes(ether / outer / udp / Raw(b"\0\4\0\0" + bytes(60)))
        others[f"gue-7-{kind}"] = bytes(ether / outer / udp / Raw(b"\x70" + bytes(60)))
        # What the outer header promises and what is there differ.
        named = {"proto" if outer.version == 4 else "nh": 41}
        liar = type(outer)(**{**outer.fields, **named})
        others[f"ipv4-as-41-{kind}"] = bytes(ether / liar / Raw(bytes(IPV4_INNER)))
    others["outer-version"] = patched(wrapped(IPV6_INNER, outer=OUTER6), 14, b"\x40")
    for name, frame in others.items():
        action, output, moved = decap.run(frame)
        assert (action, output) == (PASS, frame), name
        assert moved["pass_packets"] == 1, name


@pytest.mark.parametrize("gue", [False, True], ids=["ipip", "gue"])
@pytest.mark.parametrize("outer", [OUTER4, OUTER6], ids=["outer4", "outer6"])
@pytest.mark.parametrize("inner", [IPV4_INNER, IPV6_INNER], ids=["inner4", "inner6"])
def test_p6_every_length(decap: Decap, inner: Packet, outer: Packet, *, gue: bool) -> None:
    """Undone as soon as the inner header is whole; before that passed as it came."""
    whole = wrapped(inner, outer=outer, gue=gue)
    head = len(whole) - len(bytes(inner))
    for length in range(14, len(whole)):
        action, output, moved = decap.run(whole[:length])
        assert action == PASS, length
        undone = length >= head + (20 if inner.version == 4 else 40)
        assert moved.get("decapsulated_packets", 0) == undone, length
        assert output[14:] == whole[head if undone else 14 : length]


def test_p6_fuzz(decap: Decap) -> None:
    """20,000 mutated frames: one outcome each; what is not undone is as it came."""
    chance = random.Random(20261123)
    seeds = [
        wrapped(inner, outer=outer, gue=gue, tos=chance.randrange(256))
        for inner in (IPV4_INNER, IPV6_INNER)
        for outer in (OUTER4, OUTER6)
        for gue in (False, True)
    ]
    for _ in range(20000):
        frame = bytearray(chance.choice(seeds)[: chance.choice([34, 54, 62, 90, 4000])])
        for _ in range(chance.randrange(4)):
            at = chance.randrange(min(len(frame), 70))
            frame[at] = chance.choice([0, 3, 4, 6, 17, 41, 0x45, 0x60, 255])
        _, output, moved = decap.run(bytes(frame))
        if "decapsulated_packets" in moved:
            assert frame.endswith(output[40:])
        else:
            assert output == bytes(frame)
