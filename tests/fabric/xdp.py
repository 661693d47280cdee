# SPDX-License-Identifier: Apache-2.0
"""XDP outside the nodes: decapsulation on the reals, and the far end of each node's veth.

Without a program on the far end a veth drops every frame that XDP_TX sends to it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.dataplane import bpf_syscall
from agent.dataplane.loader import Request, load
from tests.fabric import netns
from tests.fabric import topology as t

_XDP_FLAGS_DRV_MODE = 1 << 2


def install(pins: Path) -> None:
    """Compile decap and pass once, and attach them in every namespace that needs one."""
    load(Request(pins=pins, sources=("decap.c", "pass.c")))
    for name in t.REALS:
        _attach(pins / "prog_decap", name, "eth0", pins / f"link_{name}")
    for name in t.NODES:
        _attach(pins / "prog_pass", t.ROUTER, name, pins / f"link_{name}")


def _attach(program: Path, namespace: str, interface: str, pin: Path) -> None:
    number = bpf_syscall.obj_get(str(program))
    with netns.inside(namespace):
        index = socket.if_nametoindex(interface)
        link = bpf_syscall.link_xdp(number, index, _XDP_FLAGS_DRV_MODE)
    bpf_syscall.obj_pin(link, str(pin))


@contextmanager
def without_decap(pins: Path, real: str) -> Iterator[None]:
    """The real's program passes everything on while the block runs: nothing is decapsulated."""
    link = bpf_syscall.obj_get(str(pins / f"link_{real}"))
    decap, passing = (bpf_syscall.obj_get(str(pins / f"prog_{n}")) for n in ("decap", "pass"))
    try:
        bpf_syscall.link_update(link, passing)
        yield
    finally:
        bpf_syscall.link_update(link, decap)
        for descriptor in (link, decap, passing):
            os.close(descriptor)
