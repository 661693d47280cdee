# SPDX-License-Identifier: Apache-2.0
"""What a console asks of an agent: one action in one command."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """No new flows to the real (of one VIP, or of all when `vip` is empty), to the VIP (without
    `real`), or to the node."""

    real: str = ""
    vip: str = ""
    node: bool = False
    deadline: float = 0.0
    """Of a real: seconds until `then`; 0: none."""
    then: Literal["wait", "kill"] = "wait"
    """Flows that are left are waited for, or lose their real."""


class Undrain(msgspec.Struct, frozen=True, tag="undrain"):
    """Takes new flows again, with the weight that it had."""

    real: str = ""
    vip: str = ""
    node: bool = False


class Disable(msgspec.Struct, frozen=True, tag="disable"):
    """No packet at all to the real: its flows are placed anew."""

    real: str
    vip: str = ""


class Confirm(msgspec.Struct, frozen=True, tag="confirm"):
    """What was done under `--confirm-within` stays."""

    operation: str = ""
    """Of the commands; empty: all that `who` has pending."""


class Weight(msgspec.Struct, frozen=True, tag="weight"):
    """The configured share of a real (1..1000) until further notice."""

    real: str
    weight: int
    vip: str = ""


class Withdraw(msgspec.Struct, frozen=True, tag="withdraw", omit_defaults=True):
    """The VIP's route is away at once (of the node: all routes; of a peer: all routes to it) until
    further notice; packets that still come are served.  One of the three is named."""

    vip: str = ""
    """A name; empty: another of the three is named."""
    node: bool = False
    peer: str = ""
    """Its address."""
    elsewhere: dict[str, int] = {}
    """VIP name -> other nodes that announce it and go on doing so, as the sender sees it now; a VIP
    that is not in it: none is known."""


class Announce(msgspec.Struct, frozen=True, tag="announce", omit_defaults=True):
    """Takes back a Withdraw, and no more than that: what health, policy or a drain keep away stays
    away.  One of the three is named."""

    vip: str = ""
    """A name; empty: another of the three is named."""
    node: bool = False
    peer: str = ""


class Reload(msgspec.Struct, frozen=True, tag="reload"):
    """Brings the node's config file into force, all of it or nothing."""

    text: str = ""
    """To be planned instead of the file (dry run only): what would it change?"""


class Rollback(msgspec.Struct, frozen=True, tag="rollback"):
    """Brings an earlier config into force; the file is passed over until it changes."""

    generation: int = 0
    """Its number; 0: the one before the present one."""


class Look(msgspec.Struct, frozen=True, tag="look"):
    """Asks for one complete snapshot of every topic; changes nothing."""


class Replay(msgspec.Struct, frozen=True, tag="replay"):
    """Asks for the events from `sequence` on, as far as the agent still has them."""

    sequence: int


class Batch(msgspec.Struct, frozen=True, tag="batch"):
    """Several changes as one: planned, guarded and applied together, or not at all.  A real
    may be in it twice, for its state and for its weight."""

    actions: tuple[Drain | Undrain | Disable | Weight | Withdraw | Announce, ...]


class Rollout(msgspec.Struct, frozen=True, tag="rollout", omit_defaults=True):
    """Tells the node of an operation that comes to its nodes one after the other, so that every
    console sees it; changes no real, VIP or node.

    The command's `operation` is its name.  A change that carries the same one is the node's turn;
    one named `NAME/...` takes that back.
    """

    state: Literal["running", "held", "over"]
    """Of the whole operation."""
    action: Drain | Undrain | Disable | Weight | Withdraw | Announce | Batch | None = None
    """What it does on this node; none: as told before."""
    terms: str = ""
    """How it goes on, as flags of the CLI."""
    said: str = ""
    """Why it is held."""
    within: float = 60.0
    """Of `running`: seconds until it is held by itself, unless the node is told again."""
    steers: str = ""
    """Of `running`: a name for whoever steers it, that nobody else has; while it runs, no other may
    take it over.  Empty: an older console."""


class RingOf(msgspec.Struct, frozen=True, tag="ring"):
    """Asks for the ring in force of a VIP; changes nothing."""

    vip: str


class ConfigOf(msgspec.Struct, frozen=True, tag="config"):
    """Asks for the config in force, key by key; changes nothing."""


Supposed = Drain | Undrain | Disable | Weight | Withdraw | Announce | Batch
"""A change that is thought through and not done."""


class FlowOf(msgspec.Struct, frozen=True, tag="flow", omit_defaults=True):
    """Asks where a flow goes on this node; sends, counts and stores nothing."""

    source: str
    """The client's address."""
    source_port: int
    destination: str
    """Of the same family."""
    destination_port: int
    protocol: Literal["tcp", "udp"]
    change: Supposed | None = None
    """And where it would go after this; an older agent passes it over, and says no `after`."""


class FlowsOf(msgspec.Struct, frozen=True, tag="flows", omit_defaults=True):
    """Asks where many flows go on this node, as `flow` does of one: at most 5000.  An older agent
    does not answer it, as it does not the next one."""

    flows: bytes
    """One behind the other: version (4 or 6) and protocol (6 or 17), a byte each; source port and
    destination port, 16 bits each; source address and destination address; as in headers, the
    highest byte first."""
    change: Supposed | None = None
    """And where they would go after this."""


class FlowAges(msgspec.Struct, frozen=True, tag="flow-ages"):
    """Asks what the flow tables hold, by real: how many flows, and how long they have been silent,
    as it was within the last second; changes nothing."""


class Trace(msgspec.Struct, frozen=True, tag="trace", omit_defaults=True):
    """Shows packets on topic `trace`, one trace at a time; what is empty or 0 may be anything.

    Packets that quote another one (ICMP errors) go by the flow that they quote.
    """

    vip: str = ""
    """A name."""
    real: str = ""
    """An address."""
    source: str = ""
    """The client's address or network."""
    destination: str = ""
    source_port: int = 0
    destination_port: int = 0
    protocol: Literal["", "tcp", "udp", "icmp", "icmpv6"] = ""
    version: Literal[0, 4, 6] = 0
    """Of IP."""
    one_in: int = 1
    """Of so many packets that match one, by chance: 1 to 1,000,000."""
    rate: int = 100
    """Packets per second and CPU: 1 to 10,000."""
    seconds: float = 30.0
    """Until it is over by itself: at most 600."""


class Untrace(msgspec.Struct, frozen=True, tag="untrace"):
    """Ends a trace before its time."""

    trace: str = ""
    """As in `Packets`; empty: whichever is running."""


class ReadAudit(msgspec.Struct, frozen=True, tag="audit"):
    """Asks for records of the audit from number `first` on; negative: from the end."""

    first: int = -20
    count: int = 500
    """At most so many; an agent sends no more than 500 at once."""


class ReadHistory(msgspec.Struct, frozen=True, tag="history"):
    """Asks for the agent's own recording between two Unix times, as blocks of a recording."""

    since: float
    until: float


Question = Look | Replay | RingOf | ConfigOf | FlowOf | FlowsOf | FlowAges | ReadAudit | ReadHistory
"""What any role may ask: it changes nothing."""


Action = (
    Drain | Undrain | Disable | Weight | Batch | Confirm | Rollout  # state and weight
    | Withdraw | Announce  # routes
    | Reload | Rollback | Trace | Untrace | Question
)  # fmt: skip


class Command(msgspec.Struct, frozen=True, kw_only=True):
    id: Annotated[str, Meta(max_length=64)]
    """Made by the sender; the same id twice is applied once and answered twice."""
    who: Annotated[str, Meta(max_length=256)]
    """`user@host` of the operator, for the journal; the agent adds the name of a proven key."""
    action: Action
    why: Annotated[str, Meta(max_length=1024)] = ""
    dry_run: bool = False
    expect_revision: int | None = None
    allow: tuple[str, ...] = ()
    """Guards that may be passed, by name; needs a `why`."""
    expires: float = 0.0
    """Seconds after which the change goes back by itself; 0: never."""
    confirm: float = 0.0
    """Seconds within which it must be confirmed, else it goes back; 0: it need not."""
    operation: Annotated[str, Meta(max_length=64)] = ""
    """Made by the sender: the same in the commands to all nodes of one operation."""
    sent: float = 0.0
    """Unix time of sending; an agent takes none whose time is not about now."""
    deadline: float = 0.0
    """Unix time after which it must not take effect any more; 0: none."""
    idempotency_key: Annotated[str, Meta(max_length=64)] = ""
    """Made by the operator: what was done under it within a day is not done again, but answered as
    then, whatever the id; another change under the same one is refused.  Empty: none."""
    steps: bool = False
    """Wants an answer at each step: accepted, applied, verified.  Else one, when it is applied."""
