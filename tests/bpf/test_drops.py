# SPDX-License-Identifier: Apache-2.0
"""What is dropped, each with its one reason; and that no frame whatever has no outcome."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from agent.dataplane import abi
from tests.bpf import frames
from tests.bpf.rig import DNS, DROP, PASS, TX, WEB, Rig

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 100, "10.3.2.2": 100}
IP_AT, L4_AT = 14, 34


def patched(frame: bytes, at: int, value: bytes) -> bytes:
    return frame[:at] + value + frame[at + len(value) :]


def tcp_length(frame: bytes, words: int) -> bytes:
    return patched(frame, L4_AT + 12, bytes([words << 4]))


def ip_length(frame: bytes, length: int) -> bytes:
    return patched(frame, IP_AT + 2, struct.pack("!H", length))


ODD: dict[str, tuple[Callable[[], bytes], str]] = {
    "first-fragment": (frames.fragment, "fragment"),
    "middle-fragment": (lambda: frames.fragment(offset=100), "fragment"),
    "last-fragment": (lambda: frames.fragment(offset=100, more=False), "fragment"),
    "tcp-fragment": (lambda: frames.fragment(protocol=6), "fragment"),
    "options": (frames.with_options, "ip_options"),
    "ihl-4": (lambda: patched(frames.tcp(), IP_AT, b"\x44"), "malformed"),
    "version-6-in-ipv4-frame": (lambda: patched(frames.tcp(), IP_AT, b"\x65"), "malformed"),
    "longer-than-the-frame": (lambda: ip_length(frames.tcp(), 41), "malformed"),
    "shorter-than-its-headers": (lambda: ip_length(frames.tcp(), 39), "malformed"),
    "ip-length-0": (lambda: ip_length(frames.tcp(), 0), "malformed"),
    "tcp-header-too-short": (lambda: tcp_length(frames.tcp(), 4), "malformed"),
    "tcp-header-beyond-the-packet": (lambda: tcp_length(frames.tcp(), 6), "malformed"),
    "udp-length-7": (lambda: patched(frames.udp(), L4_AT + 4, b"\0\x07"), "malformed"),
    "udp-length-beyond": (lambda: patched(frames.udp(), L4_AT + 4, b"\0\xff"), "malformed"),
    "cut-in-tcp": (lambda: frames.tcp()[: L4_AT + 19], "malformed"),
    "cut-behind-ip": (lambda: frames.tcp()[:L4_AT], "malformed"),
}


@pytest.mark.parametrize("name", ODD)
def test_p6_p7_odd_packets_to_a_vip(rig: Rig, name: str) -> None:
    """One reason each, the frame in the event, nothing sent (also not a first fragment)."""
    rig.serve(WEB, REALS)
    dns = rig.serve(DNS, REALS)
    make, reason = ODD[name]
    frame = make()
    out = rig.run(frame)
    assert (out.action, out.reason, out.output) == (DROP, reason, frame)
    assert out.event["verdict"] == abi.DROP
    assert bytes(out.event["head"][: len(frame)]) == frame[: abi.CAPTURE]
    assert out.event["length"] == len(frame)
    assert "flow_hits" not in out.counted
    assert dns.vip_num != 0


@pytest.mark.parametrize("name", ODD)
def test_p5_the_same_packets_to_others_are_passed(rig: Rig, name: str) -> None:
    rig.serve(WEB, REALS)
    frame = patched(ODD[name][0](), IP_AT + 16, bytes([198, 51, 100, 1]))
    out = rig.run(frame)
    assert (out.action, out.output) == (PASS, frame)


def test_p6_every_length_has_one_outcome(rig: Rig) -> None:
    """A TCP and a UDP packet cut at every byte from 14 on, and padded to 128."""
    rig.serve(WEB, REALS)
    rig.serve(DNS, REALS)
    for whole in (frames.tcp(payload=bytes(100)), frames.udp(payload=bytes(100))):
        for length in range(14, 129):
            out = rig.run(whole[:length])
            if length < L4_AT:
                assert out.action == PASS, length
            else:
                assert (out.action, out.reason) == (DROP, "malformed"), length
    for length in range(54, 129):
        assert rig.run(frames.tcp().ljust(length, b"\xff")).action == TX


def test_p6_fuzz(rig: Rig) -> None:
    """20,000 mutated frames: rig.run checks C1 for each, and what is passed or dropped is whole."""
    rig.serve(WEB, REALS)
    rig.serve(DNS, REALS)
    chance = random.Random(20261123)
    seeds = [frames.tcp(payload=b"x" * 30), frames.udp(), frames.with_options(), frames.fragment()]
    seeds += frames.strangers().values()
    seen = set()
    for _ in range(20000):
        frame = bytearray(chance.choice(seeds)[: chance.choice([14, 34, 42, 54, 128, 4000])])
        for _ in range(chance.randrange(4)):
            # Mostly in the headers, where it matters.
            frame[chance.randrange(min(len(frame), 60))] = chance.choice([0, 1, 0x45, 255, 6, 17])
        out = rig.run(bytes(frame))
        seen.add((out.action, out.reason))
        if out.action == TX:
            inner = out.output[IP_AT + 20 :]
            assert inner == bytes(frame[IP_AT:])
        else:
            assert out.output == bytes(frame)
    assert {(TX, ""), (PASS, ""), (DROP, "malformed"), (DROP, "fragment")} <= seen


def test_no_real_without_a_ring(rig: Rig) -> None:
    """R5: a VIP without reals drops with a reason; it does not serve from an old ring."""
    service = rig.serve(WEB, REALS)
    assert rig.run(frames.tcp()).action == TX
    rig.place(service, {})
    for port in range(1024, 1124):
        out = rig.run(frames.tcp(port=port, source="192.0.2.99"))
        assert (out.action, out.reason) == (DROP, "no_real")
        assert out.event["real_num"] == 0


def test_no_real_before_the_first_ring(rig: Rig) -> None:
    rig.dataplane.put_vip(WEB, 5)
    assert rig.run(frames.tcp()).reason == "no_real"


def test_a_ring_never_sends_to_another_vip_s_real(rig: Rig) -> None:
    """F3: a slot whose number belongs to another VIP by now counts as one without a real."""
    web, dns = rig.serve(WEB, {"10.3.1.2": 1}), rig.serve(DNS, {"10.3.9.9": 1})
    (number,) = web.reals.values()
    rig.put_real(number, dns.vip_num, "10.3.9.9", generation=2)
    out = rig.run(frames.tcp())
    assert (out.action, out.reason) == (DROP, "no_real")


def test_internal_when_agent_and_program_disagree(rig: Rig) -> None:
    """A VIP number beyond the services: the agent never writes it, and it is no crash."""
    rig.serve(WEB, REALS)
    with rig.tampered(WEB, abi.MAX_VIPS + 1):
        out = rig.run(frames.tcp())
    assert (out.action, out.reason) == (DROP, "internal")
    assert rig.run(frames.tcp()).action == TX
