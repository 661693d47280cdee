# SPDX-License-Identifier: Apache-2.0
"""The flows of a capture file, for those who ask the nodes about them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from console import format as fmt
from console.exits import VerbError
from console.model.capture_file import CaptureError, frames
from console.model.captured_flows import captured
from shared.flows import Flow


class Asked(NamedTuple):
    what: str
    """In words."""
    flows: Sequence[Flow]


def of_capture(file: str, most: int, packets: int | None = None) -> Asked:
    """Its first `most` flows; `packets`: of so many of its packets, and only of a file, which is
    there at once; None: of all, of a pipe too.

    Raises VerbError for what is no capture, or has no flow.
    """
    try:
        path = Path(file).expanduser()
        if packets is not None and path.exists() and not path.is_file():
            raise VerbError(f"--pcap {file}: is no file; remora flow --pcap reads a pipe")
        with path.open("rb") as opened:
            found = captured(islice(frames(opened.read), packets), most)
    except (OSError, RuntimeError, ValueError) as error:  # ~nobody/x, a NUL in it, no right to look
        text = getattr(error, "strerror", None) or error
        raise VerbError(f"--pcap {file}: {text}") from error
    except CaptureError as error:
        raise VerbError(f"--pcap {file}: {error}") from error
    if not found.flows:
        raise VerbError(f"--pcap {file}: no flow in its {found.packets} packets")
    more = ", the first of more" if found.more else ""
    others = f", {fmt.count(found.others)} of no flow" if found.others else ""
    count = fmt.count(len(found.flows))
    first = "the first " if found.packets == packets else ""
    return Asked(
        f"{file}: {count} flows{more} in {first}{fmt.count(found.packets)} packets{others}",
        found.flows,
    )
