"""Suggestions end to end: a model looks at a scene and says where to click."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS
from scipy.spatial.distance import pdist

from geopointseg.config import Config
from geopointseg.errors import OutputError, PointsError
from geopointseg.labels.points import Points, read_points, write_points
from geopointseg.landscape import draw_points, make_landscape, write_scene
from geopointseg.learning.training import train
from geopointseg.model.bundle import ModelBundle
from geopointseg.raster.scene import Scene
from geopointseg.validation.suggestion import suggest

LANDSCAPE = make_landscape(150, 200, seed=3)
pytestmark = pytest.mark.filterwarnings("ignore:Fewer than 20 labelled pixels")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    write_scene(LANDSCAPE, str(path))
    return Scene.open(path)


@pytest.fixture(scope="module")
def points() -> Points:
    return draw_points(LANDSCAPE, 6, seed=1)


@pytest.fixture(scope="module")
def model(scene: Scene, points: Points, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    config = Config().updated({"forest": {"trees": 10, "features": "filters"}})
    folder = tmp_path_factory.mktemp("model") / "m"
    return train([scene.path], points, output=folder, config=config, model="forest")


def test_file_is_ready_to_be_filled_in(
    scene: Scene, points: Points, model: ModelBundle, tmp_path: Path
) -> None:
    output = tmp_path / "next.gpkg"
    suggested = suggest(model, scene.path, 15, 8.0, output, points=points)
    assert len(suggested) == 15
    places = np.column_stack([suggested.x, suggested.y])
    assert pdist(places).min() >= 8
    old = points.to_crs(scene.grid.crs)
    gap = np.hypot(places[:, :1] - old.x, places[:, 1:] - old.y)
    assert gap.min() >= 8
    row, col = (np.floor(v).astype(int) for v in scene.grid.world_to_pixel(*places.T))
    assert LANDSCAPE.valid[row, col].all()
    with sqlite3.connect(output) as connection:
        rows = connection.execute(
            "SELECT rank, class, likely, or_else, reason FROM suggestions ORDER BY rank"
        ).fetchall()
    assert [row[0] for row in rows] == list(range(1, 16))
    assert all(row[1] is None for row in rows)
    assert all(row[2] in model.legend.names and row[3] != row[2] and row[4] for row in rows)


def test_filled_in_suggestions_are_points(
    scene: Scene, model: ModelBundle, points: Points, tmp_path: Path
) -> None:
    output = tmp_path / "next.gpkg"
    suggested = suggest(model, scene, 5, 3.0, output, points=points)
    row, col = (
        np.floor(v).astype(int) for v in scene.grid.world_to_pixel(suggested.x, suggested.y)
    )
    with sqlite3.connect(output) as connection:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            connection.create_function(name, 1, lambda _: 0)
        for rank, index in enumerate(LANDSCAPE.truth[row, col].tolist(), start=1):
            connection.execute(
                "UPDATE suggestions SET class = ? WHERE rank = ?",
                (LANDSCAPE.legend.names[index], rank),
            )
    answered = read_points(output, class_field="class")
    assert len(answered) == 5
    assert set(answered.legend.names) <= set(LANDSCAPE.legend.names)


def test_labels_are_not_replaced(
    scene: Scene, model: ModelBundle, points: Points, tmp_path: Path
) -> None:
    output = tmp_path / "next.gpkg"
    for _ in range(2):
        suggest(model, scene, 5, 3.0, output, points=points)
    with closing(sqlite3.connect(output)) as connection, connection:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            connection.create_function(name, 1, lambda _: 0)
        connection.execute("UPDATE suggestions SET class = 'water' WHERE rank = 1")
    with pytest.raises(OutputError, match=r"holds 1 point whose field 'class' is filled in"):
        suggest(model, scene, 5, 3.0, output, points=points)
    write_points(points, tmp_path / "points.gpkg")
    for known in (tmp_path / "points.gpkg", read_points(tmp_path / "points.gpkg")):
        with pytest.raises(OutputError, match="is also a file that is read"):
            suggest(model, scene, 5, 3.0, tmp_path / "points.gpkg", points=known)


def test_same_seed_same_points_and_plain_results(
    scene: Scene, model: ModelBundle, points: Points, tmp_path: Path
) -> None:
    write_points(points, tmp_path / "points.gpkg")
    one = suggest(model.folder, scene, 6, 4.0, tmp_path / "a.gpkg", points=tmp_path / "points.gpkg")
    two = suggest([model], [scene], 6, 4.0, tmp_path / "b.gpkg", points=points)
    np.testing.assert_array_equal(one.x, two.x)
    document = json.loads(json.dumps(one.to_json(), allow_nan=False))
    assert document["points"] == 6
    [(_, headings, rows)] = one.tables()
    assert all(len(row) == len(headings) for row in rows)


def test_two_models_disagree_somewhere(
    scene: Scene, model: ModelBundle, points: Points, tmp_path: Path
) -> None:
    config = Config().updated({"forest": {"trees": 10, "features": "pixel"}})
    other = train([scene], points, output=tmp_path / "m", config=config, model="forest", seed=5)
    suggested = suggest([model, other], scene, 10, 4.0, tmp_path / "n.gpkg", points=points)
    assert any("members of the model disagree" in reason for reason in suggested.reasons)


def test_no_room_is_a_warning_and_no_sense_an_error(
    scene: Scene, model: ModelBundle, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match=r"There was room for \d+ of 60 points at 16 m"):
        suggest(model, scene, 60, 16.0, tmp_path / "n.gpkg")
    with pytest.raises(PointsError, match="90 m or more from every labelled point"):
        suggest(model, scene, 30, 90.0, tmp_path / "n.gpkg")
    with pytest.raises(PointsError, match="0 points were requested"):
        suggest(model, scene, 0, 1.0, tmp_path / "n.gpkg")
    with pytest.raises(PointsError, match="smallest distance is -1"):
        suggest(model, scene, 5, -1, tmp_path / "n.gpkg")


def test_points_beside_the_scene_keep_their_distance(
    scene: Scene, model: ModelBundle, points: Points, tmp_path: Path
) -> None:
    """A row of labelled points one pixel west of the scene leaves its first 20 m free."""
    west, south, _, north = scene.grid.bounds
    y = np.arange(south, north, 2.0)
    beside = Points.from_arrays(
        np.full(len(y), west - 1), y, np.zeros(len(y), int), points.legend, scene.grid.crs
    )
    suggested = suggest(model, scene, 20, 21.0, tmp_path / "n.gpkg", points=beside)
    assert suggested.x.min() >= west + 19.9


def test_points_of_other_ground_are_refused_before_the_scene_is_predicted(
    scene: Scene,
    model: ModelBundle,
    points: Points,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = replace(points, crs=CRS.from_wkt('LOCAL_CS["site grid",UNIT["metre",1]]'))
    monkeypatch.setattr(
        "geopointseg.validation.suggestion._CandidateSampler.draw", lambda *_: pytest.fail("looked")
    )
    with pytest.raises(
        PointsError, match=r"'site grid', tied to no body, as a site grid is, and 'scene.tif'"
    ):
        suggest(model, scene, 5, 8.0, tmp_path / "n.gpkg", points=site)
