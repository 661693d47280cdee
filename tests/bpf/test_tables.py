# SPDX-License-Identifier: Apache-2.0
"""The tables of addresses and VIPs as the program reads them: full, and while they change."""

from __future__ import annotations

import os
import random
import threading
from ipaddress import IPv4Address, IPv6Address

import pytest

from agent.dataplane import abi, bpf_syscall
from agent.dataplane.places import address_places
from agent.nouns import VipKey
from shared.model import Protocol
from tests.bpf import frames
from tests.bpf.rig import DROP, PASS, WEB, Rig

pytestmark = pytest.mark.root


def any_vip(chance: random.Random) -> VipKey:
    address: IPv4Address | IPv6Address = IPv4Address(0x0AC80000 + chance.randrange(2048))
    if chance.random() < 0.5:
        address = IPv6Address((0x20010DB8 << 96) + chance.randrange(2**20))
    protocol = chance.choice((Protocol.TCP, Protocol.UDP))
    return VipKey(address, chance.choice((0, 53, 80, 443, 8080)), protocol)


def to(key: VipKey) -> bytes:
    make = frames.tcp if key.protocol is Protocol.TCP else frames.udp
    return make.__wrapped__(to=str(key.address), to_port=key.port or 4242)


@pytest.mark.parametrize("seed", range(2))
def test_511_vips_in_any_order_are_all_found_and_no_other(rig: Rig, seed: int) -> None:
    """Python wrote them, C finds them: by packets, after every hundredth change and at the end."""
    chance = random.Random(seed)
    numbers = list(range(1, abi.MAX_VIPS))
    chance.shuffle(numbers)
    there: dict[VipKey, int] = {}

    def agree() -> None:
        assert rig.dataplane.owned().vips == there
        for key, number in there.items():
            out = rig.run(to(key))
            assert (out.action, out.reason) == (DROP, "no_real")
            assert out.event["vip_num"] == number, key

    while len(there) < 511:
        if there and chance.random() < 0.2:
            gone = chance.choice(list(there))
            rig.dataplane.remove_vip(gone)
            numbers.append(there.pop(gone))
            if not any(k._replace(port=0) == gone._replace(port=0) for k in there):
                assert rig.run(to(gone)).action == PASS
        key = any_vip(chance)
        if key not in there:
            there[key] = numbers.pop()
            rig.dataplane.put_vip(key, there[key])
        if len(there) % 100 == 0:
            agree()
    agree()
    for key in chance.sample(list(there), 500):
        rig.dataplane.remove_vip(key)
        del there[key]
    agree()


def whose_first_place_is(chance: random.Random, place: int) -> VipKey:
    while True:
        key = WEB._replace(address=IPv4Address(chance.randrange(1 << 24, 224 << 24)))
        first, second = address_places(key.address.packed)
        if first == place != second:
            return key


def test_f6_a_reader_misses_nobody_while_others_are_put(rig: Rig) -> None:
    """An entry is driven from one of its places to the other, again and again, while another CPU
    looks it up a million times and more."""
    chance = random.Random(6)
    rig.dataplane.put_vip(WEB, 1)
    homes = address_places(WEB.address.packed)
    drivers = [whose_first_place_is(chance, home) for home in homes]
    for n, driver in enumerate(drivers):  # their second places are taken: the first one is cleared
        blocker = whose_first_place_is(chance, address_places(driver.address.packed)[1])
        rig.dataplane.put_vip(blocker, 10 + n)
    rig.configure(trace_all=False, event_rate=0)
    over, runs = threading.Event(), []

    def read() -> None:
        os.sched_setaffinity(0, range(rig.dataplane.cpus))  # of this thread
        frame = frames.tcp()
        while not over.is_set():
            bpf_syscall.run_program(rig.program, frame, 20_000)  # dropped: it stays as it is
            runs.append(20_000)

    reader = threading.Thread(target=read)
    seen: list[int] = []
    reader.start()
    try:
        while sum(runs) < 1_000_000 or len(seen) < 200:
            for driver in drivers:
                rig.dataplane.put_vip(driver, 20)
                seen.append(place_of(rig, WEB))
                rig.dataplane.remove_vip(driver)
    finally:
        over.set()
        reader.join()
    assert seen == [homes[1], homes[0]] * (len(seen) // 2), "it was moved to and fro"
    assert rig.totals["drops"].sum() == sum(runs)
    assert rig.totals["pass_packets"].sum() == 0, "once it was not found"


def place_of(rig: Rig, key: VipKey) -> int:
    table = rig._view("addresses", abi.Addresses, 1)["place"][0]
    words = int.from_bytes(key.address.packed, "little")
    at = (table["be_address"][:, 0] == words) & (table["version"] == 4)
    (place,) = (n for n in address_places(key.address.packed) if at[n])
    return place
