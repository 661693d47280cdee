# SPDX-License-Identifier: Apache-2.0
"""Taking over from a data plane of another ABI: the maps that both versions read alike go along.

A new version mostly adds a counter or a setting.  What flows depend on (`PLACING`) is then laid out
as before, and the new program gets those very maps: it finds every flow where the old one left it
(F5).  Each version writes down how it lays its maps out; where one of `PLACING` differs, nothing is
touched, because guessing would send flows to wrong reals.
"""

from __future__ import annotations

import ctypes as c
import hashlib
import json
import logging
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from agent.dataplane import abi, loader, mapped, pinned
from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.loader import LoadError

log = logging.getLogger("remora")

PLACING = ("vips", "services", "reals", "rings", "flows", "addresses", "prefixes", "quic_ids")
"""All or none of these."""
_TOTALS = ("totals", "vip_totals", "real_totals", "probe_totals")
"""Those that are laid out alike count on; all else a program finds empty and is told anew, but
since when the flow table knows all (`warm_at`)."""
_STRUCTS: dict[str, tuple[type[c.Structure], ...]] = {
    "vips": (abi.Vips,),
    "services": (abi.Services,),
    "reals": (abi.Reals,),
    "rings": (abi.Ring,),
    "flows": (abi.FlowSet,),
    "addresses": (abi.Addresses,),
    "prefixes": (abi.Prefix, abi.Address),
    "quic_ids": (abi.QuicId,),
    "totals": (abi.Totals,),
    "vip_totals": (abi.Share,),
    "real_totals": (abi.Share,),
    "probe_totals": (abi.ProbeTotals,),
    "control": (abi.Control,),
}
_MEANING = ("LB_MAX_", "LB_RING_", "LB_FLOW_", "LB_PLACES", "LB_SLOT_", "LB_ADDRESS_", "LB_VIP_",
            "LB_REAL_", "LB_ENCAP_")  # fmt: skip
"""Constants without which the words of PLACING say something else."""

LONG_AGO = 1
"""Jiffies."""
Note = dict[str, Any]


def note() -> Note:
    """How this version lays its maps out, apart from their sizes, which the kernel knows."""
    hashed = (loader.bpf_directory() / "hash.h").read_bytes()
    return {
        "abi": abi.ABI_VERSION,
        "hash": hashlib.sha256(hashed).hexdigest(),
        "constants": {k: v for k, v in abi.CONSTANTS.items() if k.startswith(_MEANING)},
        "maps": {name: [_fields(s) for s in structs] for name, structs in _STRUCTS.items()},
    }


def remember(state_dir: str) -> None:
    """For the version that comes after this one."""
    path = _path(state_dir)
    try:
        path.write_text(json.dumps(note()), encoding="ascii")
    except OSError as error:
        log.warning("%s: %s; another version could not take over", path, error.strerror)


def known(state_dir: str) -> bool:
    """Whether a data plane of this node was ever loaded."""
    return _path(state_dir).exists()


def other(pins: Path) -> Path | None:
    """The pins of another version whose program is attached."""
    found = sorted({link.parent for link in pins.parent.glob("v*/link_*")} - {pins})
    return found[0] if found else None


def differing(state_dir: str, old: Path) -> list[str]:
    """What of the version behind `old` this one reads otherwise, of what flows depend on.

    Raises LoadError when that is not known.
    """
    theirs = _theirs(state_dir)
    if old.name != f"v{theirs.get('abi')}":
        raise _refused(old, f"{_path(state_dir)} does not say how its maps are laid out")
    ours = note()
    found = [name for name in PLACING if not _same(theirs, ours, name)]
    found += ["hash"] if theirs["hash"] != ours["hash"] else []
    constants = theirs["constants"].items()
    return found + [name for name, value in constants if ours["constants"].get(name) != value]


def carry(state_dir: str, old: Path, new: Path) -> list[str]:
    """Pin what both versions read alike for the new one, too; returns the names.

    `differing` must have found nothing.  Raises LoadError.
    """
    theirs, ours = _theirs(state_dir), note()
    pinned.prepare(new)
    alike = [name for name in _TOTALS if _same(theirs, ours, name) and (old / name).exists()]
    names = [*PLACING, *alike]
    for name in names:
        _also(old / name, new / name)
    return names


def warm_at(state_dir: str, old: Path) -> int:
    """Since when (jiffies) the flow table that came along knows every flow that lives.

    A version that did not write down where it keeps that is taken to have run for long.  Raises
    LoadError.
    """
    [(_, fields)] = _theirs(state_dir)["maps"].get("control", [(0, ())])
    place = next((at for name, at, _ in fields if name == "warm_at"), None)
    if place is None:
        return LONG_AGO
    try:
        fd = bpf.obj_get(str(old / "control"))
        try:
            held = mapped.window(fd, place, 8, mmap.PROT_READ)
        finally:
            os.close(fd)
    except OSError as error:
        raise LoadError(f"{old / 'control'} cannot be read: {error.strerror}") from error
    return int(held.view(np.uint64)[0]) or LONG_AGO


def carry_links(old: Path, new: Path) -> None:
    """The attachments: the next load puts its programs behind them, in one step each."""
    for pin in (*old.glob("link_*"), *old.glob("filter_*")):
        _also(pin, new / pin.name)


def _also(old: Path, new: Path) -> None:
    new.unlink(missing_ok=True)  # of a take-over that was interrupted
    try:
        fd = bpf.obj_get(str(old))
        try:
            bpf.obj_pin(fd, str(new))
        finally:
            os.close(fd)
    except OSError as error:
        raise LoadError(f"{old}: cannot be pinned as {new}: {error.strerror}") from error


def _same(theirs: Note, ours: Note, name: str) -> bool:
    return bool(theirs["maps"].get(name) == ours["maps"].get(name))


def _fields(kind: Any) -> Any:  # noqa: ANN401  # ctypes' types have no common one
    """Names, places and types of a struct, down to the words."""
    if issubclass(kind, c.Array):
        return [kind._length_, _fields(kind._type_)]
    if not issubclass(kind, c.Structure):
        return [kind.__name__, c.sizeof(kind)]
    found = [[f[0], getattr(kind, f[0]).offset, _fields(f[1])] for f in kind._fields_]
    return [c.sizeof(kind), found]


def _theirs(state_dir: str) -> Note:
    """What the version before wrote; empty: nothing that can be read."""
    try:
        found = json.loads(_path(state_dir).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _path(state_dir: str) -> Path:
    return Path(state_dir) / "maps"


def refused(old: Path, differing: list[str]) -> LoadError:
    return _refused(old, f"this version reads {', '.join(differing)} otherwise")


def _refused(old: Path, why: str) -> LoadError:
    return LoadError(
        f"{old}: the data plane of another version serves here, and its flows cannot be taken "
        f"over: {why}; it was left alone. Drain the node, then `remora-agent stop --detach` (it "
        "removes every version) and start"
    )
