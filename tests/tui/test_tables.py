# SPDX-License-Identifier: Apache-2.0
"""What can be done with a table: columns, export, the clipboard, the palette, packets, the tail."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.command import CommandList, CommandPalette
from textual.widgets import OptionList, SelectionList

from console import format as fmt
from console.exits import VerbError
from console.model.records import UP
from console.model.store import Arrived, Inbox
from console.settings import Settings
from console.tui.appearance import read
from console.tui.widgets.table import LineTable
from console.views.cells import Cell
from console.views.columns import Column
from tests.tui.playback import SECONDS
from tests.tui.recorded import LB1, Fleet, dropped
from tests.tui.test_plan import until
from tests.tui.test_screens import keys, line_with, painted, plain, settle


async def test_columns_are_chosen_and_kept() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("3", "a")(pilot)
        chooser = app.screen.query_one(SelectionList)
        assert "ADDRESS" in chooser.selected
        await keys("j", "space", "enter")(pilot)
        assert "ADDRESS" not in painted(app, "LineTable")
        await keys("4", "3")(pilot)
        assert "ADDRESS" not in painted(app, "LineTable"), "as long as the console runs"
        await keys("a", "escape")(pilot)
        assert "ADDRESS" not in painted(app, "LineTable")
        await keys("a", "a")(pilot)
        assert "ADDRESS" in painted(app, "LineTable")


async def test_n_goes_from_match_to_match_among_all_rows() -> None:
    """After Esc the rows around a match are there, too."""
    app = plain()
    async with app.run_test(size=(120, 40)) as pilot:
        await keys("4", "tab", "n")(pilot)
        assert "type / and words first" in painted(app, "#message")
        await keys("slash", *"route", "escape", "g")(pilot)
        assert "filter -" in painted(app, "#crumb")
        seen = []
        for key, words in (("n", "1 of 2"), ("n", "2 of 2"), ("n", "1 of 2, from the top"),
                           ("N", "2 of 2, from the end")):  # fmt: skip
            await keys(key)(pilot)
            assert f"route: {words}" in painted(app, "#message")
            (row,) = [line for line in painted(app, "#tail").splitlines() if line[:1] == ">"]
            assert "route   announce" in row
            seen.append(row)
        assert seen[0] == seen[2] != seen[1] == seen[3]
        await keys("slash", *"nowhere", "escape", "n")(pilot)
        assert "no row has 'nowhere'" in painted(app, "#message")


async def test_totals_stand_in_the_place_of_rates() -> None:
    """What an agent said, or the sum of it: nothing is divided."""
    app = plain()
    async with app.run_test(size=(140, 40)) as pilot:
        await keys("3", "o", "o", "o", "o")(pilot)
        assert "sort pps" in painted(app, "#crumb")
        await keys("z")(pilot)
        assert "totals  sort packets" in painted(app, "#crumb")
        heading, web = painted(app, "LineTable").splitlines()[:2]
        assert "PACKETS" in heading
        assert "PPS" not in heading
        told = [agent.vips for agent in app.store.agents.values() if agent.vips]
        rows = [row for snapshot in told for row in snapshot.vips if row.name == "web"]
        packets = sum(row.packets for row in rows)
        assert f" {fmt.si(packets)} " in web
        await keys("slash", *"packets>1", "enter")(pilot)
        assert "2 rows" in painted(app, "#crumb")
        await keys("escape", "slash", *fmt.si(packets), "enter")(pilot)
        assert "1 of 2 rows" in painted(app, "#crumb")
        await keys("z")(pilot)
        assert "0 of 2 rows" in painted(app, "#crumb"), "a word is looked for in what stands there"
        await keys("n")(pilot)
        assert "no row has" in painted(app, "#message")
        await keys("escape")(pilot)
        assert "sort pps" in painted(app, "#crumb")
        await keys("z", "enter")(pilot)
        assert "PACKETS" in painted(app, "LineTable"), "on every screen"
        await keys("4", "z")(pilot)
        assert "PACKETS are totals already" in painted(app, "#message")
        await keys("6", "z")(pilot)
        assert "no totals of this table" in painted(app, "#message")


async def test_totals_keep_the_columns_that_were_chosen() -> None:
    app = plain()
    async with app.run_test(size=(140, 40)) as pilot:
        await keys("3", "z", "a")(pilot)
        chooser = app.screen.query_one(SelectionList)
        assert "PACKETS" in chooser.selected
        chooser.deselect("BYTES")
        await keys("enter")(pilot)
        assert "BYTES" not in painted(app, "LineTable")
        await keys("z")(pilot)
        shown = painted(app, "LineTable")
        assert "PPS" in shown
        assert "BIT/S" not in shown, "the same column"


@pytest.mark.parametrize(("steps", "kind"), [(0, "csv"), (1, "jsonl"), (2, "md")])
async def test_export_writes_what_is_on_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    app = plain()
    async with app.run_test(size=(120, 30)) as pilot:
        await keys("3", "slash", *"dns", "enter", "e")(pilot)
        assert isinstance(app.screen.query_one("#choices"), OptionList)
        await keys(*["down"] * steps, "enter")(pilot)
        (path,) = files_in(tmp_path)
        assert str(path) in painted(app, "#message").replace("\n", "")
        text = path.read_text()
        assert path.suffix == f".{kind}"
        assert "dns" in text
        assert "web" not in text, "the filter holds"


async def test_a_key_that_moves_the_cursor_writes_no_row_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five hundred nodes, and a key shows at once: only what it changes is worked out."""
    written: list[str] = []
    fit = fmt.fit

    def counted(text: str, width: int, *, right: bool = False) -> str:
        written.append(text)
        return fit(text, width, right=right)

    app = plain()
    async with app.run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        lines = painted(app, "LineTable").splitlines()
        monkeypatch.setattr(fmt, "fit", counted)
        await pilot.press("j")
        moved = painted(app, "LineTable").splitlines()
        assert [line[0] for line in lines[1:3]] == [">", " "]
        assert [line[0] for line in moved[1:3]] == [" ", ">"]
        assert [line[1:] for line in moved] == [line[1:] for line in lines]
        assert "lb1" not in written
        await keys("space")(pilot)
        assert "*" in painted(app, "LineTable"), "a mark shows on a row that was written before"
        await keys("3", "j")(pilot)
        assert written, "other rows are"


async def test_the_first_row_is_on_show_until_the_cursor_is_moved() -> None:
    """While agents answer at the start, rows change places: none may stay above the edge."""
    names = [f"n{number:02}" for number in range(40)]

    def rows_of(order: list[str]) -> list[SimpleNamespace]:
        return [SimpleNamespace(key=name, state=UP) for name in order]

    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        table = app.screen.query_one("LineTable", LineTable)
        table.select("n00")
        table.use([Column("NAME", 5, lambda row: Cell(row.key), lambda row: row.key)])
        table.show(rows_of(names))
        table.show(rows_of([*names[1:], "n00"]))
        assert ">n00" in table.text, "it goes with its row"
        table.show(rows_of([names[1], "n00", *names[2:]]))
        assert table.text.splitlines()[1:3] == [" n01", ">n00"]
        table.page(1)
        table.move(-1)
        table.show(rows_of(names))
        assert " n00" not in table.text, "who moved it keeps his place"


def files_in(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def test_an_export_that_cannot_be_written_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/proc/self")
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/self")
    app = plain()
    async with app.run_test(size=(120, 30)) as pilot:
        await keys("e", "enter")(pilot)
        assert "not written: /proc/self" in painted(app, "#message")


async def test_rows_go_to_the_clipboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OSC 52, which many a terminal takes without a word and some do not take at all: so a file."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("3", "c")(pilot)
        assert app.clipboard.startswith("web\t10.200.0.1:80/tcp\t● up")
        await keys("y")(pilot)
        assert json.loads(app.clipboard)["name"] == "web"
        assert (tmp_path / "remora/copied").read_text() == f"{app.clipboard}\n"
        assert "remora/copied" in painted(app, "#message").replace("\n", "")


async def test_the_palette_finds_places_and_objects() -> None:
    app = plain()
    async with app.run_test(size=(100, 30)) as pilot:
        await keys("ctrl+p")(pilot)
        assert isinstance(app.screen, CommandPalette)
        await pilot.press(*"vip we")
        found = app.screen.query_one(CommandList)
        await until(pilot, lambda: found.highlighted is not None, "what was found")
        await keys("enter")(pilot)
        await until(pilot, lambda: "web › reals" in painted(app, "#crumb"), "the place")


async def test_a_packet_is_opened_from_the_tail_and_stays() -> None:
    app = plain()
    async with app.run_test(size=(100, 40)) as pilot:
        await keys("4", "enter")(pilot)
        assert "events" in painted(app, "#tail_rule")
        assert "filter fragment" in painted(app, "#crumb"), "Enter on a reason: its packets"
        await keys("enter")(pilot)
        shown = painted(app, "#packet")
        assert shown.startswith(" fragment")
        assert "cut off" in shown or "type 0x0000" in shown
        assert "remedy" in shown
        assert "0000  00 00" in shown
        await keys("escape")(pilot)
        assert "Drops and events › tail" in painted(app, "#crumb")


async def test_the_tail_follows_until_the_cursor_leaves_its_end() -> None:
    app = plain()
    node = Fleet("lb1")
    async with app.run_test(size=(100, 40)) as pilot:
        await keys("4", "tab")(pilot)

        async def happens(sequence: int, source: str) -> None:
            event = node.event(sequence, SECONDS + sequence, dropped(source))
            app.source.inbox = Inbox((Arrived(LB1, event, SECONDS - 0.9),))  # type: ignore[attr-defined]
            await settle(pilot)

        await happens(6, "192.0.2.66:1")
        assert line_with_tail(app, "192.0.2.66").startswith(">")
        await keys("k")(pilot)
        assert "not following" in painted(app, "#tail_rule")
        await happens(7, "192.0.2.77:1")
        assert not line_with_tail(app, "192.0.2.77").startswith(">")
        await keys("f")(pilot)
        assert line_with_tail(app, "192.0.2.77").startswith(">")


def line_with_tail(app: object, text: str) -> str:
    from console.tui.app import RemoraApp

    assert isinstance(app, RemoraApp)
    return next(one for one in painted(app, "#tail").splitlines() if text in one)


async def test_a_terminal_of_a_few_lines_has_one_about_the_cluster() -> None:
    app = plain()
    async with app.run_test(size=(50, 10)) as pilot:
        await settle(pilot)
        assert "2/2 nodes" in painted(app, "#tiny")
        assert not app.screen.query_one("LineTable").display
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert line_with(app, "lb1")
        assert not app.screen.query_one("#tiny").display


async def test_packets_of_the_tail_go_to_wireshark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = plain()
    async with app.run_test(size=(120, 30)) as pilot:
        await keys("4", "tab", "e", "down", "down", "down", "enter")(pilot)
        (path,) = files_in(tmp_path)
        made = path.read_bytes()
        assert path.suffix == ".pcapng"
        assert made.startswith(b"\x0a\x0d\x0d\x0a")
        assert b"lb1:drops" in made
        assert b"lb2:drops" in made
        await keys("3", "e")(pilot)
        assert app.screen.query_one(OptionList).option_count == 3, "VIPs have no packets"


async def test_columns_and_hot_keys_of_the_config() -> None:
    app = plain()
    app.appearance = read({"columns": {"fleet": ["node", "pps"]}, "hotkeys": {"w": "vip web"}})
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        assert painted(app, "LineTable").splitlines()[0].split() == ["NODE", "PPS"]
        await keys("w")(pilot)
        assert "web › reals" in painted(app, "#crumb")


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"hotkeys": {"D": "fleet"}}, "hotkeys: D: is that of drain already"),
        ({"hotkeys": {"w": "drain lb1"}}, "a hot key only looks"),
        ({"hotkeys": ["w"]}, "hotkeys: must be a table"),
        ({"columns": {"drops": ["REASON"]}}, "columns: drops: there are fleet"),
        ({"columns": {"fleet": "NODE"}}, "columns: fleet: must be a table of titles"),
    ],
)
def test_hot_keys_and_columns_that_cannot_be(table: dict[str, Any], why: str) -> None:
    with pytest.raises(VerbError, match=why):
        read(table)


async def test_another_context_is_another_console() -> None:
    """What is armed here is not armed there: the console is left, and begun anew."""
    app = plain()
    other = Settings(("ipc:///run/remora/prod",), "prod")

    def switch(name: str) -> Settings:
        if name != "prod":
            raise VerbError(f"context {name!r}: there is lab, prod")
        return other

    app.switch = switch
    async with app.run_test(size=(120, 30)) as pilot:
        await keys("colon", *"context prd", "enter")(pilot)
        assert "there is lab, prod" in painted(app, "#message")
        assert app.next is None
        await keys("escape", "colon", *"context prod", "enter")(pilot)
    assert app.next == other
