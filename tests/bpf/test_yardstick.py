# SPDX-License-Identifier: Apache-2.0
"""What `make bench-check` compares with: compiled by Debian's python3, and it balances."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.dataplane import bpf_syscall
from tests.bench import yardstick
from tests.bpf import frames
from tests.bpf.rig import PASS, TX, WEB

pytestmark = pytest.mark.root


def test_the_yardstick_encapsulates_to_its_reals_and_passes_the_rest(bpffs: Path) -> None:
    pin = bpffs / "yardstick"
    program = yardstick.load(pin, frames.VIP, WEB.port)
    try:
        ran = [
            bpf_syscall.run_program(program, frames.tcp(port=port, flags="A"))
            for port in range(1000, 1100)
        ]
        assert {one.result for one in ran} == {TX}
        reals = {bytes(one.output[30:34]) for one in ran}
        assert len(reals) > 40, "of a hundred"
        assert {real[:2] for real in reals} == {bytes((10, 3))}
        other = frames.tcp(to="198.51.100.1", flags="A")
        assert bpf_syscall.run_program(program, other).result == PASS
    finally:
        os.close(program)
        pin.unlink()
