# SPDX-License-Identifier: Apache-2.0
"""An agent carries OpenSSL only for checks by TLS, and those work although asyncio knows none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agent.host import lean
from tests.unit.test_checks import made_certificate

STARTED = """
import sys
from pathlib import Path
from agent.cli import main
from agent.host import lean
lean.prepare()
import agent.runtime
mapped = Path("/proc/self/maps").read_text
assert "numpy" in mapped()
assert "libcrypto" not in mapped(), sorted(sys.modules)
"""
CHECK = """
import asyncio, threading
from ipaddress import ip_address
from agent.checks.probe import probe
from agent.config.check_table import Check
from agent.nouns import Asking, Target, VipKey
from shared.model import Protocol
assert asyncio.sslproto.ssl is None
import socket, ssl

trusted = sys.argv[1]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(trusted)
listener = socket.create_server(("127.0.0.1", 0))

def serve():
    while True:
        with context.wrap_socket(listener.accept()[0], server_side=True) as made:
            if made.recv(4096):
                made.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nready")

threading.Thread(target=serve, daemon=True).start()
for kind, detail in (("tls", "tls 1.3"), ("https", "http 200")):
    check = Check(kind=kind, sni="web.test", ca_file=trusted, timeout=10.0)
    key = VipKey(ip_address("10.200.0.1"), listener.getsockname()[1], Protocol.TCP)
    said = asyncio.run(probe(Asking(Target("web", ip_address("127.0.0.1")), key, check), None))
    assert (said.ok, said.detail) == (True, detail), said
"""


def test_an_agent_is_without_openssl_until_a_check_needs_it(tmp_path: Path) -> None:
    trusted = made_certificate(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", STARTED + CHECK, str(trusted)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_what_is_there_already_is_left_alone() -> None:
    before = dict(sys.modules)
    lean.load("hashlib", without="a_module_that_is_not_there")
    lean.load("a_module_that_is_not_there", without="hashlib")
    assert dict(sys.modules) == before
