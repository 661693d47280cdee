# SPDX-License-Identifier: Apache-2.0
"""What facts and effects are about: VIPs, reals, routes, checks as plain values.  Pure.

A word means the same here, in the maps, in the journal and in the config.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, NamedTuple

from agent.config.check_table import Check
from shared import model
from shared.model import Admin, Protocol, host_port

Address = model.Address


class Encap(StrEnum):
    """How packets travel to a real; the family of the outer header is that of its address."""

    IPIP = "ipip"
    """The packet right behind the outer IP header."""
    GUE = "gue"
    """A UDP header between the two."""


class Hashed(StrEnum):
    """What of a packet decides where a new flow goes, beside VIP address and protocol."""

    FLOW = "flow"
    """Source and destination, addresses and ports."""
    SOURCE = "source"
    """The source address: all that a client has goes to one real."""
    SOURCE_PORT = "source+port"
    """Source address and destination port."""
    PORT = "port"
    """The destination port: one real per port of a VIP with many."""


class Tracking(StrEnum):
    """Which flows the flow table holds."""

    TRACK = "track"
    """All."""
    CHANGED = "changed"
    """Those of TCP that the ring alone would misplace because it changed; of UDP all."""
    COMPUTE = "compute"
    """None: a ring change moves flows."""


class WhenDown(StrEnum):
    """What becomes of the flows of a real that is down."""

    MIGRATE = "migrate"
    KEEP = "keep"


class Quic(NamedTuple):
    """How the reals of a QUIC VIP write their server id into connection ids (bpf/quic.h)."""

    scheme: Literal["quic-lb", "cid"]
    id_bytes: int = 0
    """Of quic-lb: 1 to 8."""
    config: int = 0
    """Of quic-lb: config rotation, 0 to 6."""


class Placing(NamedTuple):
    """How a VIP's packets are placed."""

    hashed: Hashed = Hashed.FLOW
    tracking: Tracking = Tracking.TRACK
    when_down: WhenDown = WhenDown.MIGRATE
    udp_idle: float = 0.0
    """Seconds after which a UDP flow is a new one; 0: never."""
    quic: Quic | None = None
    pressure: bool = False
    """More new flows than the flow table should take."""
    fail_open: bool = False
    """Reals that are down take packets as if they were not."""

    def stores_all(self, protocol: Protocol) -> bool:
        """Whether each flow gets an entry (bpf/place.h, is_sparse)."""
        changed = self.tracking is Tracking.CHANGED and protocol is Protocol.TCP
        return not (self.pressure or changed or self.tracking is Tracking.COMPUTE)


PLAIN = Placing()


class VipKey(NamedTuple):
    """What a VIP is to the data plane."""

    address: Address
    port: int
    """0: every port that no other VIP of the address has."""
    protocol: Protocol
    length: int | None = None
    """Prefix length of a VIP that is a network; None: one address."""

    def __str__(self) -> str:
        address = str(self.address) if self.length is None else f"{self.address}/{self.length}"
        return f"{host_port(address, self.port)}/{self.protocol}"


class OwnedReal(NamedTuple):
    """A real number as the maps have it; vip_num 0: free, but its generation counts."""

    real_num: int
    vip_num: int
    address: Address
    generation: int
    flags: int
    encap: Encap


class Withdrawal(NamedTuple):
    """An operator's word that a route must not stand."""

    who: str
    at: float
    """Unix time, by the operator's clock."""
    why: str = ""

    def __str__(self) -> str:
        return f"withdrawn by {self.who}" + (f": {self.why}" if self.why else "")


ROUTES = "*"
"""In place of a peer's address: all of them."""


class Override(NamedTuple):
    """What an operator changed of a real (without `real` of the VIP, without both of the node), or
    of the routes of a VIP or of the node."""

    vip: str
    real: str
    admin: Admin
    weight: int | None
    """None: as configured."""
    route: str = ""
    """ROUTES or the address of the only peer that is meant: about routes, not state or weight."""
    withdrawn: Withdrawal | None = None

    @property
    def object(self) -> tuple[str, str, str]:
        """(VIP name, real's address, route): a later override of the same one replaces it."""
        return self.vip, self.real, self.route

    @property
    def plain(self) -> bool:
        """It says that nothing is overridden."""
        return (self.admin, self.weight, self.withdrawn) == (Admin.ENABLED, None, None)


def of_route(vip: str, withdrawn: Withdrawal | None, route: str = ROUTES) -> Override:
    return Override(vip, "", Admin.ENABLED, None, route, withdrawn)


class Pending(NamedTuple):
    """A change that ends by itself."""

    id: str
    kind: str
    """expire, confirm: goes back; wait, kill: the deadline of a drain."""
    who: str
    left: float
    """Seconds until then."""
    back: tuple[Override, ...]
    """How it was before; of a deadline: which reals."""
    operation: str = ""


class Keyed(NamedTuple):
    """What was done under an idempotency key."""

    key: str
    about: str
    """In words; another thing under the same key is refused."""
    id: str
    """Of the command."""
    who: str
    result: str
    """applied or unchanged"""
    revision: int
    generation: int = 0
    age: float = 0.0
    """Seconds, when it was read from the journal."""


class Part(NamedTuple):
    """The node's part in an operation that comes to its nodes one after the other."""

    operation: str
    who: str
    lines: tuple[str, ...]
    """What it does here, as the CLI writes it."""
    vips: tuple[str, ...]
    """That it touches here; empty: all."""
    held: bool
    since: float
    """Seconds, monotonic: when the node was told last."""
    until: float
    """When it is held by itself, if it is not."""
    why: str = ""
    terms: str = ""
    said: str = ""
    done: bool = False
    undo: tuple[str, ...] = ()
    steers: str = ""
    """The name of the console that steers it, if it has one."""
    steered_by: str = ""
    """Whose console that is."""


class Route(NamedTuple):
    """The attributes with which an address is announced."""

    next_hop: Address | None = None
    """None: the node's own address."""
    med: int | None = None
    local_preference: int | None = None
    """Sent to peers of our own AS only."""
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    prepend: int = 0
    """How many times more our AS stands in the path."""
    length: int | None = None
    """Prefix length of a VIP that is a network; None: one address."""


class Target(NamedTuple):
    """Whom to probe."""

    vip: str
    real: Address


class Asking(NamedTuple):
    """A check: whom, and all that is needed to ask.  Equal ones go on undisturbed."""

    target: Target
    key: VipKey
    check: Check
    real_num: int = 0
    generation: int = 0


class Traced(NamedTuple):
    """Which packets are traced; what is 0 or None may be anything."""

    source: IPv4Network | IPv6Network | None = None
    """The client's; of an ICMP error: of the flow that it quotes."""
    destination: IPv4Network | IPv6Network | None = None
    source_port: int = 0
    destination_port: int = 0
    protocol: int = 0
    """IP's number."""
    version: int = 0
    vip_num: int = 0
    real_num: int = 0
    one_in: int = 1
    """Of so many packets that match one, by chance."""
    rate: int = 100
    """Packets per second and CPU, as many at once."""
    seconds: float = 30.0
    """Then it is over, whether the agent lives or not."""
