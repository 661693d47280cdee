# SPDX-License-Identifier: Apache-2.0
"""The config file: the sample is the reference, and every mistake names key, value and remedy."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agent import config
from agent.cli import main

SAMPLE = Path(__file__).parents[2] / "configs" / "agent.toml"
TEXT = SAMPLE.read_text()


def test_sample_is_valid() -> None:
    listed = config.read(SAMPLE)
    assert listed.node.name == "lb1"
    assert [real.weight for real in listed.vips[0].reals] == [100, 100, 50]


def test_sample_shows_every_key_and_its_default() -> None:
    """What the sample says of a default is what the code does."""
    raw = tomllib.loads(TEXT)
    tables = [
        (config.Node, raw["node"]),
        (config.Telemetry, raw["telemetry"]),
        (config.Metrics, raw["metrics"]),
        (config.Bgp, raw["bgp"]),
        (config.BgpPeer, raw["bgp"]["peers"][0]),
        (config.Vip, raw["vips"][0]),
        (config.Check, raw["vips"][0]["check"]),
        (config.Real, raw["vips"][0]["reals"][0]),
    ]
    for table, shown in tables:
        assert set(table.__struct_fields__) == set(shown), table.__name__
    assert config.Metrics().listen == raw["metrics"]["listen"]
    shown_node = raw["node"]
    required = {"name", "interface", "hash_key", "run_dir", "state_dir"}
    minimal = {key: shown_node[key] for key in required}
    defaults = config.parse(_with_node(minimal), "minimal").node
    for key in set(shown_node) - required:
        value = getattr(defaults, key)
        assert (value if isinstance(value, float) else str(value)) == (
            shown_node[key] if isinstance(value, float) else str(shown_node[key])
        ), key


def _with_node(node: dict[str, object]) -> str:
    lines = "\n".join(f'{key} = "{value}"' for key, value in node.items())
    return f"[node]\n{lines}\n" + TEXT[TEXT.index("[[vips]]") :]


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        ("weight = 50", "weight = -3", "vips[0].reals[2].weight: expected `int` >= 1, got -3"),
        (
            "weight = 50",
            "wieght = 3",
            "vips[0].reals[2].wieght: unknown key; did you mean 'weight'",
        ),
        ("port = 80 ", "prt = 80 ", "vips[0].prt: unknown key; did you mean 'port'"),
        ("port = 80 ", "port = 70000 ", "vips[0].port: expected `int` <= 65535, got 70000"),
        ('"10.3.1.2"', '"10.3.1"', "vips[0].reals[0].address: expected an IPv4 address, got"),
        ('"10.3.1.2"', "103", "expected an IPv4 address in quotes, got 103"),
        ("hz = 1.0", 'hz = "x"', "telemetry.hz: expected `float`, got 'x'"),
        ("= 262144", "= 262145", "must be a power of two, got 262145; use 262144 or 524288"),
        ('"00112233445566778899aabbccddeeff"', '"12"', "openssl rand -hex 16"),
        ('"10.3.2.2"', '"10.3.1.2"', "10.3.1.2 is listed twice; raise its weight instead"),
        ("[node]", "[nodes]", "nodes: unknown key; did you mean 'node'?"),
        ('= "tcp" ', '= "sctp" ', "vips[0].protocol: expected tcp or udp, got 'sctp'"),
        ('"http"', '"htpp"', "vips[0].check.kind: expected tcp or http, got 'htpp'"),
        ('"auto" ', '"gw" ', "node.gateway: must be an IPv4 address or \"auto\", got 'gw'"),
        ("quorum = 1", "quorum = 9", "vips[0].quorum: 9 reals are needed, 3 are listed"),
        ('name = "lb1"', 'name = "l b"', "node.name: expected letters"),
        ('"172.16.0.0/16"', '"172.16.0.1/16"', "expected an IPv4 network without host bits"),
        ('"172.16.0.0/16"', '"10.3.0.0/16"', "lies in node.outer_source"),
        ('"10.3.1.2"', '"10.200.0.1"', "is a VIP address: packets would loop"),
        ("timeout = 1.0", "timeout = 3.0", "check.timeout: 3.0 is longer than the interval"),
        ("hold_time = 9", "hold_time = 2", "bgp.peers[0].hold_time: expected `int` >= 3, got 2"),
        ('"127.0.0.1:9469"', '"9469"', 'must be ADDRESS:PORT such as "127.0.0.1:9469"'),
        ('"127.0.0.1:9469"', '"localhost:9469"', "got 'localhost:9469'"),
        ('"127.0.0.1:9469"', '"127.0.0.1:99999"', "got '127.0.0.1:99999'"),
        ("[node]", "[node", "not TOML"),
        ('address = "10.200.0.1"', "", "vips[0].address: missing; add it"),
        ('path = "/healthz"', 'path = "/a b"', "vips[0].check.path: expected an absolute path"),
        (
            'run_dir = "/run/remora/lb1"',
            'run_dir = "run"',
            "node.run_dir: must be an absolute path",
        ),
    ],
)
def test_mistakes_name_key_value_and_remedy(good: str, bad: str, says: str) -> None:
    assert good in TEXT
    with pytest.raises(config.ConfigError) as caught:
        config.parse(TEXT.replace(good, bad), "agent.toml")
    assert str(caught.value).startswith("agent.toml: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value).split("not TOML")[0]


def test_the_secret_is_not_shown() -> None:
    key = "00112233445566778899aabbccddeef"
    with pytest.raises(config.ConfigError) as caught:
        config.parse(TEXT.replace("00112233445566778899aabbccddeeff", key), "agent.toml")
    assert key not in str(caught.value)


def test_check_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(SAMPLE)]) == 0
    assert "ok: node lb1, 1 VIPs, 3 reals, 1 BGP peers" in capsys.readouterr().out
    wrong = tmp_path / "agent.toml"
    wrong.write_text(TEXT.replace("weight = 50", "weight = 0"))
    assert main(["check", str(wrong)]) == 2
    assert str(wrong) in (error := capsys.readouterr().err)
    assert error.count("\n") == 1
    assert main(["check", str(tmp_path / "none.toml")]) == 2
