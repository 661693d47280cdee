# SPDX-License-Identifier: Apache-2.0
"""P10: pings to a VIP are answered, to nobody else; checked byte for byte against scapy."""

from __future__ import annotations

import random
import time
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from agent.dataplane import abi
from agent.nouns import VipKey
from tests.bpf import frames, icmp_frames
from tests.bpf.rig import DROP, PASS, TX, WEB, WEB6, Rig

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 1}
NETWORK = WEB._replace(address=IPv4Address("10.201.0.0"), length=24)
RATE = 100_000


def ping(
    to: str = frames.VIP, *, source: str = "", body: bytes = bytes(56), seq: int = 1, tos: int = 0
) -> bytes:
    head = frames.network(source, to, tos)
    if ":" in to:
        return frames.framed(head / ICMPv6EchoRequest(id=77, seq=seq, data=body))
    return frames.framed(head / ICMP(type=8, id=77, seq=seq) / Raw(body))


def pong(to: str = frames.VIP, *, body: bytes = bytes(56), seq: int = 1, tos: int = 0) -> bytes:
    ether = Ether(src=frames.OWN_MAC, dst=frames.GATEWAY_MAC)
    if ":" in to:
        six = IPv6(src=to, dst=frames.CLIENT6, hlim=64, tc=tos, fl=0x12345)
        return bytes(ether / six / ICMPv6EchoReply(id=77, seq=seq, data=body))
    ip = IP(src=to, dst=frames.CLIENT, ttl=64, id=0, flags="DF", tos=tos)
    return bytes(ether / ip / ICMP(type=0, id=77, seq=seq) / Raw(body))


@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_p10_the_answer_is_what_scapy_builds(rig: Rig, key: VipKey) -> None:
    """Any size, traffic class and content; the checksum as if it were made anew."""
    rig.serve(key, REALS)
    rig.configure(icmp_rate=RATE, answer_ping=True)
    chance = random.Random(str(key))
    to = str(key.address)
    for length in [*range(60), *(chance.randrange(1400) for _ in range(400))]:
        body, seq, tos = chance.randbytes(length), chance.randrange(65536), chance.randrange(256)
        out = rig.run(ping(to, body=body, seq=seq, tos=tos))
        assert out.action == TX
        assert out.output == pong(to, body=body, seq=seq, tos=tos)
        assert out.counted["icmp_sent"] == 1
        assert not [name for name in out.counted if name.startswith("flow_")]


@pytest.mark.parametrize("to", [frames.VIP, frames.VIP6])
def test_p10_every_checksum_comes_out_right(rig: Rig, to: str) -> None:
    """Two bytes of content run through values that make the sum wrap, 0 and 0xffff among them."""
    rig.serve(WEB6 if ":" in to else WEB, REALS)
    rig.configure(icmp_rate=RATE, answer_ping=True)
    plain = pong(to, body=bytes(2))
    at = 14 + (40 if ":" in to else 20) + 2
    zero = int.from_bytes(plain[at : at + 2], "big")  # with this content the checksum is 0
    edges = {(zero + step) % 65536 for step in range(-3, 4)}
    edges |= {(zero - 0x800 + step) % 65536 for step in range(-3, 4)} | set(range(0, 65536, 257))
    for word in edges:
        body = word.to_bytes(2, "big")
        assert rig.run(ping(to, body=body)).output == pong(to, body=body), word


def test_p10_link_padding_is_kept_apart(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    rig.configure(icmp_rate=RATE, answer_ping=True)
    assert rig.run(ping(body=b"x") + b"\xee" * 17).output == pong(body=b"x") + b"\xee" * 17


def test_p10_a_broken_ping_stays_broken(rig: Rig) -> None:
    """Its receiver must see that it was damaged before it came here."""
    rig.serve(WEB, REALS)
    rig.configure(icmp_rate=RATE, answer_ping=True)
    frame = bytearray(ping(body=bytes(10)))
    frame[-1] ^= 1
    answer = rig.run(bytes(frame)).output
    assert answer == pong(body=bytes(10))[:-1] + b"\x01"


def test_p10_only_for_vips_and_only_if_so_configured(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    rig.configure(icmp_rate=RATE, answer_ping=True)
    for to in ("198.51.100.1", frames.VIP6, "2001:db8::1"):
        frame = ping(to)
        out = rig.run(frame)
        assert (out.action, out.output, out.event) == (PASS, frame, None)
    rig.serve(WEB6, REALS)
    assert rig.run(ping(frames.VIP6)).action == TX
    rig.configure(icmp_rate=RATE, answer_ping=False)
    for to in (frames.VIP, frames.VIP6):
        out = rig.run(ping(to))
        assert (out.action, out.output) == (PASS, ping(to))
    rig.configure(icmp_rate=RATE, answer_ping=True)
    rig.dataplane.remove_vip(WEB)
    assert rig.run(ping()).action == PASS


@pytest.mark.parametrize("key", [WEB, WEB6, NETWORK], ids=str)
def test_p10_a_vip_that_comes_is_pinged_only_if_its_address_was_declared(
    rig: Rig, key: VipKey
) -> None:
    """`answer_ping = "announced"`: the agent says which are before it writes a VIP."""
    rig.configure(icmp_rate=RATE, answer_ping=True)
    to = str(key.address)
    for declared, action in ((), PASS), ((key.address,), TX), (None, TX), ((), PASS):
        rig.dataplane.answer_pings_for(declared)
        rig.serve(key, REALS)
        rig.serve(key._replace(port=key.port + 1), REALS)
        assert rig.run(ping(to)).action == action, declared
        assert rig.run(frames.tcp(to=to)).action == TX
        for served in rig.dataplane.owned().vips:
            rig.dataplane.remove_vip(served)


def test_p10_what_came_to_or_from_many_is_passed(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    rig.serve(WEB6, REALS)
    rig.configure(icmp_rate=RATE, answer_ping=True)
    strange = [ping(source=source) for source in ("255.255.255.255", "224.0.0.9", "0.0.0.0")]
    strange += [ping(frames.VIP6, source=source) for source in ("ff02::1", "::", "::1")]
    strange += [b"\xff" * 6 + ping()[6:], b"\x33\x33\0\0\0\1" + ping(frames.VIP6)[6:]]
    for frame in strange:
        out = rig.run(frame)
        assert (out.action, out.output) == (PASS, frame)


def test_p10_fragments_and_options_have_their_reasons(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    rig.configure(icmp_rate=RATE, answer_ping=True)
    assert rig.run(frames.fragment(protocol=1)).reason == "fragment"
    assert rig.run(ping()[:14] + b"\x46" + ping()[15:]).reason == "ip_options"


def test_p10_p6_cut_at_every_byte(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    rig.serve(WEB6, REALS)
    rig.configure(icmp_rate=RATE, answer_ping=True)
    for to, header in ((frames.VIP, 20), (frames.VIP6, 40)):
        frame = ping(to)
        for length in range(14, len(frame)):
            out = rig.run(frame[:length])
            wanted = (PASS, "") if length < 14 + header else (DROP, "malformed")
            assert (out.action, out.reason) == wanted, length


def test_p10_the_rate_is_kept_and_is_not_that_of_too_big(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    rig.configure(icmp_rate=5, answer_ping=True, trace_all=False)
    begins = time.monotonic()
    outs = [rig.run(ping(seq=n)) for n in range(40)]
    lasted = time.monotonic() - begins
    sent = sum(out.action == TX for out in outs)
    assert 5 <= sent <= 6 + 5 * lasted, "a second's worth at once, and what became due meanwhile"
    for n, out in enumerate(outs):
        if out.action == DROP:
            assert (out.reason, out.output) == ("ping_limit", ping(seq=n))
            assert out.counted["icmp_suppressed"] == 1
    large = IP(src=frames.CLIENT, dst=frames.VIP, flags="DF") / TCP(dport=80) / Raw(bytes(1450))
    assert rig.run(frames.framed(large)).action == TX
    assert rig.dataplane.counters.totals()["icmp_sent"].sum() == sent + 1


def test_p6_fuzz_with_answers(rig: Rig) -> None:
    """20,000 mutated pings, errors and large packets: one outcome each (C1, by rig.run)."""
    services = [rig.serve(key, REALS) for key in (WEB, WEB6)]
    rig.configure(icmp_rate=RATE, answer_ping=True, underlay_mtu=1320)
    chance = random.Random(20261123)
    large = [frames.tcp(to=str(s.key.address), payload=bytes(1300), flags="A") for s in services]
    large[0] = large[0][:20] + b"\x40" + large[0][21:]
    seeds = [ping(), ping(frames.VIP6), *large, *icmp_frames.errors_of(WEB, WEB6)]
    seen = set()
    for _ in range(20000):
        frame = bytearray(chance.choice(seeds)[: chance.choice([54, 62, 90, 1500, 1500])])
        for _ in range(chance.randrange(4)):
            frame[chance.randrange(min(len(frame), 90))] = chance.choice([0, 1, 8, 0x45, 128, 255])
        out = rig.run(bytes(frame))
        answered = out.action == TX and int(out.event["verdict"]) == abi.ANSWER
        seen.add((out.action, out.reason, answered))
        if answered:
            assert out.output[:12] == pong()[:12]
            assert len(out.output) <= max(len(frame), 14 + 1280)
        elif out.action == TX:
            assert out.output[34:] == frame[14:]
        else:
            assert out.output == bytes(frame)
    assert {(TX, "", True), (TX, "", False), (PASS, "", False)} <= seen
    assert {(DROP, name, False) for name in ("icmp_quote", "malformed", "too_big")} <= seen
