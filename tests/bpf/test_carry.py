# SPDX-License-Identifier: Apache-2.0
"""C3: what a data plane of another ABI had counted as known stays known in the next one's hands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.dataplane import abi, carry, mapped
from tests.bpf.rig import SETTINGS, Rig

pytestmark = pytest.mark.root


def note(state_dir: Path, change: dict[str, Any]) -> str:
    """As the version before left it."""
    told = carry.note()
    told["maps"] |= change
    (state_dir / "maps").write_text(json.dumps(told))
    return str(state_dir)


@pytest.fixture
def old(rig: Rig) -> int:
    """When the rig's flow table knows all."""
    with rig._pin("control") as fd:
        control = mapped.view(fd, abi.Control, 1)
        control["warm_at"][0] = np.uint64(rig.jiffies.now() + 4321)
        return int(control["warm_at"][0])


def test_c3_a_table_that_came_along_is_as_old_as_it_was(rig: Rig, old: int, tmp_path: Path) -> None:
    assert carry.warm_at(note(tmp_path, {}), rig.pins) == old


def test_c3_it_is_found_where_that_version_kept_it(rig: Rig, old: int, tmp_path: Path) -> None:
    at = abi.Control.warm_at.offset
    moved = [[at + 8, [["warm_at", at, ["c_ulong", 8]]]]]
    assert carry.warm_at(note(tmp_path, {"control": moved}), rig.pins) == old


def test_c3_a_version_that_does_not_say_ran_for_long(rig: Rig, old: int, tmp_path: Path) -> None:
    state_dir = note(tmp_path, {"control": [[8, [["hash_key", 0, ["c_ulong", 8]]]]]})
    assert carry.warm_at(state_dir, rig.pins) < rig.jiffies.now() < old


def test_c3_settings_leave_it_as_it_is(rig: Rig) -> None:
    """The first `configure` of maps that were just made does not call their flows unknown."""
    with rig._pin("control") as fd:
        control = mapped.view(fd, abi.Control, 1)
        control["warm_at"][0] = 0
        rig.dataplane.know_flows_from(77)
        rig.dataplane.configure(SETTINGS)
        assert int(control["warm_at"][0]) == 77
        rig.dataplane.know_flows_from(78)
        assert int(control["warm_at"][0]) == 77, "what is known stays"
