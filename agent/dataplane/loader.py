# SPDX-License-Identifier: Apache-2.0
"""Compile, load, pin and attach programs, in a child (loader_child.py) that alone imports bcc.

BCC brings LLVM: 125 MB that it never gives back.  So `load()` starts Debian's python3 (whose bcc is
not on PyPI), which does all of it in a few seconds, prints JSON and exits; the pins stay.  A start
that tries a program before it loads it keeps the child for both (`Compiler`): what takes seconds is
the compiler, and what was tried is what is loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from msgspec import Struct

from agent.dataplane import egress, pinned
from agent.dataplane.abi import ABI_VERSION, RING_ROWS
from agent.dataplane.attach import detach as detach_link
from agent.dataplane.map_specs import Sizes
from agent.dataplane.pinned import LoadError

__all__ = [
    "Attach",
    "Compiler",
    "LoadError",
    "Loaded",
    "Program",
    "Request",
    "detach",
    "load",
    "pins",
    "sizes",
    "sources",
]

BALANCER = ("lb.c", "rare.c", "ring.c")
"""The sources of a node's data plane."""
PYTHON = "/usr/bin/python3"
FLOWS_PER_CPU = 262144
GUE_PORT = 9886
_TIMEOUT = 120.0
_WORDS = 16000
"""Of the compiler and the verifier: the end says what was wrong."""
_HERE = Path(__file__).resolve().parents[1]


class Attach(NamedTuple):
    """Where the program named like the first source goes; one named `probe`, to its egress."""

    interface: str
    mode: str = "native"
    """native | generic"""


class Request(Struct, frozen=True):
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


class Loaded(Struct, frozen=True):
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
    names = ("abi.py", "loader.py", "loader_child.py", "map_specs.py")
    written = [_HERE / "dataplane" / name for name in names]
    return [*written, *bpf_directory().rglob("*.[ch]")]


def sizes(flows_per_cpu: int = FLOWS_PER_CPU, ring_rows: int = RING_ROWS) -> Sizes:
    """Of this machine's maps: a per-CPU map has a row for every CPU that there may be."""
    text = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii")
    cpus = int(text.strip().replace(",", "-").split("-")[-1]) + 1
    return Sizes(cpus, flows_per_cpu, ring_rows)


def load(request: Request) -> Loaded:
    """Load, pin and, if asked, attach; blocks for a few seconds.

    Raises LoadError with the compiler's or the verifier's own words.
    """
    with Compiler() as compiler:
        return compiler.load(request)


class Compiler:
    """A child for several requests, which compiles a source for the same sizes once.

    The first request starts it; the end of the block ends it.
    """

    def __init__(self) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe that nobody reads fills up
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._child is not None:
            if self._child.returncode is None:  # it has answered, or is not waited for
                os.killpg(self._child.pid, signal.SIGKILL)  # and the one that it forked
            self._child.communicate()
        self._words.close()

    def load(self, request: Request) -> Loaded:
        """As `load` does."""
        self._words.seek(0)  # the child's place in it, too
        self._words.truncate()
        child = self._started()
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: its words say why
            child.stdin.write(json.dumps(_encode(request)).encode() + b"\n")
            child.stdin.flush()
        answer = self._answer(child)
        self._words.seek(0)
        return _decode(answer, self._words.read().decode(errors="replace"), child)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            path = f"import sys; sys.path.append({str(_HERE.parent)!r})"
            code = f"{path}; from agent.dataplane.loader_child import main; main()"
            try:
                self._child = subprocess.Popen(
                    [PYTHON, "-I", "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._words,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise LoadError(
                    f"{PYTHON} is missing: apt-get install python3 python3-bpfcc"
                ) from error
        return self._child

    def _answer(self, child: subprocess.Popen[bytes]) -> bytes:
        """A line; less than one where it ended before."""
        assert child.stdout is not None
        deadline, answer = time.monotonic() + _TIMEOUT, b""
        while not answer.endswith(b"\n"):
            if not select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise LoadError(f"the loader did not finish within {_TIMEOUT:.0f} s")
            piece = os.read(child.stdout.fileno(), 1 << 16)
            if not piece:
                child.wait()
                break
            answer += piece
        return answer


def _encode(request: Request) -> dict[str, Any]:
    return {
        "pins": str(request.pins.absolute()),
        "sources": [str(bpf_directory() / source) for source in request.sources],
        "include": str(bpf_directory()),
        "sizes": sizes(request.flows_per_cpu, request.ring_rows),
        "gue_port": request.gue_port,
        "attach": request.attach,
    }


def _decode(line: bytes, said: str, child: subprocess.Popen[bytes]) -> Loaded:
    words = said.strip()[-_WORDS:]
    try:
        answer = json.loads(line)
    except ValueError:
        raise LoadError(f"the loader failed (exit {child.returncode}): {words}") from None
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
