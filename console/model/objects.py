# SPDX-License-Identifier: Apache-2.0
"""`real/10.3.1.2@web`: how an operator names a thing, and which agents carry it.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Literal, NamedTuple

from console.exits import Exit, VerbError
from console.model.store import Agent
from shared.messages import Announce, Disable, Drain, Undrain, VipRow, Weight, Withdraw
from shared.model import host_port

Kind = Literal["node", "vip", "real", "peer"]
Verb = Literal["drain", "undrain", "maint", "weight", "announce", "withdraw"]
Part = Drain | Undrain | Disable | Weight | Announce | Withdraw
"""What is done to one object."""
PLACED: tuple[Kind, ...] = ("real", "vip", "node")
"""What takes packets, or does not."""
ROUTED: tuple[Kind, ...] = ("vip", "node", "peer")
"""What has routes."""


def labelled_kinds(verb: str) -> tuple[Kind, ...]:
    """Those of them that have labels."""
    return tuple(kind for kind in kinds_of(verb) if kind != "peer")


def either(kinds: Sequence[Kind]) -> str:
    """`real, vip or node`"""
    return f"{', '.join(kinds[:-1])} or {kinds[-1]}"


def kinds_of(verb: str) -> tuple[Kind, ...]:
    """That a verb may be of."""
    return ROUTED if verb in ("announce", "withdraw") else PLACED


class ObjectError(VerbError):
    """A name that means nothing here, or more than one thing; the text says what would do."""


class Object(NamedTuple):
    kind: Kind
    name: str
    """Node or VIP name, a real's address; of a peer: `lb1/10.2.1.1`."""
    vip: str = ""
    """Of a real: its VIP; empty means all of them."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" + (f"@{self.vip}" if self.vip else "")


def parse(text: str, agents: Sequence[Agent], *, kinds: Sequence[Kind]) -> Object:
    """Raises ObjectError.  Without a prefix the name must mean one thing only."""
    prefix, slash, name = text.partition("/")
    if slash and prefix in ("node", "vip", "real", "peer"):
        kind: Kind = prefix  # type: ignore[assignment]
        if kind not in kinds:
            raise ObjectError(f"{text}: this verb takes {_words(kinds)}")
        return _one(_checked(_object(kind, name, agents), agents), agents)
    meant = [_object(kind, text, agents) for kind in kinds]
    candidates = [target for target in meant if _exists(target, agents)]
    if len(candidates) > 1:
        ways = " or ".join(str(candidate) for candidate in candidates)
        raise ObjectError(f"{text}: ambiguous, write {ways}")
    if not candidates:
        raise ObjectError(
            f"{text}: no {' or '.join(kinds)} of that name; {_known(kinds[0], agents)}"
        )
    return _one(candidates[0], agents)


def carriers(target: Object, agents: Sequence[Agent]) -> list[Agent]:
    """The agents that have the object, as far as they have said."""
    return [agent for agent in agents if _has(agent, target)]


def action(verb: Verb, target: Object, weight: int = 0) -> Part:
    """What to send.  Raises ObjectError when the verb makes no sense for the object."""
    if target.kind not in kinds_of(verb):
        what = "has no route" if target.kind == "real" else "takes no flows"
        raise ObjectError(
            f"{target}: a {target.kind} {what}; {verb} is of {_words(kinds_of(verb))}"
        )
    if verb in ("announce", "withdraw"):
        return _of_route(verb, target)
    if target.kind != "real" and verb in ("weight", "maint"):
        what = "has no weight" if verb == "weight" else "cannot be disabled"
        raise ObjectError(f"{target}: a {_KINDS[target.kind]} {what}; name a real")
    if verb == "weight":
        return Weight(real=target.name, weight=weight, vip=target.vip)
    if verb == "maint":
        return Disable(real=target.name, vip=target.vip)
    made = Drain if verb == "drain" else Undrain
    if target.kind == "node":
        return made(node=True)
    if target.kind == "vip":
        return made(vip=target.name)
    return made(real=target.name, vip=target.vip)


def _of_route(verb: Verb, target: Object) -> Announce | Withdraw:
    made = Announce if verb == "announce" else Withdraw
    if target.kind == "node":
        return made(node=True)
    if target.kind == "vip":
        return made(vip=target.name)
    return made(peer=target.name.partition("/")[2])


_KINDS = {"node": "node", "vip": "VIP", "real": "real"}


def _object(kind: Kind, name: str, agents: Sequence[Agent]) -> Object:
    match kind:
        case "node":
            return Object(kind, name)
        case "vip":
            return Object(kind, vip_named(name, agents))
        case "peer":
            node, _, address = name.partition("/")
            return Object(kind, f"{node}/{canonical(address)}")
    address, _, vip = name.partition("@")
    return Object("real", canonical(address), vip_named(vip, agents))


def vip_named(text: str, agents: Sequence[Agent]) -> str:
    """The name of the VIP of `10.200.0.1:80/tcp`; what is no VIP's address is a name already.

    Raises ObjectError where nodes call that VIP otherwise."""
    found = dict.fromkeys(
        row.name for agent in agents for row in _vips(agent) if endpoint(row) == text.lower()
    )
    if len(found) > 1:
        raise ObjectError(f"{text}: ambiguous, nodes call it {' or '.join(found)}")
    return next(iter(found), text)


def endpoint(row: VipRow) -> str:
    """`10.200.0.1:80/tcp`, `[2001:db8::1]:443/udp`."""
    return f"{host_port(row.address, row.port)}/{row.protocol}"


def canonical(address: str) -> str:
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def _checked(target: Object, agents: Sequence[Agent]) -> Object:
    if not target.name:
        raise ObjectError(f"{target}: a name is missing after the slash")
    if not _exists(target, agents):
        _of_the_silent(target, agents)
        raise ObjectError(f"{target}: there is none; {_known(target.kind, agents)}")
    return target


def _of_the_silent(target: Object, agents: Sequence[Agent]) -> None:
    """Raises ObjectError for a peer of a node that has said nothing of its peers."""
    node = target.name.partition("/")[0]
    if target.kind == "peer" and any(a.name == node and a.node is None for a in agents):
        raise ObjectError(f"{target}: {node} does not answer", Exit.NO_AGENT)


def _one(target: Object, agents: Sequence[Agent]) -> Object:
    """VIPs and reals are on many nodes; a node is one."""
    found = [agent.address for agent in carriers(target, agents)]
    if target.kind == "node" and len(found) > 1:
        raise ObjectError(
            f"{target}: {len(found)} agents call themselves so, at {', '.join(found)}: give each a "
            "node.name of its own"
        )
    return target


def _exists(target: Object, agents: Sequence[Agent]) -> bool:
    return any(_has(agent, target) for agent in agents)


def _has(agent: Agent, target: Object) -> bool:
    match target.kind:
        case "node":
            return agent.name == target.name
        case "vip":
            return any(row.name == target.name for row in _vips(agent))
        case "peer":
            return any(target.name == f"{agent.name}/{address}" for address in _peers(agent))
        case "real":
            return any(
                row.address == target.name and target.vip in ("", row.vip)
                for row in (agent.reals.reals if agent.reals else ())
            )


def _vips(agent: Agent) -> Sequence[VipRow]:
    return agent.vips.vips if agent.vips else ()


def _peers(agent: Agent) -> Sequence[str]:
    return [peer.address for peer in agent.node.peers] if agent.node else ()


def names(kind: Kind, agents: Sequence[Agent]) -> list[str]:
    """All objects of a kind that the agents told of, as an operator writes them."""
    match kind:
        case "node":
            found = {f"node/{agent.name}" for agent in agents}
        case "vip":
            found = {f"vip/{row.name}" for agent in agents for row in _vips(agent)}
        case "peer":
            found = {
                f"peer/{agent.name}/{address}" for agent in agents for address in _peers(agent)
            }
        case "real":
            found = {f"real/{r.address}@{r.vip}" for a in agents if a.reals for r in a.reals.reals}
    return sorted(found)


def _known(kind: Kind, agents: Sequence[Agent]) -> str:
    all_ = names(kind, agents)
    some = all_[:6]
    if not some:
        return f"no {kind} is known"
    return f"there is {', '.join(some)}" + (" and more" if len(all_) > len(some) else "")


def _words(kinds: Sequence[Kind]) -> str:
    return " or ".join("peer/NODE/ADDRESS" if k == "peer" else f"{k}/NAME" for k in kinds)
