"""Accuracy from the command line: the whole report, applicability, and what bad input is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

from geopointseg.cli import app as cli_app
from geopointseg.config import Config
from geopointseg.labels.points import Points, write_points
from geopointseg.landscape import draw_points, make_landscape, write_scene
from geopointseg.learning.training import train
from geopointseg.legend import Legend
from geopointseg.raster.class_map import ClassMap, write_class_map

LANDSCAPE = make_landscape(150, 200, seed=3)
TRAINING = draw_points(LANDSCAPE, 20, seed=1)
_DRAWN = draw_points(LANDSCAPE, 14, seed=8)
TEST = _DRAWN.select(~(np.isin(_DRAWN.x, TRAINING.x) & np.isin(_DRAWN.y, TRAINING.y)))
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def run(capsys):
    """Run a command in this process; returns exit code, the JSON result (or stdout), and stderr."""

    def call(*arguments: object):
        with pytest.raises(SystemExit) as stopped:
            cli_app.main([*map(str, arguments), "--progress", "none", "--device", "cpu"])
        captured = capsys.readouterr()
        is_json = "--json" in arguments and stopped.value.code == 0
        return (
            stopped.value.code,
            json.loads(captured.out) if is_json else captured.out,
            captured.err,
        )

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold scene, model, map with applicability, training and test points."""
    folder = tmp_path_factory.mktemp("ground")
    write_scene(LANDSCAPE, str(folder / "scene.tif"))
    write_points(TRAINING, folder / "points.gpkg")
    write_points(TEST, folder / "test.gpkg")
    config = Config().updated({"forest": {"trees": 10}})
    train(folder / "scene.tif", TRAINING, output=folder / "model", config=config, model="forest")
    with pytest.raises(SystemExit) as stopped:
        cli_app.main(
            ["predict", str(folder / "model"), "--raster", str(folder / "scene.tif"), "-o",
             str(folder / "map.tif"), "--applicability", str(folder / "aoa.tif"), "--progress", "none"]
        )  # fmt: skip
    assert stopped.value.code == 0
    return folder


def test_the_whole_report(run, folder: Path, tmp_path: Path) -> None:
    code, found, err = run(
        "assess", folder / "map.tif", "--points", folder / "test.gpkg", "-o", tmp_path / "r.html", "--raster",
        folder / "scene.tif", "--model", folder / "model", "--applicability", folder / "aoa.tif", "--figures",
        tmp_path / "figures", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert found["report"] == str(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    for words in (
        "The scene and the training points.", "Reliability of probabilities", "model folder",
        "Area of applicability", "of them mapped right",
    ):  # fmt: skip
        assert words in text
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"scene.png", "map.svg", "confusion.svg", "applicability.png"} <= names


@pytest.mark.slow
def test_learning_curve_in_the_report(run, folder: Path, tmp_path: Path) -> None:
    code, _, err = run(
        "assess", folder / "map.tif", "--points", folder / "test.gpkg", "-o", tmp_path / "r.html", "--raster",
        folder / "scene.tif", "--model", folder / "model", "--learning-curve",
    )  # fmt: skip
    assert code == 0, err
    assert "Would more points help?" in (tmp_path / "r.html").read_text(encoding="utf-8")
    code, _, err = run(
        "assess", folder / "map.tif", "--points", folder / "test.gpkg", "-o", tmp_path / "r.html", "--raster",
        folder / "scene.tif", "--learning-curve",
    )  # fmt: skip
    assert code == 1
    assert "requested without the training points" in err


@pytest.mark.parametrize("option", ["--raster", "--training", "--applicability"])
def test_what_adds_to_the_report_needs_one(run, folder: Path, option: str) -> None:
    code, _, err = run("assess", folder / "map.tif", "--points", folder / "test.gpkg", option, "x")
    assert code == 2
    assert f"{option} adds to the report; name its file with -o REPORT.html" in err


def test_training_points_are_refused_unless_forced(run, folder: Path, tmp_path: Path) -> None:
    both = Points.concatenate([TEST, TRAINING.select(np.arange(5))])
    write_points(both, tmp_path / "both.gpkg")
    code, _, err = run("assess", folder / "map.tif", "--points", tmp_path / "both.gpkg")
    assert code == 1
    assert f"5 of {len(both)} test points are training points of the model" in err
    code, found, err = run(
        "assess", folder / "map.tif", "--points", tmp_path / "both.gpkg", "--force", "-o", tmp_path / "r.html",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    assert found["points"]["training_points"] == 5
    assert "were training points of the map" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_strata_of_an_older_map(run, folder: Path, tmp_path: Path) -> None:
    halves = (np.arange(200) >= 100).astype(np.int32) + np.zeros((150, 1), np.int32)
    strata = Legend.from_names(["west", "east"])
    write_class_map(tmp_path / "strata.tif", halves, LANDSCAPE.grid, strata)
    code, found, err = run(
        "assess", folder / "map.tif", "--points", folder / "test.gpkg", "--strata", tmp_path / "strata.tif", "--json"
    )  # fmt: skip
    assert code == 0, err
    assert found["sampling"] == "stratified"
    moved = TEST.to_crs(LANDSCAPE.grid.crs)
    col = LANDSCAPE.grid.world_to_pixel(moved.x, moved.y)[1]
    write_points(TEST.select(col < 100), tmp_path / "west.gpkg")
    code, _, err = run(
        "assess", folder / "map.tif", "--points", tmp_path / "west.gpkg", "--strata", tmp_path / "strata.tif"
    )  # fmt: skip
    assert code == 1
    assert "lie in the class 'west' of the strata" in err


def test_applicability_beside_the_map(run, folder: Path, tmp_path: Path) -> None:
    mask = ClassMap.open(folder / "aoa_mask.tif")
    assert mask.grid == ClassMap.open(folder / "map.tif").grid
    assert mask.legend.names[0] == "within the area of applicability"
    usual = (
        "predict",
        folder / "model",
        "--raster",
        folder / "scene.tif",
        "-o",
        tmp_path / "m.tif",
    )
    code, _, err = run(
        *usual, "--raster", folder / "scene.tif", "--applicability", tmp_path / "a.tif"
    )
    assert code == 2
    assert "1 models and 2 rasters were given" in err
    code, _, err = run(*usual, "--trained-on", folder / "scene.tif")
    assert code == 2
    assert "--trained-on is for --applicability" in err
    assert not list(tmp_path.iterdir())


def test_a_mask_is_no_index(run, folder: Path, tmp_path: Path) -> None:
    code, _, err = run(
        "assess", folder / "map.tif", "--points", folder / "test.gpkg", "-o", tmp_path / "r.html", "--applicability",
        folder / "aoa_mask.tif",
    )  # fmt: skip
    assert code == 1
    assert "aoa_mask.tif' is not a map of applicability: it names no threshold" in err


def test_applicability_elsewhere_needs_the_training_scene(
    run, folder: Path, tmp_path: Path
) -> None:
    import dataclasses

    from affine import Affine

    grid = dataclasses.replace(
        LANDSCAPE.grid, transform=Affine.translation(90_000, 0) * LANDSCAPE.grid.transform
    )
    write_scene(dataclasses.replace(LANDSCAPE, grid=grid), str(tmp_path / "far.tif"))
    usual = (
        "predict", folder / "model", "--raster", tmp_path / "far.tif", "-o", tmp_path / "m.tif", "--applicability",
        tmp_path / "a.tif", "--json",
    )  # fmt: skip
    code, _, err = run(*usual)
    assert code == 1
    assert "0 of 160 training points lie on an image of the training scenes" in err
    assert "--trained-on" in err
    assert not (tmp_path / "m.tif").exists()
    code, found, err = run(*usual, "--trained-on", folder / "scene.tif")
    assert code == 0, err
    assert found["applicability"]["share_inside"] > 0.8
    assert (tmp_path / "a_mask.tif").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--model", "missing"], "'missing' holds no readable model.json"),
        (["--raster", "missing.tif"], "missing.tif"),
        (["--applicability", "missing.tif"], "missing.tif"),
        (["--learning-curve"], "requested without the scene"),
        (["--raster", "plan.tif"], "tied to no body, as a site grid is"),
    ],
)
def test_what_a_report_lacks_is_told_before_the_map_is_read(
    folder: Path,
    tmp_path: Path,
    run,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    text: str,
):
    monkeypatch.chdir(tmp_path)
    with rasterio.open(folder / "scene.tif") as scene:
        profile = scene.profile | {"crs": CRS.from_wkt('LOCAL_CS["site grid",UNIT["metre",1]]')}
        with rasterio.open("plan.tif", "w", **profile) as plan:
            plan.write(scene.read())
    monkeypatch.setattr(
        "geopointseg.assessment.accuracy.take_inventory", lambda *_: pytest.fail("read the map")
    )
    code, _, said = run(
        "assess", folder / "map.tif", "--points", folder / "test.gpkg", "-o", "r.html", *options
    )
    assert code == 1
    assert text in said
    assert not Path("r.html").exists()
