# SPDX-License-Identifier: Apache-2.0
"""Path MTU discovery through the balancer: the router's ICMP errors reach the real that sent."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from agent.dataplane import loader
from agent.dataplane.maps import DataPlane
from tests.fabric import netns
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.service import pattern

pytestmark = pytest.mark.root

LENGTH = 1_000_000
NARROW = 1400


@pytest.fixture
def narrow(fabric: Fabric) -> Iterator[Fabric]:
    """The router's link to the client is narrower than either end thinks."""
    netns.ip(f"link set {t.CLIENT} mtu {NARROW}", netns=t.ROUTER)
    try:
        yield fabric
    finally:
        netns.ip(f"link set {t.CLIENT} mtu {t.CLIENT_MTU}", netns=t.ROUTER)
        for real in t.REALS:
            netns.ip("route flush cache", netns=real)  # what they have learned of the path


def forwarded(fabric: Fabric) -> int:
    """ICMP errors that the nodes sent on, so far."""
    count = 0
    for node in t.NODES:
        with closing(DataPlane(loader.pins(fabric.place / "bpffs", node))) as dataplane:
            count += int(dataplane.counters.totals()["icmp_forwarded"].sum())
    return count


def download() -> tuple[str, bytes]:
    """LENGTH bytes from the VIP: (the real, what came).  Raises TimeoutError when it hangs."""
    with netns.inside(t.CLIENT):
        connection = socket.create_connection((t.WEB, t.WEB_PORT), timeout=20)
    with connection:
        connection.sendall(f"GET /bytes/{LENGTH} HTTP/1.1\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"X-Real: ")[1].split()[0].decode(), body


@pytest.mark.parametrize("node", t.NODES)
def test_p10_a_vip_is_pinged(fabric: Fabric, node: str) -> None:
    """P10: by the client's own ping, which checks what comes; one answer each."""
    with fabric.only_via(node):
        done = subprocess.run(
            ["ip", "netns", "exec", t.CLIENT, "ping", "-c", "5", "-i", "0.2", "-W", "2", t.WEB],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "5 packets transmitted, 5 received, 0% packet loss" in done.stdout, done
    assert "DUP" not in done.stdout


def test_p3_a_download_over_a_narrow_path_completes(narrow: Fabric) -> None:
    """P3: from every real, each of which must hear of the MTU itself; without it 0 bytes come."""
    before = forwarded(narrow)
    seen: set[str] = set()
    for _ in range(60):
        real, body = download()
        assert body == pattern(0, LENGTH)
        seen.add(real)
        if seen == set(t.REALS):
            break
    assert seen == set(t.REALS)
    assert forwarded(narrow) - before >= len(t.REALS)
