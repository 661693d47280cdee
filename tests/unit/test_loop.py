# SPDX-License-Identifier: Apache-2.0
"""K1, K5, F4: what waits for the disk keeps only its sender waiting, and is never done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from agent import boundary as b
from agent.config import file as config
from agent.core.director import Director
from agent.loop import Loop
from agent.nouns import Target
from shared.messages import Action, Command, Drain, Look, Reload
from tests.unit.world import ONE_VIP, REALS, quick_fill


class Node:
    """Effects are written down; those of `slow` kinds wait until the test lets them, or refuses."""

    def __init__(self) -> None:
        self.done: list[b.Effect] = []
        self.slow: tuple[type, ...] = ()
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        self.refused = ""
        self.asked: list[str] = []
        self.inbox: asyncio.Queue[b.Fact] = asyncio.Queue()
        self.director = Director(config.parse(ONE_VIP, "test.toml"), quick_fill)
        self.loop = Loop(self.inbox, self.director, self._perform, self._answer)
        self._noticed = asyncio.Event()

    async def _perform(self, effect: b.Effect) -> None:
        if isinstance(effect, self.slow):
            self.reached.set()
            await self.open.wait()
            if self.refused:
                raise b.EffectError(self.refused)
        self.done.append(effect)
        self._noticed.set()

    async def _answer(self, question: b.Asked) -> None:
        self.asked.append(question.command.id)
        self._noticed.set()

    def ask(self, action: Action, id_: str) -> None:
        self.inbox.put_nowait(b.Asked(Command(id=id_, who="ann", action=action), b"console"))

    def probe(self, real: str, *, ok: bool, times: int) -> None:
        for _ in range(times):
            self.inbox.put_nowait(b.Probed(Target("web", ip_address(real)), ok, "said", 1.0))

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not fact():
                self._noticed.clear()
                await self._noticed.wait()

    def announces(self) -> bool:
        return any(isinstance(effect, b.SetRoutes) and effect.routes for effect in self.done)

    def rings(self) -> int:
        return sum(isinstance(effect, b.SetRing) for effect in self.done)

    def said(self) -> list[tuple[str, str]]:
        """(command id, status), of all answers."""
        return [(e.answer.id, e.answer.status) for e in self.done if isinstance(e, b.Reply)]


def story(told: Callable[[Node], Awaitable[None]]) -> Node:
    """A node whose reals are up, its disk slow from now on."""

    async def run() -> Node:
        node = Node()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(work()) for work in node.loop.running]
            node.inbox.put_nowait(b.Adopted({}, (), {}, (), 0))
            for real in REALS:
                node.probe(real, ok=True, times=1)
            await node.until(node.announces)
            node.slow = (b.Remember, b.KeepConfig)
            await told(node)
            for task in running:
                task.cancel()
        return node

    return asyncio.run(run())


def test_f4_a_real_goes_down_while_a_change_waits_for_the_disk() -> None:
    async def told(node: Node) -> None:
        node.ask(Drain(real=REALS[0]), "a")
        await node.reached.wait()
        before = node.rings()
        node.probe(REALS[1], ok=False, times=3)
        await node.until(lambda: node.rings() > before)
        node.ask(Look(), "look")
        await node.until(lambda: node.asked == ["look"])
        assert node.said() == [], "the change itself is not answered yet"
        node.open.set()
        await node.until(lambda: bool(node.said()))

    assert story(told).said() == [("a", "applied")]


def test_k1_repeated_while_the_disk_hangs_it_fails_once_and_is_not_done() -> None:
    """The same command, sent again because no answer came: it hears what became of the first."""

    async def told(node: Node) -> None:
        node.ask(Drain(real=REALS[0]), "a")
        await node.reached.wait()
        for _ in range(2):
            node.ask(Drain(real=REALS[0]), "a")
        node.ask(Drain(real=REALS[1]), "b")
        node.refused = "the state disk has not answered for 3 s"
        node.open.set()
        await node.until(lambda: len(node.said()) == 4)

    node = story(told)
    assert sorted(node.said()) == [("a", "failed")] * 3 + [("b", "failed")]
    assert node.director.state.revision == 0
    assert not any(isinstance(effect, b.Remember) for effect in node.done)


def test_k1_the_next_command_waits_for_the_one_before_and_sees_it_done() -> None:
    async def told(node: Node) -> None:
        node.ask(Drain(real=REALS[0]), "a")
        await node.reached.wait()
        node.ask(Drain(real=REALS[0]), "b")
        node.ask(Look(), "look")
        await node.until(lambda: node.asked == ["look"])
        assert node.said() == []
        node.open.set()
        await node.until(lambda: len(node.said()) == 2)

    assert story(told).said() == [("a", "applied"), ("b", "unchanged")]


def test_k5_another_config_is_all_there_or_not_before_anything_else_is_judged() -> None:
    async def told(node: Node) -> None:
        node.ask(Reload(), "r")
        await node.until(lambda: any(isinstance(e, b.ReadConfig) for e in node.done))
        listed = config.parse(ONE_VIP.replace("10.3.3.2", "10.3.4.2"), "test.toml")
        command = Command(id="r", who="ann", action=Reload())
        node.inbox.put_nowait(b.Proposed(command, b"console", listed, text="text"))
        await node.reached.wait()
        before = len(node.done)
        node.probe(REALS[1], ok=False, times=3)
        await asyncio.sleep(0)
        assert len(node.done) == before
        node.refused = "the state disk has not answered for 3 s"
        node.open.set()
        await node.until(lambda: bool(node.said()))
        node.refused = ""
        await node.until(lambda: any(isinstance(e, b.SetFlags) and e.flags for e in node.done))

    node = story(told)
    assert node.said() == [("r", "failed")]
    assert {real.name for real in node.director.state.vips["web"].reals.values()} == set(REALS)
