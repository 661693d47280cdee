# SPDX-License-Identifier: Apache-2.0
"""ICMP errors to a VIP: each to the real of the flow that it quotes, or one reason, or passed."""

from __future__ import annotations

import os
import random

import pytest
from scapy.layers.inet import ICMP
from scapy.packet import Packet

from agent.dataplane import abi
from agent.nouns import Encap, VipKey
from tests.bpf import frames, icmp_frames, oracle
from tests.bpf.icmp_frames import ERRORS4, ERRORS6, answer, error
from tests.bpf.rig import (
    DNS,
    DNS6,
    DROP,
    GUE_PORT,
    KEY,
    OUTER,
    OUTER6,
    PASS,
    TX,
    WEB,
    WEB6,
    Rig,
    Service,
)

pytestmark = pytest.mark.root

BOTH = {"10.3.1.2": 2, "fd00:3:2::2": 1, "10.3.3.2": 1, "fd00:3:4::2": 2}
KEYS = [WEB, WEB6, DNS, DNS6]
QUOTES = [8, 20, 100]


def packet(service: Service, port: int, flags: str = "A") -> bytes:
    to = str(service.key.address)
    if service.key.protocol == "udp":
        return frames.udp(to=to, port=port)
    return frames.tcp(to=to, port=port, flags=flags)


def entry(rig: Rig, flow: oracle.Flow) -> bytes:
    stored = rig.flow(flow)
    assert stored is not None
    return bytes(stored)


def errors(key: VipKey) -> dict[str, Packet]:
    return ERRORS6 if key.address.version == 6 else ERRORS4


def sent(frame: bytes, flow: oracle.Flow, real: str, encap: Encap) -> bytes:
    """`frame` as it leaves: in the very outer header in which the flow's packets travel."""
    outer = oracle.outer(oracle.hashed(flow, KEY), real, OUTER, OUTER6)
    ports = (outer.port, GUE_PORT) if encap is Encap.GUE else None
    return frames.encapsulated(
        frame, source=outer.source, real=real, label=outer.label, ports=ports
    )


@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_p3_by_ring(rig: Rig, key: VipKey, encap: Encap) -> None:
    """P3 for a flow that this node never saw: every error, every quote, unchanged to its real."""
    service = rig.serve(key, BOTH, encap)
    chance = random.Random(f"{key}{encap}")
    to, used = str(key.address), set()
    for kind in errors(key).values():
        for l4 in QUOTES:
            for _ in range(8):
                flow = service.flow(chance.randrange(1024, 65536))
                number = service.predicted(flow.port)
                assert number
                frame = error(kind, answer(flow), l4=l4, to=to, tos=chance.randrange(256))
                out = rig.run(frame)
                assert out.action == TX
                assert out.output == sent(frame, flow, service.address(number), encap)
                assert out.counted["icmp_forwarded"] == 1
                assert rig.flow(flow) is None, "an error stores nothing"
                assert not [name for name in out.counted if name.startswith("flow_")]
                assert (out.event["flow_hit"], out.event["real_num"]) == (0, number)
                used.add(number)
    assert used == set(service.reals.values())


@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_p3_by_table(rig: Rig, key: VipKey, encap: Encap) -> None:
    """P3 for flows that are on a real which the ring would not give them any more."""
    service = rig.serve(key, BOTH, encap)
    old = next(iter(service.reals.values()))
    ports = service.ports_of(old, 6)
    for port in ports:
        assert rig.run(packet(service, port, "S")).action == TX
    rig.drain_real(service, old)
    for port in ports:
        flow = service.flow(port)
        assert service.predicted(port) != old
        before = entry(rig, flow)
        for kind in errors(key).values():
            for l4 in QUOTES:
                frame = error(kind, answer(flow), l4=l4, to=flow.to)
                out = rig.run(frame)
                assert out.output == sent(frame, flow, service.address(old), encap)
                assert not [name for name in out.counted if name.startswith("flow_")]
                assert (out.event["flow_hit"], out.event["real_num"]) == (1, old)
        assert entry(rig, flow) == before, "neither state nor age of the flow is touched"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("words", range(5, 16))
def test_p3_inner_header_lengths(rig: Rig, words: int, protocol: str) -> None:
    """IHL 5 to 15 of the quoted header; one byte less than eight behind it is `icmp_quote`."""
    service = rig.serve(WEB if protocol == "tcp" else DNS, BOTH)
    for port in range(3000, 3020):
        flow = service.flow(port)
        quoted = answer(flow, words=words)
        assert quoted[0] == 0x40 + words
        for kind in ERRORS4.values():
            out = rig.run(error(kind, quoted))
            assert (out.action, out.event["real_num"]) == (TX, service.predicted(port))
            out = rig.run(error(kind, quoted, l4=7))
            assert (out.action, out.reason) == (DROP, "icmp_quote")


def test_p3_on_whatever_cpu_it_comes(rig: Rig) -> None:
    """The router's packet has other addresses than the flow's: it comes by another queue."""
    if rig.dataplane.cpus < 2 or len(os.sched_getaffinity(os.getppid())) < 2:
        pytest.skip("needs two CPUs")
    service = rig.serve(WEB, BOTH)
    old = next(iter(service.reals.values()))
    (port,) = service.ports_of(old, 1)
    rig.run(frames.tcp(port=port))
    rig.drain_real(service, old)
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(os.getppid()) - here)})
    try:
        out = rig.run(error(ERRORS4["fragmentation-needed"], answer(service.flow(port))))
    finally:
        os.sched_setaffinity(0, here)
    assert out.event["real_num"] == old
    assert {int(out.event["cpu"])} != here
    assert not [name for name in out.counted if name.startswith("flow_")], "and does not move it"
    assert "flow_hits" in rig.run(frames.tcp(port=port, flags="A")).counted


def test_f4_p3_not_to_a_real_that_is_down(rig: Rig) -> None:
    service = rig.serve(WEB, BOTH)
    old = next(iter(service.reals.values()))
    (port,) = service.ports_of(old, 1)
    rig.run(frames.tcp(port=port))
    rig.dataplane.set_flags(old, abi.REAL_DOWN)
    out = rig.run(error(ERRORS4["port-unreachable"], answer(service.flow(port))))
    assert out.event["real_num"] == service.predicted(port, frozenset({old}))
    assert "flow_stale" not in out.counted


def odd() -> dict[str, tuple[bytes, str]]:
    """Errors to a VIP that name no flow, by name: frame and reason."""
    flow4 = oracle.Flow(frames.CLIENT, 4000, frames.VIP, 80, "tcp")
    flow6 = oracle.Flow(frames.CLIENT6, 4000, frames.VIP6, 80, "tcp")
    kind4, kind6 = ERRORS4["fragmentation-needed"], ERRORS6["packet-too-big"]
    whole = error(kind4, answer(flow4))
    return {
        "later-fragment": (error(kind4, answer(flow4, frag=100)), "icmp_quote"),
        "quoted-icmp": (error(kind4, answer(flow4, proto=1)), "icmp_quote"),
        "quoted-icmp6": (error(kind6, answer(flow6, nh=58), to=frames.VIP6), "icmp_quote"),
        "quoted-fragment6": (error(kind6, answer(flow6, nh=44), to=frames.VIP6), "icmp_quote"),
        "short6": (error(kind6, answer(flow6), l4=7, to=frames.VIP6), "icmp_quote"),
        "no-quote": (frames.framed(frames.network("", frames.VIP) / kind4), "icmp_quote"),
        "no-quote6": (frames.framed(frames.network("", frames.VIP6) / kind6), "icmp_quote"),
        "quoted-version": (whole[:42] + b"\x55" + whole[43:], "icmp_quote"),
        "quoted-ihl-4": (whole[:42] + b"\x44" + whole[43:], "icmp_quote"),
        "quote-in-link-padding": (whole[:16] + b"\0\x33" + whole[18:], "icmp_quote"),
        "cut-in-icmp": (whole[:41], "malformed"),
        "longer-than-the-frame": (whole[:16] + b"\xff\xff" + whole[18:], "malformed"),
        "fragment": (whole[:20] + b"\x20\0" + whole[22:], "fragment"),
        "options": (whole[:14] + b"\x46" + whole[15:], "ip_options"),
    }


@pytest.mark.parametrize("name", odd())
def test_p6_an_error_that_names_no_flow_has_one_reason(rig: Rig, name: str) -> None:
    rig.serve(WEB, BOTH)
    rig.serve(WEB6, BOTH)
    frame, reason = odd()[name]
    out = rig.run(frame)
    assert (out.action, out.reason, out.output) == (DROP, reason, frame)
    at = 38 if frame[12] == 0x86 else 30
    elsewhere = frame[:at] + bytes.fromhex("20020db8") + frame[at + 4 :]
    out = rig.run(elsewhere)
    assert (out.action, out.output) == (PASS, elsewhere), "not for a VIP: the host's"


def test_p3_p5_what_quotes_no_vip_of_ours_is_passed(rig: Rig) -> None:
    """Another port, another source, a packet *to* the VIP, and all ICMP that is no error."""
    service = rig.serve(WEB, BOTH)
    flow = service.flow(4000)
    kind = ERRORS4["fragmentation-needed"]
    strangers = [
        error(kind, answer(flow._replace(to_port=81))),
        error(kind, answer(flow._replace(protocol="udp"))),
        error(kind, answer(flow._replace(to="198.51.100.7"))),
        error(kind, answer(flow), to="198.51.100.7"),
        error(kind, frames.tcp(port=4000)[14:]),
        *(error(ICMP(type=n), answer(flow)) for n in (0, 4, 5, 9, 10, 13, 15, 17)),
    ]
    for frame in strangers:
        out = rig.run(frame)
        assert (out.action, out.output, out.event) == (PASS, frame, None)


def test_p6_errors_cut_at_every_byte(rig: Rig) -> None:
    for key, kind in ((WEB, ERRORS4["time-exceeded"]), (WEB6, ERRORS6["time-exceeded"])):
        service = rig.serve(key, BOTH)
        frame = error(kind, answer(service.flow(4000)), to=str(key.address))
        header = icmp_frames.header_length(frame[14:])
        for length in range(14, len(frame)):
            out = rig.run(frame[:length])
            wanted = (PASS, "") if length < 14 + header else (DROP, "malformed")
            assert (out.action, out.reason) == wanted, length
        assert rig.run(frame).action == TX
