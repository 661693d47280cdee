# SPDX-License-Identifier: Apache-2.0
"""Preflight's rules about the machine itself: kernel, compiler, disk, limits, clock.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.preflight import settings
from agent.preflight.findings import Finding, Level, mended, ok
from agent.preflight.surveyed import Compiler, Kernel, Limits, Pins, Place

OLDEST = (5, 18)
"""bpf_xdp_load_bytes(), without which the program is refused; all else is older."""
MEANT_FOR = (6, 1)
MEMLOCK_IS_COUNTED_BEFORE = (5, 11)
SPARE_FILES = 128
"""Sockets, maps and pipes beside those of the checks."""


def host(
    *,
    root: bool,
    kernel: Kernel,
    pins: Pins,
    compiler: Compiler,
    places: Sequence[Place],
    limits: Limits,
    clock: bool | None,
    reals: int,
) -> Iterator[Finding]:
    """Everything that would be the same on another network; `reals` over all VIPs."""
    if not root:
        yield Finding(
            *(
                "root",
                "",
                Level.FAIL,
                "not root: BPF, the interface and limits cannot be looked at",
            ),
            why="the agent needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; so does this",
            fix="sudo remora-agent preflight ...",
        )
    yield _version(kernel.release)
    yield from _features(kernel)
    yield _jit(kernel)
    yield _btf(kernel)
    yield _pins(pins)
    yield _compiler(compiler, pins)
    yield from (_place(place) for place in places)
    yield _files(limits, reals)
    yield _memlock(limits, kernel.release)
    yield _clock(clock)


def release(text: str) -> tuple[int, int]:
    """`6.1.0-18-amd64` -> (6, 1); what is no release at all counts as old."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _version(text: str) -> Finding:
    check, why = "kernel", "the data plane stands on what this kernel can do"
    if release(text) < OLDEST:
        what = f"Linux {text} cannot load the program (bpf_xdp_load_bytes, Linux 5.18)"
        return Finding(check, "", Level.FAIL, what, why, "install Linux 6.1 or newer (Debian 12)")
    if release(text) < MEANT_FOR:
        what = f"Linux {text} is older than any that it is meant for (6.1)"
        return Finding(check, "", Level.WARN, what, why, "install Linux 6.1 or newer (Debian 12)")
    return ok(check, "", f"Linux {text}", why)


def _features(kernel: Kernel) -> Iterator[Finding]:
    why = "the program cannot be loaded or its counters cannot be read without it"
    for feature, error in kernel.errors.items():
        if error:
            yield Finding(
                *("bpf", feature, Level.FAIL, f"the kernel refuses it ({error})", why),
                fix="run as root on Linux 6.1 or newer, outside of an unprivileged container",
            )
    if kernel.errors and not any(kernel.errors.values()):
        yield ok("bpf", "", f"{', '.join(kernel.errors)}: tried, they work", why)


def _jit(kernel: Kernel) -> Finding:
    check, why = "jit", "an interpreted program is several times slower"
    if kernel.jited is None:
        return Finding(check, "", Level.NOTE, "not known: no program could be loaded", why)
    if not kernel.jited:
        change = settings.sysctl("net/core/bpf_jit_enable", 1)
        return mended(check, "", Level.WARN, "programs are interpreted", why, change)
    return ok(check, "", "programs are compiled to machine code", why)


def _btf(kernel: Kernel) -> Finding:
    check, why = "btf", "the data plane does without; bpftool and tracers show types by it"
    if not kernel.btf:
        fix = "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as Debian's is"
        return Finding(check, "", Level.NOTE, "the kernel has no type information", why, fix)
    return ok(check, "", "the kernel describes its types", why)


def _pins(pins: Pins) -> Finding:
    check, why = "bpffs", "programs, maps and flows outlive the agent only as pins on a bpffs"
    if pins.filesystem == "bpf":
        return ok(check, pins.path, "mounted", why)
    fix = f"mkdir -p {pins.path} && mount -t bpf bpf {pins.path}"
    what = f"not a bpffs ({pins.filesystem or 'no such directory'})"
    if pins.default:
        what += "; the agent mounts it at start"
        return Finding(check, pins.path, Level.NOTE, what, why, fix)
    return Finding(check, pins.path, Level.FAIL, what, why, fix)


def _compiler(compiler: Compiler, pins: Pins) -> Finding:
    check, why = "compiler", "the data plane is compiled at each start, by bcc in a child"
    if not compiler.tried:
        fix = f"mount -t bpf bpf {pins.path}, then run preflight again"
        return Finding(check, "", Level.NOTE, "not tried: there is no bpffs to pin in", why, fix)
    if compiler.error:
        what = compiler.error.strip().splitlines()[0]
        gone = "is missing" in what
        fix = "apt-get install python3-bpfcc" if gone else "remora-agent run -c FILE (all it says)"
        return Finding(check, "", Level.FAIL, what, why, fix)
    return ok(check, "", f"bcc compiled and loaded a program in {compiler.ms:.0f} ms", why)


def _place(place: Place) -> Finding:
    check = "directory"
    why = {
        "run_dir": "sockets and the lock live there: without it the agent does not start",
        "state_dir": "drains and weights are kept there: what cannot be written is refused",
    }.get(place.key, "the agent writes there")
    subject = f"{place.key} {place.path}"
    if place.error:
        fix = f"install -d -m 0750 {place.path}"
        return Finding(check, subject, Level.FAIL, place.error, why, fix)
    return ok(check, subject, "can be written", why)


def _files(limits: Limits, reals: int) -> Finding:
    check, why = (
        "nofile",
        "every check under way holds a socket; one that gets none counts as failed",
    )
    needed = reals + SPARE_FILES
    if limits.files < needed:
        what = f"{limits.files} open files allowed, {needed} may be needed for {reals} reals"
        fix = f"ulimit -n {2 * needed} (in the unit: LimitNOFILE={2 * needed})"
        return Finding(check, "", Level.FAIL, what, why, fix)
    return ok(check, "", f"{limits.files} open files allowed, at most {needed} needed", why)


def _memlock(limits: Limits, text: str) -> Finding:
    check, why = "memlock", "before Linux 5.11 maps are counted as locked memory"
    if release(text) < MEMLOCK_IS_COUNTED_BEFORE and limits.memlock is not None:
        what = f"{limits.memlock} bytes of maps allowed"
        fix = "ulimit -l unlimited (in the unit: LimitMEMLOCK=infinity)"
        return Finding(check, "", Level.FAIL, what, why, fix)
    return ok(check, "", "does not limit maps", why)


def _clock(synchronised: bool | None) -> Finding:
    check = "clock"
    why = "journal and events carry the wall clock; nodes that disagree are hard to read together"
    if synchronised is None:
        return Finding(check, "", Level.NOTE, "not known whether it is synchronised", why)
    if not synchronised:
        fix = "apt-get install chrony (or timedatectl set-ntp true)"
        return Finding(check, "", Level.WARN, "not synchronised", why, fix)
    return ok(check, "", "synchronised", why)
