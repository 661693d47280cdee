# SPDX-License-Identifier: Apache-2.0
"""What is sent on: the outer header, the packet inside it, and to whom."""

from __future__ import annotations

import random
from ipaddress import IPv4Network

import numpy as np
import pytest

from tests.bpf import frames, oracle
from tests.bpf.rig import DNS, DROP, KEY, OUTER, PASS, TX, WEB, Rig

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 100, "10.3.2.2": 50, "10.3.3.2": 150}


def expected(frame: bytes, flow: oracle.Flow, real: str, outer: IPv4Network) -> bytes:
    return frames.encapsulated(
        frame, source=oracle.outer_source(oracle.hashed(flow, KEY), outer), real=real
    )


@pytest.mark.parametrize("tos", [0, 1, 2, 3, 0xB8, 0xFF])
@pytest.mark.parametrize("size", [0, 1, 7, 100, 1440])
def test_p1_p2_outer_header_and_untouched_inner(rig: Rig, tos: int, size: int) -> None:
    """Byte for byte what scapy builds: lengths, checksum, TOS, TTL 64, DF, id 0, addresses."""
    service = rig.serve(WEB, REALS)
    chance = random.Random(f"{tos}/{size}")
    for _ in range(20):
        port = chance.randrange(1024, 65536)
        frame = frames.tcp(
            port=port, tos=tos, payload=chance.randbytes(size), ttl=chance.randrange(1, 256)
        )
        out = rig.run(frame)
        real = service.predicted(port)
        assert real
        assert out.action == TX
        assert out.output == expected(frame, service.flow(port), service.address(real), OUTER)


def test_p1_p2_udp(rig: Rig) -> None:
    service = rig.serve(DNS, REALS)
    for port in range(3000, 3100):
        frame = frames.udp(port=port)
        real = service.predicted(port)
        assert real
        assert rig.run(frame).output == expected(
            frame, service.flow(port), service.address(real), OUTER
        )


def test_p2_link_padding_stays_outside_the_ip_packet(rig: Rig) -> None:
    """A 40-byte packet in a 60-byte frame: the outer length counts the packet, not the frame."""
    service = rig.serve(WEB, REALS)
    frame = frames.tcp().ljust(60, b"\xee")
    real = service.predicted(40000)
    assert real
    out = rig.run(frame)
    assert out.output == expected(frame, service.flow(40000), service.address(real), OUTER)
    assert out.output[16:18] == (60).to_bytes(2, "big")
    assert len(out.output) == 80


@pytest.mark.parametrize(
    "network", ["10.9.0.0/16", "10.9.4.0/24", "10.9.4.128/25", "172.16.0.0/12", "10.9.4.4/30"]
)
def test_p8_outer_source_is_the_flow_s_and_within_the_prefix(rig: Rig, network: str) -> None:
    outer = IPv4Network(network)
    rig.configure(outer_source=outer)
    service = rig.serve(WEB, REALS)
    seen = set()
    for port in range(5000, 5200):
        first, again = rig.run(frames.tcp(port=port)), rig.run(frames.tcp(port=port, flags="A"))
        source = first.output[26:30]
        assert source == again.output[26:30], "it must not change in the life of a flow"
        seen.add(source)
        text = ".".join(map(str, source))
        assert text == oracle.outer_source(oracle.hashed(service.flow(port), KEY), outer)
        assert source in {a.packed for a in outer.hosts()} if outer.prefixlen > 20 else True
        assert source not in (outer.network_address.packed, outer.broadcast_address.packed)
    assert len(seen) >= min(outer.num_addresses - 2, 100) * 0.5


@pytest.mark.parametrize("queues", [16, 32, 64])
def test_p8_a_real_s_nic_spreads_the_outer_headers(queues: int) -> None:
    """RSS (Toeplitz with the well-known key, 128 entries): no queue over ideal / 0.9.

    The oracle's sources; that the program's are the same is the test above.
    """
    key = bytes.fromhex(
        "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"
    )
    number = int.from_bytes(key, "big")
    windows = np.array(
        [number >> (len(key) * 8 - 32 - bit) & 0xFFFFFFFF for bit in range(32)], np.uint32
    )
    flow = oracle.Flow("", 0, frames.VIP, 80, "tcp")
    chance = random.Random(1)
    sources = [
        oracle.outer_source(
            oracle.hashed(
                flow._replace(
                    source=f"198.51.{chance.randrange(256)}.{chance.randrange(256)}",
                    port=chance.randrange(1024, 65536),
                ),
                KEY,
            ),
            OUTER,
        )
        for _ in range(60000)
    ]
    words = np.array([int.from_bytes(bytes(map(int, s.split("."))), "big") for s in sources])
    hashes = np.zeros(len(words), np.uint32)
    for bit in range(32):
        hashes ^= np.where(words >> (31 - bit) & 1, windows[bit], 0).astype(np.uint32)
    loads = np.bincount(hashes % 128 % queues, minlength=queues)
    # Three standard deviations are chance, not spread.
    ideal = len(words) / queues
    assert loads.max() - 3 * ideal**0.5 <= ideal / 0.9
    assert loads.min() > 0


def test_a_packet_that_does_not_fit_the_underlay_is_dropped(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    fits, too_big = frames.tcp(payload=bytes(1440)), frames.tcp(payload=bytes(1441))
    assert len(fits) - 14 + 20 == 1500
    assert rig.run(fits).action == TX
    out = rig.run(too_big)
    assert (out.action, out.reason, out.output) == (DROP, "too_big", too_big)
    rig.configure(underlay_mtu=1520)
    assert rig.run(too_big).action == TX


def test_settings_are_in_force_with_the_next_packet(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    rig.configure(gateway_mac=bytes.fromhex("0a0b0c0d0e0f"), own_mac=bytes.fromhex("060504030201"))
    assert rig.run(frames.tcp()).output[:12].hex() == "0a0b0c0d0e0f060504030201"


@pytest.mark.parametrize("name", frames.strangers())
def test_p5_what_is_not_ours_is_passed_untouched(rig: Rig, name: str) -> None:
    rig.serve(WEB, REALS)
    rig.serve(DNS, REALS)
    frame = frames.strangers()[name]
    out = rig.run(frame)
    assert (out.action, out.output) == (PASS, frame)
    assert out.event is None
    assert "flow_hits" not in out.counted


def test_p5_a_removed_vip_is_the_host_s_again(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    rig.serve(DNS, REALS)
    rig.dataplane.remove_vip(WEB)
    assert rig.run(frames.tcp()).action == PASS
    assert rig.run(frames.udp()).action == TX
    assert rig.run(frames.fragment()).reason == "fragment", "the address still has a VIP"
    rig.dataplane.remove_vip(DNS)
    assert rig.run(frames.udp()).action == PASS
    assert rig.run(frames.fragment()).action == PASS
