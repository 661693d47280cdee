# SPDX-License-Identifier: Apache-2.0
"""The shells around the director: all that is outside, and which of it performs which effect."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from agent import boundary as b
from agent.bgp.speaker import Speaker
from agent.boundary import Effect, EffectError, Fact
from agent.bring_up import control, pins
from agent.checks.prober import Prober
from agent.config.tree import Config
from agent.core import maglev, verify
from agent.core.state import NodeState
from agent.dataplane.events import EventRing
from agent.dataplane.maps import DataPlane
from agent.dataplane.tunnel import Tunnel
from agent.holdings import held
from agent.host import malloc
from agent.host.logline import in_fields
from agent.host.netlink import WayOut
from agent.host.surroundings import Surroundings
from agent.nouns import Address, Route
from agent.records import generations
from agent.records.audit import Audit, audit_path
from agent.records.journal import Journal, journal_path
from agent.records.state_disk import READING, StateDisk, silence
from agent.wire.questions import Questions
from agent.wire.server import Server
from agent.wire.snapshot import DiskHealth
from agent.wire.telemetry import Telemetry
from shared.messages import Answer

log = logging.getLogger("remora")

NOBODY = b""
"""Sender of what came by a signal."""
TIDY = 10.0


class Shells:
    """Of a running agent.  Facts go to `tell`."""

    def __init__(
        self,
        state: NodeState,
        config_file: Path,
        dataplane: DataPlane,
        path: WayOut,
        tell: Callable[[Fact], None],
    ) -> None:
        config, node = state.listed, state.listed.node
        self._state = state
        self._config_file = config_file
        self._tell = tell
        self.dataplane = dataplane
        self.surroundings = Surroundings(node, pins(node), path, dataplane.program_id, tell)
        self.disk = StateDisk(node.state_dir)
        self.long_disk = StateDisk(node.state_dir, patience=READING)
        """For what is long, and all that is read."""
        self.journal = Journal(journal_path(node.state_dir))
        self.audit = Audit(audit_path(node.state_dir), node.name, self.disk)
        self.server = Server(
            node.name, Path(node.run_dir), tell, audit=self.audit, wire=config.wire
        )
        self.tunnel = Tunnel(pins(node), node.interface, node.underlay_mtu)
        self.prober = Prober(tell, self.tunnel)
        self.speaker = Speaker(config.bgp, Path(node.run_dir), tell) if config.bgp else None
        self.telemetry = Telemetry(
            state,
            dataplane,
            EventRing(pins(node)),
            self.server,
            tunnel=self.tunnel,
            tell=tell,
            disk=self.long_disk,
            disk_health=self._disk_health,
        )
        self.questions = Questions(
            state, self.telemetry, self.server, self.audit, dataplane, disk=self.long_disk
        )
        self._routes: Mapping[Address, Route] = {}
        self._hushed: frozenset[str] = frozenset()
        """As the director declared them last."""
        self._reading: set[asyncio.Task[None]] = set()
        """Of configs and maps: a large one takes a tenth of a second, so not in the loop."""

    async def start(self) -> None:
        """Before the first effect."""
        self.dataplane.stop_trace()  # an agent before us may have died in one
        self._configure(self._state.listed)
        await self.telemetry.start()
        if self.speaker:
            await self.speaker.start()

    @property
    def running(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What goes on until it is cancelled."""
        return self.telemetry.publish, self.telemetry.drain, self.surroundings.watch, self._tidy

    async def close(self, *, keeps_routes: bool) -> None:
        """The data plane stays, so that packets under way are still served."""
        if self.speaker:
            await (self.speaker.leave() if keeps_routes else self.speaker.stop())
        self.prober.close()
        await self.telemetry.close()
        await self.server.close()
        await asyncio.gather(self.disk.close(), self.long_disk.close())
        if not self.disk.silent:
            self.journal.close()
            self.audit.close()
        self.dataplane.close()

    def _disk_health(self) -> DiskHealth:
        lost = self.audit.failed + self.telemetry.history.failed
        return DiskHealth(silence(self.disk, self.long_disk), lost)

    async def _tidy(self) -> None:
        """Keep short what grows by itself."""
        while True:
            if self.speaker:
                self.speaker.trim_log()
            self.dataplane.let_go()
            maglev.forget_orders()
            malloc.trim()
            await asyncio.sleep(TIDY)

    # ---- effects

    async def perform(self, effect: Effect) -> None:  # noqa: PLR0912  # one line per effect
        """Raises EffectError."""
        if isinstance(effect, b.MapEffect):
            self.dataplane.perform(effect)
            if isinstance(effect, b.SetRing):
                log.info("ring vip_num=%d", effect.vip_num)
            return
        match effect:
            case b.Attach():
                self.surroundings.attach()
            case b.Follow():
                if self.surroundings.follow(effect):
                    self._configure(self._state.listed)
            case b.SetRoutes(routes, hushed):
                self._set_routes(routes, hushed)
            case b.Probe(checks):
                self.prober.declare(checks)
            case b.ReadConfig():
                self._read(self._propose(effect))
            case b.Configure(listed):
                await self._reconfigure(listed)
            case b.KeepConfig(generation, text):
                await self.disk.write(
                    partial(generations.keep, self.kept, generation, text),
                    partial(generations.take_back, self.kept, generation),
                )
            case b.Verify():
                self._verify(effect)
            case b.ReadBack():
                self._read(self._tell_held(effect))
            case b.Remember():
                await self._remember(effect)
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

    def _set_routes(self, routes: Mapping[Address, Route], hushed: frozenset[str]) -> None:
        if self.speaker:
            self.speaker.set_routes(routes, hushed)
        if self._state.listed.node.answer_ping == "announced":
            self.dataplane.answer_pings_for(routes)
        self._routes, self._hushed = routes, hushed

    def _verify(self, effect: b.Verify) -> None:
        owned = self.dataplane.owned()
        wrong = verify.difference(
            owned.vips, owned.reals, wanted_vips=effect.vips, wanted_reals=effect.reals
        )
        if wrong:
            raise EffectError(wrong)

    async def _remember(self, effect: b.Remember) -> None:
        await self.disk.write(partial(self.journal.append, effect), self.journal.take_back)
        self.disk.later(self.journal.tidy)
        if not self.server.waits_for(effect.command.id):
            self.audit.own(effect.command, effect.result, effect.revision, time.time())

    async def _reply(self, sender: bytes, answer: Answer) -> None:
        if sender != NOBODY:
            await self.server.reply(sender, answer)
            return
        level = logging.INFO if answer.status in ("applied", "unchanged") else logging.ERROR
        log.log(level, "answer status=%s %s", answer.status, answer.error)

    # ---- what is read beside the loop

    def _read(self, reading: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(reading)
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _propose(self, effect: b.ReadConfig) -> None:
        self._tell(
            await asyncio.to_thread(
                generations.propose,
                effect.command,
                effect.sender,
                self._config_file,
                self.kept,
                self._state.generation,
            )
        )

    async def _tell_held(self, effect: b.ReadBack) -> None:
        self._tell(await held(effect, self.dataplane, self.speaker))

    @property
    def kept(self) -> Path:
        """Where the configs of earlier generations are."""
        return generations.directory(self._state.listed.node.state_dir)

    # ---- the config

    def _configure(self, listed: Config) -> None:
        """What of the config the program reads by itself."""
        self.dataplane.configure(control(listed, self.surroundings.way))
        own = self.surroundings.way.own_addresses
        self.dataplane.set_own_addresses(own if listed.node.decap else ())
        announced = listed.node.answer_ping == "announced"
        self.dataplane.answer_pings_for(self._state.announced if announced else None)

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
            speaker = Speaker(listed.bgp, Path(listed.node.run_dir), self._tell)
            await speaker.start()
            self.speaker = speaker
            speaker.set_routes(self._routes, self._hushed)
