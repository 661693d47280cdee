# SPDX-License-Identifier: Apache-2.0
"""decap.c: what lb.c wrapped comes out as it was; everything else is left alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Raw

from agent import abi, bpf_syscall, loader, mapped
from tests.bpf import frames
from tests.bpf.rig import DROP, PASS, TX, WEB, Rig

pytestmark = pytest.mark.root

REAL = "10.3.1.2"


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


def wrapped(inner: object, *, tos: int = 0, flags: str = "DF") -> bytes:
    outer = IP(src="10.9.1.1", dst=REAL, id=0, flags=flags, ttl=64, tos=tos, proto=4)
    return bytes(Ether(src=frames.OWN_MAC, dst=frames.GATEWAY_MAC) / outer / inner)


@pytest.mark.parametrize("size", [0, 1, 600, 1440])
def test_p2_there_and_back(rig: Rig, decap: Decap, size: int) -> None:
    """What a client sent is what the real's host sees, byte for byte behind the MACs."""
    rig.serve(WEB, {REAL: 1})
    frame = frames.tcp(payload=b"\xa5" * size, tos=0xB8)
    sent = rig.run(frame)
    assert sent.action == TX
    action, output, moved = decap.run(sent.output)
    assert action == PASS
    assert output[14:] == frame[14:]
    assert output[:14] == sent.output[:12] + b"\x08\x00"
    assert moved["decapsulated_packets"] == 1
    assert moved["decapsulated_bytes"] == len(frame)


@pytest.mark.parametrize("outer", range(4))
@pytest.mark.parametrize("inner", range(4))
def test_ecn_follows_rfc_6040(decap: Decap, outer: int, inner: int) -> None:
    """Its table (section 4.2): a congestion mark arrives, or the packet is dropped."""
    packet = IP(src=frames.CLIENT, dst=frames.VIP, tos=0xB8 | inner) / TCP(dport=80) / Raw(b"x")
    action, output, _ = decap.run(wrapped(packet, tos=outer))
    if outer == 3 and inner == 0:
        assert action == DROP
        return
    marked = IP(bytes(packet))
    # ECT(1) outside an ECT(0) packet is carried over by the RFC; we leave it: it says nothing.
    marked.tos = 0xB8 | (3 if outer == 3 else inner)
    del marked.chksum
    assert action == PASS
    assert output[14:] == bytes(marked)


def test_p5_everything_else_is_passed_untouched(decap: Decap) -> None:
    others = frames.strangers()
    del others["ipip-to-vip"]
    others["tcp"] = frames.tcp()
    others["gre"] = bytes(Ether() / IP(dst=REAL) / GRE() / IP(dst=frames.VIP) / TCP(dport=80))
    others["fragment-of-ipip"] = wrapped(IP(dst=frames.VIP) / TCP(dport=80), flags="MF")
    for name, frame in others.items():
        action, output, moved = decap.run(frame)
        assert (action, output) == (PASS, frame), name
        assert moved["pass_packets"] == 1, name


def test_p6_every_length(decap: Decap) -> None:
    whole = wrapped(IP(src=frames.CLIENT, dst=frames.VIP) / TCP(dport=80) / Raw(bytes(40)))
    for length in range(14, len(whole)):
        action, output, moved = decap.run(whole[:length])
        assert action in (PASS, DROP), length
        if "decapsulated_packets" not in moved:
            assert output == whole[:length]
