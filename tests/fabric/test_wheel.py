# SPDX-License-Identifier: Apache-2.0
"""The wheel: what `pip install` puts elsewhere works without the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.fabric.fabric import Fabric, syn

pytestmark = pytest.mark.root

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, in a directory of their own."""
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(place)],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def from_wheel(site: Path, *words: str) -> str:
    """Run Python with the wheel's packages in front of the checkout's; what it printed."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_agent_loads_its_data_plane_from_the_wheel(fabric: Fabric, installed: Path) -> None:
    """Compiled from the wheel's own C sources, and placing as the checkout's does."""
    config = fabric.agents["lb1"].config
    asked = ("simulate", "-c", str(config), "--json", "--hex", syn(20001).hex())
    where = "import agent, agent.dataplane.loader as l; print(agent.__file__, l.bpf_directory())"
    assert from_wheel(installed, "-c", where).split() == [
        str(installed / "agent" / "__init__.py"),
        str(installed / "agent" / "bpf"),
    ]
    (result,) = json.loads(from_wheel(installed, "-m", "agent", *asked))
    assert result["real"] == fabric.simulate("lb1", [syn(20001)])[0]["real"]


def test_what_an_operator_copies_is_beside_the_program(installed: Path) -> None:
    """The sample is right as it stands, and each path that the units name is in the wheel."""
    (prefix,) = installed.glob("remora-*.data/data")
    configs = prefix / "share" / "remora" / "configs"
    assert "ok: node lb1" in from_wheel(
        installed, "-m", "agent", "check", str(configs / "agent.toml")
    )
    for unit in ("remora-agent.service", "remora-preflight.service"):
        named = re.findall(r"^Documentation=file:///opt/remora/(.+)$", read(configs / unit), re.M)
        assert named
        assert all((prefix / path).is_file() for path in named)
    assert read(prefix / "share" / "man" / "man1" / "remora.1").startswith(".TH REMORA 1")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_console_needs_no_part_of_the_agent(installed: Path) -> None:
    """On a jump host there is no numpy, no pyroute2 and no bcc."""
    absent = ["agent", "numpy", "pyroute2", "bcc", "exabgp"]
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({absent!r}))\n"  # None: importing it raises
        "from console.cli.main import main\n"
        "import console.tui.app\n"
        "sys.exit(main(['version']))"
    )
    assert from_wheel(installed, "-c", script).startswith("remora ")
