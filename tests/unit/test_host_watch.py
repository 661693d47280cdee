# SPDX-License-Identifier: Apache-2.0
"""What the node makes of a link, a program, addresses and a next hop that change."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from agent.boundary import Follow, Looked
from agent.config import file as config
from agent.core.host_watch import changes
from agent.host import rtnetlink
from agent.host.host_seen import HostSeen, LinkSeen, Neighbour
from shared.messages import ChangeEvent, RouteEvent
from tests.unit.world import ONE_VIP, VIP_ADDRESS, World

MAC, OTHER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
LINK = LinkSeen(7, True, 1500, MAC)
SEEN = HostSeen(
    LINK,
    "native",
    frozenset({("lo", "127.0.0.1/8"), ("eth0", "10.2.1.2/24"), ("eth0", "fe80::1/64")}),
    "10.2.1.1",
    Neighbour(OTHER, asked=False),
)
LISTED = config.parse(ONE_VIP, "test")
DECAP = config.parse(ONE_VIP.replace("[node]", "[node]\ndecap = true"), "test")


def plus(interface: str, address: str) -> dict[str, Any]:
    return {"addresses": SEEN.addresses | {(interface, address)}}


def link(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"link": LINK._replace(**changed)}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        (link(up=False), ["link eth0 down: nothing arrives or leaves"]),
        (link(mtu=1400), ["link eth0 MTU 1500 -> 1400; see node.underlay_mtu"]),
        (link(mac=OTHER), ["link eth0 MAC 02:00:00:00:00:01 -> 02:00:00:00:00:02, followed"]),
        (link(ifindex=8), ["link eth0 was made anew"]),
        ({"link": None, "program": "none"}, ["link eth0 is gone", "xdp eth0 our program is gone"]),
        ({"program": "foreign"}, ["xdp eth0 somebody else's program took its place"]),
        ({"filtered": False}, ["tc eth0 our filter is gone: no check goes through the tunnel"]),
        ({"neighbour": Neighbour(None, asked=False)}, []),
        ({"neighbour": Neighbour(MAC, asked=False)},
         ["gateway 10.2.1.1 MAC 02:00:00:00:00:02 -> 02:00:00:00:00:01, followed"]),
        ({"gateway": "10.2.1.254", "neighbour": Neighbour(MAC, asked=False)},
         ["gateway 10.2.1.254 instead of 10.2.1.1, as the default route says; followed"]),
        ({"addresses": frozenset()},
         ["address 10.2.1.2/24 gone from eth0: the BGP session with 10.2.1.1 is from it",
          "address fe80::1/64 gone from eth0; no check"]),
        (plus("eth0", "10.2.1.9/24"), ["address 10.2.1.9/24 on eth0; no check and no session"]),
        (plus("eth1", "10.7.0.1/24"), []),
        (plus("eth1", "172.16.0.9/24"),
         ["address 172.16.0.9/24 on eth1: it lies in node.outer_source, ICMP errors"]),
        (plus("lo", "10.200.0.1/32"),
         ["address 10.200.0.1/32 on lo: a VIP's, so that answers to checks are martians"]),
    ],
)  # fmt: skip
def test_each_change_is_said_once_with_what_it_means(
    changed: dict[str, Any], said: list[str]
) -> None:
    now = SEEN._replace(**changed)
    found = [f"{what} {result}" for what, result in changes(LISTED, SEEN, now)]
    assert len(found) == len(said), found
    for line, begins in zip(found, said, strict=True):
        assert line.startswith(begins)
    assert list(changes(LISTED, now, now)) == []


def test_back_again() -> None:
    def said(before: HostSeen) -> list[tuple[str, str]]:
        return list(changes(LISTED, before, SEEN))

    assert said(SEEN._replace(**link(up=False))) == [("link eth0", "up")]
    assert said(SEEN._replace(link=None)) == [("link eth0", "is there")]
    assert said(SEEN._replace(filtered=False)) == [("tc eth0", "our filter is back")]
    assert said(SEEN._replace(program="none")) == [("xdp eth0", "our program runs: native")]


def test_a_node_that_is_a_real_has_vips_on_lo() -> None:
    now = SEEN._replace(**plus("lo", "10.200.0.1/32"))
    assert list(changes(DECAP, SEEN, now)) == []


# ---- what is done


@pytest.fixture
def world() -> World:
    """Served and announced, and looked at."""
    world = World()
    world.all_up()
    world.tell(Looked(SEEN))
    assert world.announced == {VIP_ADDRESS}
    assert not said(world)
    world.history.clear()
    return world


def said(world: World) -> list[str]:
    return [f"{e.what} {e.result}" for e in world.events if isinstance(e, ChangeEvent)]


def test_what_the_program_must_know_is_followed_complete_each_time(world: World) -> None:
    assert world.followed == Follow(MAC, OTHER, (ip_address("10.2.1.2"),)), "no link-local one"
    moved = SEEN._replace(neighbour=Neighbour(None, asked=True), **link(mac=OTHER))
    world.tell(Looked(moved._replace(**plus("eth0", "10.2.1.9/24"))))
    assert world.followed == Follow(OTHER, None, (ip_address("10.2.1.2"), ip_address("10.2.1.9")))


def test_h2_without_our_program_nothing_is_announced_and_it_is_put_back(world: World) -> None:
    """Withdrawn at once; the ring stays, and with the program the route is back."""
    gone = SEEN._replace(program="none")
    world.tell(Looked(gone))
    assert (world.announced, world.attached) == (frozenset(), 1)
    assert world.history == ["SetRoutes", "Attach"], "withdraw first; nothing else is touched"
    assert [e.why for e in world.events if isinstance(e, RouteEvent)][-1] == (
        "no program on the interface"
    )
    world.tell(Looked(gone, "interface eth0: no such device"))
    world.tell(Looked(gone, "interface eth0: no such device"))
    assert world.attached == 3, "tried at each look"
    assert said(world)[1:] == ["xdp eth0 not put back: interface eth0: no such device"], "said once"
    world.tell(Looked(SEEN))
    assert world.announced == {VIP_ADDRESS}
    assert said(world)[2:] == ["xdp eth0 our program runs: native"]
    assert world.attached == 3


def test_h2_a_filter_that_was_deleted_is_put_back(world: World) -> None:
    """It is the checks': what is announced stays."""
    world.tell(Looked(SEEN._replace(filtered=False)))
    assert (world.announced, world.attached) == (frozenset({VIP_ADDRESS}), 1)
    world.tell(Looked(SEEN))
    assert world.attached == 1


@pytest.mark.parametrize("filtered", [True, False])
def test_somebody_elses_program_is_left_alone(world: World, *, filtered: bool) -> None:
    world.tell(Looked(SEEN._replace(program="foreign", filtered=filtered)))
    assert (world.announced, world.attached) == (frozenset(), 0)


def test_an_interface_that_is_gone_is_waited_for(world: World) -> None:
    world.tell(Looked(SEEN._replace(link=None, program="none")))
    assert (world.announced, world.attached) == (frozenset(), 0)
    world.tell(Looked(SEEN._replace(program="none", **link(ifindex=9))))
    assert world.attached == 1
    world.tell(Looked(SEEN._replace(**link(ifindex=9))))
    assert world.announced == {VIP_ADDRESS}


def test_a_link_that_is_down_withdraws_nothing(world: World) -> None:
    """Its sessions end by themselves, and an address that waits for its link is ready at once."""
    world.tell(Looked(SEEN._replace(**link(up=False))))
    assert world.announced == {VIP_ADDRESS}
    assert world.history == []


def test_a_gateway_that_does_not_answer_is_said_once_it_was_asked_thrice(world: World) -> None:
    silent = SEEN._replace(neighbour=Neighbour(None, asked=True))
    world.tell(Looked(silent))
    world.now += 2.9
    world.tell(Looked(silent))
    assert said(world) == []
    world.now += 0.1
    world.tell(Looked(silent), Looked(silent))
    assert said(world) == [
        "gateway 10.2.1.1 does not answer: what is balanced goes to its last MAC"
    ]
    world.tell(Looked(SEEN), Looked(SEEN))
    assert said(world)[1:] == ["gateway 10.2.1.1 answers again"]


def test_a_gateway_that_nobody_asks_for_is_not_accused(world: World) -> None:
    unknown = SEEN._replace(neighbour=Neighbour(None, asked=False))
    world.tell(Looked(unknown))
    world.now += 60
    world.tell(Looked(unknown))
    assert said(world) == []


# ---- the kernel's words, on the loopback


def test_link_and_addresses_of_this_machine() -> None:
    found = rtnetlink.link("lo")
    assert found
    assert (found.ifindex, found.mac) == (socket.if_nametoindex("lo"), bytes(6))
    assert found.mtu >= 1500
    assert rtnetlink.link("no-such-device") is None
    if found.up:
        assert ("lo", "127.0.0.1/8") in rtnetlink.addresses()


def test_a_neighbour_that_nobody_asked_for_is_not_known() -> None:
    assert rtnetlink.neighbour("lo", "192.0.2.77") == Neighbour(None, asked=False)
    assert rtnetlink.neighbour("no-such-device", "192.0.2.77") == Neighbour(None, asked=False)


def test_what_the_kernel_refuses_is_an_error() -> None:
    with pytest.raises(OSError, match="No such device"):
        rtnetlink.link_attributes(0x7FFFFFFF)


def test_a_wait_for_changes_ends() -> None:
    async def wait() -> None:
        changes = rtnetlink.Changes()
        try:
            await changes.wait(0.01)
        finally:
            changes.close()

    asyncio.run(wait())
