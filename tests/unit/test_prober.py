# SPDX-License-Identifier: Apache-2.0
"""Checks against servers that answer, refuse, stall and talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address
from typing import Literal

import pytest

from agent.boundary import Probed
from agent.checks.probe import probe
from agent.checks.prober import SOONER, Prober, Watch, sooner
from agent.checks.timetable import AT_ONCE, Timetable
from agent.config.check_table import Check
from agent.nouns import Asking, Target, VipKey
from shared.model import Protocol

VIP = IPv4Address("10.200.0.1")


def asking(check: Check, port: int, real: str = "127.0.0.1", vip: str = "web") -> Asking:
    return Asking(Target(vip, ip_address(real)), VipKey(VIP, port, Protocol.TCP), check)


async def _against(answer: bytes | None, check: Check) -> Probed:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await reader.read()  # until the checker gives up
        else:
            await reader.readline()
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await probe(asking(check, server.sockets[0].getsockname()[1]), None)


HTTP = Check(kind="http", path="/healthz", timeout=5.0)
IMPATIENT = Check(kind="http", path="/healthz", timeout=0.2)


@pytest.mark.parametrize(
    ("answer", "ok", "detail"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True, "http 200"),
        (b"HTTP/1.0 302 Found\r\n\r\n", True, "http 302"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", False, "http 503"),
        (b"HTTP/1.1 2x0\r\n", False, "not HTTP"),
        (b"SSH-2.0-x\r\n", False, "not HTTP ("),
        (b"", False, "connection closed without an answer"),
        pytest.param(b"x" * 20000, False, "not HTTP (Receive buffer too long", id="endless"),
        (None, False, "no answer within 0.2 s"),
    ],
)
def test_http(answer: bytes | None, *, ok: bool, detail: str) -> None:
    result = asyncio.run(_against(answer, IMPATIENT if answer is None else HTTP))
    assert result.ok is ok
    assert result.detail.startswith(detail)
    assert 0 < result.ms < 60_000


def test_tcp() -> None:
    assert asyncio.run(_against(b"", Check())).detail == "tcp connected"


def test_refused() -> None:
    result = asyncio.run(probe(asking(Check(), 1), None))
    assert (result.ok, result.detail) == (False, "connection refused")


@pytest.mark.parametrize(("kind", "detail"), [("tcp", "tcp connected"), ("http", "http 200")])
def test_ipv6(kind: Literal["tcp", "http"], detail: str) -> None:
    """The Host header has the brackets that RFC 3986 asks for."""
    heard: list[bytes] = []

    async def story() -> Probed:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if kind == "http":
                heard.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "::1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            result = await probe(asking(Check(kind=kind), port, "::1"), None)
        assert kind == "tcp" or f"Host: [::1]:{port}\r\n".encode() in heard[0]
        return result

    result = asyncio.run(story())
    assert (result.ok, result.detail) == (True, detail)


def test_a_hanging_real_delays_nobody() -> None:
    """The other target's results come at their own pace."""

    async def story() -> list[Probed]:
        results: list[Probed] = []
        enough = asyncio.Event()

        def tell(result: Probed) -> None:
            results.append(result)
            if sum(r.target.vip == "fast" for r in results) >= 5:
                enough.set()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
            finally:
                writer.close()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            writer.close()

        slow = await asyncio.start_server(hang, "127.0.0.1", 0)
        fast = await asyncio.start_server(answer, "127.0.0.1", 0)
        checks = [
            asking(
                Check(kind="http", interval=interval, timeout=20.0),
                server.sockets[0].getsockname()[1],
                vip=name,
            )
            for name, server, interval in (("slow", slow, 20.0), ("fast", fast, 0.05))
        ]
        async with slow, fast:
            prober = Prober(tell)
            prober.declare(frozenset(checks))
            await asyncio.wait_for(enough.wait(), 60)
            prober.close()
        return results

    results = asyncio.run(story())
    assert {r.target.vip for r in results} == {"fast"}
    assert all(r.ok for r in results)


def _answer_in_a_thread(listener: socket.socket) -> None:
    """In time, whatever the event loop is doing."""

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            time.sleep(0.1)  # of a time-out of 0.8 s: it gets its processor time on a busy machine
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def test_time_outs_while_this_process_was_stopped_are_not_told() -> None:
    """An agent without processor time knows nothing of the reals: it must not take them out."""
    check = Check(kind="http", interval=0.9, timeout=0.8, jitter=0.0)

    async def story(port: int) -> list[Probed]:
        results: list[Probed] = []
        enough = asyncio.Event()

        def tell(result: Probed) -> None:
            results.append(result)
            if len(results) >= 30:
                enough.set()

        async def stop_now_and_then() -> None:
            for running in itertools.cycle((0.05, 0.35)):  # less and more than an answer takes
                time.sleep(1.0)  # noqa: ASYNC251  # the point: longer than a time-out
                await asyncio.sleep(running)

        prober = Prober(tell)
        prober.declare(frozenset(asking(check, port, vip=f"v{n}") for n in range(20)))
        stopping = asyncio.create_task(stop_now_and_then())
        await asyncio.wait_for(enough.wait(), 60)
        stopping.cancel()
        prober.close()
        return results

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        thread = threading.Thread(target=_answer_in_a_thread, args=(listener,), daemon=True)
        thread.start()
        results = asyncio.run(story(listener.getsockname()[1]))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)
    assert [result.detail for result in results if not result.ok] == []


def test_a_silent_real_is_told_all_the_same() -> None:
    """As long as we listened."""

    async def story() -> Probed:
        results: asyncio.Queue[Probed] = asyncio.Queue()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            prober = Prober(results.put_nowait)
            check = Check(kind="http", timeout=0.2)
            prober.declare(frozenset([asking(check, listener.getsockname()[1])]))
            told = await asyncio.wait_for(results.get(), 60)
            prober.close()
        return told

    told = asyncio.run(story())
    assert (told.ok, told.silent) == (False, True)


def test_another_check_of_the_same_real_takes_the_place_of_the_first() -> None:
    async def story() -> list[str]:
        results: asyncio.Queue[Probed] = asyncio.Queue()
        prober = Prober(results.put_nowait)
        said = []
        for path in ("/one", "/two"):
            prober.declare(frozenset([asking(Check(kind="file", file=path, interval=1.0), 1)]))
            said.append((await asyncio.wait_for(results.get(), 60)).detail)
        prober.close()
        return said

    assert [detail.partition(":")[0] for detail in asyncio.run(story())] == ["/one", "/two"]


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """For this process, as when somebody opens more connections to it than it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry) for entry in os.listdir("/proc/self/fd"))  # noqa: PTH208
    held = [os.open(os.devnull, os.O_RDONLY)]
    while held[-1] < highest:
        held.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(highest, *held) + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in held:
            os.close(descriptor)


EXEC = Check(kind="exec", command=("/bin/true",), interval=0.05)


@pytest.mark.parametrize("check", [Check(interval=0.05), EXEC], ids=["tcp", "exec"])
def test_without_descriptors_nothing_is_said_of_a_real(check: Check) -> None:
    """Who opens connections to the agent until it has no more takes no real out of service."""

    async def story() -> tuple[list[Probed], Probed]:
        results: asyncio.Queue[Probed] = asyncio.Queue()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            asked = asking(check, listener.getsockname()[1])
            await probe(asked, None)  # what it imports and starts is there
            with no_descriptors_left():
                nothing = await probe(asked, None)
                prober = Prober(results.put_nowait)
                prober.declare(frozenset([asked]))
                while not prober._untold:  # noqa: ASYNC110  # nobody is told: the point
                    await asyncio.sleep(0.01)
            told = await asyncio.wait_for(results.get(), 60)
            prober.close()
        return [nothing], told

    [nothing], told = asyncio.run(story())
    assert (nothing.ok, nothing.unasked, nothing.detail) == (False, True, "too many open files")
    assert told.ok


def test_after_the_first_round_each_check_has_its_own_place() -> None:
    """A fresh node asks all of its reals within a moment; it must not do so once a minute."""
    prober, watches = (
        Prober(lambda result: None),
        [Watch(asking(Check(interval=60.0, jitter=0.0), 80, f"10.3.0.{n}")) for n in range(1, 201)],
    )
    second = sorted(_pauses(prober, watch, [True])[0] for watch in watches)
    per_quarter = [sum(q * 15 <= at < (q + 1) * 15 for at in second) for q in range(4)]
    assert second[-1] <= 60
    assert min(per_quarter) > 30, per_quarter
    assert _pauses(prober, watches[0], [True, True]) == [60.0, 60.0]


def test_what_was_asked_quickly_goes_back_to_its_place() -> None:
    check = Check(interval=60.0, jitter=0.0, rise=2, fall=2)
    prober, watch = Prober(lambda result: None), Watch(asking(check, 80))
    own, *_ = _pauses(prober, watch, [True])
    assert _pauses(prober, watch, [True, False, False, False]) == [60.0, check.quick, own, 60.0]


def _pauses(prober: Prober, watch: Watch, results: list[bool]) -> list[float]:
    found = []
    for ok in results:
        watch.streak = watch.streak.after(ok=ok)
        found.append(prober.pause(watch))
    return found


def test_a_timetable_calls_in_order_of_time_and_forgets_what_is_not_wanted() -> None:
    async def story() -> list[str]:
        called: list[str] = []
        enough = asyncio.Event()

        def call(what: str) -> None:
            called.append(what)
            if what == "last":
                enough.set()

        timetable, now = Timetable(call), asyncio.get_running_loop().time()
        for after, what in ((0.03, "last"), (0.02, "second"), (0.01, "gone"), (0.01, "first")):
            timetable.put(now + after, what)
        timetable.keep(lambda what: what != "gone")
        await asyncio.wait_for(enough.wait(), 60)
        return called

    assert asyncio.run(story()) == ["first", "second", "last"]


def test_what_may_be_sooner_is_called_together_with_what_is_due_but_not_all_of_it() -> None:
    async def story() -> list[str]:
        turn: list[str] = []
        called = asyncio.Event()

        def call(what: str) -> None:
            turn.append(what)
            called.set()

        timetable, now = Timetable(call), asyncio.get_running_loop().time()
        timetable.put(now, "due")
        for n in range(AT_ONCE):
            timetable.put(now + 600 + n, f"soon {n}", sooner=3600)
        timetable.put(now + 599, "by itself", sooner=1)
        await asyncio.wait_for(called.wait(), 60)
        first = list(turn)
        timetable.keep(lambda what: what != "by itself")
        timetable.put(now, "due again")
        called.clear()
        await asyncio.wait_for(called.wait(), 60)
        return [*first, "|", *turn[len(first) :]]

    soon = [f"soon {n}" for n in range(AT_ONCE)]
    assert asyncio.run(story()) == ["due", "|", "due again", *soon[: AT_ONCE - 1]]


def test_a_check_comes_sooner_by_less_than_its_jitter() -> None:
    """What is watched closely is not watched much closer; the next is counted from when it was due,
    so a real is asked no more often than the config says."""
    assert all(sooner(pause) <= pause * Check().jitter / 2 for pause in (0.1, 2.0, 60.0))
    assert sooner(60.0) == SOONER
