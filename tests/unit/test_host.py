# SPDX-License-Identifier: Apache-2.0
"""What preflight reads of this very machine: things that the test made, or that every Linux has."""

from __future__ import annotations

import asyncio
import os
import socket
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from agent.config import file as config
from agent.config import tree
from agent.config.bgp_table import Bgp, BgpPeer
from agent.preflight import ethtool, read_host, read_netdev, read_tunnel, survey
from agent.preflight.surveyed import Listener
from tests.unit.world import ONE_VIP

HERE = IPv4Address("127.0.0.1")


def test_listeners_on_an_address_and_on_any() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("0.0.0.0", 0)) as every,
        socket.create_server(("127.0.0.2", 0)) as other,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind(("127.0.0.1", 0))
        found = read_host.listeners(HERE)
        assert Listener("tcp", one.getsockname()[1]) in found
        assert Listener("tcp", every.getsockname()[1]) in found
        assert Listener("udp", datagrams.getsockname()[1]) in found
        assert Listener("tcp", other.getsockname()[1]) not in found


@pytest.mark.skipif(not Path("/proc/net/tcp6").exists(), reason="a kernel without IPv6")
def test_one_on_any_ipv6_address_takes_ipv4_too() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        here = Listener("tcp", server.getsockname()[1])
        assert here in read_host.listeners(HERE)
        assert here in read_host.listeners(IPv6Address("::1"))


def test_connected_from_either_side() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not read_host.connected("127.0.0.1", port), "listening is no connection"
        with socket.create_connection(("127.0.0.1", port)):
            assert read_host.connected("127.0.0.1", port)
            assert not read_host.connected("127.0.0.2", port)


def test_directories(tmp_path: Path) -> None:
    assert read_host.place("run_dir", tmp_path).error == ""
    assert read_host.place("run_dir", tmp_path / "made" / "later").error == ""
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    (tmp_path / "file").touch()
    assert "no directory" in read_host.place("run_dir", tmp_path / "file" / "below").error
    # /proc refuses even root, who may write in a directory without w
    assert "cannot be written" in read_host.place("run_dir", Path("/proc/self")).error


def test_filesystems(tmp_path: Path) -> None:
    assert read_host.filesystem(Path("/proc")) == "proc"
    assert read_host.filesystem(Path("/proc/self")) == "proc"
    assert read_host.filesystem(tmp_path) not in ("", "proc")
    assert read_host.filesystem(tmp_path / "missing") == ""


def test_a_machine_without_proc_gets_a_finding_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_host, "MOUNTS", tmp_path / "mounts")
    said = read_host.filesystem(tmp_path)
    assert said == f"not known: {tmp_path / 'mounts'}: No such file or directory"
    assert read_host.filesystem(tmp_path / "missing") == ""


@pytest.mark.parametrize("listens", [True, False])
def test_a_bgp_peer_is_tried_at_its_own_port(listens: bool) -> None:
    with socket.socket() as server:
        server.bind((str(HERE), 0))
        if listens:
            server.listen()
        port = server.getsockname()[1]
        peer = BgpPeer(address=HERE, local_address=HERE, asn=65000, port=port)
        (answer,) = asyncio.run(survey._peers(Bgp(local_as=65001, router_id=HERE, peers=(peer,))))
    assert (answer.port, answer.error) == (port, "" if listens else "connection refused")


def test_limits_and_clock() -> None:
    assert read_host.limits().files >= 64
    assert read_host.clock_synchronised() in (True, False)


def test_sysctls_of_an_interface() -> None:
    assert read_host.rp_filter("lo") in (0, 1, 2)
    assert read_host.arp_ignore("lo") in range(9)
    assert read_host.irqs("lo") == (), "no device"
    assert set(read_host.near_cpus("lo")) == os.sched_getaffinity(0)


def test_ethtool_on_the_loopback() -> None:
    """Its features are the kernel's own; it has neither queues to set nor a ring."""
    features = ethtool.features("lo")
    assert features["rx-gro"] in (True, False)
    assert features["loopback"] is True
    assert len(features) > 20
    assert ethtool.queues("lo") is None
    assert ethtool.rings("lo") == {}
    assert ethtool.rss("lo") is None
    assert ethtool.features("no-such-device") == {}
    with pytest.raises(OSError, match="the driver has no rx-no-such"):
        ethtool.set_feature("lo", "rx-no-such", on=False)
    assert ethtool.driver("no-such-device") == ""


def test_native_xdp_of_the_loopback() -> None:
    assert read_netdev.has_native_xdp(socket.if_nametoindex("lo")) in (False, None)
    assert read_netdev.has_native_xdp(0x7FFFFFFF) is None


def test_nothing_is_left_open() -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    test_ethtool_on_the_loopback()
    test_native_xdp_of_the_loopback()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_pings_are_left_out_where_they_cannot_be_tried() -> None:
    """Of this machine itself, without a route, without the interface, without the right to."""
    node = config.parse(ONE_VIP.replace('"eth0"', '"no-such-device"'), "test").node
    real = tree.Real(address=IPv4Address("127.0.0.1"))
    assert read_tunnel.pings(node, [(IPv4Address("127.0.0.2"), real)]) == (), "ourselves"
    stranger = tree.Real(address=IPv4Address("127.1.2.3"))
    assert read_tunnel.pings(node, [(IPv4Address("127.1.2.4"), stranger)]) == ()
    assert read_tunnel.pings(node, []) == ()
