# SPDX-License-Identifier: Apache-2.0
"""The folder listing is the architecture: who may import what, held for every module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "console", "shared")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

CORE = {
    "agent": (
        "bgp/text",
        "boundary",
        "config/",
        "conformance/judge",
        "conformance/vectors",
        "core/",
        "dataplane/places",
        "dataplane/slots",
        "host/host_seen",
        "host/logline",
        "nouns",
        "preflight/findings",
        "preflight/rules",
        "preflight/rules_device",
        "preflight/rules_host",
        "preflight/rules_network",
        "preflight/rules_real",
        "preflight/rules_service",
        "preflight/rules_tunnel",
        "preflight/settings",
        "preflight/surveyed",
        "records/recollection",
        "wire/access",
        "wire/drop_feed",
        "wire/exposition",
        "wire/gate",
        "wire/invented",
        "wire/kept",
        "wire/pace",
        "wire/snapshot",
        "wire/standing",
        "wire/trace_feed",
    ),
    "shared": (
        "capture",
        "chain",
        "codec",
        "flows",
        "grants",
        "guards",
        "jsonl",
        "messages/__init__",
        "messages/answers",
        "messages/commands",
        "messages/counters",
        "messages/events",
        "messages/rows",
        "messages/snapshots",
        "messages/traces",
        "model",
        "reasons",
        "recording",
    ),
    "console": (
        "cli/completion",
        "cli/manual",
        "cli/trace_words",
        "exits",
        "format",
        "model/",
        "planning/",
        "tui/appearance",
        "tui/command",
        "tui/keys",
        "tui/pace",
        "tui/saying",
        "tui/tailored",
        "tui/trail",
        "views/",
    ),
}
IMPURE = {
    "asyncio",
    "logging",
    "os",
    "random",
    "selectors",
    "socket",
    "subprocess",
    "threading",
    "time",
}
OWNERS = {
    "bcc": ("agent/dataplane/loader_child.py",),
    "dns": ("agent/checks/dns.py",),
    "exabgp": ("agent/bgp/exabgp_launch.py",),
    "h11": ("agent/checks/http.py",),
    "prometheus_client": ("agent/wire/metrics.py", "console/wire/relay_metrics.py"),
    "pyroute2": (
        "agent/host/netlink.py",
        "agent/preflight/ethtool.py",
        "agent/preflight/read_network.py",
    ),
    "textual": ("console/tui/",),
    "rich": ("console/tui/",),
    "msgpack": ("shared/codec.py",),
    "zmq": (
        "agent/cli/ask.py",
        "agent/wire/server.py",
        "agent/wire/doors.py",
        "agent/wire/fleet.py",
        "agent/wire/remote_door.py",
        "console/wire/",
        "shared/curve.py",
    ),
}
LAYERS = {
    "model": {"model"},
    "planning": {"model", "planning"},
    "views": {"model", "planning", "views"},
    "wire": {"model", "wire", "settings"},
    "tui": {"model", "planning", "views", "wire", "tui", "settings"},
}
"""Folder of the console -> what it may import of it; beside these only what all use."""
FOR_ALL = {"exits", "format"}
CHILD = (
    "agent/dataplane/abi.py",
    "agent/dataplane/attach.py",
    "agent/dataplane/bpf_syscall.py",
    "agent/dataplane/egress.py",
    "agent/host/host_seen.py",
    "agent/dataplane/jiffies.py",
    "agent/dataplane/loader_child.py",
    "agent/dataplane/map_specs.py",
    "agent/dataplane/pinned.py",
    "agent/host/rtnetlink.py",
    "shared/reasons.py",
)
"""Run by Debian's python3, without the project's packages."""
BANNED = re.compile(
    r"(^|_)(util|utils|helper|manager|handler|base|common|misc|data|info)(_|$)", re.I
)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)}: relative import"
            yield str(node.module)


def _is_core(path: Path) -> bool:
    """Named in CORE by itself, or in a folder that is: all of a folder is pure, what comes too."""
    package, _, rest = _name(path).removesuffix(".py").partition("/")
    return any(rest.startswith(c) if c.endswith("/") else rest == c for c in CORE[package])


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_import_rules(path: Path) -> None:
    name = _name(path)
    tops = {module.partition(".")[0] for module in _imports(path)}
    allowed = {"agent": {"agent", "shared"}, "console": {"console", "shared"}, "shared": {"shared"}}
    package = name.partition("/")[0]
    assert tops & set(PACKAGES) <= allowed[package], "agent and console never see each other"
    assert "tests" not in tops
    for library, owners in OWNERS.items():
        if library in tops:
            assert name.startswith(owners), f"{library} belongs to {', '.join(owners)}"
    if _is_core(path):
        assert not tops & IMPURE, f"core module imports {tops & IMPURE}"


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_of_the_console(layer: str) -> None:
    """What is known, what is planned and how it is written know neither screens nor verbs."""
    for path in (ROOT / "console" / layer).rglob("*.py"):
        modules = [module.split(".") for module in _imports(path)]
        used = {parts[1] for parts in modules if parts[0] == "console" and len(parts) > 1}
        assert used <= LAYERS[layer] | FOR_ALL, f"{_name(path)} imports {used}"


@pytest.mark.parametrize("name", CHILD)
def test_loader_child_needs_the_standard_library_only(name: str) -> None:
    import sys

    ours = {"agent", "shared", "bcc"}
    tops = {module.partition(".")[0] for module in _imports(ROOT / name)}
    assert tops - ours <= sys.stdlib_module_names


def test_the_rules_name_files_that_exist() -> None:
    """A rule about a file that was renamed would hold by itself."""
    for package, stems in CORE.items():
        for stem in stems:
            place = stem if stem.endswith("/") else f"{stem}.py"
            assert (ROOT / package / place).exists(), f"{package}/{place}"
    for owners in OWNERS.values():
        for owner in owners:
            assert (ROOT / owner).exists(), owner


def test_names() -> None:
    for path in MODULES:
        assert not BANNED.search(path.stem), f"{_name(path)}: say what it is"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name.replace("DataPlane", ""))
                assert not BANNED.search(words), f"{_name(path)}: class {node.name}"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_structs_are_changed_by_msgspec(path: Path) -> None:
    """mypy takes a struct for a dataclass; `dataclasses.replace` of one is a TypeError."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses":
            assert "replace" not in [alias.name for alias in node.names], _name(path)


def test_every_source_file_names_its_licence() -> None:
    gpl = [*(ROOT / "bpf").rglob("*.c"), *(ROOT / "bpf").rglob("*.h")]
    for path in gpl:
        assert "GPL-2.0" in path.read_text().split("\n", 1)[0], path
    for path in MODULES:
        text = path.read_text()
        if text:
            assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n"), path


def test_no_debug_prints_in_the_data_plane() -> None:
    for path in (ROOT / "bpf").glob("*.[ch]"):
        assert "bpf_printk" not in path.read_text(), path
        assert "bpf_trace_printk" not in path.read_text(), path
