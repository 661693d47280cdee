# SPDX-License-Identifier: Apache-2.0
"""What Prometheus' own tool says of the rules, the metrics and the dashboard's expressions.

`make setup` fetches promtool from Debian's package of Prometheus where it can be had; without it
test_metrics.py still compares names and labels.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_metrics import DASHBOARD, RULES, targets
from tests.unit.test_metrics_whole import full, text_of

ROOT = Path(__file__).parents[2]
PROMTOOL = shutil.which("promtool") or shutil.which(ROOT / ".venv" / "bin" / "promtool")

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool cannot be had here")


def promtool(*words: str | Path, given: str = "") -> str:
    done = subprocess.run(
        [str(PROMTOOL), *map(str, words)], input=given, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_the_rules_are_ones() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)


def test_each_alert_fires_on_what_it_is_for(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    shutil.copy(Path(__file__).with_name("remora.rules.test.yml"), tmp_path)
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "remora.rules.test.yml")


def test_every_alert_is_tried() -> None:
    tried = Path(__file__).with_name("remora.rules.test.yml").read_text()
    for name in re.findall(r"- alert: (\w+)", RULES.read_text()):
        assert f'alertname="{name}"' in tried, name


def test_the_metrics_keep_to_the_conventions() -> None:
    """Names, units, types and help, as promtool's linter wants them."""
    assert promtool("check", "metrics", given=text_of(full())).strip() == ""


def test_the_dashboard_s_expressions_are_ones(tmp_path: Path) -> None:
    """As rules: promtool reads no dashboard.  Grafana's variables are put in first."""
    expressions = [
        text.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$vip", ".*")
        for text in targets()
    ]
    board = json.loads(DASHBOARD.read_text())
    asked = [v["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    names = re.findall(r"label_values\((\w+)", json.dumps(asked))
    rules = [
        {"record": f"panel:{n}", "expr": expression}
        for n, expression in enumerate([*expressions, *names])
    ]
    file = tmp_path / "board.yml"
    file.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    said = promtool("check", "rules", file)
    assert f"{len(rules)} rules found" in said
