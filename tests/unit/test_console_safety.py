# SPDX-License-Identifier: Apache-2.0
"""When plans may be opened, what they are about, where one is, and which key does what."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.exits import Exit, VerbError
from console.model.objects import ObjectError
from console.planning import wish
from console.planning.arming import Arming, ArmingError, minutes
from console.planning.wish import Order, Target
from console.settings import SettingsError, load
from console.tui.appearance import Appearance, read
from console.tui.keys import BY_ID, KEYS, PLAN, KeymapError, remapped
from console.tui.trail import START, Place, Trail
from shared.messages import Batch, Drain, Undrain, Weight

NODES = (("ipc:///a", "lb1"), ("ipc:///b", "lb2"))
ONE = Target("real", "10.3.1.2", "web", NODES, 100)
OTHER = Target("real", "10.3.2.2", "web", NODES[:1], 100)
NODE = Target("node", "lb1", "", NODES[:1], 0)


# ---- arming


def test_a_console_starts_in_view_and_arming_ends_by_itself() -> None:
    arming = Arming()
    assert not arming.armed(1e9)
    assert arming.word(5.0) == "VIEW"
    armed = arming.for_minutes(15, "INC-7", 100.0)
    assert armed.word(139.0) == "ARMED 14:21"
    assert armed.armed(999.9)
    assert not armed.armed(1000.0)
    assert not armed.disarmed().armed(100.0)


@pytest.mark.parametrize(("span", "why"), [(0, "x"), (121, "x"), (15, " ")])
def test_arming_wants_minutes_and_a_reason(span: int, why: str) -> None:
    with pytest.raises(ArmingError):
        Arming().for_minutes(span, why, 0.0)


def test_a_view_only_console_never_arms() -> None:
    with pytest.raises(ArmingError) as failed:
        Arming(never=True).for_minutes(15, "INC-7", 0.0)
    assert failed.value.code == Exit.NOT_ALLOWED
    assert Arming(never=True).disarmed().never


@pytest.mark.parametrize(("text", "wanted"), [("15", 15), ("15m", 15), ("2h", 120), ("5 min", 5)])
def test_spans(text: str, wanted: int) -> None:
    assert minutes(text) == wanted


@pytest.mark.parametrize("text", ["", "soon", "-5m", "1d"])
def test_spans_that_are_none(text: str) -> None:
    with pytest.raises(ArmingError, match="15m would be"):
        minutes(text)


# ---- wishes


def test_one_object_is_one_command_per_node() -> None:
    made = wish.wish("drain", [ONE])
    drain = Drain("10.3.1.2", "web")
    assert made.orders == (Order(*NODES[0], drain), Order(*NODES[1], drain))
    assert made.lines == ("drain real/10.3.1.2@web",)
    assert made.confirm == "10.3.1.2"


def test_several_are_one_batch_per_node() -> None:
    made = wish.wish("weight", [ONE, OTHER], 50)
    parts = (Weight("10.3.1.2", 50, "web"), Weight("10.3.2.2", 50, "web"))
    assert made.orders == (Order(*NODES[0], Batch(parts)), Order(*NODES[1], parts[0]))
    assert made.lines == ("weight real/10.3.1.2@web real/10.3.2.2@web 50",)
    assert made.objects == ("real/10.3.1.2@web", "real/10.3.2.2@web"), "every one is named"
    assert made.confirm == "2"


def test_a_node_has_no_weight() -> None:
    with pytest.raises(ObjectError, match="no weight"):
        wish.wish("weight", [NODE], 5)


def test_undo_is_what_each_node_said() -> None:
    lines = ("undrain real/10.3.1.2@web", "weight real/10.3.2.2@web 100")
    made = wish.as_told([(*NODES[0], lines), (*NODES[1], lines[:1])], "undo drain")
    back = Undrain("10.3.1.2", "web")
    both = Batch((back, Weight("10.3.2.2", 100, "web")))
    assert made.orders == (Order(*NODES[0], both), Order(*NODES[1], back))
    assert made.objects == ("real/10.3.1.2@web", "real/10.3.2.2@web")
    with pytest.raises(ObjectError, match="upgrade"):
        wish.as_told([(*NODES[0], ("disable real/10.3.1.2@web",))], "undo")


@pytest.mark.parametrize(
    ("flags", "left", "then"),
    [("--deadline 600s --then kill", 600.0, "kill"), ("--deadline 90.5", 90.5, "wait")],
)
def test_a_drain_that_goes_on_keeps_its_deadline(flags: str, left: float, then: str) -> None:
    (order,) = wish.as_told([(*NODES[0], (f"drain real/10.3.1.2@web {flags}",))], "go on").orders
    assert order.action == Drain("10.3.1.2", "web", deadline=left, then=then)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "flags",
    ["--deadline", "--deadline soon", "--deadline -5s", "--deadline nan", "--deadline inf",
     "--deadline 5s --then flee", "--then kill", "--deadline 5s --gently yes", "5"],
)  # fmt: skip
def test_what_a_line_says_besides_is_not_passed_over(flags: str) -> None:
    """A newer agent's flag that means nothing here may be what matters."""
    with pytest.raises(ObjectError, match="upgrade it"):
        wish.as_told([(*NODES[0], (f"drain real/10.3.1.2@web {flags}",))], "go on")


# ---- places


def test_in_out_back_and_forth() -> None:
    trail = Trail()
    vips, web = Place("vips"), Place("vip", "web")
    trail.to(vips)
    assert trail.into(web) == (*START, vips, web)
    assert trail.up() == (*START, vips)
    assert trail.step(-1) == (*START, vips, web)
    assert trail.step(-1) == (*START, vips)
    assert trail.step(-1) == trail.step(-1) == START, "no further"
    assert trail.step(1) == (*START, vips)
    assert trail.to(Place("heat")) == (*START, Place("heat")), "going elsewhere forgets the rest"
    assert trail.step(1) == (*START, Place("heat"))
    assert trail.toggle() == (*START, vips)
    assert trail.toggle() == (*START, Place("heat"))


STEPS = st.lists(
    st.one_of(
        st.sampled_from([Place("fleet"), Place("vips"), Place("vip", "web"), Place("node", "a")]),
        st.integers(-1, 2),
    )
)


@given(STEPS)
def test_wherever_one_goes_the_fleet_is_below(steps: list[Place | int]) -> None:
    trail = Trail()
    for step in steps:
        if isinstance(step, int):
            trail.up() if step == 2 else trail.step(step) if step else trail.toggle()
        elif step.name:
            trail.into(step)
        else:
            trail.to(step)
        assert trail.path[:1] == START
        assert len(set(trail.path)) == len(trail.path), "no place twice"


# ---- keys


def test_every_key_is_given_once() -> None:
    given_ = [one for key in KEYS for one in key.keys.split(",")]
    assert len(set(given_)) == len(given_)
    assert len(BY_ID) == len(KEYS)
    assert all(len(k.keys) == 1 and k.keys.isupper() for k in KEYS if k.group == PLAN)


def test_keys_can_be_moved_by_their_id() -> None:
    by_id = {key.id: key for key in remapped({"freeze": "x", "drain": "X"})}
    assert (by_id["freeze"].keys, by_id["freeze"].shown) == ("x", "x")
    assert by_id["drain"].keys == "X"
    assert by_id["undrain"].keys == "U"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"freez": "x"}, "no such key"),
        ({"drain": "d"}, "upper-case"),
        ({"freeze": "o"}, "already"),
        ({"undrain": "D"}, "already"),
    ],
)
def test_keymaps_that_cannot_be(table: dict[str, str], says: str) -> None:
    with pytest.raises(KeymapError, match=says) as failed:
        remapped(table)
    assert isinstance(failed.value, VerbError)


# ---- appearance


def test_mouse_and_signs_follow_the_terminal() -> None:
    look = Appearance()
    assert look.with_mouse({})
    assert not look.with_mouse({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"})
    assert Appearance(mouse="on").with_mouse({"SSH_TTY": "/dev/pts/1"})
    assert not Appearance(mouse="off").with_mouse({})
    assert not look.ascii_only({"TERM": "xterm", "LANG": "en_US.UTF-8"})
    assert not look.ascii_only({"TERM": "xterm"})
    assert look.ascii_only({"TERM": "linux", "LANG": "en_US.UTF-8"})
    assert look.ascii_only({"TERM": "xterm", "LC_ALL": "C"})
    assert Appearance(ascii="on").ascii_only({})


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"theme": "pink"}, "theme: 'pink' is none of dark, light"),
        ({"colour": "pink"}, "none of red"),
        ({"mouse": True}, "none of auto, on, off"),
        ({"keys": ["x"]}, "keys: must be a table"),
        ({"keys": {"drain": "d"}}, "upper-case"),
    ],
)
def test_an_appearance_that_cannot_be(table: dict[str, object], says: str) -> None:
    with pytest.raises(VerbError, match=says):
        read(table)


CONFIG = """
theme = "light"
context = "lab"
[keys]
freeze = "x"
[contexts.lab]
agents = ["ipc:///run/remora/lab1"]
[contexts.prod]
agents = ["ipc:///run/remora/lb1", "ipc:///run/remora/lb2"]
cluster = "fra1 (prod)"
colour = "red"
view_only = true
"""


def test_contexts_are_clusters_with_a_name_and_a_colour(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    usual = load((), str(file), {})
    assert (usual.cluster, usual.agents) == ("lab", ("ipc:///run/remora/lab1",))
    assert usual.appearance.theme == "light", "outside of the contexts: for all of them"
    prod = load((), str(file), {}, context="prod")
    assert prod.cluster == "fra1 (prod)"
    assert (prod.appearance.colour, prod.view_only, len(prod.agents)) == ("red", True, 2)
    assert prod.appearance.moved == {"freeze": "x"}
    assert load((), str(file), {"REMORA_CONTEXT": "prod"}).cluster == "fra1 (prod)"
    with pytest.raises(VerbError, match="context 'mars': there is lab, prod"):
        load((), str(file), {}, context="mars")
    file.write_text(CONFIG.replace('theme = "light"', 'theme = "pink"'))
    with pytest.raises(VerbError, match="theme: 'pink'"):
        load((), str(file), {})


def test_a_context_that_no_file_has_is_not_passed_over(tmp_path: Path) -> None:
    """K2: `REMORA_CONTEXT=prod` means prod's limits, not whatever agents the environment names."""
    place = {"XDG_CONFIG_HOME": str(tmp_path), "REMORA_AGENTS": "ipc:///run/remora/lb1"}
    assert load((), None, place).agents == ("ipc:///run/remora/lb1",)
    with pytest.raises(SettingsError, match="No such file"):
        load((), None, {**place, "REMORA_CONTEXT": "prod"})
