# SPDX-License-Identifier: Apache-2.0
"""Keys in files: made, read back, and refused when others could read them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from console import settings
from console.cli import main as cli
from console.exits import Exit
from console.settings import SettingsError
from console.wire.trust import Trust, TrustError
from shared import curve


def test_a_key_is_made_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ann.key"
    assert cli.main(["keys", str(path), "--name", "ann@jump", "--role", "viewer"]) == Exit.DONE
    pair = curve.read(path)
    said = capsys.readouterr().out
    assert f"viewer {pair.public} ann@jump" in said
    assert pair.secret not in said
    assert pair.secret not in repr(pair)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert curve.public_path(path).read_text().strip() == pair.public
    assert cli.main(["keys", str(path), "--show"]) == Exit.DONE
    assert pair.public in capsys.readouterr().out


def test_a_key_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ann.key"
    cli.main(["keys", str(path)])
    before = path.read_bytes()
    assert cli.main(["keys", str(path)]) == Exit.FAILED
    assert "is there already" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (f"remora-secret {'a' * 40}\n", 0o644, "chmod 600"),
        ("remora-secret short\n", 0o600, "not a secret key"),
        ("hello\n", 0o600, "not a secret key"),
    ],
)
def test_secret_keys_that_are_not_secret_or_none(
    tmp_path: Path, text: str, mode: int, says: str
) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(curve.KeyFileError, match=says):
        curve.read(path)
    with pytest.raises(curve.KeyFileError, match="remora keys"):
        curve.read(tmp_path / "none")


def test_whom_the_console_speaks_to() -> None:
    own, node = curve.make(), curve.make()
    known = Trust(own, {"tcp://192.0.2.1:7400": node.public})
    assert known.key_of("ipc:///run/remora/lb1") is None
    assert known.key_of("tcp://192.0.2.1:7400") == node.public
    assert known.key_of("tcp://127.0.0.1:7400") is None, "loopback"
    with pytest.raises(TrustError, match="not known"):
        known.key_of("tcp://192.0.2.2:7400")
    assert Trust(own, {"*": node.public}).key_of("tcp://192.0.2.2:7400") == node.public
    assert Trust(insecure=True).key_of("tcp://192.0.2.2:7400") is None
    with pytest.raises(TrustError, match="needs a key of your own"):
        Trust(None, {"*": node.public}).key_of("tcp://192.0.2.2:7400")


def test_settings_with_keys(tmp_path: Path) -> None:
    """Both files beside the config file; mistakes name file and line."""
    own, node = curve.make(), curve.make()
    curve.write(tmp_path / "ann.key", own)
    config = tmp_path / "config.toml"
    config.write_text('agents = ["tcp://192.0.2.1:7400"]\nkey = "ann.key"\n')
    with pytest.raises(SettingsError, match="not known"):
        settings.load([], str(config), {})
    (tmp_path / "known_agents").write_text(f"# all of them\n192.0.2.1:7400 {node.public}\n")
    loaded = settings.load([], str(config), {})
    assert loaded.trust.own == own
    assert loaded.trust.key_of("tcp://192.0.2.1:7400") == node.public
    (tmp_path / "known_agents").write_text("192.0.2.1 nonsense\n")
    with pytest.raises(SettingsError, match="line 1: must be HOST:PORT PUBLIC-KEY"):
        settings.load([], str(config), {})
