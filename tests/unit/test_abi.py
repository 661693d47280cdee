# SPDX-License-Identifier: Apache-2.0
"""bpf/lb_abi.h as a C compiler sees it against agent/dataplane/abi.py, field by field."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from agent.dataplane import abi, map_specs
from shared import model, reasons

BPF = Path(__file__).resolve().parents[2] / "bpf"
HEADER = (BPF / "lb_abi.h").read_text()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the C compiler says: constant -> value, `struct.field` -> offset, and so on."""
    compiler = shutil.which("cc")
    assert compiler, "a C compiler is needed to compare the map ABI: apt-get install gcc"
    place = tmp_path_factory.mktemp("abi")
    source, binary = place / "abi.c", place / "abi"
    source.write_text(_questions())
    subprocess.run(
        [compiler, "-Wall", "-Werror", f"-I{BPF}", "-o", str(binary), str(source)], check=True
    )
    printed = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in printed.splitlines())}


def _questions() -> str:
    """A C program that prints the header's sizes, offsets and values."""
    asked = {name: name for name in _constants()}
    for name, fields in _structs().items():
        asked[f"sizeof({name})"] = f"sizeof(struct {name})"
        for field in fields:
            asked[f"offset({name}.{field})"] = f"__builtin_offsetof(struct {name}, {field})"
            asked[f"size({name}.{field})"] = f"sizeof(((struct {name} *)0)->{field})"
    lines = [f'\tprintf("%s %llu\\n", "{k}", (unsigned long long)({v}));' for k, v in asked.items()]
    head = ["#include <stdio.h>", '#include "lb_abi.h"', "int main(void)", "{"]
    return "\n".join([*head, *lines, "\treturn 0;", "}", ""])


def _structs() -> dict[str, list[str]]:
    """struct -> its fields, read from the header's text."""
    bare = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)
    found = {}
    for name, body in re.findall(r"struct (\w+) \{(.*?)\n\};", bare, flags=re.S):
        declared = re.findall(r"(?:lb_u\d+|struct \w+)\s+([^;]+);", body)
        found[name] = [part.split("[")[0].strip() for d in declared for part in d.split(",")]
    return found


def _constants() -> list[str]:
    bare = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)
    defined = re.findall(r"#define (\w+) \S", bare)
    enums = re.findall(r"enum \w+ \{(.*?)\};", bare, flags=re.S)
    listed = [name for body in enums for name in re.findall(r"(\w+)\s*=", body)]
    return [*defined, *listed, "REASON_COUNT"]


def test_the_header_was_understood() -> None:
    """Else the tests below would compare nothing."""
    assert {"lb_control", "lb_flow", "lb_totals", "lb_event"} <= _structs().keys()
    assert "drops" in _structs()["lb_totals"]
    assert "LB_ABI_VERSION" in _constants()


def test_every_struct_of_the_header_is_mirrored_and_no_other() -> None:
    assert {name: len(fields) for name, fields in _structs().items()} == {
        name: len(struct._fields_) for name, struct in abi.STRUCTS.items()
    }


@pytest.mark.parametrize("name", abi.STRUCTS)
def test_struct_equals_the_c_one(name: str, compiled: dict[str, int]) -> None:
    struct = abi.STRUCTS[name]
    assert ctypes.sizeof(struct) == compiled[f"sizeof({name})"]
    for field, *_ in struct._fields_:
        placed = getattr(struct, field)
        assert placed.offset == compiled[f"offset({name}.{field})"], field
        assert placed.size == compiled[f"size({name}.{field})"], field


@pytest.mark.parametrize("name", abi.STRUCTS)
def test_numpy_sees_the_struct_as_ctypes_does(name: str) -> None:
    """The agent reads the maps with numpy types made from these structs."""
    seen, struct = np.dtype(abi.STRUCTS[name]), abi.STRUCTS[name]
    assert seen.itemsize == ctypes.sizeof(struct)
    assert seen.fields is not None
    for field, *_ in struct._fields_:
        assert seen.fields[field][1] == getattr(struct, field).offset


def test_every_constant_of_the_header_is_mirrored_and_equal(compiled: dict[str, int]) -> None:
    assert {name: compiled[name] for name in _constants()} == abi.CONSTANTS


def test_constants_are_the_module_s_own() -> None:
    """CONSTANTS is what is compared; the names of the module are what is used."""
    used = {n: v for n, v in abi.CONSTANTS.items() if not n.startswith("LB_MAP_")}
    assert used == {name: getattr(abi, name.removeprefix("LB_")) for name in used}


def test_the_agent_and_the_wire_mean_the_same() -> None:
    assert abi.RING_SLOTS == model.RING_SLOTS
    assert max(reasons.BY_NUMBER) < abi.REASON_COUNT


def test_rows_of_counters_are_cache_lines() -> None:
    """Two CPUs never write one line."""
    assert ctypes.sizeof(abi.Totals) % 64 == 0
    assert ctypes.sizeof(abi.Share) * abi.MAX_VIPS % 64 == 0
    assert ctypes.sizeof(abi.FlowSet) == 64


def test_the_ring_s_slots_are_whole_words_of_a_value() -> None:
    assert abi.RING_SLOTS <= abi.RING_ROW < abi.RING_SLOTS + 4
    assert ctypes.sizeof(abi.Ring) % 8 == 0


def test_each_map_has_its_name_and_number() -> None:
    specs = map_specs.map_specs(map_specs.Sizes(cpus=2, flows_per_cpu=1024))
    names = {v: k for k, v in abi.CONSTANTS.items() if k.startswith("LB_MAP_")}
    assert {names[number]: spec.name for number, spec in specs.items()} == {
        name: name.removeprefix("LB_MAP_").lower() for name in names.values()
    }
    assert specs[abi.CONSTANTS["LB_MAP_FLOWS"]].max_entries == 2 * 1024 // abi.FLOW_WAYS


@pytest.mark.parametrize(
    ("was", "becomes", "refused"),
    [
        ("", "", False),
        ("LB_CAPTURE 160", "LB_CAPTURE 161", True),
        ("lb_u16 real_num", "lb_u32 real_num", True),
        ("lb_u64 at;", "lb_u64 length2;", True),
    ],
)
def test_the_load_time_check(was: str, becomes: str, tmp_path: Path, *, refused: bool) -> None:
    """A header that differs does not compile together with abi.static_asserts()."""
    assert was in HEADER
    (tmp_path / "lb_abi.h").write_text(HEADER.replace(was, becomes))
    (tmp_path / "reasons.h").write_text((BPF / "reasons.h").read_text())
    source = tmp_path / "check.c"
    source.write_text(abi.static_asserts())
    compiler = shutil.which("cc") or "cc"
    done = subprocess.run([compiler, "-fsyntax-only", str(source)], check=False)
    assert (done.returncode != 0) == refused
