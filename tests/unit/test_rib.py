# SPDX-License-Identifier: Apache-2.0
"""What is announced, with which attributes, and what of the BGP tables contradicts itself."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from agent.bgp.text import attributes
from agent.bgp.text import config as exabgp_config
from agent.config import file as config
from agent.config.bgp_table import Announce
from agent.core import rib
from agent.nouns import Address, Route
from tests.unit.world import REALS, TOML, VIP_ADDRESS, World, vip

V6 = ip_address("2001:db8:200::1")
ROUTE = Route()


def service(
    *, wants: bool = True, ready: bool = True, needed: bool = False, leaving: bool = False
) -> rib.Service:
    return rib.Service(VIP_ADDRESS, wants, ready, ROUTE, leaving, needed)


@pytest.mark.parametrize(
    ("wants", "ready", "announced", "expected"),
    [
        (True, True, False, True),
        (True, False, False, False),
        (True, False, True, True),
        (False, True, True, False),
    ],
)
def test_h2_announcement(*, wants: bool, ready: bool, announced: bool, expected: bool) -> None:
    standing: dict[Address, Route] = {VIP_ADDRESS: ROUTE} if announced else {}
    found = rib.routes([service(wants=wants, ready=ready)], standing)
    assert (VIP_ADDRESS in found) is expected


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ([service(), service(wants=False)], True),
        ([service(needed=True), service(wants=False, needed=True)], False),
        ([service(needed=True), service(needed=True)], True),
        ([service(needed=True), service(ready=False, needed=True)], False),
    ],
    ids=["any", "all-one-down", "all-up", "all-one-not-ready"],
)
def test_h5_several_services_on_one_address(services: list[rib.Service], *, expected: bool) -> None:
    """H5: `announce.when`: any service holds the address, or every one is needed."""
    assert bool(rib.routes(services, {})) is expected


def test_what_a_vip_leaves_out_is_the_nodes() -> None:
    node = Announce(med=100, communities=("65001:1",), next_hop=ip_address("10.2.1.9"), when="all")
    own = Announce(med=0, communities=(), large_communities=("65001:1:2",))
    assert rib.route(VIP_ADDRESS, node, Announce()) == Route(
        ip_address("10.2.1.9"), 100, None, ("65001:1",)
    )
    made = rib.route(VIP_ADDRESS, node, own)
    assert (made.med, made.communities, made.large_communities) == (0, (), ("65001:1:2",))
    assert rib.route(V6, node, own).next_hop is None, "not of its family"
    assert rib.needed(node, own)
    assert not rib.needed(node, Announce(when="any"))


def test_attributes_as_exabgp_takes_them() -> None:
    bgp = config.parse(TOML + vip("web", "10.200.0.1", 80, REALS), "x").bgp
    assert bgp is not None
    full = Route(None, 5, 100, ("65001:1", "no-export"), ("65001:1:2",), 2)
    assert attributes(bgp, full, 4) == (
        "next-hop self med 5 local-preference 100 community [ 65001:1 no-export ] "
        "large-community [ 65001:1:2 ] as-path [ 65001 65001 65001 ]"
    )


def test_peers_as_exabgp_takes_them() -> None:
    peer = 'asn = 65000\nport = 1179\npassword = "s3cret"\nmultihop = 4\nfamilies = ["ipv4"]\n'
    text = TOML.replace("asn = 65000\n", peer) + vip("web", "10.200.0.1", 80, REALS)
    bgp = config.parse(text, "x").bgp
    assert bgp is not None
    told = exabgp_config(bgp, "bridge")
    for line in ("connect 1179;", "md5-password 's3cret';", "outgoing-ttl 4;", "{ ipv4 unicast; }"):
        assert line in told


SECOND = '[[bgp.peers]]\naddress = "{}"\nlocal_address = "{}"\nasn = {}\n'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("asn = 65000", "asn = 65000\nmultihop = 256", "bgp.peers[0].multihop"),
        ("asn = 65000", 'asn = 65000\npassword = "a b"', "bgp.peers[0].password: expected at most"),
        ("asn = 65000", "asn = 65000\npassword = \"a'b\"", "cannot be written to ExaBGP's config"),
        ("[[bgp.peers]]", SECOND.format("10.2.1.1", "10.2.1.2", 1) + "[[bgp.peers]]",
         "bgp.peers[1].address: 10.2.1.1 is bgp.peers[0] already"),
        ("asn = 65000", 'asn = 65000\nfamilies = ["ipv6"]', "bgp.next_hop6: needed"),
        ("[[bgp.peers]]", "[bgp.announce]\ncommunities = [\"70000:1\"]\n[[bgp.peers]]",
         "bgp.announce.communities[0]: expected ASN:VALUE, each 0 to 65535"),
        ("[[bgp.peers]]", "[bgp.announce]\nprepend = 1\n" + SECOND.format("10.2.1.3", "10.2.1.2",
         65001) + "[[bgp.peers]]", "bgp.announce.prepend: 10.2.1.3 is in our own AS"),
        ("quorum = 1", 'quorum = 1\n[vips.announce]\nnext_hop = "fd00::1"',
         "vips[0].announce.next_hop: fd00::1 is no next hop for 10.200.0.1"),
        ("quorum = 1", 'quorum = 1\n[vips.announce]\nlarge_communities = ["1:2:4294967296"]',
         "each part is at most 4294967295"),
    ],
)  # fmt: skip
def test_contradictions_have_a_remedy(old: str, new: str, said: str) -> None:
    text = (TOML + vip("web", "10.200.0.1", 80, REALS)).replace(old, new, 1)
    with pytest.raises(config.ConfigError) as caught:
        config.parse(text, "agent.toml")
    assert said in str(caught.value)
    if "password" in new:
        assert "a b" not in str(caught.value)


def test_one_address_has_one_route() -> None:
    two = vip("web", "10.200.0.1", 80, REALS).replace("quorum = 1", "quorum = 1\nannounce.med = 5")
    text = TOML + two + vip("tls", "10.200.0.1", 443, REALS)
    with pytest.raises(config.ConfigError, match=r"vips\[1\]\.announce: differs from that of vips"):
        config.parse(text, "agent.toml")


def test_the_password_is_not_shown_in_a_plan() -> None:
    world = World()
    world.all_up()
    answer = world.reload(
        world.file.replace("asn = 65000", 'asn = 65000\npassword = "s3cret"'), dry_run=True
    )
    assert answer.status == "planned"
    assert "bgp.peers" in str(answer)
    assert "s3cret" not in str(answer)


def test_h4_other_attributes_are_announced_in_place_of_the_old() -> None:
    """No withdrawal between: the route is replaced."""
    world = World()
    world.all_up()
    world.history.clear()
    changed = world.file.replace("quorum = 1", 'quorum = 1\nannounce.communities = ["65001:7"]')
    assert world.reload(changed).status == "applied"
    assert world.history.count("SetRoutes") == 1
    assert world.routes[VIP_ADDRESS].communities == ("65001:7",)
    assert "SetRing" not in world.history
