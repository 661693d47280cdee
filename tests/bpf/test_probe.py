# SPDX-License-Identifier: Apache-2.0
"""Checks through the tunnel: probe.c encapsulates what is marked as lb.c does a client's packet."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from scapy.layers.inet import ICMP

from agent.dataplane import abi, bpf_syscall, loader, mapped
from agent.nouns import Encap, VipKey
from shared.model import Protocol
from tests.bpf import conftest, frames
from tests.bpf.rig import DNS, DNS6, TX, WEB, WEB6, Rig

pytestmark = pytest.mark.root

NEXT, SHOT = 0xFFFFFFFF, 2
REAL, REAL6 = "10.3.1.2", "fd00:3:1::2"


class Prober(NamedTuple):
    """The program, and what it counted."""

    program: int
    totals: np.ndarray

    def run(self, frame: bytes, mark: int) -> tuple[int, bytes, dict[str, int]]:
        """(verdict, frame afterwards, counters that moved)."""
        before = self.counted()
        ran = bpf_syscall.run_program(self.program, frame, context=struct.pack("=8xI", mark))
        moved = {name: n - before[name] for name, n in self.counted().items() if n != before[name]}
        return ran.result, ran.output, moved

    def counted(self) -> dict[str, int]:
        names = [name for name in self.totals.dtype.names or () if name != "pad"]
        return {name: int(self.totals[name].sum()) for name in names}


@pytest.fixture(scope="module")
def prober(loaded: loader.Loaded) -> Iterator[Prober]:
    pins = loaded.programs["lb"].pin.parent
    program = loader.load(
        loader.Request(
            pins,
            ("probe.c",),
            flows_per_cpu=conftest.FLOWS_PER_CPU,
            ring_rows=conftest.RING_ROWS,
        )
    ).programs["probe"]
    descriptors = [bpf_syscall.obj_get(str(p)) for p in (program.pin, pins / "probe_totals")]
    cpus = bpf_syscall.map_info(descriptors[1]).max_entries
    yield Prober(descriptors[0], mapped.view(descriptors[1], abi.ProbeTotals, cpus))
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("real", [REAL, REAL6])
@pytest.mark.parametrize("key", [WEB, WEB6, DNS, DNS6], ids=str)
def test_p1_a_marked_packet_is_what_a_clients_becomes(
    rig: Rig, prober: Prober, key: VipKey, real: str, encap: Encap
) -> None:
    """P1, P2, P8: byte for byte, in every mix of families and both encapsulations."""
    rig.serve(key, {real: 1}, encap)
    make = frames.tcp if key.protocol is Protocol.TCP else frames.udp
    for port in range(40000, 40010):
        payload = bytes(60 * (port - 40000))
        frame = make(to=str(key.address), to_port=key.port, port=port, payload=payload, tos=0xB9)
        sent = rig.run(frame)
        assert sent.action == TX
        verdict, output, moved = prober.run(frame, abi.probe_mark(1, 1))
        assert (verdict, moved) == (NEXT, {"sent": 1})
        assert output == sent.output


@pytest.mark.parametrize("mark", [0, 1, 0x52E, 0xFFFFFFFF, abi.PROBE_MARK ^ 0x00100000])
def test_p5_other_marks_are_left_alone(rig: Rig, prober: Prober, mark: int) -> None:
    rig.serve(WEB, {REAL: 1})
    frame = frames.tcp()
    assert prober.run(frame, mark) == (NEXT, frame, {})


def test_f3_a_real_that_is_gone_or_another_gets_nothing(rig: Rig, prober: Prober) -> None:
    """F3: the number alone is not enough; a mark of an earlier owner is dropped and counted."""
    service = rig.serve(WEB, {REAL: 1})
    frame = frames.tcp()
    for number, generation in ((1, 2), (1, 0), (2, 1), (0, 0), (4095, 255)):
        verdict, output, moved = prober.run(frame, abi.probe_mark(number, generation))
        assert (verdict, output, moved) == (SHOT, frame, {"stale": 1})
    rig.put_real(1, service.vip_num, "10.3.9.9", generation=2)
    assert prober.run(frame, abi.probe_mark(1, 1))[2] == {"stale": 1}
    assert prober.run(frame, abi.probe_mark(1, 2))[2] == {"sent": 1}


def test_a_real_that_is_down_is_probed_all_the_same(rig: Rig, prober: Prober) -> None:
    rig.serve(WEB, {REAL: 1})
    rig.dataplane.set_flags(1, abi.REAL_DOWN)
    assert prober.run(frames.tcp(), abi.probe_mark(1, 1))[2] == {"sent": 1}


@pytest.mark.parametrize(
    ("encap", "real", "fits"),
    [(Encap.IPIP, REAL, 1480), (Encap.IPIP, REAL6, 1460), (Encap.GUE, REAL, 1472)],
)
def test_p4_what_does_not_fit_is_dropped_and_counted(
    rig: Rig, prober: Prober, encap: Encap, real: str, fits: int
) -> None:
    rig.serve(WEB, {real: 1}, encap)
    for size, outcome in ((fits, "sent"), (fits + 1, "too_big")):
        frame = frames.tcp(flags="A", payload=bytes(size - 40))
        assert prober.run(frame, abi.probe_mark(1, 1))[2] == {outcome: 1}


def test_what_is_no_check_is_dropped_rather_than_let_out(rig: Rig, prober: Prober) -> None:
    """Balanced by another node, its answer would speak for some other real."""
    rig.serve(WEB, {REAL: 1})
    ping = frames.framed(frames.network("", frames.VIP) / ICMP())
    odd = [ping, frames.fragment(), frames.tcp()[:14] + bytes(46)]
    for frame in odd:
        verdict, _, moved = prober.run(frame, abi.probe_mark(1, 1))
        assert (verdict, moved) == (SHOT, {"odd": 1})
