# SPDX-License-Identifier: Apache-2.0
"""The router's BGP speaker: BIRD 2 with one session per node and kernel ECMP.

Tests look at the router through it: the routes that the kernel would use, and the sessions.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.fabric import netns
from tests.fabric import topology as t

_CONFIG = """\
log stderr all;
router id 10.255.0.1;
debug protocols {{ states }};
protocol device {{ scan time 10; }}
protocol kernel {{
  ipv4 {{ import none; export where source = RTS_BGP; }};
  merge paths on limit 8;
}}
protocol kernel kernel6 {{
  ipv6 {{ import none; export where source = RTS_BGP; }};
  merge paths on limit 8;
}}
# RFC 8326 section 3.2: a route that is about to go is the last choice.
function graceful_shutdown() {{
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
}}
template bgp node {{
  local as {router_as};
  hold time 3; keepalive time 1;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 {{
    import filter {{
      if net !~ [ 10.200.0.0/16{{28,32}} ] then reject;
      graceful_shutdown(); accept;
    }};
    export none;
  }};
  ipv6 {{
    import filter {{
      if net !~ [ fd00:200::/32{{128,128}} ] then reject;
      graceful_shutdown(); accept;
    }};
    export none;
  }};
}}
"""


class Session(NamedTuple):
    """A BGP session as BIRD sees it."""

    node: str
    state: str
    """`Established`, or where it is stuck."""


def start(place: Path) -> subprocess.Popen[bytes]:
    """Start BIRD in the router; its control socket and log go to `place`."""
    sessions = "".join(
        f"protocol bgp {name} from node {{ neighbor {t.node(name).address} as {t.NODE_AS}; }}\n"
        for name in t.NODES
    )
    config = place / "bird.conf"
    config.write_text(_CONFIG.format(router_as=t.ROUTER_AS) + sessions)
    with (place / "bird.log").open("wb") as log:
        command = ["bird", "-f", "-c", str(config), "-s", str(place / "bird.ctl")]
        return netns.spawn(t.ROUTER, command, log=log)


def sessions(place: Path) -> tuple[Session, ...]:
    """The state of each session; empty while BIRD is not there."""
    answer = subprocess.run(
        ["birdc", "-r", "-s", str(place / "bird.ctl"), "show", "protocols"],
        text=True,
        capture_output=True,
        check=False,
    )
    # name, proto, table, state, since, and what the protocol says of itself
    lines = [line.split(maxsplit=5) for line in answer.stdout.splitlines()]
    return tuple(
        Session(words[0], words[5].strip() if len(words) > 5 else words[3])
        for words in lines
        if len(words) > 3 and words[1] == "BGP"
    )


def routes(vip_address: str) -> frozenset[str]:
    """The nodes to which the router's kernel sends packets for a VIP address."""
    family = "-6" if ":" in vip_address else "-4"
    answer = subprocess.run(
        ["ip", "-n", t.ROUTER, family, "-j", "route", "show", vip_address],
        text=True,
        capture_output=True,
        check=True,
    )
    hops = [
        hop["dev"]
        for route in json.loads(answer.stdout or "[]")
        for hop in route.get("nexthops", [route])
    ]
    return frozenset(hops)


def updates(place: Path, node: str) -> int:
    """Routes that the router has been told by a node, announcements and withdrawals, so far."""
    return _received(place, node, "Import updates:") + withdrawals(place, node)


def withdrawals(place: Path, node: str) -> int:
    """Of these the withdrawals."""
    return _received(place, node, "Import withdraws:")


def _received(place: Path, node: str, what: str) -> int:
    answer = subprocess.run(
        ["birdc", "-r", "-s", str(place / "bird.ctl"), "show", "protocols", "all", node],
        text=True,
        capture_output=True,
        check=True,
    )
    # "      Import updates:              3          0          0          0          3"
    return sum(
        int(line.split(":")[1].split()[0])
        for line in answer.stdout.splitlines()
        if line.strip().startswith(what)
    )


def since(place: Path, session: str) -> str:
    """When a session came to the state that it has."""
    answer = subprocess.run(
        ["birdc", "-r", "-s", str(place / "bird.ctl"), "show", "protocols", session],
        text=True,
        capture_output=True,
        check=True,
    )
    return answer.stdout.splitlines()[-1].split()[4]


def attributes(place: Path, vip_address: str, session: str) -> dict[str, str]:
    """BGP attributes of a VIP's route as one session brought it: `med`, `community`, `as_path` and
    so on; empty if it brought none."""
    prefix = f"{vip_address}/{128 if ':' in vip_address else 32}"
    question = ["show", "route", "protocol", session, "all", "for", prefix]
    answer = subprocess.run(
        ["birdc", "-r", "-s", str(place / "bird.ctl"), *question],
        text=True,
        capture_output=True,
        check=False,
    )
    lines = [line.strip() for line in answer.stdout.splitlines()]
    found = (line.removeprefix("BGP.").partition(": ") for line in lines if line[:4] == "BGP.")
    return {name: value.strip() for name, _, value in found}


@contextmanager
def configured(place: Path, change: Callable[[str], str]) -> Iterator[None]:
    """BIRD with another config, put back afterwards."""
    path = place / "bird.conf"
    before = path.read_text()
    try:
        path.write_text(change(before))
        _reconfigure(place)
        yield
    finally:
        path.write_text(before)
        _reconfigure(place)


def _reconfigure(place: Path) -> None:
    answer = subprocess.run(
        ["birdc", "-s", str(place / "bird.ctl"), "configure"],
        text=True,
        capture_output=True,
        check=True,
    )
    assert "Reconfigur" in answer.stdout, answer.stdout
