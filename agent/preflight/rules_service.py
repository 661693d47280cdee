# SPDX-License-Identifier: Apache-2.0
"""Preflight's rules about what a node serves: ways to the reals, their checks, BGP peers.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agent.config.tree import Config, Vip
from agent.preflight.findings import Finding, Level, ok
from agent.preflight.surveyed import Checked, PeerAnswer, WayTo


def reals(
    config: Config, paths: Mapping[str, WayTo | None], checked: Sequence[Checked]
) -> Iterator[Finding]:
    """The way to each real, and each VIP's checks."""
    addresses = {str(real.address) for vip in config.vips for real in vip.reals}
    to_reals = {to: path for to, path in paths.items() if to in addresses}
    ways = [finding for real, path in to_reals.items() if (finding := _way(config, real, path))]
    yield from ways
    if not ways:
        hops = sorted({path.gateway or "on the link" for path in to_reals.values() if path})
        yield ok("route", "", f"all {len(to_reals)} reals: by {', '.join(hops)}", _WHY_ROUTE)
    for vip in config.vips:
        yield from _checks(vip, [c for c in checked if c.vip == vip.name])


_WHY_ROUTE = "checks go by the kernel's route, traffic by node.interface to the gateway"


def _way(config: Config, real: str, path: WayTo | None) -> Finding | None:
    """What is wrong with the way to a real; None: nothing."""
    check, why, node = "route", _WHY_ROUTE, config.node
    if path is None:
        fix = f"ip route add {real} via GATEWAY dev {node.interface}"
        return Finding(check, real, Level.FAIL, "no route", why, fix)
    if path.interface != node.interface:
        what = f"the kernel's route is by {path.interface}, packets go by {node.interface}"
        fix = f"ip route replace {real} via GATEWAY dev {node.interface}"
        return Finding(check, real, Level.WARN, what, why, fix)
    if not path.neighbour:
        hop = path.gateway or real
        what = f"next hop {hop} does not answer ARP"
        fix = f"ip neigh show {hop} dev {node.interface}; ping -c1 {hop}"
        return Finding(check, real, Level.FAIL, what, why, fix)
    if not path.gateway:
        what = "on the node's own link: its packets make a detour over the gateway"
        fix = "put reals behind a router, or make sure that the gateway sends them back"
        return Finding(check, real, Level.NOTE, what, why, fix)
    return None


def _checks(vip: Vip, checked: Sequence[Checked]) -> Iterator[Finding]:
    """One finding for all that answer, one for each that does not."""
    check = "check"
    why = "a real that does not answer its check gets no new flow"
    failed = [result for result in checked if not result.ok]
    answered = len(checked) - len(failed)
    level = Level.FAIL if answered < vip.comes_at else Level.WARN
    port = vip.check.port or vip.port
    for result in failed:
        tool = _tool(vip, result.real, port)
        yield Finding(check, f"{result.real}@{vip.name}", level, result.detail, why, tool)
    said = sorted({result.detail for result in checked if result.ok})
    words = f"{answered} of {len(checked)} reals answer ({', '.join(said) or '-'})"
    if answered < vip.comes_at:
        yield Finding(
            *(check, vip.name, Level.FAIL, f"{words}; quorum is {vip.comes_at}"),
            why="the VIP would not be announced",
            fix="mend the reals above, or the check's port and path in [vips.check]",
        )
    else:
        yield ok(check, vip.name, words, why)


def _tool(vip: Vip, real: str, port: int) -> str:
    """A command that asks the real as its check does, nearly."""
    check = vip.check
    host = f"[{real}]" if ":" in real else real
    match check.kind:
        case "http" | "https":
            return f"curl -vk {check.kind}://{host}:{port}{check.path}"
        case "tls":
            return f"openssl s_client -connect {host}:{port} -servername {check.sni or real}"
        case "dns":
            how = " +tcp" if check.transport == "tcp" else ""
            return f"dig @{real} -p {port} {check.query} {check.record}{how}"
        case "udp":
            return f"nc -vuz {real} {port}"
        case "exec":
            return " ".join(check.command).replace("{real}", real).replace("{port}", str(port))
        case "file":
            return f"cat {check.file.replace('{real}', real)}"
        case _:
            return f"nc -vz {real} {port}"


def peers(answers: Sequence[PeerAnswer]) -> Iterator[Finding]:
    """Whether each BGP peer can be reached by TCP."""
    check, why = "bgp-peer", "no session, no route: clients do not come to this node"
    for answer in answers:
        if answer.error:
            port, local = answer.port, answer.local
            fix = f"nc -vz -s {local} {answer.peer} {port} (is {local} its neighbor?)"
            what = f"port {port} from {local}: {answer.error}"
            yield Finding(check, answer.peer, Level.FAIL, what, why, fix)
        else:
            yield ok(
                check, answer.peer, f"port {answer.port} can be reached from {answer.local}", why
            )
