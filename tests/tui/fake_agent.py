# SPDX-License-Identifier: Apache-2.0
"""An agent on real ZeroMQ sockets that asserts the contract and does as it is told.

It checks what a console may rely on an agent to check, and what an agent may rely on a console for:
frames, version, a command id, `who`; the same id is applied once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec
import zmq

from agent.core import rollouts
from agent.core.once import Once
from agent.core.wording import in_words
from agent.nouns import Part
from shared.codec import answer_of, command_frames, command_of, telemetry_frames
from shared.messages import (
    Action,
    Ages,
    Announce,
    Answer,
    Batch,
    Change,
    Command,
    ConfigOf,
    Configured,
    Disable,
    Drain,
    Event,
    FlowAges,
    FlowOf,
    FlowPlace,
    FlowPlaces,
    FlowsOf,
    LabelSnapshot,
    Look,
    ReadHistory,
    Reload,
    Replay,
    Ring,
    RingOf,
    Rollout,
    Snapshot,
    Undrain,
    Weight,
    Withdraw,
)
from shared.model import RING_SLOTS, Admin, endpoints
from tests.tui.recorded import REALS, WEIGHTS, Fleet

# msgspec learns a type when it first meets it, and not safely from two threads at once: two agents
# that got their first command together ended the whole process.
command_of(command_frames(Command(id="1", who="test@here", action=Look())))
answer_of(command_frames(Answer(id="1", node="lb1", status="ok", revision=1)))


class FakeAgent:
    """Runs in a thread between `with`; `received` has every command but Look, in order."""

    def __init__(self, directory: Path, fleet: Fleet, *, guard: str = "") -> None:
        self.address = f"ipc://{directory}"
        self.fleet = fleet
        self.guard = guard
        self.received: list[Command] = []
        self.looks = 0
        self.second = 10.0
        self.events: list[Event] = []
        self.deaf = False
        """Reads commands and does not answer."""
        self.kept: Callable[[ReadHistory], tuple[bytes, ...]] = lambda _: ()
        """Its answer to who asks for its history."""
        self.unverified = ""
        """Why what it applied is not found when it is read back; empty: it is."""
        self.lost: set[str] = set()
        """Statuses of answers that get lost, each once."""
        self.silent_about = ""
        """A status that it never answers."""
        self.refuses_repetitions = ""
        """By which guard."""
        self.refusals = 0
        self.flow: FlowPlace | None = FlowPlace("")
        """None: it is too old to say."""
        self.flows: Callable[[FlowsOf], FlowPlaces | None] = lambda asked: None
        self.ages: Ages | None = None
        """As the two before."""
        self.config: Configured | None = Configured(1, {"node.name": fleet.name})
        """None: it is too old to say."""
        self.reload = Answer(id="", node=fleet.name, status="unchanged", revision=7)
        """What becomes of a reload."""
        self.knows_keys = True
        """Idempotency keys; an older agent does not."""
        self._keyed = Once()
        self.only_looks = False
        """This console's key is a viewer's there: every order is refused."""
        self.steps = True
        """It knows of them; those of 0.1.0 answer once."""
        self.interfere: Callable[[], None] = lambda: None
        """Called after every dry run: what another operator does meanwhile."""
        self.failure: BaseException | None = None
        self._answers: dict[str, Answer] = {}
        self._parts: tuple[Part, ...] = ()
        self._outbox: list[Snapshot | LabelSnapshot | Event] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        directory.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> FakeAgent:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(60)
        if self.failure is not None:
            raise self.failure

    def publish(self, *messages: Snapshot | LabelSnapshot | Event) -> None:
        with self._lock:
            self._outbox += messages

    def tick(self) -> None:
        """One interval passes: every snapshot is published."""
        self.second += 1
        self.publish(*self.fleet.at(self.second))
        labels = self.fleet.labelled(self.second)
        self.publish(*([labels] if labels else []))

    @property
    def said_all(self) -> bool:
        """Nothing waits to be published."""
        with self._lock:
            return not self._outbox

    @property
    def changes(self) -> list[Command]:
        return [c for c in self.received if not isinstance(c.action, Replay)]

    def _run(self) -> None:
        telemetry, command = endpoints(self.address)
        with (
            zmq.Context() as context,
            context.socket(zmq.PUB) as publisher,
            context.socket(zmq.ROUTER) as router,
        ):
            publisher.linger = router.linger = 0
            publisher.bind(telemetry)
            router.bind(command)
            self._ready.set()
            while not self._stop.is_set():
                try:
                    self._once(publisher, router)
                except BaseException as error:
                    self.failure = error
                    return

    def _once(self, publisher: zmq.Socket[bytes], router: zmq.Socket[bytes]) -> None:
        with self._lock:
            outbox, self._outbox = self._outbox, []
        for message in outbox:
            publisher.send_multipart(telemetry_frames(message))
        if router.poll(10):
            sender, *frames = router.recv_multipart()
            assert len(frames) == 2, "a command is two frames: version, payload"
            command = command_of(frames)
            assert command.id
            assert "@" in command.who, "the journal wants user@host"
            for answer in self._steps(command, self.answer(command)):
                heard = answer.status not in {*self.lost, self.silent_about}
                if not self.deaf and heard:
                    router.send_multipart([sender, *command_frames(answer)])
                self.lost.discard(answer.status)

    def _steps(self, command: Command, answer: Answer) -> list[Answer]:
        if not command.steps or command.dry_run or not self.steps or answer.guard:
            return [answer]
        accepted = msgspec.structs.replace(answer, status="accepted", revision=-1, more=True)
        if answer.status != "applied":
            return [accepted, answer]
        last = msgspec.structs.replace(
            answer,
            status="unverified" if self.unverified else "verified",
            error=self.unverified,
        )
        return [accepted, msgspec.structs.replace(answer, more=True), last]

    def answer(self, command: Command) -> Answer:
        told = self._question(command)
        if told is not None:
            return told
        if command.id in self._answers and self.refuses_repetitions:
            self.refusals += 1
            return self._made(command, "refused", guard=self.refuses_repetitions)
        if command.id in self._answers:
            return self._answers[command.id]
        self.received.append(command)
        if self.only_looks and not isinstance(command.action, Replay):
            error = "the key of viewer may look only"
            return self._made(command, "refused", guard="role", error=error)
        if isinstance(command.action, Replay):
            first = command.action.sequence
            known = tuple(e for e in self.events if e.sequence >= first)
            return self._made(command, "ok", events=known)
        if isinstance(command.action, Rollout):
            return self._told(command, command.action)
        if isinstance(command.action, Reload):
            return msgspec.structs.replace(self.reload, id=command.id)
        before = self._keyed.answer(command, self.fleet.name, 0.0) if self.knows_keys else None
        if before is not None:
            return before
        answer = self._answers[command.id] = self._decided(command)
        self._keyed.kept(command, answer, 0.0)
        if answer.status == "applied" and not command.dry_run:
            self._took_turn(command)
        if command.dry_run:
            self.interfere()
        return answer

    def _question(self, command: Command) -> Answer | None:
        if isinstance(command.action, Look):
            self.looks += 1
            self.second += 1
            labels = self.fleet.labelled(self.second)
            return self._made(command, "ok", snapshots=self.fleet.at(self.second), labels=labels)
        if isinstance(command.action, ReadHistory):
            return self._made(command, "ok", history=self.kept(command.action), kept_from=1.0)
        if isinstance(command.action, FlowOf):
            self.received.append(command)
            return self._made(command, "ok", flow=self.flow)
        if isinstance(command.action, FlowsOf):
            self.received.append(command)
            return self._made(command, "ok", flows=self.flows(command.action))
        if isinstance(command.action, FlowAges):
            return self._made(command, "ok", ages=self.ages)
        if isinstance(command.action, ConfigOf):
            return self._made(command, "ok", config=self.config)
        if isinstance(command.action, RingOf):
            return self._made(command, "ok", ring=self._ring(command.action.vip))
        return None

    def _told(self, command: Command, told: Rollout) -> Answer:
        """As an agent keeps its part of an operation."""
        lines = (in_words(told.action),) if told.action else ()
        self._parts = rollouts.told(
            self._parts, command, told, lines=lines, vips=(), now=5000 + self.second
        )
        self._show_parts()
        return self._made(command, "applied")

    def _took_turn(self, command: Command) -> None:
        back = ("undrain real/10.3.1.2@web",) if isinstance(command.action, Drain) else ()
        self._parts = rollouts.after(self._parts, command, back) or self._parts
        self._show_parts()

    def _show_parts(self) -> None:
        self.fleet.rollouts = tuple(rollouts.row(part) for part in self._parts)

    def _decided(self, command: Command) -> Answer:
        if command.expect_revision not in (None, self.fleet.revision):
            return self._made(command, "refused", guard="revision", error="expected another one")
        before = {vip: dict(self.fleet.slots(vip)) for vip in ("web", "dns")}
        found = (self._change(a, v, before) for a in _parts(command.action) for v in before)
        changes = [change for change in found if change is not None]
        changes += self._node_change(command)
        changes += self._route_change(command)
        if not changes:
            return self._made(command, "unchanged")
        if self.guard and self.guard not in command.allow:
            return self._made(
                command, "refused", guard=self.guard, error="web would have no real left"
            )
        if command.dry_run:
            return self._made(command, "planned", changes=tuple(changes))
        self._apply(command)
        return self._made(command, "applied", changes=tuple(changes))

    def _node_change(self, command: Command) -> list[Change]:
        wanted = self._wanted_node(command)
        if wanted is None or wanted is self.fleet.node_admin:
            return []
        return [Change("", "", self.fleet.node_admin, wanted, 0, 0, 0, 384, 0)]

    def _route_change(self, command: Command) -> list[Change]:
        if not isinstance(command.action, Withdraw | Announce):
            return []
        whose, away = self._routed(command.action)
        if (whose in self.fleet.away) is away:
            return []
        said = ["announced", "withdrawn"]
        was, now = said if away else said[::-1]
        return [Change(command.action.vip, "", was, now, 0, 0, 0, 384, 0, what="route")]

    def _routed(self, action: Withdraw | Announce) -> tuple[str, bool]:
        return action.vip or ("peer" if action.peer else "node"), isinstance(action, Withdraw)

    def _wanted_node(self, command: Command) -> Admin | None:
        match command.action:
            case Drain(node=True):
                return Admin.DRAINING
            case Undrain(node=True):
                return Admin.ENABLED
        return None

    def _change(
        self,
        action: Drain | Undrain | Disable | Weight,
        vip: str,
        before: dict[str, dict[str, int]],
    ) -> Change | None:
        if action.vip not in ("", vip):
            return None
        if action.real not in REALS:
            return None
        key = (vip, action.real)
        admin = self.fleet.admin.get(key, Admin.ENABLED)
        weight = self.fleet.weight.get(key, WEIGHTS[action.real])
        becomes = {Drain: Admin.DRAINING, Undrain: Admin.ENABLED, Disable: Admin.DISABLED}
        now_admin = becomes.get(type(action), admin)
        now_weight = action.weight if isinstance(action, Weight) else weight
        if (admin, weight) == (now_admin, now_weight):
            return None
        slots = before[vip].get(action.real, 0)
        return Change(
            vip=vip,
            real=action.real,
            was=f"{admin}, weight {weight}",
            now=f"{now_admin}, weight {now_weight}",
            slots_before=slots,
            slots_after=0 if now_admin is not Admin.ENABLED else slots * now_weight // weight,
            slots_moved=slots + RING_SLOTS // 500,
            live_flows=self.fleet.flows.get(key, 120),
            reals_left=2,
        )

    def _apply(self, command: Command) -> None:
        self.fleet.revision += 1
        node = self._wanted_node(command)
        if node is not None:
            self.fleet.node_admin = node
        if isinstance(command.action, Withdraw | Announce):
            whose, away = self._routed(command.action)
            self.fleet.away = self.fleet.away - {whose} | ({whose} if away else frozenset())
        for action in _parts(command.action):
            for vip in ("web", "dns"):
                if action.vip in ("", vip):
                    self._apply_one(action, (vip, action.real))

    def _apply_one(self, action: Drain | Undrain | Disable | Weight, key: tuple[str, str]) -> None:
        if isinstance(action, Drain):
            self.fleet.admin[key] = Admin.DRAINING
        elif isinstance(action, Undrain):
            self.fleet.admin.pop(key, None)
        elif isinstance(action, Disable):
            self.fleet.admin[key] = Admin.DISABLED
        else:
            self.fleet.weight[key] = action.weight

    def _ring(self, vip: str) -> Ring:
        """Each real's slots in one piece, in the fleet's order."""
        slots = self.fleet.slots(vip)
        parts = [n.to_bytes(2, "little") * count for n, count in enumerate(slots.values())]
        whole = b"".join(parts).ljust(2 * RING_SLOTS, b"\xff")
        return Ring(vip, self.fleet.digest(vip), tuple(slots), whole)

    def _made(self, command: Command, status: str, **more: object) -> Answer:
        return Answer(
            id=command.id,
            node=self.fleet.name,
            status=status,  # type: ignore[arg-type]
            revision=self.fleet.revision,
            keyed=self.knows_keys and bool(command.idempotency_key),
            **more,  # type: ignore[arg-type]
        )


def _parts(action: Action) -> tuple[Drain | Undrain | Disable | Weight, ...]:
    all_ = action.actions if isinstance(action, Batch) else (action,)
    return tuple(each for each in all_ if isinstance(each, Drain | Undrain | Disable | Weight))
