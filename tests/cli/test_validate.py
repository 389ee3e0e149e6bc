"""Cross-validation from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geopointseg.cli import app as cli_app
from geopointseg.labels.points import write_points
from geopointseg.landscape import draw_points, make_landscape, write_scene

LANDSCAPE = make_landscape(150, 200, seed=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Hold one place on two dates, and its points."""
    write_scene(LANDSCAPE, str(tmp_path / "one.tif"))
    write_scene(LANDSCAPE, str(tmp_path / "two.tif"))
    write_points(draw_points(LANDSCAPE, 20, seed=1), tmp_path / "points.gpkg")
    return tmp_path


def run(*arguments: object) -> int:
    common = (
        "--model",
        "forest",
        "--set",
        "forest.trees=10",
        "--bands",
        "1,2",
        "--progress",
        "none",
    )
    with pytest.raises(SystemExit) as stopped:
        cli_app.main(["validate", *map(str, arguments), *common])
    return int(stopped.value.code or 0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("by", ["block", "scene"])
def test_scores_are_told_by_block_and_by_scene(
    folder: Path, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    code = run(
        folder / "one.tif", folder / "two.tif", "--points", folder / "points.gpkg", "--by", by,
        "--folds", 2, "--block-size-m", 100, "--json",
    )  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (found["by"], found["folds"]) == (by, 2)
    assert found["methods"]["this recipe"]["mean_f1"]["value"] > 0.2


def test_one_scene_cannot_be_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(folder / "one.tif", "--points", folder / "points.gpkg", "--by", "scene")
    assert code == 1
    assert (
        "1 of the 1 scenes have points to be tested on. Expected at least two"
        in capsys.readouterr().err
    )
