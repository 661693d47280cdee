# SPDX-License-Identifier: Apache-2.0
"""The wiring: one inbox, one consumer, and the shells around the director.

Nothing is decided here.  A fact goes into the inbox; the consumer takes all that is there, asks the
director, and performs the effects in order.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import signal
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_never

from agent import boundary as b
from agent.bgp.speaker import Speaker
from agent.boundary import Asked, Effect, EffectError, Fact
from agent.bring_up import control, load, pins
from agent.checks.prober import Prober
from agent.config.tree import Config
from agent.core import verify
from agent.core.director import Director
from agent.core.maglev import Address
from agent.dataplane.events import EventRing
from agent.dataplane.maps import DataPlane
from agent.dataplane.ring_fill import or_here
from agent.dataplane.tunnel import Tunnel
from agent.holdings import held
from agent.host import netlink
from agent.host.logline import in_fields
from agent.host.one_agent import HAND_OVER, only_one
from agent.host.supervisor import notify, watchdog
from agent.host.surroundings import Surroundings
from agent.nouns import Route
from agent.records import generations
from agent.records.audit import Audit, audit_path
from agent.records.generations import InForce
from agent.records.journal import Journal, journal_path, recall
from agent.wire.questions import Questions, is_question
from agent.wire.server import Server
from agent.wire.telemetry import Telemetry
from shared.messages import (
    Answer,
    Command,
    Reload,
)

log = logging.getLogger("remora")

NOBODY = b""
"""Sender of what came by a signal."""
TIDY = 10.0
M_MMAP_THRESHOLD = -3  # malloc.h


class Agent:
    """A running agent.  Raises EffectError or LoadError where it cannot start."""

    def __init__(
        self, config_file: Path, started: InForce, dataplane: DataPlane, path: netlink.WayOut
    ) -> None:
        config = started.listed
        node = config.node
        self.config_file = config_file
        self.started = started
        self.dataplane = dataplane
        self.inbox: asyncio.Queue[Fact] = asyncio.Queue()
        tell = self.inbox.put_nowait
        self.surroundings = Surroundings(node, pins(node), path, dataplane.program_id, tell)
        fill = or_here(dataplane.fill)
        self.director = Director(config, fill)
        self.journal = Journal(journal_path(node.state_dir))
        self.audit = Audit(audit_path(node.state_dir), node.name)
        self.server = Server(
            node.name, Path(node.run_dir), tell, audit=self.audit, wire=config.wire
        )
        self.tunnel = Tunnel(pins(node), node.interface, node.underlay_mtu)
        self.prober = Prober(tell, self.tunnel)
        self.speaker = Speaker(config.bgp, Path(node.run_dir), tell) if config.bgp else None
        self.routes: Mapping[Address, Route] = {}
        """As the director declared them last."""
        self.telemetry = Telemetry(
            self.director.state,
            dataplane,
            EventRing(pins(node)),
            self.server,
            tunnel=self.tunnel,
            tell=tell,
        )
        self.questions = Questions(
            self.director.state, self.telemetry, self.server, self.audit, dataplane
        )
        self.reading: set[asyncio.Task[Any]] = set()
        """Of configs and maps: a large one takes a tenth of a second, so not in the loop."""
        self.keeps_routes = False
        """At the end: the next agent adopts them."""
        self.turns = 0
        """Batches of facts that were dealt with."""

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(HAND_OVER, self._hand_over, stopped)
        self.dataplane.stop_trace()  # an agent before us may have died in one
        self.inbox.put_nowait(self._adopted())  # before any command: nothing was awaited yet
        self._configure(self.config)
        if self.speaker:
            await self.speaker.start()
        await self._consume_once()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(work())
                for work in (
                    self._consume,
                    self.telemetry.publish,
                    self.telemetry.drain,
                    self.surroundings.watch,
                    self._reassure,
                    self._tidy,
                )
            ]
            # What there is now stays: looking through it for garbage stopped the loop for 40 ms.
            gc.freeze()
            notify("READY=1")
            log.info("ready node=%s pid=%d", self.config.node.name, os.getpid())
            await stopped.wait()
            notify("STOPPING=1")
            for task in running:
                task.cancel()
        await self._stop()

    def _hand_over(self, stopped: asyncio.Event) -> None:
        self.keeps_routes = True
        stopped.set()

    async def _stop(self) -> None:
        """Withdraw first; the data plane stays, so that packets under way are still served."""
        if not self.keeps_routes:
            self.inbox.put_nowait(b.Stopping())
            await self._consume_once()
        if self.speaker:
            await (self.speaker.leave() if self.keeps_routes else self.speaker.stop())
        self.prober.close()
        await self.telemetry.close()
        await self.server.close()
        self.journal.close()
        self.audit.close()
        self.dataplane.close()
        routes = "left" if self.keeps_routes else "withdrawn"
        log.info("stopped: routes %s, data plane left in place", routes)

    def _adopted(self) -> b.Adopted:
        owned = self.dataplane.owned()
        recalled = recall(self.journal.path)
        for number in recalled.damaged:
            log.warning("journal line=%d is damaged, passed over", number)
        log.info(
            "adopted vips=%d overrides=%d revision=%d generation=%d",
            len(owned.vips),
            len(recalled.overrides),
            recalled.revision,
            self.started.generation,
        )
        if self.started.passed_over:
            log.warning(
                "config file=%s is passed over: it was rolled back and has not changed since; "
                "`remora-agent reload` takes it all the same",
                self.config_file,
            )
        return b.Adopted(
            vips=owned.vips,
            reals=owned.reals,
            rings={n: self.dataplane.rings.current(n) for n in owned.vips.values()},
            overrides=recalled.overrides,
            revision=recalled.revision,
            generation=self._kept(recalled.revision),
            newest_generation=self.started.generation,
            pending=recalled.pending,
            phases=recalled.phases,
            rollouts=recalled.rollouts,
            keyed=recalled.keyed,
        )

    def _kept(self, revision: int) -> int:
        """The number of the config that we start with; 0 if it cannot be kept: the node serves
        without a way back rather than not at all."""
        started = self.started
        if not started.fresh:
            return started.generation
        command = Command(id="", who="agent", action=Reload(), why="started with it")
        try:
            generations.keep(self.kept, started.generation, started.text)
            self.journal.write(b.Remember(command, "applied", revision, (), started.generation))
        except EffectError as error:
            log.warning("config cannot be kept: %s", error)
            return 0
        return started.generation

    # ---- the config

    @property
    def config(self) -> Config:
        return self.director.state.listed

    @property
    def kept(self) -> Path:
        return generations.directory(self.config.node.state_dir)

    def _reload(self) -> None:
        """SIGHUP: the same path as the command, answered to the log."""
        command = Command(id=uuid.uuid4().hex, who="SIGHUP", action=Reload())
        self.inbox.put_nowait(Asked(command, NOBODY))

    def _read(self, effect: b.ReadConfig) -> None:
        task = asyncio.create_task(self._propose(effect))
        self.reading.add(task)
        task.add_done_callback(self.reading.discard)

    async def _propose(self, effect: b.ReadConfig) -> None:
        present = self.director.state.generation
        self.inbox.put_nowait(
            await asyncio.to_thread(
                generations.propose,
                effect.command,
                effect.sender,
                self.config_file,
                self.kept,
                present,
            )
        )

    def _read_back(self, effect: b.ReadBack) -> None:
        task = asyncio.create_task(held(effect, self.dataplane, self.speaker))
        self.reading.add(task)
        task.add_done_callback(self._tell_held)

    def _tell_held(self, task: asyncio.Task[b.Held]) -> None:
        self.reading.discard(task)
        if not task.cancelled():
            self.inbox.put_nowait(task.result())

    def _verify(self, effect: b.Verify) -> None:
        owned = self.dataplane.owned()
        wrong = verify.difference(
            owned.vips, owned.reals, wanted_vips=effect.vips, wanted_reals=effect.reals
        )
        if wrong:
            raise EffectError(wrong)

    # ---- the inbox

    async def _consume(self) -> None:
        while True:
            await self._consume_once()

    async def _consume_once(self) -> None:
        batch = [await self.inbox.get()]
        while not self.inbox.empty():
            batch.append(self.inbox.get_nowait())
        questions = [f for f in batch if isinstance(f, Asked) and is_question(f)]
        facts = [f for f in batch if not (isinstance(f, Asked) and is_question(f))]
        await self._perform(self.director.take(facts, time.monotonic()))
        if self.director.unsettled:
            self.inbox.put_nowait(b.Tick())
            await asyncio.sleep(0)  # others first: checks, commands, telemetry
        for question in questions:
            await self.questions.answer(question)
        self.turns += 1

    async def _perform(self, effects: list[Effect]) -> None:
        for i, effect in enumerate(effects):
            try:
                await self._do(effect)
            except EffectError as error:
                log.error("effect=%s failed: %s", type(effect).__name__, error)  # noqa: TRY400
                failed = b.Failed(effect, str(error), tuple(effects[i + 1 :]))
                await self._perform(self.director.take([failed], time.monotonic()))
                return

    async def _do(self, effect: Effect) -> None:  # noqa: PLR0912, PLR0915  # one line per effect
        match effect:
            case b.PutVip(key, vip_num, placing):
                self.dataplane.put_vip(key, vip_num, placing)
            case b.RemoveVip(key):
                self.dataplane.remove_vip(key)
            case b.PutReal(real):
                self.dataplane.put_real(real)
            case b.FreeReal(real_num):
                self.dataplane.free_real(real_num)
            case b.SetFlags(real_num, flags):
                self.dataplane.set_flags(real_num, flags)
            case b.SetRing(vip_num):
                self.dataplane.rings.put(vip_num, effect.slots, effect.numbers)
                log.info("ring vip_num=%d", vip_num)
            case b.ForgetPrevious(vip_num):
                self.dataplane.rings.forget_previous(vip_num)
            case b.PutQuicIds(vip_num, real_nums):
                self.dataplane.put_quic_ids(vip_num, real_nums)
            case b.Attach():
                self.surroundings.attach()
            case b.Follow():
                self._follow(effect)
            case b.Advertise():
                self._advertise(effect)
            case b.Probe(checks):
                self.prober.declare(checks)
            case b.ReadConfig():
                self._read(effect)
            case b.Configure(listed):
                await self._reconfigure(listed)
            case b.KeepConfig(generation, text):
                generations.keep(self.kept, generation, text)
            case b.Verify():
                self._verify(effect)
            case b.ReadBack():
                self._read_back(effect)
            case b.Remember():
                self.journal.write(effect)
                if not self.server.waits_for(effect.command.id):
                    self.audit.own(effect.command, effect.result, effect.revision, time.time())
            case b.StartTrace():
                await self.telemetry.start_trace(effect)
            case b.StopTrace(why):
                self.telemetry.stop_trace(why)
            case b.Emit(body):
                log.log(logging.WARNING if effect.warns else logging.INFO, "%s", in_fields(body))
                await self.telemetry.emit(body)
            case b.Reply(sender, answer):
                await self._reply(sender, answer)
            case _:
                assert_never(effect)

    def _advertise(self, effect: b.Advertise) -> None:
        if self.config.node.answer_ping == "announced":
            self.dataplane.answer_pings_for(effect.routes)
        self.routes = effect.routes
        if self.speaker:
            self.speaker.advertise(effect.routes)

    def _follow(self, effect: b.Follow) -> None:
        if self.surroundings.follow(effect):
            self._configure(self.config)

    def _configure(self, listed: Config) -> None:
        """What of the config the program reads by itself."""
        self.dataplane.configure(control(listed, self.surroundings.way))
        own = self.surroundings.way.own_addresses
        self.dataplane.set_own_addresses(own if listed.node.decap else ())
        announced = listed.node.answer_ping == "announced"
        self.dataplane.answer_pings_for(self.director.state.announced if announced else None)

    async def _reconfigure(self, listed: Config) -> None:
        """All but VIPs and reals; each part compares with what it has."""
        self._configure(listed)
        self.tunnel.underlay_mtu = listed.node.underlay_mtu
        await self.telemetry.configure(listed)
        await self.server.listen(listed.wire)
        await self._configure_bgp(listed)

    async def _configure_bgp(self, listed: Config) -> None:
        speaker = self.speaker
        if speaker and listed.bgp:
            await speaker.reconfigure(listed.bgp)
        elif speaker:
            self.speaker = None
            await speaker.stop()
        elif listed.bgp:
            speaker = Speaker(listed.bgp, Path(listed.node.run_dir), self.inbox.put_nowait)
            await speaker.start()
            self.speaker = speaker
            speaker.advertise(self.routes)

    async def _reply(self, sender: bytes, answer: Answer) -> None:
        if sender != NOBODY:
            await self.server.reply(sender, answer)
            return
        level = logging.INFO if answer.status in ("applied", "unchanged") else logging.ERROR
        log.log(level, "answer status=%s %s", answer.status, answer.error)

    async def _tidy(self) -> None:
        """Keep short what grows by itself."""
        while True:
            if self.speaker:
                self.speaker.trim_log()
            self.dataplane.let_go()
            await asyncio.sleep(TIDY)

    async def _reassure(self) -> None:
        """Ping the watchdog while facts are dealt with: a loop that turns is not enough."""
        limit = watchdog(os.environ, os.getpid())
        seen = -1
        while limit is not None:
            if self.turns != seen or self.inbox.empty():
                notify("WATCHDOG=1")
            seen = self.turns
            await asyncio.sleep(limit / 3)


async def run(config_file: Path) -> None:
    """Load, adopt and serve until told to stop.  Raises ConfigError, EffectError or LoadError."""
    started = generations.in_force(config_file)
    node = started.listed.node
    # Rings come and go by the quarter MiB.  malloc, left to itself, takes to keeping what is freed
    # and the agent would hold twice what it needs; with a fixed threshold it goes back at once.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 1024)
    with only_one(Path(node.run_dir)):
        path = await netlink.resolve(node.interface, node.gateway_address)
        await asyncio.to_thread(load, started.listed, path)
        agent = Agent(config_file, started, DataPlane(pins(node)), path)
        await agent.run()
