# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a VIP's check though each of its values is right.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.config.check_table import Check
from agent.config.tree import Vip

HTTP, TLS = ("http", "https"), ("https", "tls")
ON_WIRE = ("tcp", "http", "https", "tls", "dns", "udp")
USED_BY: dict[str, tuple[str, ...]] = {
    "via": ON_WIRE,
    "address": ON_WIRE,
    "port": ON_WIRE,
    "source": ON_WIRE,
    "method": HTTP,
    "path": HTTP,
    "host": HTTP,
    "status": HTTP,
    "weight_header": HTTP,
    "sni": TLS,
    "ca_file": TLS,
    "verify": TLS,
    "query": ("dns",),
    "record": ("dns",),
    "transport": ("dns",),
    "send": ("tcp", "udp"),
    "expect": ("tcp", "udp", "http", "https", "dns"),
    "command": ("exec",),
    "file": ("file",),
}
"""Key -> the kinds that look at it; keys that are not here are every kind's."""
NEEDED: dict[str, tuple[str, str]] = {
    "dns": ("query", 'the name to ask for, such as "example.com"'),
    "exec": ("command", 'a program by its absolute path, and its arguments: ["/usr/bin/true"]'),
    "file": ("file", 'an absolute path, such as "/run/web/{real}"'),
    "udp": ("send", "a server answers only what it understands"),
}
"""Kind -> the key without which it can do nothing, and what to put there."""


def check_problems(vip: Vip, where: str) -> Iterator[str]:
    """`where`: the VIP's place in the file, `vips[0]`."""
    check, at = vip.check, f"{where}.check"
    yield from _unused(check, at)
    yield from _times(check, at)
    yield from _values(check, at)
    if check.kind in TLS and check.verify and not (check.sni or check.host):
        yield (
            f"{at}.sni: the name that the certificate must have is missing; add it, or take any "
            "certificate with verify = false"
        )
    families = {real.address.version for real in vip.reals}
    if check.via == "tunnel":
        families = {vip.address.version}
    if check.source is not None and check.source.version not in families:
        yield f"{at}.source: {check.source} is of another family than what is asked; leave it out"
    if check.address is not None and check.via == "direct":
        yield f"{at}.address: a direct check asks each real at its own address; take it out"
    if check.address is not None and check.address.version != vip.address.version:
        yield f"{at}.address: {check.address} is of another family than the VIP ({vip.address})"


def _unused(check: Check, at: str) -> Iterator[str]:
    """A key that its kind does not look at was meant to do something."""
    plain = Check(kind=check.kind)
    for key, kinds in USED_BY.items():
        if check.kind not in kinds and getattr(check, key) != getattr(plain, key):
            yield (
                f"{at}.{key}: a check of kind {check.kind} does not use it (only "
                f"{', '.join(kinds)}); take it out"
            )
    if check.kind in NEEDED:
        key, what = NEEDED[check.kind]
        if not getattr(check, key):
            yield f"{at}.{key}: missing, a check of kind {check.kind} needs it: {what}"


def _times(check: Check, at: str) -> Iterator[str]:
    if check.timeout > check.interval:
        yield (
            f"{at}.timeout: {check.timeout} is longer than the interval "
            f"({check.interval}); make it shorter"
        )
    if check.fast_interval and not 0.05 <= check.fast_interval <= check.interval:
        yield (
            f"{at}.fast_interval: must be 0.05 to the interval ({check.interval}), or 0, got "
            f"{check.fast_interval}"
        )
    if check.weight_least > check.weight_most:
        yield (
            f"{at}.weight_least: {check.weight_least} is more than weight_most "
            f"({check.weight_most}); swap them"
        )


def _values(check: Check, at: str) -> Iterator[str]:
    for key in ("send", "expect"):
        value = getattr(check, key)
        if not value.isascii() and not all(ord(c) < 256 for c in value):
            yield f"{at}.{key}: must be bytes, characters up to \\u00ff, got {value!r}"
    try:
        re.compile(check.expect)
    except (re.error, OverflowError, RecursionError) as error:
        yield f"{at}.expect: not a regular expression ({error}), got {check.expect!r}"
    for span in check.status:
        low, _, high = span.partition("-")
        if high and high < low:
            yield f"{at}.status: {span} ends before it begins; write {high}-{low}"
    if check.command and not check.command[0].startswith("/"):
        yield f"{at}.command: must begin with an absolute path, got {check.command[0]!r}"
    if check.file and not check.file.startswith("/"):
        yield f"{at}.file: must be an absolute path, got {check.file!r}"
