# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md, written from the table of metrics: `python -m tests.metrics_page`."""

from __future__ import annotations

from pathlib import Path

from agent.wire.exposition import FAMILIES

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

| metric | type | labels | |
|--|--|--|--|
"""


def page() -> str:
    rows = (
        f"| `{f.name}` | {f.kind} | {', '.join(f'`{label}`' for label in f.labels)} | {f.help} |"
        for f in FAMILIES
    )
    return _HEAD + "\n".join(rows) + "\n\n" + TAIL.read_text()


if __name__ == "__main__":
    PAGE.write_text(page())
