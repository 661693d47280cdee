# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bpf.figures [--flows N]`: what the kernel says of the programs and maps.

Instructions, machine code, what the verifier had to look at, memory of every map, and how long
compiling and loading took.  For docs/dataplane.md, and to see what a change of the C code costs.
"""

from __future__ import annotations

import argparse
import ctypes as c
import os
import platform
import sys
from pathlib import Path
from typing import NamedTuple

from agent.dataplane import bpf_syscall, loader
from tests.fabric import enclosure


class _ProgramInfo(c.Structure):
    """linux/bpf.h, struct bpf_prog_info up to verified_insns (Linux 5.16)."""

    _fields_ = [
        ("type", c.c_uint32),
        ("id", c.c_uint32),
        ("tag", c.c_uint8 * 8),
        ("jited_bytes", c.c_uint32),
        ("xlated_bytes", c.c_uint32),
        ("pad", c.c_uint64 * 24),
        ("verified", c.c_uint32),
        ("attach_btf_obj_id", c.c_uint32),
    ]


class Cost(NamedTuple):
    """Of one loaded program."""

    name: str
    instructions: int
    """As compiled."""
    machine_code: int
    """Bytes."""
    verified: int
    """Instructions that the verifier followed; it gives up at a million."""


def cost(name: str, program: loader.Program) -> Cost:
    fd = bpf_syscall.obj_get(str(program.pin))
    info = _ProgramInfo()
    bpf_syscall._info(fd, info)
    os.close(fd)
    return Cost(name, program.instructions, info.jited_bytes, info.verified)


def map_memory(pins: Path) -> dict[str, int]:
    """Map -> bytes, as the kernel counts them."""
    found = {}
    for pin in sorted(pins.iterdir()):
        if pin.name.startswith(("prog_", "link_")):
            continue
        fd = bpf_syscall.obj_get(str(pin))
        said = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
        os.close(fd)
        found[pin.name] = int(said.partition("memlock:")[2].split()[0])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", type=int, default=loader.FLOWS_PER_CPU, metavar="N")
    options = parser.parse_args()
    if not (place := enclosure.directory()):
        return enclosure.run([sys.executable, "-m", "tests.bpf.figures", *sys.argv[1:]])
    pins = loader.pins(place / "bpffs", "figures")
    sources = (*loader.BALANCER, "probe.c", "decap.c", "pass.c")
    loaded = loader.load(loader.Request(pins, sources, flows_per_cpu=options.flows))
    print(f"Linux {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs")
    print(f"compile {loaded.compile_ms:.0f} ms, load {loaded.load_ms:.0f} ms")
    print(f"{'program':12} {'instructions':>12} {'bytes':>8} {'verified':>9}")
    for name, program in sorted(loaded.programs.items()):
        print("{:12} {:12,} {:8,} {:9,}".format(*cost(name, program)))
    memory = map_memory(pins)
    for name, size in sorted(memory.items(), key=lambda item: -item[1]):
        print(f"{name:12} {size / 1024:12,.0f} KiB")
    print(f"{'maps':12} {sum(memory.values()) / 2**20:12,.1f} MiB")
    loader.detach(pins)
    return 0


if __name__ == "__main__":
    sys.exit(main())
