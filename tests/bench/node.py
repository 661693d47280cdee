# SPDX-License-Identifier: Apache-2.0
"""A node to measure: what its config begins with, and what is asked of the running agent."""

from __future__ import annotations

import json
import os
import re
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


KINDS = (
    ("malloc's heap", r"\[heap\]"),
    ("Python's arenas, large blocks, stacks", r"|\[stack\]|\[anon.*"),
    ("BPF maps", r"anon_inode:bpf-map"),
    ("numpy and its BLAS", r".*/numpy(\.libs)?/.*"),
    ("ZeroMQ", r".*/(py)?zmq(\.libs)?/.*"),
    ("OpenSSL", r".*/(libcrypto|libssl|_ssl|_hashlib)\..*"),
    ("Python", r".*/python3[.0-9]*"),
    ("other libraries", r".*"),
)
"""What of a process is resident -> how its mappings are named."""


def memory(pid: int) -> dict[str, float]:
    """MiB resident by kind, of KINDS."""
    found = dict.fromkeys((kind for kind, _ in KINDS), 0.0)
    kind = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split(maxsplit=5)
        if not words[0].endswith(":"):
            name = words[5] if len(words) > 5 else ""
            kind = next(kind for kind, names in KINDS if re.fullmatch(names, name))
        elif words[0] == "Rss:":
            found[kind] += int(words[1]) / 1024
    return {kind: round(mib, 1) for kind, mib in found.items()}


def rss(pid: int) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20
