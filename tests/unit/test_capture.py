# SPDX-License-Identifier: Apache-2.0
"""What a drop event says of an IPv6 packet, however little of it was captured."""

from __future__ import annotations

import pytest

from shared.capture import Ends, ends

ETHERNET = bytes(12)
PORTS = bytes.fromhex("9c400050")
V6 = bytes.fromhex(
    "60012345001406392001 0db8000c00000000000000000007 20010db8020000000000000000000001"
)


def six(next_header: int = 6) -> bytes:
    head = bytearray(V6)
    head[6] = next_header
    return ETHERNET + b"\x86\xdd" + head + PORTS


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (six(), Ends("[2001:db8:c::7]:40000", "[2001:db8:200::1]:80", "tcp")),
        (six(17), Ends("[2001:db8:c::7]:40000", "[2001:db8:200::1]:80", "udp")),
        (six()[:-1], Ends("2001:db8:c::7", "2001:db8:200::1", "tcp")),
        (six(44), Ends("2001:db8:c::7", "2001:db8:200::1", "fragment")),
        (six(0), Ends("2001:db8:c::7", "2001:db8:200::1", "ip-0")),
        (six(58), Ends("2001:db8:c::7", "2001:db8:200::1", "icmpv6")),
        (six()[:53], Ends("?", "?", "?")),
        (ETHERNET + b"\x08\x06" + bytes(40), Ends("?", "?", "?")),
        (b"", Ends("?", "?", "?")),
    ],
)
def test_ends(head: bytes, said: Ends) -> None:
    assert ends(head) == said
