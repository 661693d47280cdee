# SPDX-License-Identifier: Apache-2.0
"""The kernel's own words about links, addresses and neighbours: rtnetlink(7), written by hand.

The agent asks again and again and must pay microseconds and no memory for it (pyroute2 costs 16
MB); the loader's child has the standard library only.  One question, answered in the same call.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import ip_address

from agent.host.host_seen import LinkSeen, Neighbour

# linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h, neighbour.h, if.h
_MESSAGE, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
_LINK, _NEIGHBOUR = struct.Struct("=BxHiII"), struct.Struct("=B3xiHBB")
_ADDRESS = struct.Struct("=BBBBi")
_REQUEST, _DUMP, _ERROR, _DONE = 1, 0x300, 2, 3
_GETLINK, _GETADDR, _GETNEIGH = 18, 22, 30
_NLA_TYPE = 0x3FFF
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MTU = 1, 3, 4
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NDA_DST, _NDA_LLADDR = 1, 2
_IFF_UP, _IFF_LOWER_UP = 1, 1 << 16
_NUD_VALID, _NUD_ASKED = 0xDE, 0x21
"""Valid: permanent, no ARP, reachable, probe, stale, delay.  Asked: incomplete, failed."""
_GROUPS = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 6 | 1 << 10
"""RTMGRP_LINK, NEIGH, IPV4_IFADDR, IPV6_IFADDR, IPV4_ROUTE, IPV6_ROUTE."""
_NEWROUTE, _DELROUTE = 24, 25
_LARGEST = 1 << 18


def ask(kind: int, content: bytes, flags: int = 0) -> Iterator[bytes]:
    """One request; the content of each message of the answer.

    Raises OSError with the kernel's errno.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        length = _MESSAGE.size + len(content)
        kernel.send(_MESSAGE.pack(length, kind, _REQUEST | flags, 1, 0) + content)
        more = True
        while more:
            reply = kernel.recv(_LARGEST)
            at, more = 0, bool(flags & _DUMP)
            while at + _MESSAGE.size <= len(reply):
                size, answered, *_ = _MESSAGE.unpack_from(reply, at)
                body = reply[at + _MESSAGE.size : at + size]
                if answered == _ERROR:
                    _refused(body)
                if answered in (_ERROR, _DONE):
                    return
                yield body
                at += (size + 3) & ~3


def _refused(body: bytes) -> None:
    """Unless it is an acknowledgement."""
    if code := -int.from_bytes(body[:4], sys.byteorder, signed=True):
        raise OSError(code, os.strerror(code))


def attributes(raw: bytes) -> dict[int, bytes]:
    """Netlink attributes: type -> content."""
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(raw):
        length, kind = _ATTRIBUTE.unpack_from(raw, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _NLA_TYPE] = raw[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def attribute(kind: int, content: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(content)
    return _ATTRIBUTE.pack(length, kind) + content + bytes(-length % 4)


def link_attributes(index: int) -> tuple[int, dict[int, bytes]]:
    """(flags, attributes) of an interface.  Raises OSError: there is none of that number."""
    (body,) = ask(_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0))
    return _LINK.unpack_from(body)[3], attributes(body[_LINK.size :])


def link_named(interface: str) -> tuple[int, int, dict[int, bytes]] | None:
    """(number, flags, attributes) of an interface; None: there is none of that name.

    Raises OSError where the kernel does not say (socket.if_nametoindex() calls that none, too).
    """
    named = attribute(_IFLA_NAME, interface.encode() + b"\0")
    try:
        (body,) = ask(_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + named)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    _, _, index, flags, _ = _LINK.unpack_from(body)
    return index, flags, attributes(body[_LINK.size :])


def link(interface: str) -> LinkSeen | None:
    """The interface as the kernel has it now; None: there is none of that name.  Raises OSError."""
    there = link_named(interface)
    if there is None:
        return None
    index, flags, found = there
    mtu = int.from_bytes(found.get(_IFLA_MTU, b""), sys.byteorder)
    both = _IFF_UP | _IFF_LOWER_UP
    return LinkSeen(index, flags & both == both, mtu, found.get(_IFLA_ADDRESS, b""))


def neighbour(interface: str, address: str) -> Neighbour:
    """What the kernel knows of a neighbour; nothing, if the interface is gone."""
    to = ip_address(address).packed
    family = socket.AF_INET6 if len(to) == 16 else socket.AF_INET
    with contextlib.suppress(OSError):
        wanted = _NEIGHBOUR.pack(family, socket.if_nametoindex(interface), 0, 0, 0)
        (body,) = ask(_GETNEIGH, wanted + attribute(_NDA_DST, to))
        state = _NEIGHBOUR.unpack_from(body)[2]
        mac = attributes(body[_NEIGHBOUR.size :]).get(_NDA_LLADDR)
        return Neighbour(mac if state & _NUD_VALID else None, bool(state & _NUD_ASKED))
    return Neighbour(None, asked=False)


def addresses() -> frozenset[tuple[str, str]]:
    """Every address of this network namespace: (interface, `address/prefix length`)."""
    names = dict(socket.if_nameindex())
    found = set()
    for body in ask(_GETADDR, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0), _DUMP):
        _, length, _, _, index = _ADDRESS.unpack_from(body)
        said = attributes(body[_ADDRESS.size :])
        packed = said.get(_IFA_LOCAL) or said.get(
            _IFA_ADDRESS
        )  # of a peer, the far end's is second
        if packed and index in names:
            found.add((names[index], f"{ip_address(packed)}/{length}"))
    return frozenset(found)


class Changes:
    """Says when something changed about links, addresses, neighbours or default routes: then look
    again.

    What the kernel sends is not believed: it may be lost, and of a bpf_link's program it tells
    nothing.
    """

    def __init__(self) -> None:
        self._kernel = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._kernel.bind((0, _GROUPS))
        self._happened = asyncio.Event()
        self.default_route = False
        """One came or went; whoever looks at it takes it back."""
        asyncio.get_running_loop().add_reader(self._kernel, self._hear)

    async def wait(self, at_most: float) -> None:
        """Until something changed since the last time, or for so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._happened.wait()
        self._happened.clear()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._kernel)
        self._kernel.close()

    def _hear(self) -> None:
        try:
            while message := self._kernel.recv(_LARGEST):
                self._note(message)
        except BlockingIOError:
            pass
        except OSError:  # some was lost
            self.default_route = True
            self._happened.set()

    def _note(self, message: bytes) -> None:
        """Routes are many, and of other routing daemons' changes we want to know nothing."""
        kind = _MESSAGE.unpack_from(message)[1]
        if kind not in (_NEWROUTE, _DELROUTE):
            self._happened.set()
        elif message[_MESSAGE.size + 1] == 0:  # struct rtmsg: the length of its destination
            self.default_route = True
            self._happened.set()
