# SPDX-License-Identifier: Apache-2.0
"""The yardstick (yardstick.c): compiled and filled by a child of Debian's python3, which has bcc.

It serves the VIP that tests/bpf/frames.py sends to, with 100 reals.  A figure divided by the
yardstick's, measured in turn, is much the same on a faster machine or beside a busy neighbour.
"""

from __future__ import annotations

import ctypes as c
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from agent.dataplane import bpf_syscall as bpf

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
_REALS, _SLOTS, _XDP = 100, 65537, 6


def load(pin: Path, address: str, port: int) -> int:
    """The program's descriptor; it stays pinned.  Raises CalledProcessError, words on stderr."""
    from agent.dataplane.loader import PYTHON  # what the child imports, Debian's python3 must have

    code = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); "
    code += "from tests.bench.yardstick import child; child()"
    wanted = json.dumps({"pin": str(pin), "address": address, "port": port})
    subprocess.run([PYTHON, "-I", "-c", code], input=wanted, text=True, check=True)
    return bpf.obj_get(str(pin))


def child() -> None:
    """Serves the one request on stdin."""
    wanted = json.load(sys.stdin)
    os.environ["BCC_KERNEL_SOURCE"] = str(_ROOT / "bpf")  # for its include/
    from bcc import BPF

    module = BPF(text=(_HERE / "yardstick.c").read_text())
    program = module.load_func("yardstick", _XDP)
    packed = struct.unpack("=I", socket.inet_aton(wanted["address"]))[0]
    services: Any = module["services"]
    services[services.Key(packed, socket.htons(wanted["port"]), socket.IPPROTO_TCP)] = c.c_uint32(1)
    for real in range(1, _REALS + 1):
        module["reals"][c.c_uint32(real)] = c.c_uint32(
            struct.unpack("=I", bytes((10, 3, real, 2)))[0]
        )
    numbers = c.c_uint32 * _SLOTS
    # In no order that a cache likes, like a real ring: 40503 has no factor in common with 65537.
    placed = numbers(*(1 + slot * 40503 % _SLOTS % _REALS for slot in range(_SLOTS)))
    module["slots"].items_update_batch(numbers(*range(_SLOTS)), placed)
    bpf.obj_pin(program.fd, wanted["pin"])
