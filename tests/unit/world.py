# SPDX-License-Identifier: Apache-2.0
"""A fake world for the director: it performs effects on dictionaries and asserts the contract.

What a real node would suffer from, this one refuses: announcing an address whose ring is empty,
a ring that names a real of another VIP, a VIP without a ring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, ip_address

import numpy as np
from msgspec.structs import replace

from agent import boundary as b
from agent.config import file as config
from agent.config import tree
from agent.core import maglev
from agent.core.director import Director
from agent.nouns import Address, Asking, OwnedReal, Placing, Route, Target, VipKey
from agent.records import recollection
from agent.records.journal import line_of
from agent.records.recollection import Recalled
from shared.messages import Action, Answer, Command, EventBody, Reload
from shared.model import Protocol

TOML = """
[node]
name = "lb1"
interface = "eth0"
hash_key = "00112233445566778899aabbccddeeff"
run_dir = "/run/remora/lb1"
state_dir = "/var/lib/remora/lb1"
[bgp]
local_as = 65001
router_id = "10.2.1.2"
[[bgp.peers]]
address = "10.2.1.1"
local_address = "10.2.1.2"
asn = 65000
[guards]
fresh = 0
blast_radius = 0
"""

SLOTS = 65537


def vip(name: str, address: str, port: int, reals: Sequence[str], quorum: int = 1) -> str:
    listed = "".join(f'[[vips.reals]]\naddress = "{real}"\n' for real in reals)
    return (
        f'[[vips]]\nname = "{name}"\naddress = "{address}"\nport = {port}\nquorum = {quorum}\n'
        f"[vips.check]\nrise = 2\nfall = 3\n{listed}"
    )


REALS = ("10.3.1.2", "10.3.2.2", "10.3.3.2")
ONE_VIP = TOML + vip("web", "10.200.0.1", 80, REALS)


def quick_fill(turns: maglev.Turns, slots: int) -> np.ndarray:
    """Exact shares in blocks: what the director needs of a ring, in microseconds."""
    counts = maglev.quotas(turns.weights, slots)
    return np.repeat(np.arange(len(turns), dtype=np.uint16), counts)


UNTOLD = b.Emit | b.Reply | b.Remember | b.Probe | b.ReadConfig | b.Follow | b.ReadBack
"""Effects that history leaves out."""


class World:
    """A node on which effects take place, and a clock that only the test moves."""

    def __init__(self, text: str = ONE_VIP, fill: maglev.Fill = quick_fill) -> None:
        self.config = config.parse(text, "test.toml")
        self.director = Director(self.config, fill)
        self.now = 1000.0
        self.vips: dict[VipKey, int] = {}
        self.reals: dict[int, OwnedReal] = {}
        self.rings: dict[int, np.ndarray] = {}
        self.placings: dict[VipKey, Placing] = {}
        self.quic_ids: dict[int, dict[int, int]] = {}
        self.forgotten: list[int] = []
        """vip_nums whose rings forgot the one before."""
        self.announced: frozenset[Address] = frozenset()
        self.routes: dict[Address, Route] = {}
        self.hushed: frozenset[str] = frozenset()
        """Peers that are told none of them."""
        self.attached = 0
        """How often the programs were to be put back."""
        self.followed: b.Follow | None = None
        self.history: list[str] = []
        self.events: list[EventBody] = []
        self.answers: list[Answer] = []
        self.answered: list[tuple[bytes, str]] = []
        """To whom, with which status."""
        self.looks: list[b.ReadBack] = []
        """Asked for, not answered yet: `held()` does."""
        self.remembered: list[b.Remember] = []
        self.targets: frozenset[Target] = frozenset()
        self.refuse: Callable[[b.Effect], bool] = lambda effect: False
        self.file = text
        """The config file, as the next reload reads it."""
        self.reads: list[b.ReadConfig] = []
        """Of which the director has not heard yet: it does when all that it asked for is done."""
        self.kept: dict[int, str] = {}
        self._packets = np.zeros(512, np.uint64)
        self.warm_at = 0.0
        """When the flow table has seen all flows that live."""
        self.unstored = 0
        """Flows that got no entry, so far."""
        self.control: tree.Config | None = self.config
        self.asked: frozenset[Asking] = frozenset()

    # ---- what happens

    def start(self, recalled: Recalled = Recalled((), 0, ())) -> None:  # noqa: B008  # a value
        self.tell(
            b.Adopted(
                dict(self.vips),
                tuple(self.reals.values()),
                dict(self.rings),
                recalled.overrides,
                recalled.revision,
                generation=1,
                newest_generation=1,
                pending=recalled.pending,
                phases=recalled.phases,
                rollouts=recalled.rollouts,
                keyed=recalled.keyed,
                warm_in=max(0.0, self.warm_at - self.now),
            )
        )

    def restart(self, text: str | None = None) -> None:
        """The agent dies; the next one finds maps and journal."""
        recalled = recollection.recall((line_of(entry, 0.0) for entry in self.remembered), wall=0.0)
        self.config = config.parse(text, "test.toml") if text else self.config
        self.director = Director(self.config, quick_fill)
        self.history.clear()
        self.start(recalled)

    def probe(self, *reals: str, ok: bool, vip: str = "web", times: int = 1) -> None:
        for _ in range(times):
            for real in reals:
                target = Target(vip, ip_address(real))
                self.tell(b.Probed(target, ok, "http 200" if ok else "refused", 1.0))

    def all_up(self) -> None:
        self.start()
        for target in sorted(self.targets):
            self.tell(b.Probed(target, True, "http 200", 1.0))

    def ask(self, action: Action, *, id: str = "1", dry_run: bool = False,
            expect: int | None = None, allow: Sequence[str] = (), why: str = "",
            who: str = "ann@jump", expires: float = 0.0,
            confirm: float = 0.0, operation: str = "", steps: bool = False, key: str = "",
            sender: bytes = b"console") -> Answer:  # fmt: skip
        command = Command(
            id=id,
            who=who,
            action=action,
            dry_run=dry_run,
            expect_revision=expect,
            allow=tuple(allow),
            why=why,
            expires=expires,
            confirm=confirm,
            idempotency_key=key,
            operation=operation,
            steps=steps,
        )
        self.tell(b.Asked(command, sender))
        return self.answers[-1]

    def reload(self, text: str, *, id: str = "r", dry_run: bool = False,
               allow: Sequence[str] = (), why: str = "") -> Answer:  # fmt: skip
        self.file = text
        return self.ask(Reload(), id=id, dry_run=dry_run, allow=allow, why=why)

    def count(self, *, packets: float = 0.0, flows: dict[str, int] | None = None,
              seconds: float = 1.0) -> None:  # fmt: skip
        """Time passes; each VIP got `packets` per second, each real has so many live flows."""
        self.now += seconds
        self._packets = self._packets.copy()
        for vip_num in self.vips.values():
            self._packets[vip_num] += np.uint64(packets * seconds)
        live = np.zeros(4096, np.int64)
        for vip in self.director.state.vips.values():
            for real in vip.reals.values():
                live[real.number.real_num] = (flows or {}).get(real.name, 0)
        warm_in = max(0.0, self.warm_at - self.now)
        self.tell(b.Counted(live, packets=self._packets, warm_in=warm_in, unstored=self.unstored))

    def held(self, **otherwise: object) -> None:
        """The first look that waits: what the maps hold, or a part of that otherwise."""
        look = self.looks.pop(0)
        found = b.Held(
            look.id,
            dict(self.vips),
            tuple(real for real in self.reals.values() if real.vip_num),
            {n: maglev.digest_of(self.rings[n], numbers) for n, numbers in look.rings.items()},
        )
        self.now += look.after
        self.tell(replace(found, **otherwise))

    def _read(self, effect: b.ReadConfig) -> None:
        try:
            listed = config.parse(self.file, "test.toml")
        except config.ConfigError as error:
            self.tell(b.Proposed(effect.command, effect.sender, None, str(error)))
            return
        self.tell(b.Proposed(effect.command, effect.sender, listed, text=self.file))

    def tell(self, *facts: b.Fact) -> None:
        """And what is left to do, as the runtime does it."""
        self._perform(self.director.take(facts, self.now))
        while self.director.unsettled and self.now >= self.director._retry_at:
            self._perform(self.director.take([b.Tick()], self.now))
        while self.reads:
            self._read(self.reads.pop(0))

    # ---- what is done

    def _perform(self, effects: list[b.Effect]) -> None:
        for i, effect in enumerate(effects):
            if self.refuse(effect):
                failed = b.Failed(effect, "the kernel said no", tuple(effects[i + 1 :]))
                self._perform(self.director.take([failed], self.now))
                return
            self._do(effect)
        if any(isinstance(effect, b.Reply | b.Remember) for effect in effects):
            self._perform(self.director.take([b.Written()], self.now))

    def _do(self, effect: b.Effect) -> None:  # noqa: PLR0912  # one branch per effect
        if not isinstance(effect, UNTOLD):
            self.history.append(type(effect).__name__)
        if isinstance(effect, b.MapEffect):
            self._write(effect)
            return
        match effect:
            case b.Attach():
                self.attached += 1
            case b.Follow():
                self.followed = effect
            case b.SetRoutes(routes, hushed):
                self.routes, self.hushed = dict(routes), hushed
                self._advertise(frozenset(routes))
            case b.Probe(checks):
                self.asked = checks
                self.targets = frozenset(asking.target for asking in checks)
            case b.ReadConfig():
                self.reads.append(effect)
            case b.Configure(listed):
                self.control = listed
            case b.KeepConfig(generation, text):
                self.kept[generation] = text
            case b.Verify(vips, reals):
                assert self.vips == vips
                held = {real._replace(flags=0) for real in self.reals.values() if real.vip_num}
                assert held == {real._replace(flags=0) for real in reals}
            case b.ReadBack():
                self.looks.append(effect)
            case b.Remember():
                self.remembered.append(effect)
            case b.Emit(body):
                self.events.append(body)
            case b.Reply(sender, answer):
                self.answers.append(answer)
                self.answered.append((sender, answer.status))

    def _write(self, effect: b.MapEffect) -> None:
        match effect:
            case b.PutVip(key, vip_num, placing):
                assert vip_num in self.rings, "a VIP before its ring"
                self.vips[key] = vip_num
                was = self.placings.get(key, placing)
                if placing.stores_all(key.protocol) and not was.stores_all(key.protocol):
                    self.warm_at = self.now + self.config.node.flow_idle
                self.placings[key] = placing
            case b.ForgetPrevious(vip_num):
                self.forgotten.append(vip_num)
            case b.PutQuicIds(vip_num, ids):
                assert all(self.reals[n].vip_num == vip_num for n in ids.values())
                self.quic_ids[vip_num] = dict(ids)
            case b.RemoveVip(key):
                self.vips.pop(key, None)
            case b.PutReal(real):
                self.reals[real.real_num] = real
            case b.FreeReal(real_num):
                rows = [self.rings[vip_num] for vip_num in self.vips.values()]
                assert not any((row == real_num).any() for row in rows), "freed, still in a ring"
                if real_num in self.reals:
                    self.reals[real_num] = self.reals[real_num]._replace(vip_num=0)
            case b.SetFlags(flags):
                for real_num, word in flags.items():
                    self.reals[real_num] = self.reals[real_num]._replace(flags=word)
            case b.SetRing(vip_num):
                real_nums = effect.real_nums
                assert len(real_nums) == SLOTS
                for number in set(np.unique(real_nums).tolist()) - {0}:
                    assert self.reals[number].vip_num == vip_num, "another VIP's real"
                self.rings[vip_num] = real_nums

    def _advertise(self, addresses: frozenset[Address]) -> None:
        for address in addresses - self.announced:
            rings = [self.rings[n] for key, n in self.vips.items() if key.address == address]
            assert any(row.any() for row in rings), f"{address} attracted without a ring"
        self.announced = addresses

    # ---- what there is

    def share(self, real: str, name: str = "web") -> int:
        """Slots of a real in the ring that the data plane has."""
        state = self.director.state.vips[name]
        number = state.reals[ip_address(real)].number.real_num
        return int(np.count_nonzero(self.rings[state.vip_num] == number))

    def flags(self, real: str, name: str = "web") -> int:
        state = self.director.state.vips[name]
        return self.reals[state.reals[ip_address(real)].number.real_num].flags


WEB = VipKey(IPv4Address("10.200.0.1"), 80, Protocol.TCP)
VIP_ADDRESS = IPv4Address("10.200.0.1")
