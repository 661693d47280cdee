# SPDX-License-Identifier: Apache-2.0
"""The nodes' agents: each a real `remora-agent run -c FILE` in its namespace.

An agent counts as started when it says so itself (sd_notify).  What it wrote to its log is there
for whoever asks after a failure.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.fabric import netns
from tests.fabric import topology as t
from tests.fabric.waiting import DeadlineError

REMORA_AGENT = (sys.executable, "-m", "agent")
START = 60.0
"""Seconds for a start: the compiler takes two, of a processor that others may have as well."""
STOP = 40.0

_CONFIG = """\
[node]
name = "{name}"
labels = {{ rack = "{rack}" }}
interface = "eth0"
underlay_mtu = {mtu}
hash_key = "6b8fb9d1c1b2a70e5b7e3a1b52d4c8f9"
flows_per_cpu = 65536
bpffs = "{place}/bpffs"
run_dir = "{place}/{name}"
state_dir = "{place}/{name}/state"

[bgp]
dead_man = 120
local_as = {node_as}
router_id = "{address}"

[[bgp.peers]]
address = "{router}"
local_address = "{address}"
asn = {router_as}
hold_time = 3
"""

_VIP = """
[[vips]]
name = "{name}"
labels = {{ tier = "{name}" }}
address = "{address}"
port = {port}
protocol = "{protocol}"
udp_idle = 5

[vips.check]
kind = "http"
port = {check_port}
path = "/healthz"
interval = {interval}
timeout = {interval}
rise = {rise}
fall = {fall}
hold = 0
"""


def listed(real: str) -> str:
    """A real of a VIP in a node's config."""
    labels = f'labels = {{ rack = "{t.rack(real)}" }}'
    return f'\n[[vips.reals]]\naddress = "{t.real(real).address}"\n{labels}\n'


def config(name: str, place: Path) -> str:
    """The text of a node's config file."""
    machine = t.node(name)
    head = _CONFIG.format(
        name=name,
        rack=t.rack(name),
        place=place,
        mtu=machine.mtu,
        address=machine.address,
        router=machine.router_address,
        node_as=t.NODE_AS,
        router_as=t.ROUTER_AS,
    )
    reals = "".join(map(listed, t.REALS))
    vips = (("web", t.WEB, t.WEB_PORT, "tcp"), ("echo", t.ECHO, t.ECHO_PORT, "udp"))
    return head + "".join(
        _VIP.format(
            name=vip,
            address=address,
            port=port,
            protocol=protocol,
            check_port=t.WEB_PORT,
            interval=t.CHECK_INTERVAL,
            rise=t.CHECK_RISE,
            fall=t.CHECK_FALL,
        )
        + reals
        for vip, address, port, protocol in vips
    )


def _in_memory(state: Path) -> None:
    """A disk that others keep busy would refuse a test's changes."""
    state.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", state], check=True)


class Agent:
    """One node's agent process."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.run_dir = place / name
        self.config = place / f"{name}.toml"
        self.log = place / f"{name}.log"
        self._notify = place / f"{name}.notify"
        self._process: subprocess.Popen[bytes] | None = None
        self.run_dir.mkdir(exist_ok=True)
        _in_memory(self.run_dir / "state")
        self.config.write_text(config(name, place))
        self.log.touch()

    @property
    def address(self) -> str:
        """What consoles call it."""
        return f"ipc://{self.run_dir}"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def restart_with(self, text: str) -> None:
        """Stop it cleanly and start it with another config."""
        self.stop()
        self.config.write_text(text)
        self.start()

    def start(self, *under: str) -> None:
        """Start it; returns when it is ready.  Raises DeadlineError with its last words."""
        self.launch(*under)
        self.await_ready()

    def launch(self, *under: str) -> None:
        """Start it without waiting; `under` a command that becomes it, such as setpriv."""
        self._notify.unlink(missing_ok=True)
        self._ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ready.bind(str(self._notify))
        environment = {**os.environ, "NOTIFY_SOCKET": str(self._notify)}
        with self.log.open("ab") as log:
            command = [*under, *REMORA_AGENT, "run", "-c", str(self.config)]
            self._process = netns.spawn(self.name, command, log=log, env=environment)

    def await_ready(self, seconds: float = START) -> None:
        """Raises DeadlineError with its last words, at once if it ended."""
        self._ready.settimeout(0.1)
        deadline = time.monotonic() + seconds
        with self._ready:
            while not self._said_ready():
                if not self.alive or time.monotonic() > deadline:
                    what = f"not ready within {seconds:g} s" if self.alive else "ended"
                    raise DeadlineError(f"agent {self.name}: {what}: {self.last_words()}")

    def _said_ready(self) -> bool:
        try:
            return b"READY=1" in self._ready.recv(4096)
        except TimeoutError:
            return False

    def ask(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`remora-agent VERB -c FILE WORDS` on the node."""
        command = [*REMORA_AGENT, verb, "-c", str(self.config), *words]
        return subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            capture_output=True,
            text=True,
            timeout=START,
            check=False,
        )

    def wait(self) -> int:
        """Until the process has ended by itself; its exit status."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.wait(STOP)

    def hang_up(self) -> None:
        """SIGHUP: read the config file again."""
        assert self._process is not None, f"{self.name} was never started"
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """SIGKILL: it can do nothing about it."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM: a clean stop; returns the exit status."""
        return self._end(signal.SIGTERM)

    def last_words(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, number: int) -> int:
        assert self._process is not None, f"{self.name} was never started"
        self._process.send_signal(number)
        return self._process.wait(STOP)
