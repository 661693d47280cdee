# SPDX-License-Identifier: Apache-2.0
"""The node's interface and what is around it: looked at, followed, and our programs put back.

What is to be done about it decides host_watch.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.boundary import EffectError, Follow, Looked
from agent.config.tree import Node
from agent.dataplane import bpf_syscall, egress
from agent.dataplane.attach import attach
from agent.dataplane.pinned import LoadError
from agent.host import netlink, rtnetlink
from agent.host.netlink import WayOut

log = logging.getLogger("remora.host")

AT_LEAST = 2.0
"""Seconds between two looks: that a bpf_link's program went, nobody is told."""
TOGETHER = 0.05
"""Seconds in which changes are looked at together."""


class Surroundings:
    """`program`: the kernel's id of the program that balances."""

    def __init__(
        self, node: Node, pins: Path, way: WayOut, program: int, tell: Callable[[Looked], None]
    ) -> None:
        self.way = way
        self._gateway = way.gateway
        self._node = node
        self._pins = pins
        self._program = program
        self._tell = tell
        self._error = ""

    async def watch(self) -> None:
        """Tell how it is, whenever something changed and from time to time."""
        changes = rtnetlink.Changes()
        try:
            while True:
                self._look()
                await changes.wait(AT_LEAST)
                await asyncio.sleep(TOGETHER)
                if changes.default_route:
                    changes.default_route = False
                    await self._resolve()
        finally:
            changes.close()

    async def _resolve(self) -> None:
        """The next hop is that of the default route, which is another now.  Without one the last
        stays: what is under way may still arrive."""
        if self._node.gateway_address:
            return
        try:
            found = await netlink.resolve(self._node.interface, None)
        except (EffectError, OSError) as error:
            log.warning("gateway not changed: %s", error)
        else:
            self._gateway = found.gateway  # its MAC is the kernel's now: the next look has it

    def follow(self, seen: Follow) -> bool:
        """Whether anything is other than it was."""
        before = self.way
        self.way = before._replace(
            own_mac=seen.own_mac,
            gateway=self._gateway,
            gateway_mac=seen.gateway_mac or before.gateway_mac,
            own_addresses=seen.own_addresses,
        )
        return self.way != before

    def attach(self) -> None:
        """Both programs, in the kernel and pinned as they are; at once said, if it worked."""
        try:
            self._attach_both()
        except (LoadError, OSError) as error:
            self._error = str(error)
            return
        self._error = ""
        log.warning("attached interface=%s again", self._node.interface)
        self._look()

    def _look(self) -> None:
        try:
            seen = netlink.look(self._node.interface, self._gateway, self._program)
            if seen.link and egress.lost_filter(self._pins, self._node.interface):
                seen = seen._replace(filtered=False)
        except OSError as error:  # the kernel has no memory for an answer, say: look again later
            log.warning("look interface=%s failed: %s", self._node.interface, error)
            return
        self._tell(Looked(seen, self._error))

    def _attach_both(self) -> None:
        interface = self._node.interface
        with _opened(self._pins / "prog_lb") as balancer:
            attach(self._pins, interface, self._node.xdp_mode, balancer)
        with _opened(self._pins / "prog_probe") as probe:
            if why := egress.attach(self._pins, interface, probe):
                log.warning("checks cannot go through the tunnel: %s", why)


@contextlib.contextmanager
def _opened(pin: Path) -> Iterator[int]:
    descriptor = bpf_syscall.obj_get(str(pin))
    try:
        yield descriptor
    finally:
        os.close(descriptor)
