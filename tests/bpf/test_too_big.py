# SPDX-License-Identifier: Apache-2.0
"""What does not fit the underlay is answered, byte for byte as scapy would, or dropped."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from agent.dataplane import abi
from agent.nouns import Encap, VipKey
from tests.bpf import frames, icmp_frames, oracle
from tests.bpf.rig import DROP, TX, WEB, WEB6, Rig

pytestmark = pytest.mark.root

RATE = 1000
QUOTED4, QUOTED6 = 504, 1232


def sized(key: VipKey, length: int, *, source: str = "", df: bool = True) -> bytes:
    """A TCP packet to the VIP of so many IP bytes."""
    chance = random.Random(length)
    head: IPv6 | IP
    if key.address.version == 6:
        head = IPv6(src=source or frames.CLIENT6, dst=str(key.address), tc=9)
    else:
        head = IP(src=source or frames.CLIENT, dst=str(key.address), flags="DF" if df else 0)
    tcp = TCP(sport=40000, dport=key.port, flags="A", seq=7)
    payload = chance.randbytes(length - len(head / tcp))
    return frames.framed(head / tcp / Raw(payload))


def answer(frame: bytes, mtu: int) -> bytes:
    """What the client must hear: RFC 792 and RFC 1191, RFC 4443."""
    ether = Ether(src=frames.OWN_MAC, dst=frames.GATEWAY_MAC)
    inner = frame[14:]
    if inner[0] >> 4 == 6:
        six = IPv6(inner)
        told = IPv6(src=six.dst, dst=six.src, hlim=64) / ICMPv6PacketTooBig(mtu=mtu)
        return bytes(ether / told / Raw(inner[:QUOTED6]))
    ip = IP(inner)
    head = IP(src=ip.dst, dst=ip.src, ttl=64, id=0, flags="DF", tos=0xC0)
    icmp = ICMP(type=3, code=4, nexthopmtu=mtu)
    return bytes(ether / head / icmp / Raw(inner[:QUOTED4]))


@pytest.mark.parametrize("underlay", [1400, 1500, 2900])
@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("real", ["10.3.1.2", "fd00:3:1::2"])
@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_p4_the_answer_is_what_scapy_builds(
    rig: Rig, key: VipKey, real: str, encap: Encap, underlay: int
) -> None:
    """From the VIP, with what this real's encapsulation leaves of the MTU; by table and ring."""
    service = rig.serve(key, {real: 1}, encap)
    rig.configure(icmp_rate=RATE, underlay_mtu=underlay)
    room = underlay - oracle.overhead(real, encap)
    for length in (room + 1, room + 2, room + 501):
        frame = sized(key, length)
        out = rig.run(frame)
        assert (out.action, out.reason) == (TX, "")
        assert out.output == answer(frame, room)
        assert (out.counted["icmp_sent"], out.event["verdict"]) == (1, abi.ANSWER)
        assert rig.flow(service.flow(40000)) is None
    fits = rig.run(sized(key, room))
    assert "icmp_sent" not in fits.counted
    assert fits.counted["flow_miss_other"] == 1
    frame = sized(key, room + 3)
    assert rig.run(frame).output == answer(frame, room)
    assert rig.dataplane.counters.by_vip()[service.vip_num, :2].tolist() == [1, room + 14]


def test_p4_padding_of_the_link_is_not_answered_with(rig: Rig) -> None:
    for key in (WEB, WEB6):
        rig.serve(key, {"10.3.1.2": 1})
        rig.configure(icmp_rate=RATE)
        frame = sized(key, 1490)
        assert rig.run(frame + b"\xee" * 9).output == answer(frame, 1480)


def test_p4_the_smallest_packet_that_can_be_too_big(rig: Rig) -> None:
    """The least underlay_mtu and the largest outer header: the quote is still whole."""
    rig.serve(WEB, {"fd00:3:1::2": 1}, Encap.GUE)
    rig.configure(icmp_rate=RATE, underlay_mtu=576)
    frame = sized(WEB, 529)
    assert rig.run(frame).output == answer(frame, 528)


def test_p4_ipv6_never_below_1280(rig: Rig) -> None:
    """An underlay that cannot carry IPv6: what is not larger than 1280 is not answered."""
    rig.serve(WEB6, {"fd00:3:1::2": 1}, Encap.GUE)
    rig.configure(icmp_rate=RATE, underlay_mtu=1300)
    frame = sized(WEB6, 1281)
    assert rig.run(frame).output == answer(frame, 1280)
    frame = sized(WEB6, 1280)
    out = rig.run(frame)
    assert (out.action, out.reason, out.output) == (DROP, "too_big", frame)
    assert "icmp_suppressed" not in out.counted


def test_p4_without_df_it_stays_a_drop(rig: Rig) -> None:
    rig.serve(WEB, {"10.3.1.2": 1})
    rig.configure(icmp_rate=RATE)
    frame = sized(WEB, 1481, df=False)
    out = rig.run(frame)
    assert (out.action, out.reason, out.output) == (DROP, "too_big", frame)
    assert "icmp_suppressed" not in out.counted


MANY = ["0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255"]
MANY6 = ["::", "::1", "::ffff:192.0.2.1", "ff02::1", "ff0e::1"]


@pytest.mark.parametrize("source", [*MANY, *MANY6])
def test_p4_never_to_what_is_not_one_host(rig: Rig, source: str) -> None:
    key = WEB6 if ip_address(source).version == 6 else WEB
    rig.serve(key, {"10.3.1.2": 1})
    rig.configure(icmp_rate=RATE)
    frame = sized(key, 1500, source=source)
    out = rig.run(frame)
    assert (out.action, out.reason, out.output) == (DROP, "too_big", frame)


@pytest.mark.parametrize("mac", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01"])
@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_p4_never_about_what_came_to_many(rig: Rig, key: VipKey, mac: str) -> None:
    rig.serve(key, {"10.3.1.2": 1})
    rig.configure(icmp_rate=RATE)
    frame = bytes.fromhex(mac.replace(":", "")) + sized(key, 1500)[6:]
    out = rig.run(frame)
    assert (out.action, out.reason, out.output) == (DROP, "too_big", frame)


@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_p4_never_about_an_icmp_error(rig: Rig, key: VipKey) -> None:
    service = rig.serve(key, {"10.3.1.2": 1})
    rig.configure(icmp_rate=RATE, underlay_mtu=1300)
    to = str(key.address)
    kinds = icmp_frames.ERRORS6 if ":" in to else icmp_frames.ERRORS4
    for kind in kinds.values():
        quoted = icmp_frames.answer(service.flow(40000), payload=1400)
        frame = icmp_frames.error(kind, quoted, l4=1300, to=to)
        # Of IPv4, only what must not be fragmented would be answered at all.
        frame = frame if ":" in to else frame[:20] + b"\x40" + frame[21:]
        out = rig.run(frame)
        assert (out.action, out.reason, out.output) == (DROP, "too_big", frame)


def test_p4_the_rate_is_kept_and_what_is_over_it_counted(rig: Rig) -> None:
    """One second's worth at once; then the drops have their reason, and say that they are these."""
    rig.serve(WEB, {"10.3.1.2": 1})
    rig.configure(icmp_rate=5, trace_all=False)
    frame = sized(WEB, 1500)
    outs = [rig.run(frame) for _ in range(40)]
    sent = [out for out in outs if out.action == TX]
    assert 5 <= len(sent) <= 7, "the test itself may last some tenths of a second"
    assert outs[:5] == sent[:5]
    for out in outs:
        if out.action == DROP:
            assert (out.reason, out.output) == ("too_big", frame)
            assert out.counted["icmp_suppressed"] == 1
    totals = rig.dataplane.counters.totals()
    assert totals["icmp_sent"].sum() == len(sent)
    assert totals["icmp_suppressed"].sum() == 40 - len(sent)


def test_p4_a_rate_of_0_says_nothing(rig: Rig) -> None:
    rig.serve(WEB, {"10.3.1.2": 1})
    rig.configure(icmp_rate=0)
    out = rig.run(sized(WEB, 1500))
    assert (out.reason, out.counted["icmp_suppressed"]) == ("too_big", 1)
