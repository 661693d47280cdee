# SPDX-License-Identifier: Apache-2.0
"""What the supervisor is told, and how log lines read."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent import boundary as b
from agent.host import supervisor
from agent.host.logline import in_fields, in_line
from agent.runtime import Agent
from shared.messages import ChangeEvent, DropEvent, EventBody, HealthEvent, PeerEvent
from shared.model import Health

UNIT = Path(__file__).parents[2] / "configs" / "remora-agent.service"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog(environment: dict[str, str], seconds: float | None) -> None:
    assert supervisor.watchdog(environment, 7) == seconds


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(str(tmp_path / "notify"))
        hears.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield hears


def test_notify(told: socket.socket) -> None:
    supervisor.notify("READY=1")
    assert told.recv(100) == b"READY=1"


def test_notify_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    supervisor.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    supervisor.notify("READY=1")


def test_pings_while_facts_are_dealt_with_and_no_longer(
    told: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that hangs gets no ping, however well the loop turns."""
    monkeypatch.setenv("WATCHDOG_USEC", "30000")  # a ping every 10 ms
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    told.setblocking(False)

    def heard() -> int:
        """Pings since the last call."""
        count = 0
        while True:
            try:
                assert told.recv(100) == b"WATCHDOG=1"
            except BlockingIOError:
                return count
            count += 1

    async def until_pings(count: int) -> None:
        async with asyncio.timeout(60):
            while count > 0:
                count -= heard()
                await asyncio.sleep(0.005)

    async def story() -> None:
        agent = object.__new__(Agent)  # of a node only the inbox is needed
        agent.inbox, agent.loop = asyncio.Queue(), cast(Any, SimpleNamespace(turns=0))
        task = asyncio.create_task(agent._reassure())
        await until_pings(5)  # nothing to do is well
        agent.inbox.put_nowait(b.Tick())  # and nobody takes it
        heard()
        await asyncio.sleep(0.1)
        assert heard() == 0
        agent.loop.turns += 1
        await until_pings(1)  # it goes on
        task.cancel()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (
            HealthEvent("web", "10.3.1.2", Health.UP, Health.DOWN, "http 503"),
            'event=health vip=web real=10.3.1.2 was=up now=down detail="http 503"',
        ),
        (PeerEvent("10.2.1.1", "down", ""), 'event=peer peer=10.2.1.1 state=down detail=""'),
        (
            ChangeEvent("a b", 'x="1"\nlevel=ERROR', "applied", 3),
            'event=change who="a b" what="x=\\"1\\"\\nlevel=ERROR" result=applied revision=3',
        ),
        (
            DropEvent(1, "fragment", "", "10.1.1.2", "?", "tcp", 60, 0, 1, b"\x00\xff"),
            'event=drop reason=1 name=fragment vip="" source=10.1.1.2 destination=? protocol=tcp '
            "length=60 cpu=0 rx_queue=1 head=00ff",
        ),
    ],
)
def test_events_in_fields(body: EventBody, line: str) -> None:
    assert in_fields(body) == line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("ready node=lb1 pid=7", "msg=ready node=lb1 pid=7"),
        ("exabgp died, next in 1 s", 'msg="exabgp died, next in 1 s"'),
        ("exabgp adopted pid=7", 'msg="exabgp adopted" pid=7'),
        ('event=health vip=web detail="http 503"', 'event=health vip=web detail="http 503"'),
        ("answer status=refused a=b is wrong", 'msg="answer status=refused a=b is wrong"'),
        ('x="1" level=ERROR y', 'msg="x=\\"1\\" level=ERROR y"'),
        ("two\nlevel=ERROR", 'msg="two\\nlevel=ERROR"'),
        ("", ""),
    ],
)
def test_every_line_is_fields_only(message: str, line: str) -> None:
    """What is no field is one that is quoted."""
    assert in_line(message) == line


@pytest.mark.parametrize("journal", [True, False])
def test_log_lines(*, journal: bool) -> None:
    """One line is one line, and the journal learns how grave it is."""
    script = (
        "import logging\nfrom agent.host import supervisor\n"
        "supervisor.log_to_stderr(logging.INFO)\n"
        "logging.getLogger('remora').info('ready node=%s', 'lb1')\n"
        "logging.getLogger('remora.bgp').warning('two\\nlines')\n"
    )
    read, write = os.pipe()
    stat = os.fstat(write)
    stream = f"{stat.st_dev}:{stat.st_ino}" if journal else "8:1"
    environment = {**os.environ, "JOURNAL_STREAM": stream}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=environment, stderr=write, check=True
    )
    os.close(write)
    with os.fdopen(read) as said:
        lines = said.read().splitlines()
    assert done.returncode == 0
    plain = [
        "level=INFO part=remora msg=ready node=lb1",
        'level=WARNING part=remora.bgp msg="two\\nlines"',
    ]
    marked = [f"<{n}>{line}" for n, line in zip((6, 4), plain, strict=True)]
    assert lines == (marked if journal else plain)
    assert logging.getLogger("remora").level == logging.NOTSET, "only in that process"


# ---- the unit


def setting(name: str, unit: Path = UNIT) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", unit.read_text(), re.M)
    return str(value)


def test_unit_keeps_exabgp_over_a_crash() -> None:
    assert setting("KillMode") == "process"
    assert setting("RuntimeDirectoryPreserve") == "yes", "the sockets and exabgp.pid must stay"
    assert setting("Restart") == "always"
    assert setting("RestartPreventExitStatus") == "2", "agent.cli: usage or config"


EXPOSURE = 24
"""`systemd-analyze security`, in tenths: what root with three capabilities and the network has."""


def verified(unit: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What systemd says of a unit's text, with our programs where they are here."""
    here = str(Path(sys.executable).with_name("remora-agent"))
    unit.write_text(text.replace("/opt/remora/bin/remora-agent", here))
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )


needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine"
)


@needs_systemd
@pytest.mark.parametrize("name", ["remora-agent.service", "remora-preflight.service"])
def test_units_are_right_says_systemd(name: str, tmp_path: Path) -> None:
    text = UNIT.with_name(name).read_text()
    done = verified(tmp_path / name, text)
    assert (done.returncode, done.stderr) == (0, "")
    wrong = verified(tmp_path / name, text.replace("ProtectHome=yes", "ProtectHome=perhaps"))
    assert "protect home" in wrong.stderr, "it does look"


@needs_systemd
def test_the_agents_unit_is_shut_in(tmp_path: Path) -> None:
    def safe(text: str) -> bool:
        place = tmp_path / "remora-agent.service"
        place.write_text(text)
        ask = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
        done = subprocess.run(
            [*ask, f"--threshold={EXPOSURE}", str(place)], capture_output=True, check=False
        )
        return done.returncode == 0

    assert safe(UNIT.read_text())
    assert not safe(UNIT.read_text().replace("ProtectSystem=strict", "ProtectSystem=no"))
