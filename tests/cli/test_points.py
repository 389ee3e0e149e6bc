"""Commands on points never write over what they read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geopointseg.cli import app as cli_app
from geopointseg.labels.points import write_points
from geopointseg.landscape import draw_points, make_landscape, write_scene
from geopointseg.raster.class_map import write_class_map

LANDSCAPE = make_landscape(60, 80, seed=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Hold a scene, its true map, points with a second table, and the points' style."""
    write_scene(LANDSCAPE, str(tmp_path / "scene.tif"))
    truth = LANDSCAPE.truth.astype(np.int32)
    write_class_map(tmp_path / "truth.tif", truth, LANDSCAPE.grid, LANDSCAPE.legend)
    write_points(draw_points(LANDSCAPE, 4, seed=1), tmp_path / "survey.gpkg")
    with closing(sqlite3.connect(tmp_path / "survey.gpkg")) as connection, connection:
        connection.execute("CREATE TABLE visits (day TEXT)")
        connection.execute(
            "INSERT INTO gpkg_contents (table_name, data_type) VALUES ('visits', 'attributes')"
        )
    (tmp_path / "survey.qml").write_text("<qgis/>", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("split survey.gpkg --test-fraction 0.3 --block-size-m 9 -o survey.gpkg", "a file that is read"),
        ("check survey.gpkg --raster scene.tif -o survey.gpkg", "a file that is read"),
        ("simulate truth.tif --per-class 2 -o survey.gpkg", "also holds visits"),
        ("rasterize survey.gpkg --like scene.tif -o scene.tif", "a file that is read"),
        ("rasterize survey.gpkg --raster truth.tif -o truth.tif", "a file that is read"),
        ("rasterize survey.gpkg --like scene.tif -o survey.tif", "survey.qml' is also a file"),
    ],
)  # fmt: skip
def test_inputs_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, words: str
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SystemExit) as stopped:
        cli_app.main(["points", *command.split(), "--progress", "none"])
    assert stopped.value.code == 1
    assert words in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_points_are_checked_on_imagery_as_training_reads_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    with rasterio.open("scene.tif", "r+") as dataset:
        pixels = dataset.read()
        pixels[:, :, :40] = 200  # a collar that the file does not declare
        dataset.write(pixels)
    command = "points check survey.gpkg --raster scene.tif --json --progress none"

    def on_nodata(*options: str) -> bool:
        with pytest.raises(SystemExit):
            cli_app.main([*command.split(), *options])
        messages = [p["message"] for p in json.loads(capsys.readouterr().out)["problems"]]
        return any("no data" in message or "nodata" in message for message in messages)

    assert not on_nodata()
    assert on_nodata("--set", "scene.nodata=200")


@pytest.mark.parametrize("progress", ["none", "json"])
def test_the_check_says_which_scenes_bands_and_files_are_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], progress: str
) -> None:
    monkeypatch.chdir(folder)
    with rasterio.open("scene.tif") as scene:
        profile = scene.profile | {"count": 1}
        (folder / "bands").mkdir()
        for name, pixels in zip(("B03", "B04", "SCL"), scene.read(), strict=False):
            with rasterio.open(folder / "bands" / f"{name}.tif", "w", **profile) as target:
                target.write(pixels, 1)
    command = f"points check survey.gpkg --raster bands --json --progress {progress}"
    with pytest.raises(SystemExit):
        cli_app.main(command.split())
    told = capsys.readouterr()
    line = "1 scene: bands; 2 bands: b03, b04; left out: SCL.tif (quality layer or mask)."
    facts = {
        "scenes": ["bands"],
        "bands": ["b03", "b04"],
        "left_out": [{"file": "SCL.tif", "reason": "quality layer or mask"}],
    }
    assert line in told.err
    assert json.loads(told.out)["imagery"] == [facts]
    if progress == "json":
        assert {"event": "log", "message": line} | facts in map(json.loads, told.err.splitlines())
