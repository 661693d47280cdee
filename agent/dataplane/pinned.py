# SPDX-License-Identifier: Apache-2.0
"""The pin directory: maps opened or created and checked, programs pinned, the bpffs below them.

Standard library only: the loader child imports this without the project's packages.
"""

from __future__ import annotations

import ctypes as c
import os
from pathlib import Path

from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.abi import FLOW_WAYS
from agent.dataplane.map_specs import MapSpec, Sizes

_BPF_FS = 0xCAFE4A11
_SYSTEM = Path("/sys/fs/bpf")

_libc = c.CDLL(None, use_errno=True)


class LoadError(Exception):
    """The data plane could not be loaded; the text says what failed and what to do."""


def prepare(pins: Path) -> None:
    """Make the pin directory.  Mounts /sys/fs/bpf if need be, as iproute2 and bpftool do; any
    other place must be a mounted bpffs already."""
    if _SYSTEM in (pins, *pins.parents) and not _is_bpffs(_SYSTEM):
        _mount_system()
    ground = next(p for p in (pins, *pins.parents) if os.path.exists(p))  # noqa: PTH110
    if not _is_bpffs(ground):
        raise LoadError(f"{ground} is no bpffs, pins cannot live there: mount -t bpf bpf {ground}")
    try:
        pins.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        remedy = "needs root; a name on a bpffs may not contain a dot"
        raise LoadError(f"{pins} cannot be made ({error.strerror}): {remedy}") from error


def _is_bpffs(path: Path) -> bool:
    found = (c.c_long * 64)()  # struct statfs; its first word is the type
    if _libc.statfs(os.fsencode(path), found) != 0:
        return False
    return found[0] & 0xFFFFFFFF == _BPF_FS


def _mount_system() -> None:
    if _own_mount_namespace():
        raise LoadError(
            f"{_SYSTEM} is no bpffs in this mount namespace (`ip netns exec` makes one), and pins "
            "here would die with it: mount a bpffs elsewhere and name it in node.bpffs"
        )
    if _libc.mount(b"bpf", os.fsencode(_SYSTEM), b"bpf", 0, b"mode=0700") != 0:
        reason = os.strerror(c.get_errno())
        raise LoadError(f"{_SYSTEM} cannot be mounted ({reason}): mount -t bpf bpf {_SYSTEM}")


def _own_mount_namespace() -> bool:
    """Whether our mounts end before the machine (or container) does, so far as we can see."""
    try:
        return not Path("/proc/self/ns/mnt").samefile("/proc/1/ns/mnt")
    except PermissionError:
        return False


def open_map(pins: Path, spec: MapSpec) -> tuple[int, bool]:
    """(descriptor, whether the map was created now) of a pinned map.

    Raises LoadError if the one that is pinned is not what `spec` says.
    """
    path = pins / spec.name
    try:
        fd = bpf.obj_get(str(path))
    except FileNotFoundError:
        return _create(path, spec), True
    except OSError as error:
        raise LoadError(f"map {path}: {error.strerror}") from error
    _check(path, spec, bpf.map_info(fd))
    return fd, False


def check_map(pins: Path, spec: MapSpec) -> None:
    """Raises OSError where it is not pinned, LoadError where it is not what `spec` says."""
    fd = bpf.obj_get(str(pins / spec.name))
    try:
        _check(pins / spec.name, spec, bpf.map_info(fd))
    finally:
        os.close(fd)


def _create(path: Path, spec: MapSpec) -> int:
    try:
        fd = bpf.map_create(spec)
        bpf.obj_pin(fd, str(path))
    except OSError as error:
        size = spec.max_entries * (spec.key_size + spec.value_size) >> 20
        raise LoadError(
            f"map {path} cannot be created ({error.strerror}); it needs root and {size} MiB"
        ) from error
    return fd


def _check(path: Path, spec: MapSpec, found: bpf.MapShape) -> None:
    for field in ("type", "key_size", "value_size", "max_entries", "flags"):
        is_, wanted = getattr(found, field), getattr(spec, field)
        if is_ == wanted or (spec.name == "rings" and field == "max_entries" and is_ > wanted):
            continue  # more ring rows than asked for are no harm
        raise LoadError(
            f"map {path}: {field} is {is_}, but {wanted} is needed; withdraw the node's routes, "
            f"stop the agent and remove {path.parent} to start with empty maps"
            + (" (or change flows_per_cpu back)" if spec.name == "flows" else "")
        )


def sizes_of(pins: Path) -> Sizes:
    """The sizes of the maps that are pinned here.  Raises OSError if there are none."""
    entries = {}
    for name in ("totals", "flows", "rings"):
        fd = bpf.obj_get(str(pins / name))
        entries[name] = bpf.map_info(fd).max_entries
        os.close(fd)
    cpus = entries["totals"]
    return Sizes(cpus, entries["flows"] // cpus * FLOW_WAYS, entries["rings"])


def pin_program(pins: Path, name: str, fd: int) -> Path:
    """Pin as `prog_<name>`, in place of an older one without a moment of none."""
    path, fresh = pins / f"prog_{name}", pins / f"new_{name}"
    fresh.unlink(missing_ok=True)
    bpf.obj_pin(fd, str(fresh))
    fresh.rename(path)
    return path


def remove(pins: Path) -> None:
    """Remove all pins: what nothing else holds is gone."""
    if not pins.exists():
        return
    for pin in pins.iterdir():
        pin.unlink()
    pins.rmdir()
