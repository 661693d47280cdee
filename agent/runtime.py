# SPDX-License-Identifier: Apache-2.0
"""The life of an agent, from load to SIGTERM.  What it does meanwhile is loop.py's."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import uuid
from pathlib import Path

from agent import boundary as b
from agent.boundary import Asked, EffectError, Fact
from agent.bring_up import load, pins
from agent.core.director import Director
from agent.dataplane.maps import DataPlane
from agent.dataplane.ring_fill import or_here
from agent.host import malloc, netlink
from agent.host.one_agent import HAND_OVER, only_one
from agent.host.supervisor import notify, watchdog
from agent.loop import Loop
from agent.records import generations
from agent.records.generations import InForce
from agent.records.journal import recall
from agent.shells import NOBODY, Shells
from shared.messages import Command, Reload

log = logging.getLogger("remora")


class Agent:
    """A running agent.  Raises EffectError or LoadError where it cannot start."""

    def __init__(
        self, config_file: Path, started: InForce, dataplane: DataPlane, path: netlink.WayOut
    ) -> None:
        self.config_file = config_file
        self.started = started
        self.inbox: asyncio.Queue[Fact] = asyncio.Queue()
        self.director = Director(started.listed, or_here(dataplane.fill))
        self.shells = Shells(
            self.director.state, config_file, dataplane, path, self.inbox.put_nowait
        )
        self.keeps_routes = False
        """At the end: the next agent adopts them."""
        self.loop = Loop(
            self.inbox, self.director, self.shells.perform, self.shells.questions.answer
        )

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(HAND_OVER, self._hand_over, stopped)
        self.inbox.put_nowait(self._adopted())  # before any command: nothing was awaited yet
        await self.shells.start()
        await self.loop.turn()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(work())
                for work in (*self.loop.running, self._reassure, *self.shells.running)
            ]
            # What there is now stays, so not what is garbage already: looking through it stopped
            # the loop for 40 ms.
            gc.collect()
            gc.freeze()
            notify("READY=1")
            log.info("ready node=%s pid=%d", self.started.listed.node.name, os.getpid())
            await stopped.wait()
            notify("STOPPING=1")
            for task in running:
                task.cancel()
        await self._stop()

    def _hand_over(self, stopped: asyncio.Event) -> None:
        self.keeps_routes = True
        stopped.set()

    async def _stop(self) -> None:
        """Withdraw first."""
        if not self.keeps_routes:
            self.inbox.put_nowait(b.Stopping())
            await self.loop.turn()
        await self.loop.finish()
        await self.shells.close(keeps_routes=self.keeps_routes)
        routes = "left" if self.keeps_routes else "withdrawn"
        log.info("stopped: routes %s, data plane left in place", routes)

    def _adopted(self) -> b.Adopted:
        dataplane = self.shells.dataplane
        owned, recalled = dataplane.owned(), recall(self.shells.journal.path)
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
            rings={n: dataplane.rings.current(n) for n in owned.vips.values()},
            overrides=recalled.overrides,
            revision=recalled.revision,
            generation=self._kept(recalled.revision),
            newest_generation=self.started.generation,
            pending=recalled.pending,
            phases=recalled.phases,
            rollouts=recalled.rollouts,
            keyed=recalled.keyed,
            warm_in=dataplane.warm_in(),
        )

    def _kept(self, revision: int) -> int:
        """The number of the config that we start with; 0 if it cannot be kept: the node serves
        without a way back rather than not at all."""
        started = self.started
        if not started.fresh:
            return started.generation
        command = Command(id="", who="agent", action=Reload(), why="started with it")
        try:
            generations.keep(self.shells.kept, started.generation, started.text)
            self.shells.journal.write(
                b.Remember(command, "applied", revision, (), started.generation)
            )
        except EffectError as error:
            log.warning("config cannot be kept: %s", error)
            return 0
        return started.generation

    def _reload(self) -> None:
        """SIGHUP: the same path as the command, answered to the log."""
        command = Command(id=uuid.uuid4().hex, who="SIGHUP", action=Reload())
        self.inbox.put_nowait(Asked(command, NOBODY))

    # ---- the inbox

    async def _reassure(self) -> None:
        """Ping the watchdog while facts are dealt with: a loop that turns is not enough."""
        limit = watchdog(os.environ, os.getpid())
        seen = -1
        while limit is not None:
            if self.loop.turns != seen or self.inbox.empty():
                notify("WATCHDOG=1")
            seen = self.loop.turns
            await asyncio.sleep(limit / 3)


async def run(config_file: Path) -> None:
    """Load, adopt and serve until told to stop.  Raises ConfigError, EffectError or LoadError."""
    started = generations.in_force(config_file)
    node = started.listed.node
    malloc.configure()
    with only_one(Path(node.run_dir)):
        path = await netlink.resolve(node.interface, node.gateway_address)
        await asyncio.to_thread(load, started.listed, path)
        agent = Agent(config_file, started, DataPlane(pins(node)), path)
        await agent.run()
