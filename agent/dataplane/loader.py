# SPDX-License-Identifier: Apache-2.0
"""Compile, load, pin and attach programs, in a child that is the only process to import bcc.

BCC brings LLVM: 125 MB that it never gives back.  So `load()` starts Debian's python3 (whose bcc is
not on PyPI), which does all of it in half a second, prints JSON and exits; the pins stay.  BCC
compiles and no more: maps, attachment and everything at run time are bpf(2), see pinned.py.

The child's side runs without the project's packages: standard library only.
"""

from __future__ import annotations

import ctypes as c
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from agent.dataplane import bpf_syscall as bpf
from agent.dataplane import egress, pinned
from agent.dataplane.abi import (
    ABI_VERSION,
    CONSTANTS,
    JUMP_RARE,
    RING_ROWS,
    MapSpec,
    Sizes,
    map_specs,
    static_asserts,
)
from agent.dataplane.attach import attach
from agent.dataplane.attach import detach as detach_link
from agent.dataplane.jiffies import HZ
from agent.dataplane.pinned import LoadError

__all__ = [
    "Attach",
    "LoadError",
    "Loaded",
    "Program",
    "Request",
    "detach",
    "load",
    "pins",
    "sources",
]

BALANCER = ("lb.c", "rare.c", "ring.c")
"""The sources of a node's data plane."""
PYTHON = "/usr/bin/python3"
FLOWS_PER_CPU = 262144
GUE_PORT = 9886
_TIMEOUT = 120.0
_TC, _XDP = 3, 6  # BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_XDP
_WORDS = 16000
"""Of the compiler and the verifier: the end says what was wrong."""
_MAP_MARK = 0x4C42
"""MAP_MARK >> 16 of bpf/lb_maps.h."""
_LD_IMM64 = 0x18
_HERE = Path(__file__).resolve().parents[1]


class Attach(NamedTuple):
    """Where the program named like the first source goes; one named `probe`, to its egress."""

    interface: str
    mode: str = "native"
    """native | generic"""


@dataclass(frozen=True, slots=True)
class Request:
    pins: Path
    """Directory on a bpffs; made if missing.  Requests with the same pins share their maps."""
    sources: tuple[str, ...]
    """Files of bpf/ (or elsewhere, by absolute path); every function in them is a program."""
    flows_per_cpu: int = FLOWS_PER_CPU
    """A power of two."""
    ring_rows: int = RING_ROWS
    """256 KiB each; row 0 stays empty."""
    gue_port: int = GUE_PORT
    """On which decap.c takes GUE; lb.c has its own in the map `control`."""
    attach: Attach | None = None


class Program(NamedTuple):
    pin: Path
    tag: str
    """Hash of the instructions, 16 hex digits."""
    instructions: int


@dataclass(frozen=True, slots=True)
class Loaded:
    programs: Mapping[str, Program]
    created: tuple[str, ...]
    """Maps that were made now."""
    adopted: tuple[str, ...]
    """Maps that were there, with all that they held."""
    mode: str | None
    """As the kernel reports it: native | generic; None: nothing was attached."""
    no_egress: str
    """Why `probe` could not be attached; empty: it was, or was not asked for."""
    compile_ms: float
    load_ms: float


def pins(bpffs: Path, node: str) -> Path:
    """A node's pin directory: one per ABI version, so that two never share a map."""
    return bpffs / "remora" / node / f"v{ABI_VERSION}"


def detach(pins: Path) -> None:
    """Take the program off its interface and remove all pins, maps included.

    Nothing happens where nothing is pinned.  Raises LoadError.
    """
    try:
        for link in pins.glob("link_*"):
            detach_link(link)
        for filter_pin in pins.glob(f"{egress.FILTER}*"):
            egress.remove_filter(filter_pin)
        pinned.remove(pins)
    except OSError as error:
        raise LoadError(f"{pins} cannot be removed: {error.strerror}") from error


def versions(pins: Path) -> list[Path]:
    """The pin directories of every version that left some for this node."""
    return sorted(pins.parent.glob("v*"))


def bpf_directory() -> Path:
    """Beside this module in a wheel, beside the package in a checkout."""
    packed = _HERE / "bpf"
    return packed if packed.is_dir() else _HERE.parent / "bpf"


def sources() -> list[Path]:
    """All files that the compiled code comes from."""
    written = [_HERE / "dataplane" / name for name in ("abi.py", "loader.py")]
    return [*written, *bpf_directory().rglob("*.[ch]")]


def _possible_cpus() -> int:
    """How many rows a per-CPU map needs."""
    text = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii")
    return int(text.strip().replace(",", "-").split("-")[-1]) + 1


# ---- the agent's side


def load(request: Request) -> Loaded:
    """Load, pin and, if asked, attach; blocks for about half a second.

    Raises LoadError with the compiler's or the verifier's own words.
    """
    root = str(_HERE.parent)
    code = (
        f"import sys; sys.path.append({root!r}); from agent.dataplane.loader import child; child()"
    )
    try:
        done = subprocess.run(
            [PYTHON, "-I", "-c", code],
            input=json.dumps(_encode(request)),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise LoadError(f"{PYTHON} is missing: apt-get install python3 python3-bpfcc") from error
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"the loader did not finish within {_TIMEOUT:.0f} s") from error
    return _decode(done)


def _encode(request: Request) -> dict[str, Any]:
    return {
        "pins": str(request.pins.absolute()),
        "sources": [str(bpf_directory() / source) for source in request.sources],
        "sizes": Sizes(_possible_cpus(), request.flows_per_cpu, request.ring_rows),
        "gue_port": request.gue_port,
        "attach": request.attach,
    }


def _decode(done: subprocess.CompletedProcess[str]) -> Loaded:
    words = done.stderr.strip()[-_WORDS:]
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise LoadError(f"the loader failed (exit {done.returncode}): {words}") from None
    if "error" in answer:
        raise LoadError("\n".join(filter(None, (answer["error"], words))))
    programs = {
        name: Program(Path(pin), tag, count)
        for name, (pin, tag, count) in answer["programs"].items()
    }
    return Loaded(
        programs=programs,
        created=tuple(answer["created"]),
        adopted=tuple(answer["adopted"]),
        mode=answer["mode"],
        no_egress=answer["no_egress"],
        compile_ms=answer["compile_ms"],
        load_ms=answer["load_ms"],
    )


# ---- the child's side


class _Code(NamedTuple):
    """A compiled program, its map numbers not yet replaced by descriptors."""

    module: int
    kind: int
    name: str
    instructions: bytearray


def child() -> None:
    """Serve the one request on stdin."""
    try:
        answer = _serve(json.load(sys.stdin))
    except LoadError as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    directory, sizes = Path(request["pins"]), Sizes(*request["sizes"])
    sources = [Path(source) for source in request["sources"]]
    pinned.prepare(directory)
    constants = {
        "LB_CPUS": sizes.cpus,
        "LB_FLOW_SETS": sizes.flow_sets,
        "LB_GUE_PORT": request["gue_port"],
        "LB_HZ": HZ,
    }
    codes = [code for source in sources for code in _compile(source, constants)]
    compiled = time.monotonic()
    fds, created, adopted = _open_maps(directory, map_specs(sizes), codes)
    programs = {code.name: _load(code, fds) for code in codes}
    if "rare" in programs:  # before lb, which jumps to it
        bpf.map_update(
            fds[CONSTANTS["LB_MAP_JUMPS"]], _number(JUMP_RARE), _number(programs["rare"])
        )
    mode, no_egress = None, ""
    if request["attach"]:
        interface, wanted = request["attach"]
        mode = attach(directory, interface, wanted, programs[sources[0].stem])
        if "probe" in programs:
            no_egress = egress.attach(directory, interface, programs["probe"])
    return {
        "programs": {code.name: _pin(directory, code, programs[code.name]) for code in codes},
        "created": created,
        "adopted": adopted,
        "mode": mode,
        "no_egress": no_egress,
        "compile_ms": 1e3 * (compiled - started),
        "load_ms": 1e3 * (time.monotonic() - compiled),
    }


def _compile(source: Path, constants: Mapping[str, int]) -> list[_Code]:
    """All programs of a file: of XDP, or of tc if they take a socket buffer.

    What the compiler says is on stderr: BCC keeps it from us.
    """
    os.environ["BCC_KERNEL_SOURCE"] = str(bpf_directory())  # for its include/
    try:
        from bcc import BPF, lib  # noqa: PLC0415
    except ImportError as error:
        raise LoadError(f"bcc is missing ({error}): apt-get install python3-bpfcc") from error
    flags = [f"-I{source.parent}", f"-I{bpf_directory()}"]
    flags += [f"-D{name}={value}" for name, value in constants.items()]
    try:
        text = source.read_text(encoding="utf-8") + static_asserts()
        module = BPF(text=text.encode(), cflags=flags).module  # bcc's atexit keeps the object
    except OSError as error:
        raise LoadError(f"{source}: {error.strerror}") from error
    except Exception as error:  # bcc raises nothing narrower
        raise LoadError(f"{source} (/virtual/main.c below) does not compile:") from error
    kind = _TC if "struct __sk_buff" in text else _XDP
    names = [lib.bpf_function_name(module, i) for i in range(lib.bpf_num_functions(module))]
    return [_Code(module, kind, name.decode(), _instructions(module, name)) for name in names]


def _instructions(module: int, name: bytes) -> bytearray:
    from bcc import lib  # noqa: PLC0415

    size = lib.bpf_function_size(module, name)
    return bytearray(c.string_at(lib.bpf_function_start(module, name), size))


def _map_loads(code: bytearray) -> list[tuple[int, int]]:
    """(offset of the instruction, number of the map) of every map that the code names."""
    found, at = [], 0
    while at < len(code):
        op, registers, _, value = struct.unpack_from("<BBhi", code, at)
        if op == _LD_IMM64:
            if registers >> 4 in (1, 2) and value >> 16 == _MAP_MARK:
                found.append((at, value & 0xFFFF))
            at += 8
        at += 8
    return found


def _open_maps(
    directory: Path, specs: Mapping[int, MapSpec], codes: list[_Code]
) -> tuple[dict[int, int], list[str], list[str]]:
    """The maps that the programs name: number -> descriptor; names made now, names adopted."""
    fds: dict[int, int] = {}
    created: list[str] = []
    adopted: list[str] = []
    for number in sorted({n for code in codes for _, n in _map_loads(code.instructions)}):
        fds[number], fresh = pinned.open_map(directory, specs[number])
        (created if fresh else adopted).append(specs[number].name)
    return fds, created, adopted


def _load(code: _Code, fds: Mapping[int, int]) -> int:
    """Through BCC's call rather than ours: it adds the BTF, so that the log, on stderr, shows
    source lines."""
    from bcc import lib  # noqa: PLC0415

    for at, number in _map_loads(code.instructions):
        struct.pack_into("<i", code.instructions, at + 4, fds[number])
    size = len(code.instructions)
    held = (c.c_char * size).from_buffer(code.instructions)
    fd = lib.bcc_func_load(
        *(code.module, code.kind, code.name.encode(), c.addressof(held), size, b"GPL", 0),
        *(0, None, 0, None, -1),
    )
    if fd < 0:
        raise LoadError(f"the kernel refused program {code.name}:")
    return int(fd)


def _number(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)


def _pin(directory: Path, code: _Code, fd: int) -> tuple[str, str, int]:
    path = pinned.pin_program(directory, code.name, fd)
    return str(path), bpf.program_info(fd).tag, len(code.instructions) // 8
