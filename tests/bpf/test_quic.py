# SPDX-License-Identifier: Apache-2.0
"""QUIC VIPs: packets that name their server reach it by whatever path, others follow their flow."""

from __future__ import annotations

import random

import pytest

from agent.dataplane import abi
from agent.nouns import Placing, Quic, Tracking, VipKey, WhenDown
from shared.model import Protocol
from tests.bpf import frames, icmp_frames
from tests.bpf.rig import DROP, TX, WEB, WEB6, Outcome, Rig, Service
from tests.bpf.test_extensions import extended
from tests.bpf.test_vlan import tagged

pytestmark = pytest.mark.root

H3 = VipKey(WEB.address, 443, Protocol.UDP)
H3_6 = VipKey(WEB6.address, 443, Protocol.UDP)
REALS = {"10.3.1.2": 1, "10.3.2.2": 1, "10.3.3.2": 1}
LB, CID = Quic("quic-lb", id_bytes=2, config=1), Quic("cid")
V1, V2 = 1, 0x6B3343CF
INITIAL, ZERO_RTT, HANDSHAKE, RETRY = "initial", "0-rtt", "handshake", "retry"
TYPES = {V1: (INITIAL, ZERO_RTT, HANDSHAKE, RETRY), V2: (RETRY, INITIAL, ZERO_RTT, HANDSHAKE)}
"""RFC 9000 table 5; RFC 9369 section 3.2 moves each by one."""
REST = bytes(range(200, 240))


def long(kind: str, cid: bytes, version: int = V1) -> bytes:
    """RFC 8999 section 5.1: first byte, version, both connection ids with their lengths."""
    number = TYPES[version].index(kind) if version in TYPES else 0
    head = bytes([0xC0 | number << 4]) + version.to_bytes(4, "big")
    return head + bytes([len(cid)]) + cid + bytes([4]) + b"abcd" + REST


def short(cid: bytes) -> bytes:
    """RFC 8999 section 5.2: the connection id right behind the first byte."""
    return b"\x47" + cid + REST


def quic_lb(server_id: int, quic: Quic, random_bits: int = 0x15, nonce: bytes = b"nonce!") -> bytes:
    """draft-ietf-quic-load-balancers section 5.2: plaintext."""
    return (
        bytes([quic.config << 5 | random_bits]) + server_id.to_bytes(quic.id_bytes, "big") + nonce
    )


def katran(server_id: int, version: int) -> bytes:
    """Two bits version; then 16, or behind the first byte 24 or 32, bits of server id."""
    if version == 1:
        bits = 1 << 62 | server_id << 46 | 0x2AAAAAAAAAAA
        return bits.to_bytes(8, "big")
    size = {2: 3, 3: 4}[version]
    return bytes([version << 6 | 0x2A]) + server_id.to_bytes(size, "big") + bytes(7 - size)


def datagram(service: Service, payload: bytes, port: int = 40000, source: str = "") -> bytes:
    to = str(service.key.address)
    return frames.udp(source=source, port=port, to=to, to_port=443, payload=payload)


def counts(out: Outcome) -> set[str]:
    return {name for name in out.counted if name.startswith("quic_")}


@pytest.fixture(params=[H3, H3_6], ids=str)
def service(rig: Rig, request: pytest.FixtureRequest) -> Service:
    """Server ids 100, 101, 102 of its three reals."""
    return serve(rig, request.param, LB)


def serve(rig: Rig, key: VipKey, quic: Quic, **placing: object) -> Service:
    service = rig.serve(key, REALS, placing=Placing(quic=quic, **placing))  # type: ignore[arg-type]
    rig.dataplane.put_quic_ids(service.vip_num, ids(service))
    return service


def ids(service: Service) -> dict[int, int]:
    return {100 + n: real for n, real in enumerate(service.reals.values())}


def elsewhere(service: Service, real: int) -> int:
    """A client port whose flow the ring sends to another real: only the id names this one."""
    return next(p for p in range(41000, 50000) if service.predicted(p) != real)


@pytest.mark.parametrize("id_bytes", range(1, 9))
@pytest.mark.parametrize("config", range(7))
def test_quic_lb_every_length_of_id_and_every_rotation(
    rig: Rig, config: int, id_bytes: int
) -> None:
    quic = Quic("quic-lb", id_bytes, config)
    service = rig.serve(H3, REALS, placing=Placing(quic=quic))
    chance = random.Random(config * 8 + id_bytes)
    named = {chance.randrange(256**id_bytes): real for real in service.reals.values()}
    rig.dataplane.put_quic_ids(service.vip_num, named)
    for server_id, real in named.items():
        cid = quic_lb(server_id, quic, chance.randrange(32), chance.randbytes(8))
        for payload in (short(cid), long(HANDSHAKE, cid), long(HANDSHAKE, cid, V2)):
            out = rig.run(datagram(service, payload, elsewhere(service, real)))
            assert service.sent_to(out) == real
            assert counts(out) == {"quic_routed"}
        for rotation in {*range(8)} - {config}:
            other = bytes([rotation << 5]) + cid[1:]
            port = elsewhere(service, real) + 100
            out = rig.run(datagram(service, short(other), port))
            assert service.sent_to(out) == service.predicted(port)
            assert counts(out) == {"quic_unknown"}


@pytest.mark.parametrize(("version", "bits"), [(1, 16), (2, 24), (3, 32)])
@pytest.mark.parametrize("key", [H3, H3_6], ids=str)
def test_katran_s_ids(rig: Rig, key: VipKey, version: int, bits: int) -> None:
    service = rig.serve(key, REALS, placing=Placing(quic=CID))
    chance = random.Random(version)
    named = {chance.randrange(2**bits): real for real in service.reals.values()}
    named |= {0: next(iter(service.reals.values())), 2**bits - 1: max(service.reals.values())}
    rig.dataplane.put_quic_ids(service.vip_num, named)
    for server_id, real in named.items():
        cid = katran(server_id, version)
        for payload in (short(cid), long(HANDSHAKE, cid), long(HANDSHAKE, cid, V2)):
            out = rig.run(datagram(service, payload, elsewhere(service, real)))
            assert service.sent_to(out) == real
            assert counts(out) == {"quic_routed"}


def test_katran_s_ids_of_no_known_version_or_too_short(rig: Rig) -> None:
    service = serve(rig, H3, CID)
    for payload in (short(bytes(8)), long(HANDSHAKE, katran(100, 2)[:7])):
        out = rig.run(datagram(service, payload))
        assert service.sent_to(out) == service.predicted(40000)
        assert counts(out) == {"quic_unknown"}


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        (INITIAL, V1),
        (ZERO_RTT, V1),
        (INITIAL, V2),
        (ZERO_RTT, V2),
        (INITIAL, 0xFF00001D),
        (INITIAL, 0x1A2A3A4A),
        (INITIAL, 0),
    ],
)
def test_what_opens_a_connection_follows_the_ring_and_then_its_flow(
    rig: Rig, service: Service, kind: str, version: int
) -> None:
    """The client chose the connection id: it says nothing, whatever it looks like."""
    real = service.predicted(40000)
    assert real
    other = next(server_id for server_id, number in ids(service).items() if number != real)
    for cause in ("flow_miss_udp", "flow_hits", "flow_hits"):
        out = rig.run(datagram(service, long(kind, quic_lb(other, LB), version)))
        assert service.sent_to(out) == real
        assert counts(out) == {"quic_initial"}
        assert out.counted[cause] == 1
    rig.drain_real(service, real)
    out = rig.run(datagram(service, long(kind, quic_lb(other, LB), version)))
    assert service.sent_to(out) == real, "its flow: a retransmission, or 0-RTT behind the Initial"


def test_a_connection_from_its_first_packet_to_another_network(rig: Rig, service: Service) -> None:
    """Initial by the ring, Handshake and short ones by id, after a NAT rebinding and a move too."""
    real = service.sent_to(rig.run(datagram(service, long(INITIAL, b"\x99" * 8))))
    server_id = next(i for i, number in ids(service).items() if number == real)
    mine = quic_lb(server_id, LB)
    assert service.sent_to(rig.run(datagram(service, long(HANDSHAKE, mine)))) == real
    assert service.sent_to(rig.run(datagram(service, short(mine)))) == real
    roamed = "2001:db8:feed::9" if service.key.address.version == 6 else "203.0.113.200"
    for port in range(50000, 50020):
        assert service.sent_to(rig.run(datagram(service, short(mine), port))) == real
        assert service.sent_to(rig.run(datagram(service, short(mine), port, roamed))) == real
    assert rig.live_flows(60)[real] == 41, "each path is a flow of it, for a drain to count"


def test_p3_icmp_errors_follow_the_path_that_was_routed_by_id(rig: Rig, service: Service) -> None:
    """They quote ports, no connection id: the flow table knows."""
    for server_id, real in ids(service).items():
        port = elsewhere(service, real)
        rig.run(datagram(service, short(quic_lb(server_id, LB)), port))
        six = service.key.address.version == 6
        errors = icmp_frames.ERRORS6 if six else icmp_frames.ERRORS4
        for kind in errors.values():
            quoted = icmp_frames.answer(service.flow(port))
            out = rig.run(icmp_frames.error(kind, quoted, to=str(service.key.address)))
            assert service.sent_to(out) == real
            assert counts(out) == set()


def test_f1_ids_reach_a_draining_real_and_new_connections_do_not(
    rig: Rig, service: Service
) -> None:
    server_id, real = next(iter(ids(service).items()))
    rig.drain_real(service, real)
    mine = quic_lb(server_id, LB)
    for port in range(42000, 42050):
        assert service.sent_to(rig.run(datagram(service, short(mine), port))) == real
        opened = rig.run(datagram(service, long(INITIAL, mine), port + 1000))
        assert service.sent_to(opened) == service.predicted(port + 1000) != real


@pytest.mark.parametrize(
    ("flag", "when_down", "kept"),
    [
        (abi.REAL_DOWN, WhenDown.MIGRATE, False),
        (abi.REAL_DOWN, WhenDown.KEEP, True),
        (abi.REAL_DISABLED, WhenDown.MIGRATE, False),
        (abi.REAL_DISABLED, WhenDown.KEEP, False),
    ],
)
@pytest.mark.parametrize("key", [H3, H3_6], ids=str)
def test_f4_ids_of_a_real_that_takes_no_packets(
    rig: Rig, key: VipKey, flag: int, when_down: WhenDown, *, kept: bool
) -> None:
    service = serve(rig, key, LB, when_down=when_down)
    server_id, real = next(iter(ids(service).items()))
    port = elsewhere(service, real)
    payload = short(quic_lb(server_id, LB))
    assert service.sent_to(rig.run(datagram(service, payload, port))) == real
    rig.dataplane.set_flags(real, flag)
    out = rig.run(datagram(service, payload, port))
    assert service.sent_to(out) == (real if kept else service.predicted(port))
    assert counts(out) == {"quic_routed" if kept else "quic_unknown"}


def test_f3_an_id_never_leads_to_a_number_s_next_owner(rig: Rig, service: Service) -> None:
    """The number went to another VIP; or to another machine, and the agent wrote the ids anew."""
    server_id, real = next(iter(ids(service).items()))
    port = elsewhere(service, real)
    payload = short(quic_lb(server_id, LB))
    rig.dataplane.free_real(real)
    rig.put_real(real, service.vip_num + 7, "10.3.77.2", generation=2)
    out = rig.run(datagram(service, payload, port))
    assert service.sent_to(out) == service.predicted(port)
    assert counts(out) == {"quic_unknown"}
    rig.put_real(real, service.vip_num, "10.3.78.2", generation=3)
    rig.dataplane.put_quic_ids(service.vip_num, {555: real})
    out = rig.run(datagram(service, payload, port))
    assert service.sent_to(out) == service.predicted(port)
    out = rig.run(datagram(service, short(quic_lb(555, LB)), port))
    assert out.output[30:34] == bytes([10, 3, 78, 2])


def test_ids_are_their_vip_s_own(rig: Rig) -> None:
    """The same server id behind two VIPs; and a removed VIP's are forgotten."""
    first, second = serve(rig, H3, LB), serve(rig, H3_6, LB)
    for service in (first, second):
        for server_id, real in ids(service).items():
            out = rig.run(
                datagram(service, short(quic_lb(server_id, LB)), elsewhere(service, real))
            )
            assert service.sent_to(out) == real
    rig.dataplane.remove_vip(H3)
    rig.dataplane.put_vip(H3, first.vip_num, Placing(quic=LB))
    rig.place(first, dict.fromkeys(first.reals, 1))
    out = rig.run(datagram(first, short(quic_lb(100, LB))))
    assert counts(out) == {"quic_unknown"}


def test_an_unmapped_id_follows_the_flow_and_then_the_ring(rig: Rig, service: Service) -> None:
    real = service.sent_to(rig.run(datagram(service, long(INITIAL, bytes(8)))))
    rig.drain_real(service, real)
    out = rig.run(datagram(service, short(quic_lb(60000, LB))))
    assert service.sent_to(out) == real, "by its flow"
    assert counts(out) == {"quic_unknown"}
    out = rig.run(datagram(service, short(quic_lb(60000, LB)), 41000))
    assert service.sent_to(out) == service.predicted(41000)


def test_a_long_header_s_id_must_be_as_long_as_its_server_id(rig: Rig, service: Service) -> None:
    server_id, real = next(iter(ids(service).items()))
    mine = quic_lb(server_id, LB, nonce=b"")
    port = elsewhere(service, real)
    for length in range(len(mine)):
        out = rig.run(datagram(service, long(HANDSHAKE, mine[:length]), port))
        assert service.sent_to(out) == service.predicted(port)
        assert counts(out) == {"quic_unknown"}
    assert service.sent_to(rig.run(datagram(service, long(HANDSHAKE, mine), port))) == real


@pytest.mark.parametrize("payload", ["short", "handshake", "initial"])
def test_p6_cut_at_every_byte(rig: Rig, service: Service, payload: str) -> None:
    """Datagrams of every length and frames cut anywhere: one outcome, one count, never a crash."""
    cid = quic_lb(100, LB)
    whole = {"short": short(cid), "handshake": long(HANDSHAKE, cid), "initial": long(INITIAL, cid)}
    for length in range(len(whole[payload])):
        out = rig.run(datagram(service, whole[payload][:length]))
        assert out.action == TX
        assert len(counts(out)) == 1
        if length < 16:
            assert counts(out) == {"quic_unknown"}
    frame = datagram(service, whole[payload])
    for length in range(14, len(frame)):
        out = rig.run(frame[:length])
        assert out.action != TX
        assert counts(out) == set()


def test_p6_any_datagram_has_one_count(rig: Rig) -> None:
    chance = random.Random(9000)
    for quic in (LB, CID):
        service = serve(rig, H3, quic)
        for _ in range(1500):
            payload = chance.choice([b"\x40", b"\xc0", b"\xe0", b""]) + chance.randbytes(
                chance.randrange(60)
            )
            out = rig.run(frames.from_port(datagram(service, payload), chance.randrange(65536)))
            assert out.action == TX
            assert len(counts(out)) == 1
        rig.dataplane.remove_vip(H3)


@pytest.mark.parametrize("mode", ["compute", "changed", "pressure"])
def test_c3_in_modes_that_store_little(rig: Rig, mode: str) -> None:
    """Routed by id all the same, and what opens a connection is counted as such."""
    placing = {"pressure": True} if mode == "pressure" else {"tracking": Tracking(mode)}
    service = serve(rig, H3, LB, **placing)
    server_id, real = next(iter(ids(service).items()))
    port = elsewhere(service, real)
    out = rig.run(datagram(service, short(quic_lb(server_id, LB)), port))
    assert service.sent_to(out) == real
    out = rig.run(datagram(service, long(INITIAL, bytes(8)), port + 1))
    assert service.sent_to(out) == service.predicted(port + 1)
    assert counts(out) == {"quic_initial"}
    assert ("flow_untracked" in out.counted) == (mode != "changed")
    out = rig.run(datagram(service, short(quic_lb(9, LB)), port + 2))
    assert counts(out) == {"quic_unknown"}


def test_behind_extension_headers_and_in_a_vlan(rig: Rig) -> None:
    service = serve(rig, H3_6, LB)
    for server_id, real in ids(service).items():
        frame = datagram(service, short(quic_lb(server_id, LB)), elsewhere(service, real))
        for sent in (extended(frame, ("destination", "routing")), tagged(frame)):
            out = rig.run(sent)
            assert out.counted["quic_routed"] == 1
            at = 38 + 4 * (sent[12:14] == b"\x81\x00")
            address = ".".join(map(str, out.output[at - 8 : at - 4]))
            assert address == service.address(real)


def test_what_is_no_quic_vip_s_is_not_read(rig: Rig) -> None:
    plain = rig.serve(H3, REALS)
    rig.dataplane.put_quic_ids(plain.vip_num, ids(plain))
    out = rig.run(datagram(plain, short(quic_lb(100, LB))))
    assert counts(out) == set()
    assert plain.sent_to(out) == plain.predicted(40000)


def test_no_real_is_still_no_real(rig: Rig) -> None:
    service = serve(rig, H3, LB)
    for real in service.reals.values():
        rig.dataplane.set_flags(real, abi.REAL_DOWN)
    out = rig.run(datagram(service, short(quic_lb(100, LB))))
    assert (out.action, out.reason) == (DROP, "no_real")
    assert counts(out) == {"quic_unknown"}
