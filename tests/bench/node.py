# SPDX-License-Identifier: Apache-2.0
"""A node to measure: what its config begins with, and what is asked of the running agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def config(place: Path) -> str:
    """The first table of a config file; all that it makes is below `place`."""
    return f"""
[node]
name = "node"
interface = "eth0"
hash_key = "00112233445566778899aabbccddeeff"
bpffs = "{place}/bpffs"
run_dir = "{place}/run"
state_dir = "{place}/state"
"""


def reals_up(place: Path) -> int:
    """As a console counts them; -1: the agent does not answer."""
    done = subprocess.run(
        [sys.executable, "-m", "console", "-a", f"{place}/run", "get", "node", "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return -1
    (node,) = json.loads(done.stdout)["items"]
    return int(node["reals_up"])


def cpu(pid: int) -> float:
    """Seconds of all its threads."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text().split()[0]) for one in threads) / 1e9


def rss(pid: int) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20
