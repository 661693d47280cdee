# SPDX-License-Identifier: Apache-2.0
"""Each kind of check against servers, programs and files that do right and wrong."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from agent.boundary import Probed
from agent.checks import authorities
from agent.checks.probe import KINDS, both, probe
from agent.checks.reading import AT_ONCE
from agent.checks.way import Said, Way, percent
from agent.config.check_contradictions import USED_BY
from agent.config.check_table import Check
from agent.config.file import ConfigError, parse
from agent.nouns import Asking, Target, VipKey
from shared.model import Protocol
from tests.fabric.waiting import until
from tests.unit import world

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def asking(check: Check, port: int = 1) -> Asking:
    key = VipKey(ip_address("10.200.0.1"), port, Protocol.TCP)
    return Asking(Target("web", ip_address("127.0.0.1")), key, check)


def run(check: Check, handle: Handle | None = None, tls: ssl.SSLContext | None = None) -> Probed:
    """The check, against a server that treats its connection so."""

    async def story() -> Probed:
        if handle is None:
            return await probe(asking(check), None)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handle(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        async with server:
            return await probe(asking(check, server.sockets[0].getsockname()[1]), None)

    return asyncio.run(story())


def saying(answer: bytes, heard: list[bytes] | None = None) -> Handle:
    """Hears a request, up to its empty line, and says this."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(request)
        writer.write(answer)

    return handle


# ---- tcp and udp


@pytest.mark.parametrize(
    ("banner", "expect", "ok", "detail"),
    [
        (b"220 ready\r\n", "^220", True, "tcp answered"),
        (b"\x00\xff\x01", "\x00\xff", True, "tcp answered"),
        (b"554 no\r\n", "^220", False, "answer does not match '^220': b'554 no\\r\\n'"),
        (b"", "^220", False, "answer does not match '^220': b''"),
    ],
)
def test_tcp_says_and_expects(banner: bytes, expect: str, *, ok: bool, detail: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(6) == b"EHLO\r\n"
        for byte in banner:  # in pieces
            writer.write(bytes([byte]))
            await writer.drain()

    said = run(Check(send="EHLO\r\n", expect=expect), handle)
    assert (said.ok, said.detail) == (ok, detail)


def datagram(answer: Callable[[bytes], bytes | None], check: Check) -> Probed:
    """The check, against a UDP server."""

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:  # noqa: ANN401
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            said = answer(data)
            if said is not None:
                self.transport.sendto(said, addr)

    async def story() -> Probed:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        try:
            return await probe(asking(check, port), None)
        finally:
            transport.close()

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("answer", "ok", "detail"),
    [
        (b"pong", True, "udp answered"),
        (b"pang", False, "answer does not match 'pong': b'pang'"),
        (None, False, "no answer within 0.2 s"),
    ],
)
def test_udp(answer: bytes | None, *, ok: bool, detail: str) -> None:
    heard: list[bytes] = []

    def serve(request: bytes) -> bytes | None:
        heard.append(request)
        return answer

    said = datagram(serve, Check(kind="udp", send="ping\x00\xff", expect="pong", timeout=0.2))
    assert (said.ok, said.detail) == (ok, detail)
    assert heard == [b"ping\x00\xff"]


def test_udp_to_a_closed_port_is_refused_at_once() -> None:
    said = run(Check(kind="udp", send="x", timeout=1.0, port=1))
    assert (said.ok, said.detail) == (False, "connection refused")
    assert said.ms < 500


# ---- http


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("keys", "answer", "ok", "detail"),
    [
        ({"status": ("204",)}, b"HTTP/1.1 204 No\r\n\r\n", True, "http 204"),
        ({"status": ("204",)}, b"HTTP/1.1 200 OK\r\n\r\n", False, "http 200"),
        ({"status": ("200-299", "404")}, b"HTTP/1.1 404 No\r\n\r\n", True, "http 404"),
        ({}, b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", True, "http 200"),
        ({"expect": "ready"}, CHUNKED, True, "http 200"),
        ({"expect": "steady"}, CHUNKED, False, "answer does not match 'steady': b'ready'"),
        (
            {"expect": "ready"},
            b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nready",
            False,
            "http 500",
        ),
        (
            {"expect": "x"},
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
            False,
            "not HTTP (peer closed",
        ),
    ],
)
def test_http(keys: dict[str, Any], answer: bytes, *, ok: bool, detail: str) -> None:
    said = run(Check(kind="http", **keys), saying(answer))
    assert said.ok is ok
    assert said.detail.startswith(detail)


def test_http_does_not_read_for_ever() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(bytes(65536))
            await writer.drain()

    said = run(Check(kind="http", expect="never", timeout=5.0), handle)
    assert not said.ok
    assert said.ms < 4000


def test_http_asks_as_it_is_told() -> None:
    heard: list[bytes] = []
    check = Check(kind="http", method="HEAD", path="/up?x=1", host="www.example.com")
    assert run(check, saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", heard)).ok
    assert heard[0].startswith(b"HEAD /up?x=1 HTTP/1.1\r\nHost: www.example.com\r\n")
    assert b"Connection: close" in heard[0]


@pytest.mark.parametrize(
    ("header", "weight"),
    [(b"X-Load: 40%\r\n", 40), (b"x-load: 3\r\n", 10), (b"X-Load: 250\r\n", 80),
     (b"X-Load: lots\r\n", None), (b"", None)],
)  # fmt: skip
def test_http_header_names_a_weight_within_bounds(header: bytes, weight: int | None) -> None:
    check = Check(kind="http", weight_header="X-Load", weight_most=80)
    said = run(check, saying(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n"))
    assert (said.ok, said.weight) == (True, weight)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("75", 75), ("75%", 75), (" up 75% ", 75), ("up", None), ("-5", None), ("7.5", None)],
)
def test_weights_in_words(text: str, expected: int | None) -> None:
    assert percent(text) == expected


# ---- tls


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_certificate(tmp_path_factory.mktemp("tls"))


def made_certificate(place: Path) -> Path:
    """Of web.test, by itself; the key is in the same file."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=web.test", "-addext", "subjectAltName=DNS:web.test"]
    files = ["-keyout", str(place / "key"), "-out", str(place / "pem")]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    (place / "pem").write_text((place / "pem").read_text() + (place / "key").read_text())
    return place / "pem"


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize(
    ("keys", "ok", "detail"),
    [
        ({"sni": "web.test"}, True, "tls 1.3"),
        ({"host": "web.test:443"}, True, "tls 1.3"),
        ({"verify": False, "ca_file": ""}, True, "tls 1.3"),
        ({"sni": "other.test"}, False, "certificate: hostname mismatch"),
        ({"sni": "web.test", "ca_file": ""}, False, "certificate: self-signed certificate"),
        ({"sni": "web.test", "ca_file": "/nowhere/ca.pem"}, False, "no such file or directory"),
        ({"sni": "x" * 70 + ".test", "verify": False}, False, ""),
    ],
)
def test_tls(certificate: Path, keys: dict[str, Any], *, ok: bool, detail: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    check = Check(**{"kind": "tls", "ca_file": str(certificate)} | keys)
    said = run(check, handle, server_side(certificate))
    assert said.ok is ok, said.detail
    assert said.detail.startswith(detail)


@pytest.mark.parametrize(
    ("keys", "ok", "detail"),
    [
        ({"sni": "web.test", "expect": "ready"}, True, "http 200"),
        ({"verify": False, "expect": "steady"}, False, "answer does not match"),
        ({"sni": "other.test"}, False, "certificate: hostname mismatch"),
    ],
)
def test_https(certificate: Path, keys: dict[str, Any], *, ok: bool, detail: str) -> None:
    check = Check(kind="https", ca_file=str(certificate), **keys)
    said = run(check, saying(CHUNKED), server_side(certificate))
    assert said.ok is ok, said.detail
    assert said.detail.startswith(detail)


def test_authorities_are_read_again_when_their_file_is_another(
    certificate: Path, tmp_path: Path
) -> None:
    """And those of before stay while the file is half written, or gone: no real falls by that."""
    listed = tmp_path / "ca.pem"
    check = Check(kind="tls", sni="web.test", ca_file=str(listed))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    def asked() -> tuple[bool, str]:
        said = run(check, handle, server_side(certificate))
        return said.ok, said.detail

    (tmp_path / "other").mkdir()
    listed.write_bytes(made_certificate(tmp_path / "other").read_bytes())
    assert asked() == (False, "certificate: self-signed certificate")
    listed.write_bytes(certificate.read_bytes())
    assert asked() == (True, "tls 1.3")
    listed.write_bytes(certificate.read_bytes()[:100])
    assert asked() == (True, "tls 1.3")
    listed.unlink()
    assert asked() == (True, "tls 1.3")


def test_authorities_on_a_dead_mount_hold_up_nobody_and_stay_as_they_were(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on meanwhile: whoever else is checked, and the verdicts."""
    listed = tmp_path / "ca.pem"
    listed.write_bytes(certificate.read_bytes())
    released = threading.Event()
    hung: list[object] = []

    def trusting(file: Path, patience: float) -> Any:  # noqa: ANN401  # a coroutine
        return authorities.context(str(file), verify=True, patience=patience)

    async def story() -> None:
        read = await trusting(listed, 60.0)
        assert await trusting(listed, 60.0) is read
        monkeypatch.setattr(authorities, "_stamp", lambda path: hung.append(released.wait(60)))
        try:
            for _ in range(2 * AT_ONCE):
                assert await trusting(listed, 0.05) is read
            with pytest.raises(TimeoutError):  # never read, so there is nothing to go by
                async with asyncio.timeout(0.05):
                    await trusting(tmp_path / "new.pem", 60.0)
            assert not hung
        finally:
            released.set()
        assert await trusting(listed, 60.0) is read

    asyncio.run(story())
    assert hung


def test_tls_of_a_server_without_it() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"SSH-2.0-x\r\n")

    said = run(Check(kind="tls", verify=False), handle)
    assert (said.ok, said.detail) == (False, "tls: wrong version number")


# ---- dns


def answering(code: int = dns.rcode.NOERROR, **wrong: int) -> Callable[[bytes], bytes]:
    """A name server with one record."""

    def answer(request: bytes) -> bytes:
        question = dns.message.from_wire(request)
        reply = dns.message.make_response(question)
        reply.set_rcode(dns.rcode.Rcode(code))
        if code == dns.rcode.NOERROR:
            name = question.question[0].name
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.1"))
        if wrong:
            reply.id ^= 1
        return reply.to_wire()

    return answer


DNS = Check(kind="dns", query="example.com", expect=r"192\.0\.2\.1", timeout=0.5)


@pytest.mark.parametrize(
    ("answer", "ok", "detail"),
    [
        (answering(), True, "dns NOERROR, 1 record"),
        (answering(dns.rcode.SERVFAIL), False, "dns SERVFAIL"),
        (answering(dns.rcode.NXDOMAIN), False, "dns NXDOMAIN"),
        (answering(id=1), False, "an answer to another question"),
        (lambda request: request[:7], False, "not DNS: ShortHeader"),
        (lambda request: None, False, "no answer within 0.5 s"),
    ],
)
def test_dns_by_udp(answer: Callable[[bytes], bytes | None], *, ok: bool, detail: str) -> None:
    said = datagram(answer, DNS)
    assert (said.ok, said.detail) == (ok, detail)


def test_dns_expects_a_record() -> None:
    said = datagram(answering(), Check(kind="dns", query="example.com", expect="192.0.2.99"))
    assert not said.ok
    assert "does not match" in said.detail


@pytest.mark.parametrize(("cut", "ok"), [(0, True), (3, False)])
def test_dns_by_tcp(cut: int, *, ok: bool) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        raw = answering()(await reader.readexactly(length))
        for byte in (len(raw).to_bytes(2, "big") + raw)[: len(raw) + 2 - cut]:
            writer.write(bytes([byte]))
            await writer.drain()

    said = run(Check(kind="dns", query="example.com", transport="tcp"), handle)
    assert said.ok is ok, said.detail


def test_dns_of_a_name_that_cannot_be() -> None:
    said = datagram(answering(), Check(kind="dns", query="x" * 64 + ".com"))
    assert not said.ok
    assert "label" in said.detail


# ---- exec and file


def program(place: Path, text: str) -> Check:
    path = place / "check"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    command = (str(path), "{real}", "{port}", "{vip}", "$HOME;*")
    return Check(kind="exec", command=command, timeout=0.5, port=8080)


@pytest.mark.parametrize(
    ("text", "ok", "detail", "weight"),
    [
        ("exit 0", True, "exit 0", None),
        ("echo up 40%", True, "exit 0: up 40%", 40),
        ("echo broken >&2; exit 3", False, "exit 3: broken", None),
        ('echo "$*"', True, "exit 0: 127.0.0.1 8080 web $HOME;*", None),
        ("echo $REMORA_REAL $REMORA_PORT $REMORA_VIP", True, "exit 0: 127.0.0.1 8080 web", None),
        ("kill -TERM $$", False, "ended by signal 15", None),
        ("yes | head -c 3000000; exit 0", True, "exit 0: y", None),
    ],
)
def test_exec(tmp_path: Path, text: str, *, ok: bool, detail: str, weight: int | None) -> None:
    """No shell: what the config says is an argument, whatever is in it."""
    said = run(program(tmp_path, text))
    assert (said.ok, said.detail, said.weight) == (ok, detail, weight)


def test_exec_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    said = run(program(tmp_path, f"sleep 600 & echo $! $$ > {tmp_path}/pids; wait"))
    assert (said.ok, said.detail) == (False, "no answer within 0.5 s")
    assert said.ms < 2000
    for pid in (tmp_path / "pids").read_text().split():
        until(partial(has_ended, pid), 60, f"{pid} has ended")


def has_ended(pid: str) -> bool:
    """Reaped, or a zombie that init (here maybe nobody) will reap."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_exec_that_leaves_a_daemon_behind_has_ended(tmp_path: Path) -> None:
    """A daemon holds the pipe for ever: it is no reason to wait, and no descriptor stays for it."""
    check = program(tmp_path, f"setsid sleep 600 & echo $! >> {tmp_path}/pids; echo up 40%")

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    async def story() -> list[Probed]:
        await probe(asking(Check(kind="exec", command=("/bin/true",))), None)
        before = descriptors()
        told = [await probe(asking(check), None) for _ in range(3)]
        await asyncio.sleep(0)  # what was closed is closed in the loop's next turn
        assert descriptors() == before
        return told

    try:
        told = asyncio.run(story())
        assert [(said.ok, said.detail, said.weight) for said in told] == [
            (True, "exit 0: up 40%", 40)
        ] * 3
    finally:
        for pid in (tmp_path / "pids").read_text().split():
            os.kill(int(pid), signal.SIGKILL)


def test_exec_without_a_program() -> None:
    said = run(Check(kind="exec", command=("/nowhere/check",)))
    assert (said.ok, said.detail) == (False, "no such file or directory")


@pytest.mark.parametrize(
    ("text", "ok", "detail", "weight"),
    [
        ("up\n", True, "file says up", None),
        ("up 30%\nmore\n", True, "file says up 30%", 30),
        ("75", True, "file says 75", 75),
        ("down\n", False, "file says down", None),
        ("0%\n", False, "file says 0%", None),
        ("", False, "file says nothing", None),
        (None, False, "no such file or directory", None),
    ],
)
def test_file(
    tmp_path: Path, text: str | None, *, ok: bool, detail: str, weight: int | None
) -> None:
    if text is not None:
        (tmp_path / "127.0.0.1.state").write_text(text)
    said = run(Check(kind="file", file=f"{tmp_path}/{{real}}.state"))
    assert (said.ok, said.weight) == (ok, weight)
    assert said.detail.endswith(detail)


def test_file_that_is_a_pipe_does_not_wait_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    said = run(Check(kind="file", file=str(tmp_path / "pipe"), timeout=5.0))
    assert (said.ok, said.detail) == (False, "file says nothing")
    assert said.ms < 1000


# ---- which way, and what the config allows


UP, DOWN = Said(True, "http 200"), Said(False, "no answer within 1 s", silent=True)


@pytest.mark.parametrize(
    ("tunnel", "direct", "ok", "pattern"),
    [
        (UP, UP, True, "^http 200$"),
        (DOWN, DOWN, False, "^no answer"),
        (
            DOWN,
            UP,
            False,
            r"answers \(http 200\), the tunnel path does not \(no answer",
        ),
        (UP, Said(False, "connection refused"), True, "^http 200; not at its own address: conn"),
        (Said(False, "too many open files", unasked=True), UP, False, "^too many open files$"),
        (DOWN, Said(False, "too many open files", unasked=True), False, "^no answer within 1 s$"),
    ],
)
def test_both_ways_are_a_diagnosis(tunnel: Said, direct: Said, *, ok: bool, pattern: str) -> None:
    said = both(tunnel, direct)
    assert said.ok is ok
    assert re.search(pattern, said.detail)
    assert said.silent is tunnel.silent


def test_a_source_is_used() -> None:
    heard: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(writer.get_extra_info("peername")[0])

    check = Check(source=ip_address("127.0.0.9"), expect="x")
    run(check, handle)
    run(Check(source=ip_address("::9"), expect="x"), handle)
    assert heard == ["127.0.0.9", "127.0.0.1"], "one of another family is not ours to bind"


def test_every_kind_has_an_owner() -> None:
    kinds = {kind for used in USED_BY.values() for kind in used}
    assert kinds == set(KINDS)
    assert set(USED_BY) < set(Check.__struct_fields__)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ('kind = "tcp"\npath = "/x"', "check.path: a check of kind tcp does not use it (only http"),
        ('kind = "exec"', "check.command: missing, a check of kind exec needs it"),
        ('kind = "exec"\ncommand = ["true"]', "command: must begin with an absolute path"),
        (
            'kind = "exec"\ncommand = ["/bin/true"]\nvia = "direct"',
            "check.via: a check of kind exec",
        ),
        ('kind = "dns"', "check.query: missing"),
        ('kind = "udp"', "check.send: missing"),
        ('kind = "file"\nfile = "x"', "check.file: must be an absolute path, got 'x'"),
        ('kind = "https"', "check.sni: the name that the certificate must have is missing"),
        ('expect = "("', "check.expect: not a regular expression"),
        ('expect = "a{99999999999}"', "check.expect: not a regular expression"),
        (f'expect = "{"(" * 3000}{")" * 3000}"', "check.expect: not a regular expression"),
        ('send = "\\u20ac"', "check.send: must be bytes"),
        ('kind = "http"\nstatus = ["299-200"]', "check.status: 299-200 ends before it begins"),
        ('kind = "http"\nstatus = ["2xx"]', "check.status[0]: expected codes and ranges"),
        ("fast_interval = 3.0", "check.fast_interval: must be 0.05 to the interval (2.0)"),
        ("weight_least = 90\nweight_most = 50", "check.weight_least: 90 is more than weight_most"),
        ('source = "fd00::1"', "check.source: fd00::1 is of another family"),
        ('via = "direct"\naddress = "10.0.0.1"', "check.address: a direct check asks each real"),
        ('address = "fd00::1"', "check.address: fd00::1 is of another family than the VIP"),
        ('via = "tunel"', "check.via: expected tunnel, direct or both, got 'tunel'"),
    ],
)
def test_mistakes_in_a_check_name_key_value_and_remedy(keys: str, says: str) -> None:
    text = world.ONE_VIP.replace("[vips.check]", f"[vips.check]\n{keys}")
    with pytest.raises(ConfigError) as caught:
        parse(text, "test.toml")
    assert says in str(caught.value)


def test_a_vip_of_many_addresses_or_ports_says_which_to_ask() -> None:
    """Otherwise the check would be of port 0, or of the network's own address."""
    wide = world.ONE_VIP.replace("port = 80", "port = 0\nprefix = 24").replace(
        '"10.200.0.1"', '"10.200.0.0"'
    )
    for keys, says in (
        ('via = "direct"', "check.port: needed, for a VIP of all ports"),
        ("port = 80", "check.address: needed, for the VIP is a network (10.200.0.0/24)"),
    ):
        with pytest.raises(ConfigError, match=re.escape(says)):
            parse(wide.replace("[vips.check]", f"[vips.check]\n{keys}"), "test.toml")
    for keys in ('port = 80\nvia = "direct"', 'port = 80\naddress = "10.200.0.7"', FILE):
        assert parse(wide.replace("[vips.check]", f"[vips.check]\n{keys}"), "test.toml")


FILE = 'kind = "file"\nfile = "/run/{real}"'


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("announce_at = 4", "announce_at: 4 reals are needed, 3 are listed"),
        ("withdraw_below = 3\nannounce_at = 2", "withdraw_below: 3 is more than announce_at (2)"),
        ('panic = 50\nall_down = "drop"', 'panic: with all_down = "drop" it would drop'),
        ("ramp = 2.0", "ramp: 2.0 s in 5 steps is too quick"),
        ('all_down = "open"', "all_down: expected withdraw, fail-open or drop, got 'open'"),
    ],
)
def test_mistakes_in_a_policy_name_key_value_and_remedy(keys: str, says: str) -> None:
    text = world.ONE_VIP.replace("[vips.check]", f"{keys}\n[vips.check]")
    with pytest.raises(ConfigError) as caught:
        parse(text, "test.toml")
    assert says in str(caught.value)


def test_a_check_that_fails_in_a_way_of_its_own_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made again: a check that ended would leave its real up, whatever becomes of it."""

    async def ask(check: Check, way: Way) -> Said:
        raise ZeroDivisionError("here")

    monkeypatch.setitem(KINDS, "tcp", ask)
    said = run(Check())
    assert (said.ok, said.unasked, said.detail) == (False, False, "ZeroDivisionError: here")


@pytest.mark.parametrize(
    ("number", "to", "source", "unasked"),
    [
        (errno.EADDRNOTAVAIL, "127.0.0.1", "", True),
        (errno.EADDRINUSE, "127.0.0.1", "127.0.0.9", True),
        (errno.EADDRNOTAVAIL, "127.0.0.1", "192.0.2.1", False),
        (errno.EADDRNOTAVAIL, "::1", "", False),
        (errno.ECONNREFUSED, "127.0.0.1", "", False),
    ],
)
def test_local_ports_that_are_used_up_say_nothing_of_the_real(
    monkeypatch: pytest.MonkeyPatch, number: int, to: str, source: str, *, unasked: bool
) -> None:
    """But a source that is not this node's does not go by: its reason is to be seen."""

    async def ask(check: Check, way: Way) -> Said:
        raise OSError(number, os.strerror(number))

    monkeypatch.setitem(KINDS, "tcp", ask)
    check = Check(source=ip_address(source) if source else None)
    asked = asking(check)._replace(target=Target("web", ip_address(to)))
    said = asyncio.run(probe(asked, None))
    assert (said.ok, said.unasked) == (False, unasked)


def test_sockets_are_given_back() -> None:
    """Two hundred checks of all outcomes leave no descriptor behind."""
    before = len(list(Path("/proc/self/fd").iterdir()))

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            silent = Check(kind="http", timeout=0.05)
            for check in (Check(), silent, Check(port=1), Check(kind="udp", send="x", port=1)):
                await asyncio.gather(*(probe(asking(check, port), None) for _ in range(50)))

    asyncio.run(story())
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
