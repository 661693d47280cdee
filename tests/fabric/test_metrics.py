# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics of a node that serves: what is scraped is what consoles are told."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fabric import netns
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

PORT = 9469
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(node: str) -> Samples:
    with netns.inside(node):
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    connection.close()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@contextmanager
def with_metrics(fabric: Fabric, node: str) -> Iterator[None]:
    """The node's agent, started anew with `[metrics]`, and put back."""
    agent = fabric.agents[node]
    before = agent.config.read_text()
    assert agent.stop() == 0
    agent.config.write_text(f'{before}\n[metrics]\nlisten = "127.0.0.1:{PORT}"\n')
    agent.start()
    try:
        fabric.await_routes()
        yield
    finally:
        agent.stop()
        agent.config.write_text(before)
        agent.start()


def test_a_scrape_is_what_consoles_are_told(fabric: Fabric) -> None:
    with with_metrics(fabric, "lb2"), fabric.only_via("lb2"):
        packets = ("remora_vip_packets_total", (("vip", "web"),))
        until(lambda: packets in scrape("lb2"), 5, "the first snapshot is shown")
        first = scrape("lb2")
        for _ in range(23):
            fabric.request()
        sent = fabric.look("lb2").vips["web"].packets
        until(lambda: scrape("lb2")[packets] >= sent, 5, "the requests' packets are shown")
        seen = scrape("lb2")
        assert seen[packets] - first[packets] >= 23 * 4, "SYN, ACK, GET, FIN"
        told = fabric.look("lb2")
        assert seen[packets] <= told.vips["web"].packets
        assert seen["remora_vip_announced", (("vip", "web"),)] == 1
        assert seen["remora_bgp_peer_up", (("asn", "65000"), ("peer", "10.2.2.1"))] == 1
        by_reason = sum(v for (name, _), v in seen.items() if name == "remora_drops_total")
        assert by_reason == seen["remora_drop_packets_total", ()]
        by_cpu = sum(v for (name, _), v in seen.items() if name == "remora_cpu_rx_packets_total")
        assert by_cpu == seen["remora_rx_packets_total", ()]
        for real in t.REALS:
            labels = (("real", t.real(real).address), ("vip", "web"))
            assert seen["remora_real_health_state", (*labels[:1], ("state", "up"), labels[1])] == 1


def test_off_unless_configured(fabric: Fabric) -> None:
    with netns.inside("lb1"), pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", PORT, timeout=20).connect()
