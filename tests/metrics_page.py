# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md, written from the table of metrics: `python -m tests.metrics_page`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.wire.exposition import FAMILIES
from console.wire import relay_metrics

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
TAIL = Path(__file__).with_name("metrics_page_tail.md")

_HEAD = """\
# Metrics

`[metrics]` in the agent's config serves the metrics below in Prometheus' text format on `listen`
(`127.0.0.1:9469` by default, `/metrics`); without the table nothing is served and nothing is
imported. They are made from the same snapshots that consoles get, whenever one of them is due.
Whoever reaches the port may read them; nothing can be changed there. Put a reverse proxy with TLS
in front where the network is not yours.

```
scrape_configs:
  - job_name: remora
    static_configs: [{targets: ["lb1:9469", "lb2:9469"]}]
rule_files: [remora.rules.yml]
```

Alerts with runbooks are in `configs/prometheus/remora.rules.yml`, a dashboard in
`configs/grafana/remora.json`; promtool tries each alert (`tests/unit/remora.rules.test.yml`).
Every figure that consoles are told is here too, under its own name; words are not.

Totals count since the maps were made: they outlive an agent and start again from zero after a
reboot or `detach`, which Prometheus takes for what it is. A drained real or a withdrawn VIP keeps
its series; one that leaves the config loses them. `python -m tests.metrics_page` writes this
page; a test fails when it is out of step.

"""
_COLUMNS = """\
| metric | type | labels | |
|--|--|--|--|
"""
_RELAY = """
## A relay

`remora relay --metrics HOST:PORT` serves these. They count since it was started; `agent` is the
agent's address.

"""


def page() -> str:
    agents = [_row(f.name, f.kind, f.labels, f.help) for f in FAMILIES]
    relays = [_row(f.name, "counter", f.labels, f.help) for f in relay_metrics.FAMILIES]
    tables = [_HEAD, _COLUMNS, *agents, _RELAY, _COLUMNS, *relays]
    return "".join(tables) + "\n" + TAIL.read_text()


def _row(name: str, kind: str, labels: Sequence[str], help_: str) -> str:
    return f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {help_} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
