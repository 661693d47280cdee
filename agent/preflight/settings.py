# SPDX-License-Identifier: Apache-2.0
"""What preflight may set on a machine by itself, and the commands that do the same.  Pure.

A setting is one value that can be read, set, and set back.  What a finding asks for is a change of
settings; the command that is shown is made from it, so that `--fix` does what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    FILE = "file"
    """The content of a file in /proc or /sys; `where`: its path."""
    CHANNELS = "channels"
    """Queues of an interface; `name`: rx | combined."""
    RING = "ring"
    """Descriptors of each queue of an interface; `name`: rx | tx."""
    FEATURE = "feature"
    """An offload of an interface, on or off; `name`: as ethtool -k has it."""
    ADDRESS = "address"
    """An address of an interface, present or absent; `name`: with its prefix length."""


RESETS = frozenset((Kind.CHANNELS, Kind.RING, Kind.FEATURE))
"""Kinds for which a NIC begins anew: packets are lost, and some drivers lose the XDP program."""


class Setting(NamedTuple):
    kind: Kind
    where: str
    """An interface, or a path."""
    name: str = ""

    def __str__(self) -> str:
        if self.where.startswith(_SYSCTL):
            return _key(self.where)
        return f"{self.where} {self.name}".strip()


class Change(NamedTuple):
    setting: Setting
    value: str

    @property
    def command(self) -> str:
        """The command that does it."""
        (kind, where, name), value = self
        match kind:
            case Kind.CHANNELS:
                return f"ethtool -L {where} {name} {value}"
            case Kind.RING:
                return f"ethtool -G {where} {name} {value}"
            case Kind.FEATURE:
                return f"ethtool -K {where} {name} {value}"
            case Kind.ADDRESS:
                verb = "add" if value == PRESENT else "del"
                return f"ip addr {verb} {name} dev {where}"
            case Kind.FILE if where.startswith(_SYSCTL):
                return f"sysctl -w {_key(where)}={value}"
        return f"echo {value} > {where}"


PRESENT, ABSENT = "present", "absent"
_SYSCTL = "/proc/sys/"


def commands(changes: tuple[Change, ...]) -> str:
    """One line that does them all."""
    return " && ".join(change.command for change in changes)


def sysctl(key: str, value: int) -> Change:
    """`net/core/bpf_jit_enable`: with slashes, as an interface's name may have dots."""
    return Change(Setting(Kind.FILE, f"{_SYSCTL}{key}"), str(value))


def ipv4_of(interface: str, key: str, value: int) -> Change:
    """net.ipv4.conf.<interface>.<key>."""
    return sysctl(f"net/ipv4/conf/{interface}/{key}", value)


def pin(irq: int, cpu: int) -> Change:
    """Let one CPU take an interrupt."""
    return Change(Setting(Kind.FILE, f"/proc/irq/{irq}/smp_affinity_list"), str(cpu))


def queues(interface: str, kind: str, count: int) -> Change:
    return Change(Setting(Kind.CHANNELS, interface, kind), str(count))


def ring(interface: str, direction: str, count: int) -> Change:
    return Change(Setting(Kind.RING, interface, direction), str(count))


def feature_off(interface: str, name: str) -> Change:
    return Change(Setting(Kind.FEATURE, interface, name), "off")


def address(interface: str, text: str) -> Change:
    return Change(Setting(Kind.ADDRESS, interface, text), PRESENT)


def _key(path: str) -> str:
    """`net.ipv4.conf.eth0.rp_filter`; an interface's dots become slashes (sysctl(8))."""
    return path.removeprefix(_SYSCTL).translate(str.maketrans("./", "/."))


# ---- what became of it


class Done(NamedTuple):
    """A setting that was, or was to be, changed or set back."""

    check: str
    setting: Setting
    before: str
    after: str
    said: str = ""
    """Why there was nothing to do."""
    failed: str = ""

    @property
    def changed(self) -> bool:
        return not self.failed and not self.said

    def __str__(self) -> str:
        if self.failed or self.said:
            return f"{self.setting}: {self.failed or self.said}"
        return f"{self.setting}: {self.before} -> {self.after}"


def as_text(done: Sequence[Done], verb: str, until: str) -> str:
    """A line for each, and how many; `verb`: set | set back."""
    width = max(len(one.check) for one in done)
    lines = [f"{_word(one)}  {one.check:<{width}}  {one}" for one in done]
    count = sum(one.changed for one in done)
    return "\n".join([*lines, f"{count} of {len(done)} {verb}" + (f"; {until}" if until else "")])


def _word(one: Done) -> str:
    return "fail" if one.failed else "note" if one.said else "done"


def as_json(done: Sequence[Done]) -> list[dict[str, str]]:
    """Plain values, for json.dumps."""
    return [one._asdict() | {"setting": str(one.setting)} for one in done]
