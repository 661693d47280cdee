# SPDX-License-Identifier: Apache-2.0
"""The exposition: parsed back by Prometheus' own parser and compared with the snapshots."""

from __future__ import annotations

import gzip
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agent.boundary import EffectError
from agent.config.tree import Metrics
from agent.dataplane import abi
from agent.dataplane.tunnel import Counts
from agent.wire.exposition import FAMILIES, Seen, seen
from agent.wire.metrics import Exporter, metric
from agent.wire.snapshot import snapshots
from shared.codec import telemetry_frames
from shared.messages import Drain, Snapshot
from shared.reasons import REASONS
from tests import metrics_page
from tests.unit import test_codec as golden
from tests.unit.test_snapshot import ORIGIN, reading
from tests.unit.world import REALS, World

CONFIGS = Path(__file__).parents[2] / "configs"
RULES = CONFIGS / "prometheus" / "remora.rules.yml"
DASHBOARD = CONFIGS / "grafana" / "remora.json"


AT_TIMES = {
    "remora_node_label",
    "remora_vip_label",
    "remora_real_label",
    "remora_cpu_softirq_seconds_total",
    "remora_node_drain_phase_timestamp_seconds",
    "remora_pending_next_timestamp_seconds",
    "remora_bgp_peer_failed_timestamp_seconds",
    "remora_node_withdrawn_timestamp_seconds",
    "remora_vip_withdrawn_timestamp_seconds",
    "remora_bgp_peer_withdrawn_timestamp_seconds",
    "remora_real_drain_half_life_seconds",
    "remora_real_drain_remaining_seconds",
    "remora_real_drain_silent_seconds",
    "remora_real_drain_heard_seconds",
    "remora_real_drain_empty_timestamp_seconds",
    "remora_real_drain_unknown_until_timestamp_seconds",
    "remora_real_drain_deadline_timestamp_seconds",
}
"""Not there when there is nothing to say; test_metrics_whole.py has them."""


@pytest.fixture(scope="module")
def made() -> tuple[Snapshot, ...]:
    """A node with three reals up, one of them draining, and counters that are all different."""
    world = World()
    world.all_up()
    world.ask(Drain(real=REALS[0]))
    return snapshots(world.director.state, reading(), ORIGIN, 4)


class Fixed:
    """What a registry asks, without a server."""

    def __init__(self, now: Seen) -> None:
        self._now = now

    def collect(self) -> Iterator[object]:
        for family in FAMILIES:
            yield metric(family, self._now)


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(name, sorted labels) -> value; each sample stands once."""
    samples: list[Sample] = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    found = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
    assert len(found) == len(samples)
    return found


@pytest.fixture(scope="module")
def exposed(made: tuple[Snapshot, ...]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry()
    registry.register(Fixed(seen(made)))  # type: ignore[arg-type]
    return parsed(generate_latest(registry).decode())


def value(
    exposed: dict[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str
) -> float:
    return exposed[name, tuple(sorted(labels.items()))]


def test_every_family_is_exposed_under_its_name(
    exposed: dict[tuple[str, tuple[tuple[str, str], ...]], float],
) -> None:
    assert {name for name, _ in exposed} == {family.name for family in FAMILIES} - AT_TIMES
    for name, labels in exposed:
        (family,) = (f for f in FAMILIES if f.name == name)
        assert {key for key, _ in labels} == set(family.labels)


def test_names_keep_the_ecosystem_s_rules() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"remora_[a-z][a-z0-9_]*", family.name)
        assert family.name.endswith("_total") is (family.kind == "counter"), family.name
        assert family.help.endswith("."), family.name
        assert not {"le", "quantile", "instance", "job"} & set(family.labels)


def test_counters_equal_the_snapshot(
    made: tuple[Snapshot, ...],
    exposed: dict[tuple[str, tuple[tuple[str, str], ...]], float],
) -> None:
    now = seen(made)
    node = now.node
    for name, total in (
        ("rx_packets", node.rx_packets),
        ("tx_packets", node.tx_packets),
        ("pass_packets", node.pass_packets),
        ("drop_packets", node.drop_packets),
        ("agent_cpu_seconds", node.cpu_seconds),
    ):
        assert value(exposed, f"remora_{name}_total") == total
    (vip,) = now.vip.vips
    assert value(exposed, "remora_vip_packets_total", vip="web") == vip.packets == 4
    assert value(exposed, "remora_vip_reals_serving", vip="web") == 2
    assert value(exposed, "remora_vip_announced", vip="web") == 1
    assert value(exposed, "remora_vip_info", vip="web", address="10.200.0.1", port="80",
                 protocol="tcp") == 1  # fmt: skip
    for row in now.real.reals:
        labels = {"vip": "web", "real": row.address}
        assert value(exposed, "remora_real_packets_total", **labels) == row.packets > 0
        assert value(exposed, "remora_real_ring_slots", **labels) == row.slots
        states = {
            s: value(exposed, "remora_real_admin_state", state=s, **labels)
            for s in ("enabled", "draining", "disabled")
        }
        assert states == {s: float(s == row.admin) for s in states}
    for drop in now.drop.drops:
        assert value(exposed, "remora_drops_total", reason=drop.name) == drop.packets
    assert value(exposed, "remora_cpu_rx_packets_total", cpu="1") == now.cpu.rx_packets[1] == 23
    assert value(exposed, "remora_flowtable_misses_total", cause="syn") == 7


NOT_EXPOSED = {"pass_bytes", "drop_bytes", "pad"}


def test_every_counter_of_the_program_is_exposed() -> None:
    """C1: none is forgotten on its way from the map: each has a value that no other has."""
    counted = reading()
    totals = counted.totals
    for place, name in enumerate(totals.dtype.names or ()):
        totals[name] = 0
        totals[name][0] = 10**6 + 1000 * place
    totals["drops"][0] = [2 * 10**6 + reason for reason in range(32)]
    probes = {name: 3 * 10**6 + place for place, name in enumerate(Counts._fields)}
    queues = np.zeros((2, abi.QUEUES), np.uint64)
    queues[1, 5] = 4 * 10**6
    world = World()
    world.all_up()
    more = replace(counted, probes=probes, queues=queues, attached="generic", overruns=5)
    registry = CollectorRegistry()
    now = seen(snapshots(world.director.state, more, ORIGIN, 1))
    registry.register(Fixed(now))  # type: ignore[arg-type]
    exposed = parsed(generate_latest(registry).decode())
    values = set(exposed.values())
    sent, too_big = (int(totals[f"icmp_{name}"][0]) for name in ("sent", "too_big"))
    assert value(exposed, "remora_icmp_sent_packets_total", kind="ping") == sent - too_big
    for name in set(totals.dtype.names or ()) - NOT_EXPOSED - {"drops", "queues", "icmp_sent"}:
        assert int(totals[name][0]) in values, name
    assert set(totals["drops"][0, [reason.number for reason in REASONS]].tolist()) <= values
    assert set(probes.values()) <= values
    assert value(exposed, "remora_queue_rx_packets_total", queue="5", cpu="1") == 4 * 10**6
    assert value(exposed, "remora_xdp_attached", mode="generic") == 1
    assert value(exposed, "remora_telemetry_overruns_total") == 5


def test_times_are_unix_times(
    made: tuple[Snapshot, ...],
    exposed: dict[tuple[str, tuple[tuple[str, str], ...]], float],
) -> None:
    """Monotonic seconds of the agent mean nothing to anybody else."""
    assert value(exposed, "remora_snapshot_timestamp_seconds") == 1e9
    assert value(exposed, "remora_start_time_seconds") == 1e9 - 11.5
    now = seen(made)
    row, (peer,) = now.real.reals[0], now.node.peers
    changed = value(exposed, "remora_real_changed_timestamp_seconds", vip="web", real=row.address)
    assert changed == 1e9 + row.changed - 12.5
    labels = {"peer": peer.address, "asn": str(peer.asn)}
    changed = value(exposed, "remora_bgp_peer_changed_timestamp_seconds", **labels)
    assert changed == 1e9 + peer.since - 12.5


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    running = Exporter(Metrics(listen="127.0.0.1:0"))
    yield running
    running.close()


def scrape(exporter: Exporter, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}{path}", timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text: str = answer.read().decode()
    return text


def test_a_scrape_over_loopback(exporter: Exporter, made: tuple[Snapshot, ...]) -> None:
    assert scrape(exporter) == "", "nothing is made up before the first snapshot"
    exporter.show([telemetry_frames(message) for message in made])
    found = parsed(scrape(exporter))
    assert value(found, "remora_rx_packets_total") == 123
    assert {name for name, _ in found} == {family.name for family in FAMILIES} - AT_TIMES


def test_what_prometheus_itself_asks_for(exporter: Exporter, made: tuple[Snapshot, ...]) -> None:
    """OpenMetrics, compressed: the same samples."""
    exporter.show([telemetry_frames(message) for message in made])
    plain = parsed(scrape(exporter))
    asked = urllib.request.Request(
        f"http://127.0.0.1:{exporter.port}/metrics",
        headers={
            "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            "Accept-Encoding": "gzip",
        },
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        text = gzip.decompress(answer.read()).decode()
    assert text.endswith("# EOF\n")
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }
    assert found == plain


def test_a_scrape_can_ask_for_some(exporter: Exporter, made: tuple[Snapshot, ...]) -> None:
    exporter.show([telemetry_frames(message) for message in made])
    found = parsed(scrape(exporter, "/metrics?name[]=remora_rx_packets_total"))
    assert {name for name, _ in found} == {"remora_rx_packets_total"}


def test_nothing_else_is_served(exporter: Exporter) -> None:
    for method in ("POST", "DELETE"):
        url = f"http://127.0.0.1:{exporter.port}/metrics"
        asked = urllib.request.Request(url, data=b"x", method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=60)
        assert refused.value.code == 405
        refused.value.close()


def test_an_address_in_use_is_an_error_that_says_so(exporter: Exporter) -> None:
    taken = f"127.0.0.1:{exporter.port}"
    with pytest.raises(EffectError, match=re.escape(f"metrics.listen {taken}: Address already")):
        Exporter(Metrics(listen=taken))


def test_page_is_in_step() -> None:
    assert metrics_page.PAGE.read_text() == metrics_page.page(), "run python -m tests.metrics_page"


# ---- what is written on top of the metrics

NAME = re.compile(r"\bremora_[a-z0-9_]+")


def used(text: str) -> set[str]:
    return set(NAME.findall(text))


def test_rules_and_dashboard_use_metrics_that_exist() -> None:
    known = {family.name for family in FAMILIES}
    rules, dashboard = used(RULES.read_text()), used(DASHBOARD.read_text())
    assert len(rules) > 10
    assert len(dashboard) > 20
    assert rules | dashboard <= known


def test_expressions_use_labels_that_exist() -> None:
    """`metric{label="..."}`: a selector by a label that is not there matches nothing, for ever."""
    labels = {family.name: {*family.labels, "instance", "job"} for family in FAMILIES}
    selectors = re.compile(r"\b(remora_[a-z0-9_]+)\{([^{}]*)\}")
    expressions = RULES.read_text() + "\n".join(targets())
    found = selectors.findall(expressions)
    assert len(found) > 3
    for name, inside in found:
        asked = set(re.findall(r"([a-z_]+)\s*[=!]~?", inside))
        assert asked <= labels[name], (name, inside)


def targets() -> list[str]:
    board = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    assert all(panel["title"] and panel["description"] for panel in panels)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    return found


def test_the_dashboard_can_be_laid_out() -> None:
    """Grafana's grid is 24 wide; no panel covers another, variables are declared."""
    board = json.loads(DASHBOARD.read_text())
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        own = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not own & cells, panel["title"]
        cells |= own
    declared = {variable["name"] for variable in board["templating"]["list"]}
    used_ones = set(re.findall(r"\$\{?(?!__)(\w+)", json.dumps(board)))
    assert used_ones == declared
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", board["uid"])


def test_dashboard_never_shows_a_counter_s_total() -> None:
    for expression in targets():
        for name in used(expression):
            if name.endswith("_total"):
                assert re.search(rf"(rate|increase)\({name}", expression), expression


def blocks() -> dict[str, str]:
    """Alert -> its lines, without a YAML library: not every machine has one."""
    parts = re.split(r"^ +- alert: ", RULES.read_text(), flags=re.M)[1:]
    return {part.splitlines()[0]: part for part in parts}


def test_every_alert_has_a_runbook() -> None:
    assert len(blocks()) >= 12
    for name, text in blocks().items():
        assert re.fullmatch(r"Remora[A-Za-z]+", name)
        assert re.search(r"^ +expr: ", text, re.M), name
        assert re.search(r"^ +severity: (critical|warning|info)$", text, re.M), name
        for key in ("summary", "description", "runbook"):
            assert re.search(rf"^ +{key}: ", text, re.M), f"{name}: {key}"


def test_runbooks_name_commands_that_exist() -> None:
    runbooks = RULES.read_text()
    assert set(re.findall(r"remora get (\w+)", runbooks)) <= {"node", "vip", "real", "drop"}
    assert set(re.findall(r"remora events (\w+)", runbooks)) <= {
        "drops", "health", "bgp", "changes", "shows", "and",
    }  # fmt: skip


def test_rules_are_yaml() -> None:
    yaml = pytest.importorskip("yaml", reason="no YAML library here")
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    assert {rule["alert"] for rule in group["rules"]} == set(blocks())
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        for opening, closing in ("()", "{}", "[]"):
            assert rule["expr"].count(opening) == rule["expr"].count(closing), rule["alert"]


def test_labels_stay_though_they_come_seldom(
    exporter: Exporter, made: tuple[Snapshot, ...]
) -> None:
    published = [telemetry_frames(message) for message in made]
    exporter.show([*published, telemetry_frames(golden.LABELS)])
    exporter.show(published)
    found = parsed(scrape(exporter))
    assert value(found, "remora_node_label", key="rack", value="r1") == 1
    assert value(found, "remora_vip_label", vip="web", key="tier", value="web") == 1
    where = {"vip": "web", "real": "10.3.1.2"}
    assert value(found, "remora_real_label", **where, key="rack", value="r7") == 1
