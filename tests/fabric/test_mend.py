# SPDX-License-Identifier: Apache-2.0
"""`preflight --fix` and `--undo` on interfaces that are there for it: the kernel, not files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.dataplane import bpf_syscall
from agent.dataplane.attach import MODES
from agent.preflight import apply, settings
from agent.preflight.read_kernel import PASS
from agent.preflight.settings import Change, Kind, Setting
from tests.fabric import netns
from tests.fabric.agents import REMORA_AGENT

pytestmark = pytest.mark.root

HERE, THERE = "mend", "mend-far"
VIP = "10.200.0.9"


@pytest.fixture
def place() -> Iterator[str]:
    """A namespace with a veth of two possible receive queues, of which one is in use."""
    netns.ip(f"netns add {HERE}", f"netns add {THERE}")
    size = "numrxqueues 2 numtxqueues 2"
    try:
        netns.ip(
            f"link add eth0 {size} type veth peer name eth0 numrxqueues 2 numtxqueues 1 "
            f"netns {THERE}",
            "addr add 10.9.0.2/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
            "route add default via 10.9.0.1",
            netns=HERE,
        )
        netns.ip("link set eth0 up", netns=THERE)
        with netns.inside(HERE):
            apply.write(settings.queues("eth0", "rx", 1))
            Path("/proc/sys/net/ipv4/conf/eth0/rp_filter").write_text("1")
        yield HERE
    finally:
        netns.ip(f"netns del {HERE}", f"netns del {THERE}")


@pytest.mark.parametrize(
    ("change", "before"),
    [
        (settings.queues("eth0", "rx", 2), "1"),
        (settings.feature_off("eth0", "tx-checksum-ip-generic"), "on"),
        (settings.address("lo", f"{VIP}/32"), "absent"),
        (settings.address("lo", "2001:db8:9::9/128"), "absent"),
        (settings.ipv4_of("eth0", "rp_filter", 2), "1"),
    ],
    ids=lambda value: value.setting.kind if isinstance(value, Change) else "",
)
def test_each_kind_of_setting_is_read_set_and_set_back(
    place: str, change: Change, before: str
) -> None:
    with netns.inside(place):
        assert apply.read(change.setting) == before
        apply.write(change)
        assert apply.read(change.setting) == change.value
        apply.write(Change(change.setting, before))
        assert apply.read(change.setting) == before


def test_what_a_driver_does_not_know_and_what_is_gone(place: str) -> None:
    with netns.inside(place):
        with pytest.raises(OSError, match="not supported"):
            apply.read(Setting(Kind.RING, "eth0", "rx"))
        with pytest.raises(FileNotFoundError, match="No such device"):
            apply.read(Setting(Kind.CHANNELS, "eth9", "rx"))
        with pytest.raises(OSError, match=r"keeps it on|not supported"):
            apply.write(settings.feature_off("lo", "loopback"))


def test_queues_are_left_alone_while_a_program_is_attached(place: str) -> None:
    """A queue that comes up later runs without it: packets would pass the balancer by."""
    with netns.inside(place):
        program = bpf_syscall.program_load(6, "mend", PASS)
        link = bpf_syscall.link_xdp(program, socket.if_nametoindex("eth0"), MODES["native"])
        try:
            with pytest.raises(OSError, match="it has an XDP program"):
                apply.write(settings.queues("eth0", "rx", 2))
            assert apply.read(Setting(Kind.CHANNELS, "eth0", "rx")) == "1"
        finally:
            os.close(link)
            os.close(program)


def preflight(*words: str, status: int) -> Any:  # noqa: ANN401
    done = subprocess.run(
        ["ip", "netns", "exec", HERE, *REMORA_AGENT, "preflight", "--json", *words],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (status, "")
    return json.loads(done.stdout)


def levels(answer: Any) -> dict[str, str]:  # noqa: ANN401
    return {finding["check"]: finding["level"] for finding in answer["findings"]}


def test_a_fresh_real_is_put_right_and_back(place: str, tmp_path: Path) -> None:
    """The VIP's address and what must be so before it; what needs people stays said."""
    words = ("--role", "real", "--vip", VIP, "--state-dir", str(tmp_path / "state"))
    before = preflight(*words, status=1)
    assert {"vip-address": "fail", "rp_filter": "note", "arp": "note", "decap": "fail"}.items() <= (
        levels(before).items()
    )
    safe = {finding["check"] for finding in before["findings"] if finding["safe"]}
    assert safe == {"vip-address", "rp_filter", "arp"}
    with netns.inside(place):
        assert apply.read(settings.address("lo", f"{VIP}/32").setting) == "absent", "only looked"

    fixed = preflight(*words, "--fix", status=1)
    assert [one["failed"] for one in fixed["fixed"]] == [""] * 4
    assert fixed["fixed"][-2]["check"] == "vip-address", "after ARP is quiet"
    after = levels(fixed)
    assert (after["vip-address"], after["rp_filter"], after["arp"]) == ("ok", "ok", "ok")
    assert after["decap"] == "fail"
    assert preflight(*words, "--fix", status=1)["fixed"] == []

    undone = preflight(*words, "--undo", status=0)
    assert len(undone["undone"]) == 4
    assert levels(preflight(*words, status=1)) == levels(before)
    assert preflight(*words, "--undo", status=0)["undone"] == []
