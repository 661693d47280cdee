# SPDX-License-Identifier: Apache-2.0
"""IPv6 packets to a VIP that cannot be sent: one reason each; and no frame has no outcome."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import partial

import pytest

from agent.dataplane import abi
from agent.nouns import Encap
from tests.bpf import frames, icmp_frames, oracle
from tests.bpf.rig import DNS, DNS6, DROP, PASS, TX, WEB, WEB6, Rig

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 1, "fd00:3:1::2": 1}
TO_AT, L4_AT = 38, 54
WALKED = ("hop-by-hop", "destination-options", "authentication")
NOT_WALKED = ("routing", "mobility", "hip", "shim6")
"""The routing header's has a segment left."""
HEADERS = WALKED + NOT_WALKED


def patched(frame: bytes, at: int, value: bytes) -> bytes:
    return frame[:at] + value + frame[at + len(value) :]


def tcp() -> bytes:
    return frames.tcp(to=frames.VIP6)


def udp() -> bytes:
    return frames.udp(to=frames.VIP6)


def payload_length(frame: bytes, length: int) -> bytes:
    return patched(frame, 18, struct.pack("!H", length))


ODD: dict[str, tuple[Callable[[], bytes], str]] = {
    "first-fragment": (frames.fragment6, "fragment"),
    "middle-fragment": (lambda: frames.fragment6(offset=100), "fragment"),
    "last-fragment": (lambda: frames.fragment6(offset=100, more=False), "fragment"),
    "atomic-fragment-of-half-a-tcp": (lambda: frames.fragment6(more=False, next_=6), "malformed"),
    "fragment-of-ping": (lambda: frames.fragment6(next_=58), "fragment"),
    "version-4-in-ipv6-frame": (lambda: patched(tcp(), 14, b"\x45"), "malformed"),
    "version-0": (lambda: patched(tcp(), 14, b"\x00"), "malformed"),
    "longer-than-the-frame": (lambda: payload_length(tcp(), 21), "malformed"),
    "shorter-than-its-headers": (lambda: payload_length(tcp(), 19), "malformed"),
    "jumbogram": (lambda: payload_length(tcp(), 0), "malformed"),
    "tcp-header-too-short": (lambda: patched(tcp(), L4_AT + 12, b"\x40"), "malformed"),
    "tcp-header-beyond": (lambda: patched(tcp(), L4_AT + 12, b"\x60"), "malformed"),
    "udp-length-7": (lambda: patched(udp(), L4_AT + 4, b"\0\x07"), "malformed"),
    "udp-length-beyond": (lambda: patched(udp(), L4_AT + 4, b"\0\xff"), "malformed"),
    "cut-in-tcp": (lambda: tcp()[: L4_AT + 19], "malformed"),
    "cut-behind-ip": (lambda: tcp()[:L4_AT], "malformed"),
    **{name: (partial(frames.extended, name), "extension_header") for name in NOT_WALKED},
}


@pytest.mark.parametrize("name", ODD)
def test_p6_p7_odd_ipv6_packets_to_a_vip(rig: Rig, name: str) -> None:
    """One reason each, the frame in the event, nothing sent (also not a first fragment)."""
    rig.serve(WEB6, REALS)
    rig.serve(DNS6, REALS)
    make, reason = ODD[name]
    frame = make()
    out = rig.run(frame)
    assert (out.action, out.reason, out.output) == (DROP, reason, frame)
    assert out.event["verdict"] == abi.DROP
    assert bytes(out.event["head"][: len(frame)]) == frame[: abi.CAPTURE]
    assert "flow_hits" not in out.counted


@pytest.mark.parametrize("name", ODD)
def test_p5_the_same_packets_to_others_are_passed(rig: Rig, name: str) -> None:
    rig.serve(WEB6, REALS)
    frame = patched(ODD[name][0](), TO_AT, bytes.fromhex("20010db8ffff"))
    out = rig.run(frame)
    assert (out.action, out.output) == (PASS, frame)


def test_p5_without_ipv6_vips_no_ipv6_packet_is_ours(rig: Rig) -> None:
    rig.serve(WEB, REALS)
    for make, _ in ODD.values():
        assert rig.run(make()).action == PASS
    rig.serve(WEB6, REALS)
    assert rig.run(frames.fragment6()).reason == "fragment"
    rig.dataplane.remove_vip(WEB6)
    assert rig.run(frames.fragment6()).action == PASS


def test_p6_every_length_has_one_outcome(rig: Rig) -> None:
    """Packets of every kind cut at every byte from 14 on, and padded to 160."""
    rig.serve(WEB6, REALS)
    rig.serve(DNS6, REALS)
    whole = [
        frames.tcp(to=frames.VIP6, payload=bytes(100)),
        frames.udp(to=frames.VIP6, payload=bytes(100)),
    ]
    for frame in whole:
        for length in range(14, 141):
            out = rig.run(frame[:length])
            if length < L4_AT:
                assert out.action == PASS, length
            else:
                assert (out.action, out.reason) == (DROP, "malformed"), length
    for frame, reason in (
        (frames.fragment6(), "fragment"),
        (frames.extended("routing"), "extension_header"),
    ):
        for length in range(14, len(frame)):
            out = rig.run(frame[:length])
            whole_header = length >= L4_AT + 8
            wanted = (DROP, reason if whole_header else "malformed")
            assert (out.action, out.reason) == (wanted if length >= L4_AT else (PASS, "")), length
    for length in range(74, 161):
        assert rig.run(tcp().ljust(length, b"\xff")).action == TX


@pytest.mark.parametrize("encap", Encap)
def test_p6_fuzz_both_families(rig: Rig, encap: Encap) -> None:
    """20,000 mutated frames for each encapsulation, VIPs and reals of both families: one outcome
    each (C1, by rig.run); what is sent carries the frame whole, all else is untouched."""
    services = [rig.serve(key, REALS, encap) for key in (WEB, DNS, WEB6, DNS6)]
    address = {n: s.address(n) for s in services for n in s.reals.values()}
    chance = random.Random(f"20261123/{encap}")
    seeds = [frames.tcp(payload=b"x" * 30), frames.udp(), frames.fragment(), frames.with_options()]
    seeds += [tcp(), udp(), frames.tcp(to=frames.VIP6, payload=b"x" * 30), frames.fragment6()]
    seeds += [frames.extended(name) for name in HEADERS]
    seeds += icmp_frames.errors_of(WEB, WEB6)
    seeds += [*seeds[:8], *frames.strangers().values()]
    seen = set()
    for _ in range(20000):
        frame = bytearray(chance.choice(seeds)[: chance.choice([54, 58, 62, 74, 90, 128, 4000])])
        for _ in range(chance.randrange(4)):
            # Mostly in the headers, where it matters.
            at = chance.randrange(min(len(frame), 80))
            frame[at] = chance.choice([0, 1, 0x45, 0x60, 255, 6, 17, 41, 43, 44])
        out = rig.run(bytes(frame))
        seen.add((out.action, out.reason))
        if out.action == TX:
            size = oracle.overhead(address[int(out.event["real_num"])], encap)
            assert out.output[14 + size :] == bytes(frame[14:])
        else:
            assert out.output == bytes(frame)
    reasons = ("malformed", "fragment", "extension_header", "ip_options", "icmp_quote")
    assert {(TX, ""), (PASS, ""), *((DROP, reason) for reason in reasons)} <= seen
