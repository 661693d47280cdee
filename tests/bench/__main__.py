# SPDX-License-Identifier: Apache-2.0
"""`make bench`: every benchmark in turn, one table; with --json one object for each.

Benchmarks report and judge nothing: machines are noisy.  Where a figure needs a scale, the
benchmark measures a floor in the same run and gives the ratio.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

PARTS = (
    "dataplane",
    "check",
    "traffic",
    "latency",
    "agent",
    "scale",
    "events",
    "checks",
    "console",
    "wire",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object per part")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    failed = 0
    for part in options.parts or PARTS:
        command = [sys.executable, "-m", f"tests.bench.{part}", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{part}: failed\n{done.stderr.strip()}", file=sys.stderr)
            failed = 1
            continue
        figures = json.loads(done.stdout)
        if options.json:
            print(json.dumps({"part": part, "figures": figures}), flush=True)
        else:
            _table(part, figures)
    return failed


def _table(part: str, figures: object, indent: str = "  ") -> None:
    print(f"{indent[2:]}{part}", flush=True)
    rows = figures.items() if isinstance(figures, dict) else enumerate(figures)  # type: ignore[arg-type]
    for name, value in rows:
        if isinstance(value, dict | list):
            _table(str(name), value, indent + "  ")
        else:
            print(f"{indent}{name:<{52 - len(indent)}}{value}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
