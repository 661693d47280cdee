# SPDX-License-Identifier: Apache-2.0
"""Every reason for which the data plane drops a packet: the one table.

The C enum (bpf/reasons.h, written by `python3 -m shared.reasons`), docs/dataplane.md, the CLI and
the console all take number, name and texts from here.  Numbers are on the wire and in pinned maps:
a number is never given to another reason, a retired one keeps its line.

Standard library only: the loader child imports this without the project's packages.
"""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """One drop reason, in the words an operator needs."""

    number: int
    name: str
    meaning: str
    cause: str
    remedy: str


REASONS = (
    Reason(
        1,
        "fragment",
        "a fragment addressed to a VIP",
        "a client or a tunnel on the way sends packets larger than the path's MTU",
        "lower the client side's MTU or MSS; only a first fragment has ports, so none is sent",
    ),
    Reason(
        2,
        "ip_options",
        "an IPv4 packet with options addressed to a VIP",
        "a scanner, or a tool that sets record-route or timestamps",
        "none needed; such packets are not balanced",
    ),
    Reason(
        3,
        "malformed",
        "a header of a packet to a VIP contradicts itself or the frame's length",
        "a broken sender, or a NIC that cuts frames",
        "look at the packet in the event; if many senders show it, check the NIC and its driver",
    ),
    Reason(
        4,
        "no_real",
        "the VIP's ring has no usable real",
        "all reals of the VIP are down, draining or disabled",
        "bring a real up or undrain one; the VIP's route is withdrawn meanwhile",
    ),
    Reason(
        5,
        "too_big",
        "the packet does not fit the underlay's MTU once it is encapsulated",
        "the links to the reals have no room for the outer header",
        "raise the MTU between node and reals by what the encapsulation adds (20 to 48 bytes), "
        "or lower the VIP's MSS",
    ),
    Reason(
        6,
        "encap_failed",
        "the outer header could not be put in front of the packet",
        "the driver leaves no headroom in front of XDP frames",
        "use a driver with XDP headroom of at least 48 bytes, or generic mode",
    ),
    Reason(
        7,
        "internal",
        "a map had no entry where the program needs one",
        "agent and program disagree: this is a bug, or maps of another version",
        "restart the agent; report it with the output of `remora-agent check`",
    ),
    Reason(
        8,
        "extension_header",
        "an IPv6 packet to a VIP with more than four extension headers, or one that is not walked",
        "a scanner, a routing header with segments left, mobility, HIP or Shim6 headers, ESP",
        "none needed for scanners; up to four hop-by-hop, destination, routing and authentication "
        "headers are walked",
    ),
    Reason(
        9,
        "icmp_quote",
        "an ICMP error to a VIP that does not quote the ports of a TCP or UDP packet",
        "a scanner, a device that cuts quotes short, or an error about a ping or a later fragment",
        "none needed if rare; else find the router that sends them: path MTU discovery fails there",
    ),
    Reason(
        10,
        "ping_limit",
        "a ping to a VIP over the rate at which pings are answered",
        "a flood of pings, or many monitors behind one router",
        "none needed: no service is touched; else raise icmp_per_second",
    ),
    Reason(
        11,
        "congestion",
        "an encapsulated packet for this node whose congestion mark the inner one cannot carry",
        "a congested underlay marks the outer header (ECN), the inner packet is not ECN-capable",
        "as for any loss by congestion: find the link that marks; RFC 6040 asks for the drop",
    ),
)

BY_NUMBER = {reason.number: reason for reason in REASONS}


def name_of(number: int) -> str:
    """The reason's name, or `reason-N` for a number that a newer agent may know."""
    known = BY_NUMBER.get(number)
    return known.name if known else f"reason-{number}"


def c_header() -> str:
    """The text of bpf/reasons.h."""
    lines = [
        "/* SPDX-License-Identifier: GPL-2.0 */",
        "/* Written by `python3 -m shared.reasons`: edit shared/reasons.py instead. */",
        "#ifndef REMORA_REASONS_H",
        "#define REMORA_REASONS_H",
        "",
        "enum lb_reason {",
        "\tREASON_NONE = 0,",
    ]
    lines += [f"\tREASON_{r.name.upper()} = {r.number},\t/* {r.meaning} */" for r in REASONS]
    lines += [
        "\tREASON_COUNT = 32,\t/* room to grow: sizes the counters, not the list */",
        "};",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(c_header(), end="")
