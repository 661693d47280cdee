# SPDX-License-Identifier: Apache-2.0
"""docs/wire.md, written from shared/messages/ and the golden messages.

`python -m tests.wire_page` writes it; a unit test fails when it is out of step.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from shared import jsonl, messages
from shared.codec import LARGEST_COMMAND, LARGEST_TELEMETRY, command_frames, telemetry_frames
from shared.messages import Counters, Event
from shared.model import Admin, Health, Protocol
from tests.unit import test_codec as golden

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "wire.md"
SOURCES = sorted((ROOT / "shared" / "messages").glob("*.py"))
HEAD = Path(__file__).with_name("wire_page_head.md")

SNAPSHOTS = (
    "NodeSnapshot", "VipSnapshot", "RealSnapshot", "CpuSnapshot", "FlowtableSnapshot",
    "DropSnapshot", "LabelSnapshot",
)  # fmt: skip
ROWS = (
    "Peer", "Withdrawn", "PendingRow", "RolloutRow", "VipRow", "Ailing", "RealRow", "Emptying",
    "ProgramTotals", "DropRow",
)  # fmt: skip
EVENTS = (
    "DropEvent", "HealthEvent", "RouteEvent", "PeerEvent", "ChangeEvent", "LostEvent",
)  # fmt: skip
TRACES = ("Packets", "TracedPacket")
ACTIONS = tuple(
    kind.__name__ for kind in messages.Action.__args__
)  # fmt: skip
ANSWERS = (
    "Answer", "Change", "Ring", "Configured", "FlowPlace", "FlowAfter", "StoredFlow", "FlowPlaces",
    "Ages", "AgesRow", "AuditPart",
)  # fmt: skip


COUNTED = "total since `boot`"
COMMON = {
    "node": "name of the node",
    "address": "IPv4 or IPv6, as text (RFC 5952)",
    "name": "as configured; of a reason: the word for its number",
    "vip": "name of a VIP; in an action: empty means all",
    "real": "address of a real",
    "peer": "address of the neighbour",
    "version": "of the program, as text",
    "interface": "where XDP is attached",
    "xdp_mode": "how",
    "admin": "what the operator wants of it",
    "health": "what the checks say",
    "was": "before; of a change: in words",
    "now": "after; of a change: in words",
    "state": "of the BGP session",
    "asn": "autonomous system number",
    "peers": "BGP neighbours",
    "detail": "in words",
    "why": "in words",
    "who": "who gave the command",
    "what": "the command, as the CLI writes it",
    "result": "status, and error if there was one",
    "error": "why not, and what would do; empty: nothing is wrong",
    "port": "TCP or UDP port; 0: all",
    "protocol": "of the VIP; of a packet: in words",
    "rx_packets": f"{COUNTED}: packets that XDP saw",
    "rx_bytes": f"{COUNTED}: bytes of those, from the Ethernet header on",
    "tx_packets": f"{COUNTED}: packets sent to reals, or answered",
    "tx_bytes": f"{COUNTED}: bytes of those, as received",
    "pass_packets": f"{COUNTED}: packets left to the host",
    "drop_packets": f"{COUNTED}: packets dropped; rx = tx + pass + drop",
    "packets": f"{COUNTED}: packets",
    "bytes": f"{COUNTED}: bytes",
    "drops": f"{COUNTED}: packets dropped, for the VIP; topic `drop`: by reason",
    "new_flows": f"{COUNTED}: flows seen for the first time; UDP is not told where it is not "
    "stored (`compute`, pressure)",
    "flow_hits": f"{COUNTED}: packets whose flow was known",
    "flow_misses": f"{COUNTED}: packets whose flow was not",
    "hits": f"{COUNTED}: lookups that found their flow",
    "miss_syn": f"{COUNTED}: TCP SYN of an unknown flow",
    "miss_udp": f"{COUNTED}: UDP packet of an unknown flow",
    "miss_other": f"{COUNTED}: other packet of an unknown flow",
    "stale": f"{COUNTED}: flows whose real had gone meanwhile",
    "evictions": f"{COUNTED}: live flows that made room for others",
    "occupied": "entries in use, now",
    "live": "flows seen within `flow_idle` and not closing, now",
    "live_flows": "flows seen within `flow_idle` and not closing, now",
    "vips": "VIPs of the node",
    "vips_announced": "of those: announced by BGP",
    "reals": "reals of the VIPs; a real behind two VIPs counts twice",
    "reals_up": "of those: take new flows",
    "quorum": "announced while at least so many reals take new flows",
    "announced": "whether its address is announced by BGP",
    "ring_digest": "equal on nodes that place alike",
    "digest": "equal on nodes that place alike",
    "ring_changes": "rings put in force since the agent started",
    "rss_bytes": "memory of the agent process, bytes",
    "weight": "configured share, 1 to 1000, or the operator's",
    "effective_weight": "share after admin, health and slow start",
    "check_ms": "duration of the last check, milliseconds",
    "reason": "number of the drop reason (`remora reasons`)",
    "events": f"topic `drop`: {COUNTED}: events made; answer: what `replay` asked for",
    "destination": "as `source`",
    "length": "bytes of the frame",
    "cpu": "that handled the packet",
    "rx_queue": "that it came by",
    "revision": "of the node's state, after it",
    "count": "how many",
    "wall": "Unix time, seconds",
    "body": "one of the structs below, told apart by `type`",
    "sequence": "number of the first event wanted",
    "actions": "changes of reals",
    "first": "number of the first record; -20: the last twenty",
    "since": "Unix time, seconds",
    "until": "Unix time, seconds",
    "action": "one of the structs below, told apart by `type`",
    "dry_run": "plan only",
    "expect_revision": "refused unless the node is at this revision",
    "slots_before": "ring slots that it owns",
    "slots_after": "ring slots that it would own",
    "addresses": "of the reals, as `slots` numbers them from 0",
    "id": "of the command",
    "changes": "what becomes of each real",
    "snapshots": "one of each topic, for `look`",
    "labels": "see LabelSnapshot",
    "ring": "for `ring`",
    "config": "for `config`",
    "going_on": "which gets its packets if it began before",
    "going_on_after": "as `going_on`, after the change",
    "by": "how those find it: an entry, the slot's earlier real, as a new flow does",
    "passed": "slots before that one, whose reals take none",
    "flow": "for `flow`",
    "flows": "for `flows`",
    "ages": "for `flow-ages`",
    "audit": "for `audit`",
    "phase_since": "agent-monotonic seconds",
    "phase_why": "in words",
    "pending": "changes that end by themselves",
    "operation": "as in the command",
    "emptying": "of a real that is drained: how its flows go",
    "stage": "before or after the program",
    "slot": "of the VIP's ring",
    "exits": "exits among them",
    "source_port": "0: any",
    "destination_port": "0: any",
}
"""What a field means where the struct says nothing of its own."""
MEANT = {
    "VipRow": "One VIP.",
    "RealRow": "One real of one VIP.",
    "DropRow": "One reason.",
    "HealthEvent": "A real's checks changed their mind.",
    "RouteEvent": "An address was announced or withdrawn.",
    "PeerEvent": "A BGP session came up or went down.",
    "Command": "What a console sends.",
    "Answer": "What comes back, once per command sent.",
}
ENUMS = {"Admin": Admin, "Health": Health, "Protocol": Protocol}


class Field(NamedTuple):
    name: str
    kind: str
    default: str
    meaning: str


class Table(NamedTuple):
    name: str
    bases: tuple[str, ...]
    meaning: str
    fields: tuple[Field, ...]


def tables() -> dict[str, Table]:
    """Every struct of the wire, by name."""
    found = {}
    for node in (node for source in SOURCES for node in ast.parse(source.read_text()).body):
        if isinstance(node, ast.ClassDef) and node.name != "Counters":
            bases = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
            meaning = " ".join((ast.get_docstring(node) or "").split())
            found[node.name] = Table(node.name, bases, meaning, tuple(_fields(node)))
    return found


def _fields(node: ast.ClassDef) -> Iterator[Field]:
    for place, statement in enumerate(node.body):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        behind = node.body[place + 1] if place + 1 < len(node.body) else None
        told = ""
        if isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant):
            told = " ".join(str(behind.value.value).split())
        default = ast.unparse(statement.value) if statement.value is not None else ""
        name = statement.target.id
        yield Field(name, _kind(statement.annotation), default, told or COMMON.get(name, ""))


_REPLACED = (
    (r"Annotated\[str, Meta\(max_length=(\d+)\)\]", r"str, at most \1"),
    (r"tuple\[(.*?), \.\.\.\]", r"array of \1"),
    (r"Literal\[(.*)\]", r"\1"),
    (r"\bSupposed\b", "Drain | Undrain | Disable | Weight | Batch"),
    (r" \| None", ", or nil"),
    (r"\bFinite\b", "float"),
    (r"Counters", "bin: u64 little-endian"),
    (r"\bbytes\b", "bin"),
    (r"\|", "or"),
)


def _kind(annotation: ast.expr) -> str:
    text = ast.unparse(annotation)
    for pattern, by in _REPLACED:
        text = re.sub(pattern, by, text)
    for name, enum in ENUMS.items():
        text = re.sub(rf"\b{name}\b", ", ".join(f"`{member}`" for member in enum), text)
    return text.replace("'", "`")


def _table(name: str, of: dict[str, Table]) -> list[str]:
    struct = of[name]
    tag = getattr(messages, name).__struct_config__.tag
    title = f"#### {name}" + (f": `type` = `{tag}`" if tag else "")
    lines = [title, "", struct.meaning or MEANT[name], ""]
    if "Message" in struct.bases:
        lines += ["The fields of every message, and:", ""]
    if struct.fields:
        lines += ["| field | type | default | |", "|--|--|--|--|"]
        lines += [
            f"| `{f.name}` | {f.kind} | {f'`{f.default}`' if f.default else 'required'} "
            f"| {f.meaning} |"
            for f in struct.fields
        ]
        lines += [""]
    return lines


def _example(name: str, message: msgspec.Struct, frames: list[bytes]) -> list[str]:
    shown = json.dumps(msgspec.to_builtins(message, enc_hook=_shown, builtin_types=(bytes,)),
                       default=_shown)  # fmt: skip
    return [
        f"**{name}**",
        "",
        "```json",
        shown,
        "```",
        "```",
        *(frame.hex() for frame in frames),
        "```",
        "",
    ]


def _shown(value: object) -> object:
    if isinstance(value, Counters):
        return f"0x{value.packed.hex()}"
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    raise TypeError(type(value).__name__)


def page() -> str:
    of = tables()
    head = HEAD.read_text()
    head = head.replace("{LARGEST_COMMAND}", f"{LARGEST_COMMAND:,}")
    head = head.replace("{LARGEST_TELEMETRY}", f"{LARGEST_TELEMETRY:,}")
    lines = [head.rstrip(), "", "## Messages", "", "### Every telemetry message", ""]
    lines += _table("Message", of)[2:]
    for title, names in (
        ("Snapshots", SNAPSHOTS), ("Rows of snapshots", ROWS), ("Event", ("Event",)),
        ("Bodies of events", EVENTS), ("Traces", TRACES),
        ("Command", ("Command",)), ("Actions", ACTIONS),
        ("Answer", ANSWERS),
    ):  # fmt: skip
        lines += [f"### {title}", ""]
        for name in names:
            lines += _table(name, of)
    lines += ["## Examples: golden bytes", "", _ABOUT_EXAMPLES, ""]
    for name, message in golden.TELEMETRY.items():
        lines += _example(name, message, telemetry_frames(message))
    for name, command in golden.COMMANDS.items():
        lines += _example(f"command: {name}", command, command_frames(command))
    lines += _example("answer", golden.ANSWER, command_frames(golden.ANSWER))
    lines += ["## Examples: JSON lines", "", "```json"]
    for message in golden.TELEMETRY.values():
        if isinstance(message, Event):
            lines.append(json.dumps(jsonl.fields(message)))
    return "\n".join([*lines, "```"]) + "\n"


_ABOUT_EXAMPLES = """\
Each message as JSON (`0x...` stands for bytes), then its frames in hex, one a line. They are
`tests/unit/golden_wire.json`, which a test compares with what the code writes."""


if __name__ == "__main__":
    PAGE.write_text(page())
