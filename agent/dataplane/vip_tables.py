# SPDX-License-Identifier: Apache-2.0
"""Which packets are a VIP's: the pinned tables of addresses, of VIP networks and of VIPs.

Addresses have numbers, so that a VIP is one word: {address number, protocol, port}.  Every change
is complete for the program by one store, and is ordered so that a packet finds a VIP or not, never
half of one.
"""

from __future__ import annotations

import ctypes as c
import socket
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from agent.boundary import EffectError
from agent.dataplane import abi
from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.mapped import view
from agent.dataplane.packing import be_words, from_be, from_vip_key, vip_key
from agent.dataplane.places import Places, address_places, make_room, vip_places
from agent.nouns import Address, VipKey


class Found(NamedTuple):
    """An address of the tables."""

    address: Address
    length: int | None
    """Of a VIP network."""
    number: int
    flags: int
    """enum lb_address_flag."""


class VipTables:
    """Of one node.  Raises OSError when the kernel refuses, EffectError when there is no room."""

    def __init__(self, addresses: int, vips: int, prefixes: int) -> None:
        """By the maps' file descriptors, which stay the caller's."""
        self._addresses = view(addresses, abi.Addresses, 1)["place"][0]
        self._vips = view(vips, abi.Vips, 1)["place"][0]
        self._prefixes = prefixes
        self._own: frozenset[Address] = frozenset()
        self._pinged: frozenset[Address] | None = None
        """As they were declared last, for VIPs that come and go afterwards."""

    # ---- VIPs

    def vips(self) -> dict[VipKey, int]:
        """VIP -> vip_num."""
        known = {found.number: found for found in self.addresses() if found.flags & abi.ADDRESS_VIP}
        keys = self._vips["key"]
        vips = {}
        for place in np.flatnonzero(keys).tolist():
            packed = int(keys[place])
            found = known.get(packed >> 17)
            if found:
                key = from_vip_key(packed, found.address, found.length)
                vips[key] = int(self._vips["vip_num"][place])
        return vips

    def put(self, key: VipKey, vip_num: int) -> None:
        """The VIP before its address: a packet is not ours until both are there.

        A VIP comes before an own address that is the same.
        """
        found = self._find(key)
        if found and not found.flags & abi.ADDRESS_VIP:
            found = None
        number = found.number if found else self._free_number()
        packed = vip_key(number, key)
        place = self._place_of_vip(packed)
        if place is None:
            place = self._room(self._vips, vip_places(packed), _places_of_vip, self._move_vip)
        self._vips.view(np.uint64)[place] = packed << 32 | vip_num
        flags = found.flags if found else self._address_flags(key.address)
        if key.port == 0:
            flags |= abi.ADDRESS_ALL_PORTS
        self._write(Found(key.address, key.length, number, flags))

    def remove(self, key: VipKey) -> int | None:
        """Its vip_num; None: it was not there."""
        vips = self.vips()
        vip_num = vips.pop(key, None)
        if vip_num is None:
            return None
        found = self._find(key)
        assert found
        left = [other for other in vips if _where(other) == _where(key)]
        if not left and key.length is None and key.address in self._own:
            self._write(Found(key.address, None, 0, abi.ADDRESS_OWN))
        elif not left:
            self._erase(found)
        elif key.port == 0 and not any(other.port == 0 for other in left):
            self._write(found._replace(flags=found.flags & ~abi.ADDRESS_ALL_PORTS))
        place = self._place_of_vip(vip_key(found.number, key))
        assert place is not None
        self._vips.view(np.uint64)[place] = 0
        return vip_num

    # ---- addresses

    def addresses(self) -> list[Found]:
        used = np.flatnonzero(self._addresses["version"]).tolist()
        return [_found(self._addresses[place], None) for place in used] + list(self.networks())

    def networks(self) -> Iterator[Found]:
        """The VIPs' that are networks."""
        for raw in list(bpf.map_keys(self._prefixes, c.sizeof(abi.Prefix))):
            value = bpf.map_lookup(self._prefixes, raw, c.sizeof(abi.Address))
            entry = np.frombuffer(value, np.dtype(abi.Address))[0]
            length = abi.Prefix.from_buffer_copy(raw).length - 32
            yield _found(entry, length)

    def set_own(self, addresses: Iterable[Address]) -> None:
        """All of the node's own for which packets are decapsulated, those left out that are a
        VIP's, while they are."""
        self._own = frozenset(addresses)
        wanted = self._own - {
            found.address for found in self.addresses() if found.flags & abi.ADDRESS_VIP
        }
        for found in self.addresses():
            if found.flags & abi.ADDRESS_OWN and found.address not in wanted:
                self._erase(found)
        for address in wanted:
            self._write(Found(address, None, 0, abi.ADDRESS_OWN))

    def set_pinged(self, addresses: Iterable[Address] | None) -> None:
        """The VIP addresses that answer pings; None: all."""
        self._pinged = None if addresses is None else frozenset(addresses)
        for found in self.addresses():
            if found.flags & abi.ADDRESS_VIP:
                others = abi.ADDRESS_VIP | abi.ADDRESS_ALL_PORTS
                flags = found.flags & others | self._address_flags(found.address)
                if flags != found.flags:
                    self._write(found._replace(flags=flags))

    def _address_flags(self, address: Address) -> int:
        """Of a VIP's address, but for what its VIPs say."""
        pinged = self._pinged is None or address in self._pinged
        return abi.ADDRESS_VIP | (abi.ADDRESS_PING if pinged else 0)

    # ---- places

    def _find(self, key: VipKey) -> Found | None:
        if key.length is not None:
            there = self.networks()
            return next((f for f in there if (f.address, f.length) == _where(key)), None)
        place = self._place_of_address(key.address)
        return None if place is None else _found(self._addresses[place], None)

    def _free_number(self) -> int:
        # Asked for every new address: none of 500 is taken apart for it.
        there = self._addresses["version"] != 0
        used = {found.number for found in self.networks()}
        used.update(self._addresses["number"][there].tolist())
        return next(number for number in range(1, abi.MAX_VIPS + 1) if number not in used)

    def _write(self, found: Found) -> None:
        entry = abi.Address(
            be_address=be_words(found.address),
            version=found.address.version,
            number=found.number,
            flags=found.flags,
        )
        if found.length is not None:
            bpf.map_update(self._prefixes, bytes(_prefix(found)), bytes(entry))
            return
        place = self._place_of_address(found.address)
        words = np.frombuffer(bytes(entry), np.uint32)
        if place is not None:  # number and flags, which are one word
            self._addresses[place : place + 1].view(np.uint32)[5] = words[5]
            return
        places = address_places(found.address.packed)
        place = self._room(self._addresses, places, _places_of_address, self._move_address)
        self._put_address(place, words)

    def _erase(self, found: Found) -> None:
        if found.length is not None:
            bpf.map_delete(self._prefixes, bytes(_prefix(found)))
            return
        place = self._place_of_address(found.address)
        if place is not None:
            self._addresses["version"][place] = 0

    def _place_of_address(self, address: Address) -> int | None:
        for place in address_places(address.packed):
            entry = self._addresses[place]
            if entry["version"] and _found(entry, None).address == address:
                return place
        return None

    def _place_of_vip(self, packed: int) -> int | None:
        return next((p for p in vip_places(packed) if self._vips["key"][p] == packed), None)

    def _put_address(self, place: int, words: np.ndarray[Any, np.dtype[np.uint32]]) -> None:
        """The version last: until then the place is free."""
        there = self._addresses[place : place + 1].view(np.uint32)
        there[4] = 0
        for i in (0, 1, 2, 3, 5, 4):
            there[i] = words[i]

    def _move_address(self, place: int, to: int) -> None:
        self._put_address(to, self._addresses[place : place + 1].view(np.uint32).copy())

    def _move_vip(self, place: int, to: int) -> None:
        words = self._vips.view(np.uint64)
        words[to] = words[place]

    @staticmethod
    def _room(*args: Any) -> int:  # noqa: ANN401  # make_room's
        try:
            return make_room(*args)
        except LookupError as error:
            raise EffectError(f"table of VIPs: {error}") from error


def _where(key: VipKey) -> tuple[Address, int | None]:
    return key.address, key.length


def _found(entry: Any, length: int | None) -> Found:  # noqa: ANN401  # one struct lb_address
    address = from_be(entry["be_address"], ipv6=int(entry["version"]) == 6)
    return Found(address, length, int(entry["number"]), int(entry["flags"]))


def _places_of_address(entry: Any) -> Places | None:  # noqa: ANN401  # one struct lb_address
    return address_places(_found(entry, None).address.packed) if entry["version"] else None


def _places_of_vip(entry: Any) -> Places | None:  # noqa: ANN401  # one struct lb_vip
    return vip_places(int(entry["key"])) if entry["key"] else None


def _prefix(found: Found) -> abi.Prefix:
    assert found.length is not None
    return abi.Prefix(
        length=32 + found.length,
        be_version=socket.htonl(found.address.version),
        be_address=be_words(found.address),
    )
