# SPDX-License-Identifier: Apache-2.0
"""The config as keys and values: whole, in any order, without its secrets."""

from __future__ import annotations

from agent.config import file as config
from agent.config.listed import listed
from tests.unit.world import ONE_VIP, REALS, TOML, vip

SECRET = "00112233445566778899aabbccddeeff"


def keys(text: str) -> dict[str, str]:
    return listed(config.parse(text, "test.toml"))


def test_what_is_set_is_there_and_defaults_are_not() -> None:
    found = keys(ONE_VIP.replace('address = "10.3.1.2"', 'address = "10.3.1.2"\nweight = 50'))
    assert found["vips.web.reals.10.3.1.2.weight"] == "50"
    assert found["vips.web.reals.10.3.2.2.address"] == "10.3.2.2"
    assert "vips.web.reals.10.3.2.2.weight" not in found
    assert found["bgp.peers.10.2.1.1.asn"] == "65000"
    assert found["guards.blast_radius"] == "0"
    assert not any("udp_idle" in key for key in found)


def test_the_order_of_tables_does_not_matter() -> None:
    other = vip("dns", "10.200.0.2", 53, REALS)
    web = vip("web", "10.200.0.1", 80, REALS)
    backwards = vip("web", "10.200.0.1", 80, REALS[::-1])
    assert keys(TOML + web + other) == keys(TOML + other + backwards)


def test_secrets_are_never_said_and_the_hash_key_only_whether_it_is_the_same() -> None:
    text = ONE_VIP.replace("asn = 65000", 'asn = 65000\npassword = "hunter2"')
    found = keys(text)
    said = " ".join(found.values())
    assert "hunter2" not in said
    assert SECRET not in said
    assert found["bgp.peers.10.2.1.1.password"] == "(secret)"
    same = keys(text.replace(SECRET, SECRET.upper()))
    other = keys(text.replace(SECRET, SECRET[::-1]))
    assert same["node.hash_key"] == found["node.hash_key"] != other["node.hash_key"]
