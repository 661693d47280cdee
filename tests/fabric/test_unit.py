# SPDX-License-Identifier: Apache-2.0
"""What the systemd unit grants the agent is enough, and none of it is too much."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from agent.preflight import apply, settings
from tests.fabric import netns
from tests.fabric import topology as t
from tests.fabric.agents import REMORA_AGENT
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import DeadlineError
from tests.unit.test_supervisor import UNIT, setting

pytestmark = pytest.mark.root


def granted(unit: Path) -> list[str]:
    names = setting("CapabilityBoundingSet", unit).split()
    return [name.removeprefix("CAP_").lower() for name in names]


CAPABILITIES = granted(UNIT)


def only(capabilities: list[str]) -> list[str]:
    """The command under which a process and its children have these and no others, and see /proc
    as ProtectProc=invisible and ReadOnlyPaths=/proc/sys leave it."""
    return ["unshare", "-m", "sh", "-ec", _PROC, "sandbox", *dropped_to(capabilities)]


def dropped_to(capabilities: list[str]) -> list[str]:
    bounding = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return ["setpriv", "--bounding-set", bounding, "--inh-caps", "-all", "--"]


_PROC = """\
mount -t proc -o hidepid=invisible proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
exec "$@"
"""


def test_preflights_unit_has_what_it_takes(fabric: Fabric) -> None:
    """To look at everything, and to set and set back."""
    config = fabric.agents["lb2"].config
    command = [*dropped_to(granted(UNIT.with_name("remora-preflight.service"))), *REMORA_AGENT]
    strict = settings.ipv4_of("eth0", "rp_filter", 1)

    def preflight(*words: str) -> dict[str, list[dict[str, str]]]:
        done = subprocess.run(
            ["ip", "netns", "exec", "lb2", *command, "preflight", "--json", "-c", str(config),
             *words],
            capture_output=True, text=True, timeout=90, check=True,
        )  # fmt: skip
        said: dict[str, list[dict[str, str]]] = json.loads(done.stdout)
        return said

    with netns.inside("lb2"):
        before = apply.read(strict.setting)
        apply.write(strict)
        try:
            fixed = preflight("--fix")
            undone = preflight("--undo")
            assert apply.read(strict.setting) == "1"
        finally:
            apply.write(strict._replace(value=before))
    assert [(one["setting"], one["failed"]) for one in fixed["fixed"]] == [
        ("net.ipv4.conf.eth0.rp_filter", "")
    ]
    assert [one["failed"] for one in undone["undone"]] == [""]
    assert {"encapsulated", "xdp", "compiler"} <= {one["check"] for one in fixed["findings"]}
    levels = {one["check"]: one["level"] for one in fixed["findings"]}
    assert (levels["xdp"], levels["encapsulated"]) == ("ok", "ok")


@pytest.fixture(scope="module")
def without(lent: Fabric) -> Iterator[Fabric]:
    """lb2's agent is stopped for what follows in this file, and is as always after it."""
    agent = lent.agents["lb2"]
    agent.stop()
    yield lent
    if agent.alive:
        agent.stop()
    agent.start()


@pytest.fixture
def stopped(without: Fabric) -> Iterator[Fabric]:
    """The test begins without this agent and its data plane, and ends without the agent."""
    agent = without.agents["lb2"]
    assert agent.ask("detach").returncode == 0
    yield without
    if agent.alive:
        agent.stop()


def test_the_unit_s_capabilities_are_enough(stopped: Fabric) -> None:
    """F5: to load, to serve, to adopt what is there after SIGKILL, to stop cleanly."""
    agent = stopped.agents["lb2"]
    agent.start(*only(CAPABILITIES))
    stopped.await_routes()
    with stopped.only_via("lb2"):
        assert stopped.request() in t.REALS
    before = stopped.look("lb2").node
    agent.kill()
    agent.start(*only(CAPABILITIES))
    after = stopped.look("lb2").node
    assert after.boot == before.boot, "the maps were adopted"
    assert after.rx_packets >= before.rx_packets > 0
    assert agent.stop() == 0
    stopped.await_routes(nodes=("lb1",))


@pytest.mark.parametrize("missing", CAPABILITIES)
def test_none_of_them_is_too_much(stopped: Fabric, missing: str) -> None:
    agent = stopped.agents["lb2"]
    with pytest.raises(DeadlineError, match="ended"):
        agent.start(*only([name for name in CAPABILITIES if name != missing]))
    assert not agent.alive


def test_the_watchdog_is_told_in_time(stopped: Fabric) -> None:
    """Ready once, then a ping at least twice in each interval; of those that come late, because
    others want the processors too, none comes too late."""
    agent = stopped.agents["lb2"]
    interval = 4.0
    agent.launch("env", f"WATCHDOG_USEC={interval * 1e6:.0f}")
    with agent._ready as hears:
        hears.settimeout(30)
        assert hears.recv(100) in (b"READY=1", b"WATCHDOG=1")
        said = [(hears.recv(100), time.monotonic()) for _ in range(6)]
    pings = [at for what, at in said if what == b"WATCHDOG=1"]
    assert len(pings) >= 5
    gaps = [later - at for at, later in pairwise(pings)]
    assert median(gaps) < interval / 2 * 1.2
    assert max(gaps) < interval, "systemd would have killed it"
    assert agent.stop() == 0
