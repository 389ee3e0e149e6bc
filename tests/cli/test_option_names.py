"""Messages name what their reader has: arguments in Python, options in a shell, fields in QGIS."""

from __future__ import annotations

import ast
import inspect
import json
import re
import warnings
from pathlib import Path

import pytest

import geopointseg as gps
from geopointseg.cli.app import main
from geopointseg.cli.option_names import COMMANDS, in_options
from geopointseg.message_catalogue import find_messages

PACKAGE = Path(gps.__file__).parent
OPTION = re.compile(r"(^|[\s'(`])(--[a-z]|-o )")
CODE = re.compile(r"`[^`]+`")


def sentences() -> list[tuple[str, str]]:
    """Return module and text of every string with a blank in it, besides docstrings."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module, tree = path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text("utf-8"))
        docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        parts = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in docs)
        found += [(module, n.value) for n in parts if isinstance(n.value, str) and " " in n.value]
    return found


LIBRARY = [(m, text) for m, text in sentences() if not m.startswith("cli/")]
CODES = sorted({code for _, text in LIBRARY for code in CODE.findall(text)})


def test_no_sentence_of_the_library_names_an_option_or_a_command() -> None:
    assert len(LIBRARY) > 1000
    found = [
        each
        for each in LIBRARY
        if OPTION.search(each[1]) or re.search("'geopointseg [a-z]", each[1])
    ]
    assert found == []
    assert [each for each in LIBRARY if "in Python" in each[1]] == []


@pytest.mark.parametrize("code", CODES)
def test_each_name_in_a_message_is_known_to_the_command_line(code: str) -> None:
    shown = in_options(code)
    assert re.fullmatch(r"'(--[a-z].*|geopointseg [a-z].*)'", shown), shown
    for text in (in_options(code, for_a_form=True), shown):
        assert "`" not in text
        assert "=" not in text or code.startswith("`[")


def test_each_name_in_a_message_is_known_in_python() -> None:
    from geopointseg.lab.point_simulation import simulate_points
    from geopointseg.validation.applicability import map_applicability
    from geopointseg.validation.map_report import ReportInputs

    functions = (
        gps.assess, gps.predict, gps.read_points, gps.split_points, gps.train, simulate_points, map_applicability,
        ReportInputs.open,
    )  # fmt: skip
    settings = gps.Config().to_dict()
    known = {name for call in functions for name in inspect.signature(call).parameters} | {
        *settings["prediction"]
    }
    arguments = {code.strip("`").partition("=")[0] for code in CODES if re.match(r"`\w+=", code)}
    assert len(arguments) > 10
    assert arguments <= known
    named = [re.match(r"`\[(\w+)\] (\w+)", code) for code in CODES]
    assert all(found[2] in settings[found[1]] for found in named if found)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("use `device='cpu'` or `device='auto'`.", "use '--device cpu' or '--device auto'."),
        ("the scenes with `training_scenes=`", "the scenes with '--trained-on'"),
        ("(`split_points(buffer_m=...)`)", "('geopointseg points split --buffer-m')"),
        ("`[optimization] minutes`", "'--minutes'"),
        ("`[model] weights = 'imagenet'`", "'--weights imagenet'"),
        ("`[optimization] most_passes = 0`", "'--set optimization.most_passes=0'"),
        ("a folder '`odd`' and `x=`", "a folder '`odd`' and `x=`"),
        ("nothing named", "nothing named"),
    ],
)
def test_names_become_options(text: str, shown: str) -> None:
    assert in_options(text) == shown
    if "most_passes" in text:
        assert in_options(text, for_a_form=True) == "'[optimization] most_passes = 0'"


def test_every_command_behind_a_function_is_called_by_that_name() -> None:
    import importlib

    homes = {
        "design_sample": "assessment.design", "map_applicability": "validation.applicability",
        "pretrain": "learning.pretraining", "suggest": "validation.suggestion",
    }  # fmt: skip
    for name in COMMANDS:
        home = importlib.import_module(f"geopointseg.{homes[name]}") if name in homes else gps
        assert callable(getattr(home, name))
        assert in_options(f"`{name}`") == f"'geopointseg {COMMANDS[name]}'"


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gps.Points:
    """Work in a folder with a scene, and points in two layers without a field that is clearly the class."""
    from geopointseg.landscape import draw_points, make_landscape, write_scene

    monkeypatch.chdir(tmp_path)
    landscape = make_landscape(80, 90, seed=3)
    points = draw_points(landscape, 5, seed=1)
    write_scene(landscape, "scene.tif")
    gps.write_points(points, "one.gpkg")
    import geopandas

    table = geopandas.read_file("one.gpkg")
    table.to_file("two.gpkg", layer="a")
    table.to_file("two.gpkg", layer="b")
    table[["geometry"]].assign(m=1.5, n=2.5).to_file("none.gpkg")
    return points


REFUSALS = {
    "layer": (lambda _: gps.read_points("two.gpkg"), "points rasterize two.gpkg --raster scene.tif -o m.tif", "--layer"),
    "field": (lambda _: gps.read_points("none.gpkg"), "points rasterize none.gpkg --raster scene.tif -o m.tif", "--class-field"),
    "folds": (
        lambda p: gps.split_points(p, folds=3, buffer_m=5.0),
        "points split one.gpkg --folds 3 --buffer-m 5 -o s.gpkg", "--test-fraction",
    ),
    "resume": (
        lambda p: gps.train("scene.tif", p, output="model", resume=True),
        "train scene.tif --points one.gpkg -o model --resume", "--resume",
    ),
    "device": (
        lambda p: gps.train("scene.tif", p, output="model", device="cuda"),
        "train scene.tif --points one.gpkg -o model --device cuda", "--device cpu",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("progress", ["none", "json"])
def test_a_refusal_names_an_argument_in_python_and_an_option_in_a_shell(
    ground: gps.Points, capsys: pytest.CaptureFixture[str], name: str, progress: str
) -> None:
    call, command, option = REFUSALS[name]
    if name == "device" and __import__("torch").cuda.is_available():
        pytest.skip("this machine has a GPU")
    with warnings.catch_warnings(), pytest.raises(gps.GeopointsegError) as refused:
        warnings.simplefilter("ignore")
        call(ground)
    said = str(refused.value)
    assert "--" not in said
    assert CODE.search(said)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*command.split(), "--progress", progress])
    last = capsys.readouterr().err.splitlines()[-1]
    told = json.loads(last)["message"] if progress == "json" else last.removeprefix("geopointseg: ")
    assert f"'{option}'" in told
    assert told == in_options(said)


def test_the_catalogue_has_the_same_names() -> None:
    assert {code for m in find_messages() for code in CODE.findall(m.text)} <= set(CODES) | {
        "`[scene] companion`"
    }
