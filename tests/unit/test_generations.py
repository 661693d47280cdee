# SPDX-License-Identifier: Apache-2.0
"""Configs that were in force: kept whole, found again, and what a restart takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.boundary import EffectError, Remember
from agent.cli import change as cli_change
from agent.config import file as config
from agent.records import generations
from agent.records.generations import KEPT, in_force, keep, numbers, propose, read
from agent.records.journal import Journal, journal_path
from shared.messages import Action, Answer, Change, Command, Reload, Rollback
from tests.unit.world import ONE_VIP, REALS, TOML, vip

OTHER = TOML + vip("www", "10.200.0.9", 80, REALS)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A config file whose state_dir is below tmp_path."""
    path = tmp_path / "agent.toml"
    path.write_text(placed(ONE_VIP, tmp_path))
    return path


def placed(text: str, directory: Path) -> str:
    return text.replace("/var/lib/remora/lb1", f"{directory}/state")


def kept_in(node: Path) -> Path:
    return generations.directory(f"{node.parent}/state")


def remember(node: Path, generation: int, instead_of: str = "") -> None:
    journal = Journal(journal_path(f"{node.parent}/state"))
    command = Command(id="1", who="ann", action=Reload())
    journal.write(Remember(command, "applied", 1, (), generation, instead_of))
    journal.close()


def asked(action: Action, *, dry_run: bool = False) -> Command:
    return Command(id="1", who="ann", action=action, dry_run=dry_run)


def test_the_first_start_is_the_first_generation(node: Path) -> None:
    started = in_force(node)
    assert (started.generation, started.fresh, started.passed_over) == (1, True, False)
    assert started.text == node.read_text()


def test_the_same_file_is_the_same_generation(node: Path) -> None:
    keep(kept_in(node), 1, node.read_text())
    remember(node, 1)
    assert in_force(node)[2:] == (1, False, False)
    node.write_text(placed(OTHER, node.parent))
    assert in_force(node)[2:] == (2, True, False)


def test_a_number_that_was_kept_but_never_in_force_is_not_given_again(node: Path) -> None:
    keep(kept_in(node), 1, node.read_text())
    keep(kept_in(node), 2, "of a reload that failed")
    remember(node, 1)
    node.write_text(placed(OTHER, node.parent))
    assert in_force(node).generation == 3


def test_what_was_rolled_back_is_passed_over_until_the_file_changes(node: Path) -> None:
    good = node.read_text()
    keep(kept_in(node), 3, good)
    node.write_text(bad := placed(OTHER, node.parent))
    remember(node, 3, generations.digest(bad))
    started = in_force(node)
    assert started.text == good
    assert started.listed == config.parse(good, "x")
    assert started[2:] == (3, False, True)
    node.write_text("# mended\n" + bad)
    assert in_force(node)[2:] == (4, True, False)


def test_a_damaged_generation_gives_way_to_the_file(node: Path) -> None:
    keep(kept_in(node), 3, "not = a config")
    remember(node, 3, generations.digest(node.read_text()))
    assert in_force(node).text == node.read_text()


def test_only_the_newest_are_kept_and_only_root_reads_them(tmp_path: Path) -> None:
    for number in range(1, KEPT + 6):
        keep(tmp_path / "kept", number, f"# {number}")
    assert numbers(tmp_path / "kept") == list(range(6, KEPT + 6))
    assert read(tmp_path / "kept", 25) == "# 25"
    assert (tmp_path / "kept" / "000025.toml").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
    with pytest.raises(EffectError, match="generation 3 cannot be read; there are 6 to 25"):
        read(tmp_path / "kept", 3)


def test_a_place_that_cannot_be_written_is_an_effect_error() -> None:
    with pytest.raises(EffectError, match=r"generation /proc/no/000001\.toml: "):
        keep(Path("/proc/no"), 1, "")


def test_a_reload_reads_the_file_as_it_is_now(node: Path) -> None:
    node.write_text(text := placed(OTHER, node.parent))
    made = propose(asked(Reload()), b"x", node, kept_in(node), 1)
    assert (made.config, made.text, made.error) == (config.parse(text, "x"), text, "")


def test_a_given_text_can_be_planned_only(node: Path) -> None:
    planned = propose(asked(Reload(OTHER), dry_run=True), b"x", node, kept_in(node), 1)
    assert planned.config == config.parse(OTHER, "x")
    refused = propose(asked(Reload(OTHER)), b"x", node, kept_in(node), 1)
    assert refused.config is None
    assert "can be planned only" in refused.error


def test_a_rollback_goes_to_the_one_before_or_the_one_named(node: Path) -> None:
    for number, text in ((4, OTHER), (6, ONE_VIP), (7, OTHER)):
        keep(kept_in(node), number, text)
    before = propose(asked(Rollback()), b"x", node, kept_in(node), 7)
    assert before.text == ONE_VIP
    assert before.instead_of == generations.digest(node.read_text())
    assert propose(asked(Rollback(4)), b"x", node, kept_in(node), 7).text == OTHER
    none = propose(asked(Rollback(5)), b"x", node, kept_in(node), 7)
    assert "generation 5 cannot be read; there are 4 to 7" in none.error


@pytest.mark.parametrize(
    ("status", "guard", "code"),
    [("applied", "", 0), ("unchanged", "", 0), ("planned", "", 0), ("failed", "", 1),
     ("refused", "live-flows", 4), ("refused", "revision", 7)],
)  # fmt: skip
def test_exit_codes(status: str, guard: str, code: int) -> None:
    answer = Answer(id="1", node="lb1", status=status, revision=1, guard=guard)  # type: ignore[arg-type]
    assert cli_change.exit_code(answer) == code


def test_the_plan_in_words() -> None:
    changes = (
        Change("", "", "300.0", "60.0", 0, 0, 0, 0, 0, what="node.flow_idle"),
        Change("web", "", "1", "2", 0, 0, 0, 0, 3, what="vips.quorum"),
        Change("web", "10.3.1.2", "enabled, weight 100", "absent", 21846, 0, 21900, 17, 2),
        Change("mail", "", "absent", "10.200.0.2:25/tcp, 2 reals", 0, 0, 0, 0, 0, what="vips"),
    )
    answer = Answer(
        id="1", node="lb1", status="applied", revision=4, changes=changes, generation=3, note="n"
    )
    assert list(cli_change.lines(answer)) == [
        "  node.flow_idle: 300.0 -> 60.0",
        "  web vips.quorum: 1 -> 2",
        "  web/10.3.1.2: enabled, weight 100 -> absent; slots 21846 -> 0, 21900 of the ring move; "
        "17 live flows",
        "  mail: absent -> 10.200.0.2:25/tcp, 2 reals",
        "lb1: applied, revision 4, generation 3",
        "note: n",
    ]
