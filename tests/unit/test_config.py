# SPDX-License-Identifier: Apache-2.0
"""The config file: the sample is the reference, and every mistake names key, value and remedy."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.config import file as config
from agent.config import tree
from agent.config.bgp_table import Announce, Bgp, BgpPeer
from agent.config.check_table import Check
from agent.config.drain_table import DrainTable
from agent.core.guard import Limits

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
        (tree.Node, raw["node"]),
        (tree.Telemetry, raw["telemetry"]),
        (tree.Wire, raw["wire"]),
        (tree.Metrics, raw["metrics"]),
        (Bgp, raw["bgp"]),
        (Announce, raw["bgp"]["announce"]),
        (BgpPeer, raw["bgp"]["peers"][0]),
        (DrainTable, raw["drain"]),
        (Limits, raw["guards"]),
        (tree.Vip, raw["vips"][0] | {"quic": raw["vips"][1]["quic"]}),
        (tree.QuicCid, raw["vips"][1]["quic"]),
        (Check, raw["vips"][0]["check"]),
        (tree.Real, raw["vips"][0]["reals"][0]),
    ]
    for table, shown in tables:
        assert set(table.__struct_fields__) == set(shown), table.__name__
    assert tree.Metrics().listen == raw["metrics"]["listen"]
    shown_node = raw["node"]
    required = {"name", "interface", "hash_key", "run_dir", "state_dir"}
    minimal = {key: shown_node[key] for key in required}
    defaults = config.parse(_with_node(minimal), "minimal").node
    for key in set(shown_node) - required:
        value = getattr(defaults, key)
        value = dict(value) if key == "labels" else value
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
        ('"10.3.1.2"', '"10.3.1"', "vips[0].reals[0].address: expected an IP address, got"),
        ('"10.3.1.2"', "103", "expected an IP address in quotes, got 103"),
        ("hz = 1.0", 'hz = "x"', "telemetry.hz: expected `float`, got 'x'"),
        ("= 262144", "= 262145", "must be a power of two, got 262145; use 262144 or 524288"),
        ('"00112233445566778899aabbccddeeff"', '"12"', "openssl rand -hex 16"),
        ('"10.3.2.2"', '"10.3.1.2"', "10.3.1.2 is listed twice; raise its weight instead"),
        ("[node]", "[nodes]", "nodes: unknown key; did you mean 'node'?"),
        ('= "tcp" ', '= "sctp" ', "vips[0].protocol: expected tcp or udp, got 'sctp'"),
        (
            '"http"',
            '"htpp"',
            "check.kind: expected tcp, http, https, tls, dns, udp, exec or file",
        ),
        (
            '"auto" ',
            '"gw" ',
            'node.gateway: must be an IP address without a zone (%) or "auto", got',
        ),
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
        ('"10.2.1.2:7400"', '"7400"', "wire.listen: must be ADDRESS:PORT such as"),
        ('"10.2.1.2:7400"', '"lb1:7400"', "got 'lb1:7400'"),
        ('secret_key = "/etc/remora/lb1.key"', "", "wire: secret_key and authorized_keys go"),
        ("insecure = false", "insecure = true", "wire.insecure: contradicts secret_key"),
        ("[node]", "[node", "not TOML"),
        ("[node]", "[node]\nx = " + "9" * 5000, "not TOML: Exceeds the limit"),
        ("[node]", "[node]\nx = " + "[" * 5000, "not TOML: maximum recursion depth"),
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


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('name = "lb1"', 'name = "lb1\\n"'),
        ('"eth0"', '"eth0\\n"'),
        ('"00112233445566778899aabbccddeeff"', '"00112233445566778899aabbccddeeff\\n"'),
        ('path = "/healthz"', 'path = "/healthz\\n"'),
        ('password = ""', 'password = "secret\\n"'),
        ('["65001:100"]', '["65001:100\\n"]'),
    ],
)
def test_a_line_end_behind_a_value_is_refused(good: str, bad: str) -> None:
    """It would end a line of what is spliced together: ExaBGP's commands, paths, the log."""
    assert good in TEXT
    with pytest.raises(config.ConfigError, match="expected"):
        config.parse(TEXT.replace(good, bad, 1), "agent.toml")


def test_plain_tcp_is_refused_outside_loopback() -> None:
    plain = re.sub(r"(?m)^(secret_key|authorized_keys) .*$", "", TEXT)
    with pytest.raises(config.ConfigError, match="without keys would let anybody steer"):
        config.parse(plain, "agent.toml")
    assert config.parse(plain.replace("10.2.1.2:7400", "127.0.0.1:7400"), "x").wire is not None
    assert config.parse(plain.replace("insecure = false", "insecure = true"), "x").wire is not None


SIX = (
    TEXT.replace('"10.200.0.1"', '"2001:db8:200::1"')
    .replace('"10.200.0.2"', '"2001:db8:200::2"')
    .replace('source = "10.2.1.2"', 'source = "fd00:2:1::2"')
    .replace('"10.3.1.2"', '"fd00:3:1::2"')
    .replace('encap = "ipip"', 'encap = "gue" ')
)


def test_ipv6_vips_and_reals() -> None:
    vip = config.parse(SIX, "six.toml").vips[0]
    assert str(vip.key) == "[2001:db8:200::1]:80/tcp"
    assert [str(real.address) for real in vip.reals] == ["fd00:3:1::2", "10.3.2.2", "10.3.3.2"]
    assert [real.encap.value for real in vip.reals] == ["gue", "ipip", "ipip"]


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        ('encap = "gue"', 'encap = "vxlan"', "reals[0].encap: expected ipip or gue, got 'vxlan'"),
        ('"fd00:3:1::2"', '"fd00:3:1:::2"', "reals[0].address: expected an IP address, got"),
        ('"fd00:3:1::2"', '"2001:db8:200:0::1"', "is a VIP address: packets would loop"),
        ('"fd00:3:1::2"', '"fe80::2"', "reals[0].address: fe80::2 is link-local"),
        ('"fd00:3:1::2"', '"fe80::2%eth0"', "expected an IP address without a zone (%), got"),
        ('"fd00:3:1::2"', '"::ffff:10.3.1.2"', "is IPv4-mapped, not an address by which"),
        ('"fd00:3:1::2"', '"ff02::1"', "is multicast"),
        ('"fd00:3:1::2"', '"100::7"', "reals[0].address: 100::7 lies in node.outer_source6"),
        ('"2001:db8:200::1"', '"ff0e::1"', "vips[0].address: ff0e::1 is multicast"),
        ('"2001:db8:200::1"', '"100::1"', "vips[0].address: 100::1 lies in node.outer_source6"),
        ('"100::/64"', '"100::/56"', "node.outer_source6: must be a /64, got 100::/56"),
        ('"100::/64"', '"100::1/64"', "expected an IPv6 network without host bits"),
        ('"100::/64"', '"10.0.0.0/8"', "expected an IPv6 network without host bits"),
        ('"100::/64"', '"fd00:2:1::/64"', "bgp.next_hop6: fd00:2:1::2 lies in node.outer_source6"),
        ('"172.16.0.0/16"', '"10.2.0.0/16"', "bgp.peers[0].address: 10.2.1.1 lies in"),
        ("gue_port = 9886", "gue_port = 0", "node.gue_port: expected `int` >= 1, got 0"),
        ('next_hop6 = "fd00:2:1::2"', "", "bgp.next_hop6: needed to announce IPv6 VIPs over"),
        ('next_hop6 = "fd00:2:1::2"', 'next_hop6 = "10.2.1.2"', "expected an IPv6 address"),
        ('local_address = "10.2.1.2"', 'local_address = "fd00::2"', "are of two families"),
    ],
)
def test_ipv6_mistakes_name_key_value_and_remedy(good: str, bad: str, says: str) -> None:
    """P8 among them: no outer source is a machine's address."""
    assert good in SIX
    with pytest.raises(config.ConfigError) as caught:
        config.parse(SIX.replace(good, bad), "agent.toml")
    assert says in str(caught.value)


def test_an_ipv6_session_announces_ipv6_vips_only() -> None:
    """It needs no next_hop6: the session's own address is one."""
    session = [
        ('address = "10.2.1.1"', 'address = "fd00:2:1::1"'),
        ('local_address = "10.2.1.2"', 'local_address = "fd00:2:1::2"'),
        ('next_hop6 = "fd00:2:1::2"', ""),
    ]
    six, four = SIX, TEXT
    families = 'families = ["ipv4", "ipv6"]'
    session.append((TEXT[TEXT.index(families) :].splitlines()[0], ""))
    for good, bad in session:
        six, four = six.replace(good, bad), four.replace(good, bad)
    assert config.parse(six, "six.toml").bgp
    with pytest.raises(config.ConfigError, match=r"peers\[0\].address: an IPv6 session cannot"):
        config.parse(four, "four.toml")


@pytest.mark.parametrize("gateway", ["fe80::1", "2001:db8::1", "10.2.1.1"])
def test_the_gateway_is_of_either_family(gateway: str) -> None:
    listed = config.parse(TEXT.replace('"auto" ', f'"{gateway}" '), "agent.toml")
    assert str(listed.node.gateway_address) == gateway


def test_the_secret_is_not_shown() -> None:
    key = "00112233445566778899aabbccddeef"
    with pytest.raises(config.ConfigError) as caught:
        config.parse(TEXT.replace("00112233445566778899aabbccddeeff", key), "agent.toml")
    assert key not in str(caught.value)


def test_check_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(SAMPLE)]) == 0
    assert "ok: node lb1, 2 VIPs, 5 reals, 1 BGP peers" in capsys.readouterr().out
    wrong = tmp_path / "agent.toml"
    wrong.write_text(TEXT.replace("weight = 50", "weight = 0"))
    assert main(["check", str(wrong)]) == 2
    assert str(wrong) in (error := capsys.readouterr().err)
    assert error.count("\n") == 1
    assert main(["check", str(tmp_path / "none.toml")]) == 2


def test_check_says_which_labels_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SAMPLE.read_text().replace("labels = {} ", 'labels = { rack = "r1" } ', 1)
    text = text.replace(
        'address = "10.3.2.2"\n', 'address = "10.3.2.2"\nlabels = { rack = "r2" }\n'
    )
    file = tmp_path / "agent.toml"
    file.write_text(text)
    assert main(["check", str(file)]) == 0
    assert "labels: node rack=r1; rack on 2 of 5 reals\n" in capsys.readouterr().out


def test_check_imports_neither_numpy_nor_asyncio() -> None:
    """It reads a file and answers; those two take three quarters of the agent's own start."""
    code = (
        "import sys; from agent.cli.main import main\n"
        "assert main(['check', 'configs/agent.toml']) == 0\n"
        "assert not {'asyncio', 'logging', 'numpy', 'zmq'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], capture_output=True
    )
