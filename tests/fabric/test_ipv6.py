# SPDX-License-Identifier: Apache-2.0
"""IPv6 through the real network: BGP, health checks, every encapsulation, real TCP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.error import Scapy_Exception
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.utils import rdpcap

from agent.host import rtnetlink
from shared.messages import Drain, Undrain
from tests.fabric import netns, wire
from tests.fabric import topology as t
from tests.fabric.conftest import at_rest
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE = "lb1"
GUE_PORT = 9886
VIPS = {
    "web6": (t.WEB6, {"r1": (6, "ipip"), "r2": (4, "ipip"), "r3": (6, "gue")}),
    "mixed": (t.MIXED, {"r1": (6, "ipip"), "r2": (4, "gue"), "r3": (6, "gue")}),
}
"""Name -> address, and for each real the family of its address and the encapsulation."""


def address(real: str, family: int) -> str:
    machine = t.real(real)
    return machine.address6 if family == 6 else machine.address


def extended(text: str) -> str:
    """A node's config with these VIPs, an IPv6 gateway, and what IPv6 routes need."""
    text = text.replace("[node]", f'[node]\ngateway = "{t.node(NODE).router_address6}"')
    text = text.replace("[bgp]", f'[bgp]\nnext_hop6 = "{t.node(NODE).address6}"')
    for name, (vip, reals) in VIPS.items():
        text += f'\n[[vips]]\nname = "{name}"\naddress = "{vip}"\nport = {t.WEB_PORT}\n'
        text += '[vips.check]\nkind = "http"\npath = "/healthz"\n'
        text += f"interval = {t.CHECK_INTERVAL}\ntimeout = {t.CHECK_INTERVAL}\n"
        for real, (family, encap) in reals.items():
            listed = address(real, family)
            text += f'[[vips.reals]]\naddress = "{listed}"\nencap = "{encap}"\n'
    return text


@pytest.fixture(scope="module")
def served(lent: Fabric) -> Iterator[Fabric]:
    """One node serves these VIPs too; both announced; afterwards as before."""
    fabric = lent
    agent = fabric.agents[NODE]
    before = agent.config.read_text()
    agent.stop()
    agent.config.write_text(extended(before))
    agent.start()
    try:
        for vip, _ in VIPS.values():
            until(lambda vip=vip: fabric.routes(vip) == {NODE}, 20, f"route of {vip}")  # type: ignore[misc]
        until(lambda: _all_up(fabric), 10, "all reals up")
        yield fabric
    finally:
        agent.stop()
        agent.config.write_text(before)
        agent.start()
    until(lambda: not fabric.routes(t.WEB6), 10, "the IPv6 route gone")


@pytest.fixture
def six(served: Fabric) -> Iterator[Fabric]:
    """All of it at rest, and left so."""
    at_rest(served)
    until(lambda: _all_up(served), 10, "all reals up")
    yield served
    at_rest(served)
    until(lambda: _all_up(served), 10, "all reals up")


def _all_up(fabric: Fabric) -> bool:
    rows = fabric.look(NODE).reals.values()
    return len(rows) == 12 and all(row.health == "up" for row in rows)


def test_h2_every_mix_carries_connections(six: Fabric) -> None:
    """H2, P1: announced by BGP, found by ECMP, and each real answers by its own encapsulation."""
    counted = _new_flows(six)
    answered = {
        name: Counter(six.request(vip=vip) for _ in range(60)) for name, (vip, _) in VIPS.items()
    }
    for counts in answered.values():
        assert set(counts) == set(t.REALS)
        assert sum(counts.values()) == 60
    after = _new_flows(six)
    for name, (_, listed) in VIPS.items():
        for real, (family, _) in listed.items():
            place = name, address(real, family)
            assert after[place] - counted[place] == answered[name][real], place


def _new_flows(fabric: Fabric) -> dict[tuple[str, str], int]:
    return {(row.vip, row.address): row.new_flows for row in fabric.look(NODE).reals.values()}


@pytest.mark.parametrize("real", t.REALS)
def test_p1_on_the_wire_each_real_gets_its_own_encapsulation(six: Fabric, real: str) -> None:
    wanted = {
        (family, encap, 6 if ":" in vip else 4)
        for vip, listed in VIPS.values()
        for family, encap in [listed[real]]
    }
    with six.capture("router", real, "-Q", "out") as path:
        for vip, _ in VIPS.values():
            while six.request(vip=vip) != real:
                pass
        until(lambda: len(_shapes(path)) >= len(wanted), 10, "both captured")
    assert _shapes(path) == wanted


def _shapes(capture: Path) -> set[tuple[int, str, int]]:
    """What was captured so far; a packet that is half written yet is left out."""
    with suppress(Scapy_Exception, EOFError):
        return {shape for packet in rdpcap(str(capture)) if (shape := _shape(packet))}
    return set()


def _shape(packet: object) -> tuple[int, str, int] | None:
    """(outer family, encapsulation, inner family) of a captured frame, if it is encapsulated and
    for one of these VIPs: checks of the others come by as well."""
    frame = bytes(packet)  # type: ignore[call-overload]
    if not any(ip_address(vip).packed in frame for vip, _ in VIPS.values()):
        return None
    ip = IPv6(frame[14:]) if frame[12:14] == b"\x86\xdd" else IP(frame[14:])
    number = ip.nh if ip.version == 6 else ip.proto
    if number in (4, 41):
        return ip.version, "ipip", 4 if number == 4 else 6
    if number == 17 and ip[UDP].dport == GUE_PORT:
        assert ip[UDP].chksum == 0
        return ip.version, "gue", bytes(ip[UDP].payload)[0] >> 4
    return None


def test_f1_an_ipv6_real_is_drained(six: Fabric) -> None:
    """By any text form of its address; its new connections go elsewhere."""
    agent = six.agents[NODE]
    answer = wire.ask(agent.address, Drain(real=t.real("r1").address6.upper(), vip="web6"))
    assert answer.status == "applied", answer.error
    counts = Counter(six.request(vip=t.WEB6) for _ in range(40))
    assert set(counts) == {"r2", "r3"}
    assert wire.ask(agent.address, Undrain(real=t.real("r1").address6)).status == "applied"


def test_f5_a_killed_agent_leaves_ipv6_forwarding_and_route(six: Fabric) -> None:
    agent = six.agents[NODE]
    agent.kill()
    assert {six.request(vip=t.WEB6) for _ in range(60)} == set(t.REALS)
    assert six.routes(t.WEB6) == {NODE}
    agent.start()
    until(lambda: _all_up(six), 10, "all reals up")
    assert {six.request(vip=t.WEB6) for _ in range(60)} == set(t.REALS)


def test_the_kernel_names_the_next_hop_of_either_family(fabric: Fabric) -> None:
    """rtnetlink.neighbour(): the MAC by IPv4 and IPv6 address is one; strangers have none."""
    node = t.node(NODE)
    with netns.inside(NODE):
        mac = rtnetlink.neighbour("eth0", node.router_address).mac
        netns.ip(
            f"neigh replace {node.router_address6} lladdr 02:00:00:00:00:77 dev eth0", netns=NODE
        )
        try:
            assert rtnetlink.neighbour("eth0", node.router_address6).mac == bytes.fromhex(
                "020000000077"
            )
        finally:
            netns.ip(f"neigh del {node.router_address6} dev eth0", netns=NODE)
        assert rtnetlink.neighbour("eth0", "fd00:2:1::99").mac is None
        assert rtnetlink.neighbour("eth0", "10.2.1.99").mac is None
        assert rtnetlink.neighbour("none0", "10.2.1.1").mac is None
    assert mac is not None
    assert len(mac) == 6
