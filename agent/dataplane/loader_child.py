# SPDX-License-Identifier: Apache-2.0
"""The child of loader.py: compiles, loads, pins and attaches; the only process to import bcc.

A line of JSON on stdin is a request, one on stdout its answer; what was compiled is not compiled
again.  Run by Debian's python3, without the project's packages: standard library only.  BCC
compiles and no more: maps, attachment and everything at run time are bpf(2), see pinned.py.
"""

from __future__ import annotations

import ctypes as c
import json
import os
import struct
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from agent.dataplane import bpf_syscall as bpf
from agent.dataplane import egress, pinned
from agent.dataplane.abi import CONSTANTS, JUMP_RARE, static_asserts
from agent.dataplane.attach import attach
from agent.dataplane.jiffies import HZ
from agent.dataplane.map_specs import MapSpec, Sizes, map_specs
from agent.dataplane.pinned import LoadError

_TC, _XDP = 3, 6  # BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_XDP
_MAP_MARK = 0x4C42
"""MAP_MARK >> 16 of bpf/lb_maps.h."""
_LD_IMM64 = 0x18


class _Code(NamedTuple):
    """A compiled program, its map numbers not yet replaced by descriptors."""

    module: int
    kind: int
    name: str
    instructions: bytearray


_Compiled = dict[tuple[object, ...], list[_Code]]
"""By source and constants."""


def main() -> None:
    """Serve the requests on stdin."""
    done: _Compiled = {}
    for line in sys.stdin:
        request, started = json.loads(line), time.monotonic()
        try:
            pinned.prepare(Path(request["pins"]))
            codes = _codes(request, done)
        except LoadError as error:
            _say({"error": str(error)})
            continue
        compile_ms = 1e3 * (time.monotonic() - started)
        child = os.fork()
        if child == 0:
            _end(request, codes, compile_ms)
        if os.waitpid(child, 0)[1]:
            sys.exit(1)  # its words are on stderr


def _end(request: dict[str, Any], codes: list[_Code], compile_ms: float) -> NoReturn:
    """In a process of its own: with it is closed whatever it opened, maps and programs alike."""
    code = 1
    try:
        _say(_serve(request, codes) | {"compile_ms": compile_ms})
        code = 0
    except LoadError as error:
        _say({"error": str(error)})
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _say(answer: dict[str, Any]) -> None:
    sys.stderr.flush()
    print(json.dumps(answer), flush=True)


def _codes(request: dict[str, Any], done: _Compiled) -> list[_Code]:
    """What was not compiled yet is."""
    sizes, include = Sizes(*request["sizes"]), Path(request["include"])
    constants = {
        "LB_CPUS": sizes.cpus,
        "LB_FLOW_SETS": sizes.flow_sets,
        "LB_GUE_PORT": request["gue_port"],
        "LB_HZ": HZ,
    }
    codes: list[_Code] = []
    for source in map(Path, request["sources"]):
        key = source, include, *constants.items()
        if key not in done:
            done[key] = _compile(source, include, constants)
        codes += done[key]
    return codes


def _serve(request: dict[str, Any], codes: list[_Code]) -> dict[str, Any]:
    started = time.monotonic()
    directory, sizes = Path(request["pins"]), Sizes(*request["sizes"])
    fds, created, adopted = _open_maps(directory, map_specs(sizes), codes)
    programs = {code.name: _load(code, fds) for code in codes}
    if "rare" in programs:  # before lb, which jumps to it
        bpf.map_update(
            fds[CONSTANTS["LB_MAP_JUMPS"]], _number(JUMP_RARE), _number(programs["rare"])
        )
    mode, no_egress = None, ""
    if request["attach"]:
        interface, wanted = request["attach"]
        mode = attach(directory, interface, wanted, programs[Path(request["sources"][0]).stem])
        if "probe" in programs:
            no_egress = egress.attach(directory, interface, programs["probe"])
    return {
        "programs": {code.name: _pin(directory, code, programs[code.name]) for code in codes},
        "created": created,
        "adopted": adopted,
        "mode": mode,
        "no_egress": no_egress,
        "load_ms": 1e3 * (time.monotonic() - started),
    }


def _compile(source: Path, include: Path, constants: Mapping[str, int]) -> list[_Code]:
    """All programs of a file: of XDP, or of tc if they take a socket buffer.

    What the compiler says is on stderr: BCC keeps it from us.
    """
    os.environ["BCC_KERNEL_SOURCE"] = str(include)  # for the include/ in it
    try:
        from bcc import BPF, lib  # noqa: PLC0415
    except ImportError as error:
        raise LoadError(f"bcc is missing ({error}): apt-get install python3-bpfcc") from error
    flags = [f"-I{source.parent}", f"-I{include}"]
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
