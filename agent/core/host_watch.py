# SPDX-License-Identifier: Apache-2.0
"""What the node makes of changes around it: link, program, addresses, next hop.  Pure.

Macs and own addresses are followed; a program that went is put back, and until it is there nothing
is announced.  All that changed is said, with what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_interface

from agent.boundary import Attach, Effect, Emit, Follow, Looked
from agent.config.tree import Config
from agent.core.state import NodeState
from agent.host.host_seen import HostSeen, LinkSeen
from shared.messages import ChangeEvent

Said = tuple[str, str]
"""(what, result) of an event."""
SILENT = 3.0
"""Seconds without an answer of the next hop: the kernel's three questions."""
LOST = ("none", "foreign")


class Watching:
    """Compares what is seen with what was; `touch_all()`: what is announced may change."""

    def __init__(self, state: NodeState, touch_all: Callable[[], None]) -> None:
        self._state = state
        self._touch_all = touch_all
        self._seen: HostSeen | None = None
        self._error = ""
        self._silent: float | None = None
        """Since when the next hop does not answer."""
        self._told_silent = False

    def looked(self, fact: Looked, at: float) -> list[Effect]:
        """One more look."""
        state, now = self._state, fact.seen
        before, self._seen = self._seen, now
        said = [*changes(state.listed, before, now), *self._gateway(now, at)]
        if fact.error and fact.error != self._error:
            said.append((f"xdp {state.listed.node.interface}", f"not put back: {fact.error}"))
        self._error = fact.error
        attached = now.program not in LOST
        if attached is not state.attached:
            state.attached = attached
            self._touch_all()
        effects: list[Effect] = []
        if now.link and (now.program == "none" or _wants_filter(now)):
            effects.append(Attach())
        if now.link:
            effects.append(_follow(state.listed.node.interface, now, now.link))
        events = [ChangeEvent("agent", what, result, state.revision) for what, result in said]
        return [*effects, *(Emit(event, warns=True) for event in events)]

    def _gateway(self, seen: HostSeen, at: float) -> Iterator[Said]:
        """Whether it answers.  The kernel asks again and again while somebody sends to it."""
        what = f"gateway {seen.gateway}"
        if seen.neighbour.mac:
            if self._told_silent:
                yield what, "answers again"
            self._silent, self._told_silent = None, False
        elif seen.neighbour.asked and not self._told_silent:
            self._silent = at if self._silent is None else self._silent
            if at - self._silent >= SILENT:
                self._told_silent = True
                yield what, "does not answer: what is balanced goes to its last MAC"


def _wants_filter(seen: HostSeen) -> bool:
    """Both programs are put back together, so not beside somebody else's."""
    return not seen.filtered and seen.program != "foreign"


def _follow(interface: str, seen: HostSeen, link: LinkSeen) -> Follow:
    own = [ip_interface(text).ip for name, text in seen.addresses if name == interface]
    shown = sorted((a for a in own if not a.is_link_local), key=lambda a: (a.version, int(a)))
    return Follow(link.mac, seen.neighbour.mac, tuple(shown))


def changes(listed: Config, before: HostSeen | None, now: HostSeen) -> Iterator[Said]:
    """(what, result) of each change; nothing at the first look, unless the program is gone."""
    name = listed.node.interface
    if before is None:
        if now.program in LOST:
            yield f"xdp {name}", _LOST[now.program]
        return
    yield from _link(name, before.link, now.link)
    if before.program != now.program:
        yield f"xdp {name}", _LOST.get(now.program, f"our program runs: {now.program}")
    if before.filtered and not now.filtered:
        yield f"tc {name}", "our filter is gone: no check goes through the tunnel until it is back"
    elif now.filtered and not before.filtered:
        yield f"tc {name}", "our filter is back"
    yield from _gateway(before, now)
    for interface, address in sorted(before.addresses - now.addresses):
        if meaning := _address_gone(listed, interface, address):
            yield f"address {address}", f"gone from {interface}{meaning}"
    for interface, address in sorted(now.addresses - before.addresses):
        if meaning := _address_come(listed, interface, address):
            yield f"address {address}", f"on {interface}{meaning}"


_LOST = {
    "none": "our program is gone: nothing is balanced, routes are withdrawn until it is back",
    "foreign": "somebody else's program took its place: nothing is balanced, routes are withdrawn; "
    "`ip link set dev ... xdp off` ends it",
}


def _link(name: str, before: LinkSeen | None, now: LinkSeen | None) -> Iterator[Said]:
    what = f"link {name}"
    if now is None or before is None:
        if now is not before:
            yield what, "is there" if now else "is gone"
        return
    if before.ifindex != now.ifindex:
        yield what, "was made anew"
    if before.up is not now.up:
        yield what, "up" if now.up else "down: nothing arrives or leaves"
    if before.mtu != now.mtu:
        yield what, f"MTU {before.mtu} -> {now.mtu}; see node.underlay_mtu"
    if before.mac != now.mac:
        yield what, f"MAC {before.mac.hex(':')} -> {now.mac.hex(':')}, followed"


def _gateway(before: HostSeen, now: HostSeen) -> Iterator[Said]:
    what, old, new = f"gateway {now.gateway}", before.neighbour.mac, now.neighbour.mac
    if before.gateway != now.gateway:
        yield what, f"instead of {before.gateway}, as the default route says; followed"
    elif old and new and old != new:
        yield what, f"MAC {old.hex(':')} -> {new.hex(':')}, followed"


def _address_gone(listed: Config, interface: str, text: str) -> str:
    """What it means to us; empty: nothing."""
    address = ip_interface(text).ip
    for peer in listed.bgp.peers if listed.bgp else ():
        if peer.local_address == address:
            return f": the BGP session with {peer.address} is from it"
    if any(vip.check.source == address for vip in listed.vips):
        return ": checks are from it"
    return _followed(listed, interface)


def _address_come(listed: Config, interface: str, text: str) -> str:
    address, node = ip_interface(text).ip, listed.node
    for key, prefix in (("outer_source", node.outer_source), ("outer_source6", node.outer_source6)):
        if address in prefix:
            return f": it lies in node.{key}, ICMP errors about balanced packets would be its own"
    served = {ip_address(str(vip.address)) for vip in listed.vips}
    if address in served and not node.decap:
        return ": a VIP's, so that answers to checks are martians; take it off"
    return _followed(listed, interface)


def _followed(listed: Config, interface: str) -> str:
    if interface != listed.node.interface:
        return ""
    return ", followed" if listed.node.decap else "; no check and no session is from it"
