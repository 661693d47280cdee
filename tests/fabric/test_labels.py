# SPDX-License-Identifier: Apache-2.0
"""`remora drain real -l rack=k2` in the night: what comes of it, asserted in both agents."""

from __future__ import annotations

import json

import pytest

from shared.model import Admin
from tests.fabric import load
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

VIPS = ("web", "echo")


def admins(fabric: Fabric, node: str) -> dict[tuple[str, str], Admin]:
    return {key: row.admin for key, row in fabric.look(node).reals.items()}


def test_a_rack_is_drained_on_all_nodes_and_comes_back(fabric: Fabric) -> None:
    """Of both VIPs, as one change of each node; no request fails, none goes there any more."""
    there = {(vip, t.real(r).address) for vip in VIPS for r in t.REALS if t.rack(r) == "k2"}
    wanted = {
        (vip, t.real(r).address): Admin.DRAINING
        if (vip, t.real(r).address) in there
        else Admin.ENABLED
        for vip in VIPS
        for r in t.REALS
    }
    before = {node: fabric.look(node).node.revision for node in t.NODES}
    with fabric.load(rate=200) as running:
        try:
            done = fabric.cli("drain", "real", "-l", "rack=k2", "--yes", "--reason", "INC-7")
            assert done.returncode == 0, done.stderr
            for vip, address in there:
                assert f"real/{address}@{vip}" in done.stdout
            for node in t.NODES:
                assert admins(fabric, node) == wanted
                assert fabric.look(node).node.revision == before[node] + 1
            drained = len(running.records())
            until(lambda: len(running.records()) >= drained + 200, 10, "200 requests more")
        finally:
            undone = fabric.cli("undrain", "real", "-l", "rack=k2", "--yes")
        assert undone.returncode == 0, undone.stderr
        records = running.stop()
    assert load.failures(records) == []
    for node in t.NODES:
        assert set(admins(fabric, node).values()) == {Admin.ENABLED}


def test_k2_guards_judge_all_of_a_rack_together(fabric: Fabric) -> None:
    """Each of the two reals could go; both are two thirds of either VIP."""
    one = f"real/{t.real('r1').address}@web"
    assert fabric.cli("drain", one, "--dry-run").returncode == 0
    done = fabric.cli("drain", "real", "-l", "rack=k1", "--yes", "-o", "json")
    assert done.returncode == 4, done.stdout
    assert {item["guard"] for item in json.loads(done.stdout)["items"]} == {"blast-radius"}
    for node in t.NODES:
        assert set(admins(fabric, node).values()) == {Admin.ENABLED}


def test_a_place_and_labels_of_lists(fabric: Fabric) -> None:
    found = fabric.cli("get", "node", "--node", "@k2", "-o", "name")
    assert found.stdout.split() == ["node/lb2"]
    found = fabric.cli("get", "real", "-l", "rack=k2", "--vip", "web", "-o", "name")
    assert found.stdout.split() == [f"real/{t.real('r2').address}@web"]

    def racks() -> list[str]:
        """As they were a second ago; none: an agent that was just started keeps nothing yet."""
        found = fabric.cli("get", "node", "-l", "rack", "--at", "1s", "-o", "json")
        items = json.loads(found.stdout)["items"] if found.returncode == 0 else []
        return [item["labels"]["rack"] for item in items]

    until(lambda: racks() == ["k1", "k2"], 15, "the labels of a second ago")
