# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows: the difference output equals Textual's own, cell by cell.

pyte plays the terminal.  Both outputs go through the same steps; after each the two screens must
be equal in characters, colours and attributes.
"""

from __future__ import annotations

import itertools
import queue
from collections.abc import Awaitable, Callable
from typing import Any

import pyte
import pytest
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.driver import Driver
from textual.drivers.headless_driver import HeadlessDriver
from textual.geometry import Region
from textual.pilot import Pilot
from textual.strip import Strip

from console.model import recording
from console.model.store import Inbox
from console.planning.arming import Arming
from console.tui.app import RemoraApp
from console.tui.pace import FRAME, MOST, SLOW_FRAME, Pace
from console.tui.widgets.shadow import Shadow
from console.tui.widgets.terminal import MOST_WAITING, Render
from tests.tui.playback import SECONDS, Playback, recorded
from tests.tui.recorded import LB1, LB2, Fleet, records
from tests.tui.test_screens import settle

SIZE = (140, 40)
Step = Callable[[RemoraApp, Pilot[None]], Awaitable[object]]
Picture = list[list[Any]]


class Emulated(HeadlessDriver):
    """Writes to a terminal of pyte's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self.screen = pyte.Screen(*(self._size or SIZE))
        self._stream = pyte.Stream(self.screen)
        self.bytes = 0

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.bytes += len(data.encode())
        self._stream.feed(data)

    def picture(self) -> Picture:
        screen = self.screen
        return [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]


def emulated(app: RemoraApp) -> Emulated:
    assert isinstance(app._driver, Emulated)
    return app._driver


# ---- the steps


async def later(app: RemoraApp, pilot: Pilot[None]) -> None:
    """A second of telemetry passes: totals, ages and histories change."""
    source: Any = app.source
    source.second += 1
    nodes = {LB1: Fleet("lb1", pps_factor=source.second % 7), LB2: Fleet("lb2", pps_factor=3)}
    source.inbox = recording.inbox(records(nodes, range(source.second, source.second + 1)))
    source.inbox = Inbox([a for a in source.inbox.arrived if a.at >= source.second])


def press(*keys: str) -> Step:
    async def step(app: RemoraApp, pilot: Pilot[None]) -> None:
        await pilot.press(*keys)

    return step


def resize(width: int, height: int) -> Step:
    async def step(app: RemoraApp, pilot: Pilot[None]) -> None:
        emulated(app).screen.resize(height, width)
        await pilot.resize_terminal(width, height)

    return step


def theme(name: str) -> Step:
    async def step(app: RemoraApp, pilot: Pilot[None]) -> None:
        app.theme = name

    return step


async def clear_and_repaint(app: RemoraApp, pilot: Pilot[None]) -> None:
    """Another program wrote over the screen; Ctrl+L."""
    emulated(app).write("\x1b[H\x1b[2Jgarbage")
    await pilot.press("ctrl+l")


STEPS: dict[str, Step] = {
    "first frame": press(),
    "a second later": later,
    "and another": later,
    "VIPs": press("3"),
    "reals": press("enter"),
    "cursor": press("j", "j"),
    "under way": later,
    "sorted": press("o", "o", "O"),
    "wide and combining characters": press("slash", "日", "本", "é", "語", "e\u0301"),
    "cleared": press("escape"),
    "drops": press("4"),
    "filtered tail": press("slash", "w", "e", "b"),
    "kept": press("enter"),
    "help over it": press("question_mark"),
    "help closed": press("escape"),
    "plan dialog": press("3", "enter", "D"),
    "behind the dialog": later,
    "typed": press("tab", "ß", "日"),
    "dialog closed": press("escape"),
    "smaller": resize(100, 30),
    "too small to fit": resize(60, 7),
    "scrolled down": press("G"),
    "scrolled up": press("g"),
    "large again": resize(150, 45),
    "held": press("p"),
    "live": press("p"),
    "light": theme("textual-light"),
    "ansi": theme("ansi-dark"),
    "overwritten": clear_and_repaint,
    "fleet": press("1"),
    "last": later,
}


class Passing(Playback):
    """Its clock goes with its telemetry."""

    second = SECONDS - 1


async def pictures(render: Render) -> tuple[list[Picture], int]:
    nodes = {LB1: Fleet("lb1"), LB2: Fleet("lb2", pps_factor=2)}
    source = Passing(tuple(nodes), recording.inbox(records(nodes, range(SECONDS))))
    app = RemoraApp(
        source,
        "lab 日本",
        clock=lambda: source.second + 0.1,
        wall=lambda: 1_790_000_000.0 + source.second,
        frame_every=None,
        render=render,
    )
    app.arming = Arming(source.second + 900.0)
    app.driver_class = Emulated
    seen: list[Picture] = []
    async with app.run_test(headless=False, size=SIZE) as pilot:
        await settle(pilot)
        start = emulated(app).bytes
        for step in STEPS.values():
            await step(app, pilot)
            await settle(pilot)
            seen.append(emulated(app).picture())
        written = emulated(app).bytes - start
    return seen, written


async def test_the_difference_equals_the_whole() -> None:
    """Every step: the same characters, colours and attributes as Textual's own output."""
    ours, written = await pictures("diff")
    stock, whole = await pictures("stock")
    for name, picture, wanted in zip(STEPS, ours, stock, strict=True):
        differing = [
            f"{x},{y}: {cell} instead of {right}"
            for y, (line, right_line) in enumerate(zip(picture, wanted, strict=True))
            for x, (cell, right) in enumerate(zip(line, right_line, strict=True))
            if cell != right
        ]
        assert not differing, f"{name}: {len(differing)} cells, first {differing[0]}"
    assert written < whole / 3


# ---- the shadow by itself


def layout(*lines: str, x: int = 0, y: int = 0, style: Style | None = None) -> LayoutUpdate:
    strips = [Strip([Segment(text, style)]) for text in lines]
    width = max(strip.cell_length for strip in strips)
    return LayoutUpdate([[strip] for strip in strips], Region(x, y, width, len(lines)))


@pytest.fixture
def terminal() -> Console:
    return Console(color_system="truecolor", force_terminal=True)


def test_only_what_differs_is_written(terminal: Console) -> None:
    shadow = Shadow()
    assert shadow.difference(layout("pps 1.31M up"), terminal) == "\x1b[1;1Hpps 1.31M up"
    assert shadow.difference(layout("pps 1.31M up"), terminal) == ""
    assert shadow.difference(layout("pps 1.32M up"), terminal) == "\x1b[1;8H2"
    shadow.forget()
    assert shadow.difference(layout("pps 1.32M up"), terminal) == "\x1b[1;1Hpps 1.32M up"


def test_what_is_shown_does_not_steer_the_terminal(terminal: Console) -> None:
    """K4: whatever widget it is in, and whichever agent or operator it comes from."""
    text = Shadow().difference(layout("a\x1b]52;c;aGk=\x07b", "é\x1b[2J\x9b31m\u202e"), terminal)
    assert text == "\x1b[1;1Ha]52;c;aGk=b\x1b[2;1Hé[2J31m"


class Listening(Emulated):
    said = ""

    def write(self, data: str) -> None:
        Listening.said += data
        super().write(data)


@pytest.mark.parametrize("render", ["diff", "stock"])
async def test_a_hostile_name_is_shown_and_not_obeyed(render: Render) -> None:
    """Of a compromised agent: escapes in its name, and markup where Textual would read it."""
    name = "lb\x1b]52;c;aGk=\x07[/b]1"
    app = recorded({LB1: Fleet(name), LB2: Fleet("lb2")}, armed=True)
    app._render = render
    app.driver_class = Listening
    Listening.said = ""
    async with app.run_test(headless=False, size=SIZE) as pilot:
        await settle(pilot)
        assert "lb?]52;c" in Listening.said, "it is on show"
        for step in (press("D"), press("escape"), press("ctrl+p", "l", "b"), press("escape")):
            await step(app, pilot)
            await settle(pilot)
    assert "\x1b]52" not in Listening.said
    assert app.failure == ""


def test_near_differences_are_joined_and_far_ones_are_not(terminal: Console) -> None:
    shadow = Shadow()
    shadow.difference(layout("0123456789abcdef"), terminal)
    assert shadow.difference(layout("0X2345Y789abcdeZ"), terminal) == (
        "\x1b[1;2HX2345Y" + "\x1b[1;16HZ"
    )


def test_a_colour_is_written_once(terminal: Console) -> None:
    shadow = Shadow()
    red = Style(color="#ff0000")
    text = shadow.difference(layout("ab", "cd", style=red), terminal)
    assert text == "\x1b[1;1H\x1b[0;38;2;255;0;0mab\x1b[2;1Hcd\x1b[0m"


def test_a_wide_character_that_was_cut_is_written_again(terminal: Console) -> None:
    """Writing on its second half blanks the first on a terminal."""
    shadow = Shadow()
    shadow.difference(layout("a日b"), terminal)
    shadow.difference(layout("x", x=2), terminal)
    again = shadow.difference(layout("a日b"), terminal)
    assert again == "\x1b[1;2H日"


# ---- a terminal that does not read


class Stuck:
    """A writer thread whose terminal does not read."""

    def __init__(self) -> None:
        self._queue: queue.Queue[str] = queue.Queue(30)


class Unread(Emulated):
    """Every write stays in the queue until somebody reads."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self._writer_thread = Stuck()

    def write(self, data: str) -> None:
        self._writer_thread._queue.put_nowait(data)

    def read(self) -> None:
        while not self._writer_thread._queue.empty():
            super().write(self._writer_thread._queue.get_nowait())


def passing(driver: type[Driver]) -> RemoraApp:
    nodes = {LB1: Fleet("lb1"), LB2: Fleet("lb2", pps_factor=2)}
    source = Passing(tuple(nodes), recording.inbox(records(nodes, range(SECONDS))))
    app = RemoraApp(
        source,
        "lab",
        clock=lambda: source.second + 0.1,
        wall=lambda: 1_790_000_000.0 + source.second,
        frame_every=None,
    )
    app.driver_class = driver
    return app


async def test_frames_are_passed_over_while_nobody_reads_and_made_up_for() -> None:
    """The queue never fills (Textual's blocks at 30), and the screen is right afterwards."""
    app = passing(Unread)
    async with app.run_test(headless=False, size=SIZE) as pilot:
        driver = app._driver
        assert isinstance(driver, Unread)
        for _ in range(20):
            await later(app, pilot)
            await settle(pilot)
            assert driver._writer_thread._queue.qsize() <= MOST_WAITING
        assert app.held_back
        await pilot.press("3")
        await settle(pilot)
        driver.read()
        while app.held_back:
            await pilot.pause(0.05)
        await settle(pilot)
        driver.read()
        shown = driver.screen.display
        assert shown[1].startswith(" VIPs")
        assert any(line.startswith(">web") for line in shown)
        assert not any("Fleet" in line for line in shown)


# ---- how often


@pytest.mark.parametrize(
    ("took", "every"), [(0.01, 0.5), (0.014, 1.0), (0.02, 1.0), (0.032, 1.5), (5.0, 2.0)]
)
def test_frames_that_are_dear_are_rarer(took: float, every: float) -> None:
    """A fiftieth of a core and no more; but never so rare that the screen seems to stand."""
    pace = Pace()
    due = []
    for tick in range(60):
        now = tick * FRAME
        pace.sample(now, 0, held=False)
        if pace.due(now):
            due.append(now)
            pace.drawn(took)
    gaps = {later - sooner for sooner, later in itertools.pairwise(due)}
    assert gaps == {every}
    assert not pace.slow, "the link is not to blame, and the header does not say so"


def test_pace_halves_twice_on_a_slow_link_and_comes_back() -> None:
    pace = Pace()
    now, written = 0.0, 0
    frames: list[float] = []

    def run(seconds: float, bytes_per_frame: int, *, held: bool = False) -> None:
        nonlocal now, written
        for _ in range(int(seconds / FRAME)):
            now += FRAME
            pace.sample(now, written, held=held)
            if pace.due(now):
                frames.append(now)
                written += bytes_per_frame

    run(20, 4000)
    assert not pace.slow
    assert len(frames) == 40, "8 kB/s at 2 Hz"
    run(20, 15_000)
    assert pace.slow, f"30 kB/s are more than {MOST}"
    frames.clear()
    run(20, 15_000)
    assert len(frames) == 20 / SLOW_FRAME
    assert pace.slow, "7.5 kB/s at the slow pace would be 30 at the fast one"
    run(25, 2000)
    assert not pace.slow
    run(FRAME, 0, held=True)
    assert pace.slow, "the terminal does not read"


async def test_a_slow_link_is_said_in_the_header() -> None:
    app = recorded({LB1: Fleet("lb1"), LB2: Fleet("lb2")})
    async with app.run_test(size=(80, 24)) as pilot:
        app._pace.slow = True
        await settle(pilot)
        header: Any = app.screen.query_one("#header")
        assert "0.5 Hz slow link" in header.text
