# SPDX-License-Identifier: Apache-2.0
"""The fabric on paper: who is there, and every address.  Values only.

                         +-- 10.2.1.0/24 -- lb1 --+
    client 10.1.1.2 -- router (BIRD, ECMP) -- lb2 |      the reals answer the client directly (DSR)
                         +-- 10.3.1.0/24 -- r1 .. r3

The router is .1 in every network, the other end .2; 10.2.1.0/24 is also fd00:2:1::/64, and so on.
VIP addresses are on the reals' lo.
"""

from __future__ import annotations

from typing import NamedTuple

CLIENT = "client"
ROUTER = "router"
NODES = ("lb1", "lb2")
REALS = ("r1", "r2", "r3")

CLIENT_ADDRESS = "10.1.1.2"
CLIENT_ADDRESS6 = "fd00:1:1::2"
WEB = "10.200.0.1"
"""VIP `web`, port 80/tcp."""
ECHO = "10.200.0.2"
"""VIP `echo`, port 53/udp."""
WEB6, MIXED = "fd00:200::1", "10.200.0.3"
"""VIP addresses that no agent serves until a test configures it so."""
WEB_PORT, ECHO_PORT = 80, 53

CLIENT_MTU = 1500
UNDERLAY_MTU = 1600
"""Between nodes and reals: a full packet of the client and its outer header."""

ROUTER_AS, NODE_AS = 65000, 65001
CHECK_INTERVAL, CHECK_RISE, CHECK_FALL = 0.5, 2, 3


class Machine(NamedTuple):
    """A namespace behind the router: its link to the router is eth0 here, `name` there."""

    name: str
    network: str
    mtu: int

    @property
    def address(self) -> str:
        return f"10.{self.network}.2"

    @property
    def router_address(self) -> str:
        return f"10.{self.network}.1"

    @property
    def address6(self) -> str:
        return f"{self._prefix6}::2"

    @property
    def router_address6(self) -> str:
        return f"{self._prefix6}::1"

    @property
    def _prefix6(self) -> str:
        return f"fd00:{self.network.replace('.', ':')}"


def node(name: str) -> Machine:
    return Machine(name, f"2.{NODES.index(name) + 1}", UNDERLAY_MTU)


def real(name: str) -> Machine:
    return Machine(name, f"3.{REALS.index(name) + 1}", UNDERLAY_MTU)


def rack(name: str) -> str:
    """Of a node or a real: the odd ones stand in one, the even ones in another."""
    return f"k{2 - int(name[-1]) % 2}"


def real_at(address: str) -> str:
    """The name of the real with this address."""
    return next(name for name in REALS if real(name).address == address)


MACHINES = (
    Machine(CLIENT, "1.1", CLIENT_MTU),
    *(node(name) for name in NODES),
    *(real(name) for name in REALS),
)
