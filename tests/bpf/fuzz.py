# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bpf.fuzz [--seconds N] [--seed N]`: mutated frames until the time is over.

Verifier-independent: the loaded program itself, with VIPs of every kind, gets frames that are
nearly right.  Each must have one counted outcome (tests/bpf/crowd.py); one that has none is printed
as hex and kept in build/.  The same seed makes the same frames.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import numpy as np

from agent.dataplane import abi, loader
from agent.nouns import Encap, Hashed, Placing, Quic, Tracking, VipKey, WhenDown
from shared import reasons
from shared.model import Protocol
from tests.bpf import frames, icmp_frames
from tests.bpf.conftest import FLOWS_PER_CPU, RING_ROWS
from tests.bpf.crowd import Crowd, Wrong
from tests.bpf.rig import DNS, DNS6, WEB, WEB6, Rig
from tests.fabric import enclosure

BATCH = 5000
OWN, OWN6 = "10.3.1.2", "fd00:3:1::2"
REALS = {OWN: 3, "10.3.2.2": 1, "fd00:3:2::2": 2}
H3, H3_6 = (key._replace(port=443, protocol=Protocol.UDP) for key in (WEB, WEB6))
ALL = VipKey(IPv4Address("10.200.0.2"), 0, Protocol.TCP)
ALL6 = VipKey(IPv6Address("2001:db8:200::2"), 0, Protocol.UDP)
NET = VipKey(IPv4Address("203.0.113.0"), 0, Protocol.TCP, 24)
NET6 = VipKey(IPv6Address("2001:db8:77::"), 53, Protocol.UDP, 48)
EMPTY = WEB._replace(port=81)
TELLING = bytes.fromhex("00 01 04 05 06 08 11 29 2b 2c 33 3a 3c 45 46 60 81 86 88 a8 dd fe ff")
"""Values that mean something to a parser, each as likely as all others together."""


def furnish(rig: Rig) -> None:
    """VIPs of all kinds and modes, own addresses, answers at any rate, a real that is down."""
    rig.reset()
    rig.configure(icmp_rate=1_000_000, answer_ping=True, trace_all=False)
    kinds: dict[VipKey, tuple[Encap, Placing]] = {
        WEB: (Encap.IPIP, Placing()),
        WEB6: (Encap.GUE, Placing(tracking=Tracking.CHANGED)),
        DNS: (Encap.GUE, Placing(Hashed.SOURCE, udp_idle=5.0)),
        DNS6: (Encap.IPIP, Placing(tracking=Tracking.COMPUTE)),
        H3: (Encap.IPIP, Placing(quic=Quic("quic-lb", 2, 1))),
        H3_6: (Encap.GUE, Placing(quic=Quic("cid"), pressure=True)),
        ALL: (Encap.IPIP, Placing(Hashed.PORT, when_down=WhenDown.KEEP)),
        ALL6: (Encap.IPIP, Placing(Hashed.SOURCE_PORT, fail_open=True)),
        NET: (Encap.GUE, Placing(Hashed.SOURCE)),
        NET6: (Encap.IPIP, Placing(Hashed.SOURCE_PORT)),
    }
    for key, (encap, placing) in kinds.items():
        service = rig.serve(key, REALS, encap, placing)
        numbers = list(service.reals.values())
        rig.dataplane.put_quic_ids(service.vip_num, dict(enumerate(numbers[::-1])))
        rig.dataplane.set_flags(numbers[0], abi.REAL_DOWN)
    rig.serve(EMPTY, {})
    rig.dataplane.set_own_addresses([rig.address(OWN), rig.address(OWN6)])


def seeds() -> list[bytes]:
    """Frames of every kind that the program knows, and some that it does not."""
    from tests.bpf.test_extensions import CHAINS, extended
    from tests.bpf.test_ping import ping
    from tests.bpf.test_quic import long, short
    from tests.bpf.test_unwrap import INNER4, INNER6, odd_ones, wrapped
    from tests.bpf.test_vlan import tagged

    keys = (WEB, WEB6, DNS, DNS6, H3, H3_6)
    found = [*frames.strangers().values(), *odd_ones().values(), *icmp_frames.errors_of(*keys)]
    for to in (frames.VIP, frames.VIP6, "10.200.0.2", "2001:db8:200::2", "203.0.113.9"):
        for payload in (b"", bytes(30)):
            found += [frames.tcp(to=to, flags=flags, payload=payload) for flags in ("S", "A", "FA")]
            found.append(frames.udp(to=to, payload=payload))
        found += [ping(to), frames.tcp(to=to, payload=bytes(1470))]
        cids = (b"\x20\0\1" + bytes(6), b"\x80\0\0\1" + bytes(5), b"\x40\0\x40" + bytes(6))
        quic = [long(kind, cid) for cid in cids for kind in ("handshake", "initial")]
        quic += [short(cid) for cid in cids]
        found += [frames.udp(to=to, to_port=443, payload=each) for each in quic]
    found += [extended(frames.tcp(to=frames.VIP6), kinds) for kinds in CHAINS]
    for inner in (INNER4, INNER6):
        found += [wrapped(inner, to, gue=gue) for to in (OWN, OWN6) for gue in (False, True)]
    found += [frames.tcp(to_port=81), frames.fragment(), frames.fragment6(), frames.with_options()]
    return found + [tagged(frame) for frame in found[::2]]


def mutants(chance: np.random.Generator, originals: list[bytes], count: int) -> list[bytes]:
    """Each with up to five bytes changed, mostly in the headers, one in four cut, some padded."""
    whose = chance.integers(0, len(originals), count).tolist()
    edits = chance.integers(0, 6, count).tolist()
    places = (chance.random((count, 5)) ** 1.5).tolist()
    values = np.where(
        chance.random((count, 5)) < 0.5,
        np.frombuffer(TELLING, np.uint8)[chance.integers(0, len(TELLING), (count, 5))],
        chance.integers(0, 256, (count, 5)),
    ).tolist()
    cuts = chance.random(count).tolist()
    made = []
    for n in range(count):
        frame = bytearray(originals[whose[n]])
        reach = min(len(frame), 130)
        for edit in range(edits[n]):
            frame[12 + int(places[n][edit] * (reach - 12))] = values[n][edit]
        if cuts[n] < 0.25:
            del frame[max(14, int(cuts[n] * 4 * len(frame))) :]
        elif cuts[n] < 0.3:
            frame += bytes(int(cuts[n] * 100))
        made.append(bytes(frame))
    return made


def fuzz(rig: Rig, seed: int, *, count: int = 0, seconds: float = 0.0) -> tuple[int, set[str]]:
    """So many frames, or so many seconds: (frames run, drop reasons seen).  Raises Wrong."""
    furnish(rig)
    crowd, chance, originals = Crowd(rig), np.random.default_rng(seed), seeds()
    over, ran, drops = time.monotonic() + seconds, 0, np.zeros(abi.REASON_COUNT, np.int64)
    while ran < count or time.monotonic() < over:
        drops += crowd.check(mutants(chance, originals, BATCH))
        ran += BATCH
    return ran, {reasons.name_of(int(number)) for number in np.flatnonzero(drops)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (600)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    options = parser.parse_args()
    if not (place := enclosure.directory()):
        return enclosure.run([sys.executable, "-m", "tests.bpf.fuzz", *sys.argv[1:]])
    print(f"seed {options.seed}, {options.seconds:g} s", flush=True)
    pins = loader.pins(place / "bpffs", "fuzz")
    loader.load(
        loader.Request(pins, loader.BALANCER, flows_per_cpu=FLOWS_PER_CPU, ring_rows=RING_ROWS)
    )
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rig = Rig(pins)
    try:
        ran, seen = fuzz(rig, options.seed, seconds=options.seconds)
    except Wrong as wrong:
        kept = Path(f"build/fuzz-{options.seed}.hex")
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(wrong.frame.hex() + "\n", encoding="ascii")
        print(f"{wrong}\nkept in {kept}; again: --seed {options.seed}", file=sys.stderr)
        return 1
    finally:
        rig.close()
        loader.detach(pins)
    print(f"{ran:,} frames, each with one outcome; dropped for: {', '.join(sorted(seen))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
