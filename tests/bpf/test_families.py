# SPDX-License-Identifier: Apache-2.0
"""IPv4 and IPv6 VIPs and reals in every mix, by every encapsulation, against what scapy builds."""

from __future__ import annotations

import random
import struct
from functools import cache
from ipaddress import IPv6Address, IPv6Network, ip_address

import numpy as np
import pytest

from agent.core import maglev
from agent.nouns import Encap, VipKey
from shared.model import Protocol
from tests.bpf import frames, oracle
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

REALS = {"10.3.1.2": 100, "10.3.2.2": 50, "10.3.3.2": 150}
REALS6 = {"fd00:3:1::2": 100, "fd00:3:2::2": 50, "fd00:3:3::2": 150}
BOTH = {**REALS, **REALS6}


def expected(frame: bytes, flow: oracle.Flow, real: str, encap: Encap = Encap.IPIP) -> bytes:
    """By scapy, with what the oracle says of the flow."""
    outer = oracle.outer(oracle.hashed(flow, KEY), real, OUTER, OUTER6)
    ports = (outer.port, GUE_PORT) if encap is Encap.GUE else None
    return frames.encapsulated(
        frame, source=outer.source, real=real, label=outer.label, ports=ports
    )


def real_of(service: Service, port: int) -> str:
    number = service.predicted(port)
    assert number
    return service.address(number)


@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("reals", [REALS, REALS6, BOTH], ids=["reals4", "reals6", "both"])
@pytest.mark.parametrize("key", [WEB, WEB6, DNS, DNS6], ids=str)
def test_p1_p2_every_mix_is_what_scapy_builds(
    rig: Rig, key: VipKey, reals: dict[str, int], encap: Encap
) -> None:
    """Byte for byte, over sizes, traffic classes and hop limits; the inner packet untouched."""
    service = rig.serve(key, reals, encap)
    chance = random.Random(f"{key}/{len(reals)}/{encap}")
    to = str(key.address)
    for _ in range(60):
        port, tos = chance.randrange(1024, 65536), chance.randrange(256)
        payload = chance.randbytes(chance.choice([0, 1, 7, 100, 1372]))
        if key.protocol is Protocol.TCP:
            ttl = chance.randrange(1, 256)
            frame = frames.tcp(to=to, port=port, tos=tos, payload=payload, ttl=ttl)
        else:
            frame = frames.udp(to=to, port=port, tos=tos, payload=payload)
        out = rig.run(frame)
        real = real_of(service, port)
        assert out.action == TX
        assert out.output == expected(frame, service.flow(port), real, encap)
        assert out.output[-len(frame) + 14 :] == frame[14:]
        assert len(out.output) == len(frame) + oracle.overhead(real, encap)


def test_p2_link_padding_stays_outside_the_ip_packet(rig: Rig) -> None:
    service = rig.serve(WEB6, REALS6, Encap.GUE)
    frame = frames.tcp(to=frames.VIP6) + b"\xee" * 7
    out = rig.run(frame).output
    assert out == expected(frame, service.flow(40000), real_of(service, 40000), Encap.GUE)
    assert out[18:20] == (8 + 60).to_bytes(2, "big")


def test_the_encapsulation_of_a_real_changes_at_run_time(rig: Rig) -> None:
    """In force with the next packet; its flows stay, the other real is not touched."""
    service = rig.serve(WEB6, {"fd00:3:1::2": 1, "10.3.2.2": 1})
    ports = {address: service.ports_of(n, 20) for address, n in service.reals.items()}
    changed = ip_address("fd00:3:1::2")
    for encap in (Encap.IPIP, Encap.GUE, Encap.IPIP):
        rig.put_real(service.reals[changed], service.vip_num, str(changed), encap=encap)
        for address, of_it in ports.items():
            for port in of_it:
                frame = frames.tcp(to=frames.VIP6, port=port, flags="A")
                wanted = encap if address == changed else Encap.IPIP
                out = rig.run(frame)
                assert out.output == expected(frame, service.flow(port), str(address), wanted)
    assert rig.dataplane.counters.totals()["flow_miss_other"].sum() == 40, "each was placed once"


def test_the_same_words_are_another_address_in_the_other_family(rig: Rig) -> None:
    """P5: 32.1.13.184 and 2001:db8:: are the same 16 bytes in the key; only one is a VIP."""
    as4 = VipKey(ip_address("32.1.13.184"), 80, Protocol.TCP)
    as6 = VipKey(ip_address("2001:db8::"), 80, Protocol.TCP)
    for served, other in ((as4, as6), (as6, as4)):
        rig.reset()
        rig.serve(served, REALS)
        assert rig.run(frames.tcp(to=str(served.address))).action == TX
        assert rig.run(frames.tcp(to=str(other.address))).action == PASS
        assert rig.run(frames.fragment(to="32.1.13.184")).action == (
            DROP if served is as4 else PASS
        )
        assert set(rig.dataplane.owned().vips) == {served}


def test_what_is_owned_is_read_back_in_its_family(rig: Rig) -> None:
    rig.serve(WEB6, BOTH, Encap.GUE)
    rig.serve(WEB, BOTH, Encap.IPIP)
    owned = rig.dataplane.owned()
    assert owned.vips == {WEB6: 1, WEB: 2}
    assert {(str(r.address), r.vip_num, r.encap) for r in owned.reals} == {
        (address, vip_num, encap)
        for address in BOTH
        for vip_num, encap in ((1, Encap.GUE), (2, Encap.IPIP))
    }
    rig.dataplane.free_real(1)
    freed = rig.dataplane.owned().reals[0]
    assert (freed.vip_num, freed.address) == (0, owned.reals[0].address)


@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("real", ["10.3.1.2", "fd00:3:1::2"])
@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_too_big_counts_what_this_real_s_encapsulation_adds(
    rig: Rig, key: VipKey, real: str, encap: Encap
) -> None:
    """At the last byte that fits, and one more: dropped whole, and no flow stored for it."""
    service = rig.serve(key, {real: 1}, encap)
    to = str(key.address)
    empty = len(frames.tcp(to=to)) - 14
    room = 1500 - oracle.overhead(real, encap) - empty
    too_big = frames.tcp(to=to, payload=bytes(room + 1))
    out = rig.run(too_big)
    assert (out.action, out.reason, out.output) == (DROP, "too_big", too_big)
    assert rig.flow(service.flow(40000)) is None
    assert rig.run(frames.tcp(to=to, payload=bytes(room))).action == TX
    out = rig.run(frames.tcp(to=to, payload=bytes(room + 1), flags="A"))
    assert (out.reason, out.event["real_num"]) == ("too_big", 1)


def test_new_ipv6_flows_go_where_the_oracle_says(rig: Rig) -> None:
    web, dns = rig.serve(WEB6, BOTH), rig.serve(DNS6, REALS6)
    for port in range(10000, 10250):
        out = rig.run(frames.tcp(to=frames.VIP6, port=port))
        hash_ = oracle.hashed(web.flow(port), KEY)
        assert out.event["slot"] == oracle.slot(hash_)
        assert out.event["real_num"] == web.predicted(port)
        assert rig.flow(web.flow(port)) is not None, "the tag is the whole hash"
        out = rig.run(frames.udp(to=frames.VIP6, port=port))
        assert out.event["real_num"] == dns.predicted(port)


def test_f1_f2_an_ipv6_flow_stays_on_a_draining_real(rig: Rig) -> None:
    service = rig.serve(WEB6, REALS6)
    before = {p: rig.run(frames.tcp(to=frames.VIP6, port=p)).output[38:54] for p in range(200, 320)}
    draining = next(iter(service.reals.values()))
    rig.drain_real(service, draining)
    for port, real in before.items():
        again = rig.run(frames.tcp(to=frames.VIP6, port=port))
        assert again.counted["flow_hits"] == 1
        assert again.output[38:54] == real
        assert rig.run(frames.tcp(to=frames.VIP6, port=port, flags="A")).output[38:54] == real
    new = {int(rig.run(frames.tcp(to=frames.VIP6, port=p)).event["real_num"]) for p in range(1, 99)}
    assert draining not in new


def test_f4_down_the_very_next_ipv6_packet_goes_elsewhere(rig: Rig) -> None:
    service = rig.serve(WEB6, BOTH)
    down = next(iter(service.reals.values()))
    ports = service.ports_of(down, 40)
    assert {int(rig.run(frames.tcp(to=frames.VIP6, port=p)).event["real_num"]) for p in ports} == {
        down
    }
    rig.dataplane.set_flags(down, 1)
    for port in ports:
        out = rig.run(frames.tcp(to=frames.VIP6, port=port, flags="A"))
        assert out.event["real_num"] == service.predicted(port, frozenset({down}))


@pytest.mark.parametrize("encap", Encap)
def test_p8_an_ipv6_flow_has_one_outer_header_for_its_life(rig: Rig, encap: Encap) -> None:
    """Source, label and UDP port: the flow's own, in the prefix, never the anycast address or 0."""
    network = IPv6Network("fd00:77::/64")
    rig.configure(outer_source6=network)
    service = rig.serve(WEB6, REALS6, encap)
    seen = set()
    for port in range(5000, 5200):
        first = rig.run(frames.tcp(to=frames.VIP6, port=port)).output
        again = rig.run(frames.tcp(to=frames.VIP6, port=port, flags="A", payload=b"x")).output
        varying = slice(54, 56) if encap is Encap.GUE else slice(0, 0)
        for part in (slice(15, 18), slice(22, 38), varying):
            assert first[part] == again[part], "it must not change in the life of a flow"
        source = IPv6Address(first[22:38])
        label = int.from_bytes(first[15:18], "big") & 0xFFFFF
        hash_ = oracle.hashed(service.flow(port), KEY)
        assert str(source) == oracle.outer_source6(hash_, network)
        assert source in network
        assert source != network.network_address
        assert label == hash_ % 2**20 | 1
        seen.add((source, label, first[varying]))
    assert len(seen) == 200


TOEPLITZ = int(
    "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa", 16
)
"""The well-known RSS key."""


def rss(tuples: list[bytes]) -> np.ndarray:
    """Toeplitz hashes of headers' bytes, as a NIC computes them."""
    rows = np.array([list(row) for row in tuples], np.uint8)
    bits = np.unpackbits(rows, axis=1)
    hashes = np.zeros(len(tuples), np.uint32)
    for bit in range(bits.shape[1]):
        window = np.uint32(TOEPLITZ >> 320 - 32 - bit & 0xFFFFFFFF)
        hashes ^= np.where(bits[:, bit], window, np.uint32(0))
    return hashes


@cache
def hashes(key: VipKey) -> list[int]:
    """Of 20,000 flows from 65,536 clients."""
    chance = random.Random(1)
    found = []
    for _ in range(20000):
        low = chance.randrange(1 << 16)
        six = key.address.version == 6
        source = f"2001:db8:c::{low:x}" if six else f"198.51.{low >> 8}.{low & 255}"
        flow = oracle.Flow(source, chance.randrange(1024, 65536), str(key.address), 80, "tcp")
        found.append(oracle.hashed(flow, KEY))
    return found


@pytest.mark.parametrize("queues", [16, 32, 64])
@pytest.mark.parametrize("real", ["10.3.1.2", "fd00:3:1::2"])
@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_p8_a_real_s_nic_spreads_every_outer_header(
    key: VipKey, encap: Encap, real: str, queues: int
) -> None:
    """RSS over the addresses, for GUE over the UDP ports alone (what they add): over ideal / 0.9.

    The oracle's headers; that the program's are the same, the tests above show.
    """
    outers = [oracle.outer(hash_, real, OUTER, OUTER6) for hash_ in hashes(key)]
    if encap is Encap.GUE:
        hashed = [struct.pack("!HH", outer.port, GUE_PORT) for outer in outers]
    else:
        to = ip_address(real).packed
        hashed = [ip_address(outer.source).packed + to for outer in outers]
    loads = np.bincount(rss(hashed) % 128 % queues, minlength=queues)
    ideal = len(outers) / queues
    # Three standard deviations are chance, not spread.
    assert loads.max() - 3 * ideal**0.5 <= ideal / 0.9
    assert loads.min() > 0


@pytest.mark.parametrize("part", ["upper", "lower", "port"])
def test_r2_ipv6_flows_spread_over_slots_whatever_varies(part: str) -> None:
    """Only the prefix, only the host part, only the port: even over 64 groups of slots, flow sets
    and labels (chi-squared, 63 degrees of freedom: above 120 is one in 100,000)."""
    groups = {"slot": np.zeros(64), "set": np.zeros(64), "label": np.zeros(64)}
    for n in range(6400):
        source = IPv6Address((0x20010DB8 << 96) + (n << 64 if part == "upper" else n) + 1)
        if part == "port":
            source = IPv6Address("2001:db8:c::7")
        flow = oracle.Flow(
            str(source), 1024 + n if part == "port" else 40000, frames.VIP6, 80, "tcp"
        )
        hash_ = oracle.hashed(flow, KEY)
        groups["slot"][oracle.slot(hash_) * 64 // oracle.SLOTS] += 1
        groups["set"][hash_ % 64] += 1
        groups["label"][hash_ % 2**20 >> 14] += 1
    for name, loads in groups.items():
        assert ((loads - 100) ** 2 / 100).sum() < 120, name


def test_ipv6_members_make_the_same_ring_everywhere() -> None:
    """R1: whatever the text form of the addresses."""
    forms = ["fd00:3:1::2", "FD00:0003:0001:0:0:0:0:0002"]
    one, two = (maglev.ring({ip_address(f): 1, ip_address("10.3.1.2"): 2}, b"x") for f in forms)
    assert one.digest == two.digest
