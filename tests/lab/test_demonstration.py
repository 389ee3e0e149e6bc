"""The demo goes the whole road, on the synthetic landscape and on the user's own data."""

import numpy as np
import pytest
import rasterio

from geopointseg.errors import OutputError
from geopointseg.lab.demonstration import run_demo, write_demo_data
from geopointseg.labels.points import read_points
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.scene import Scene


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return run_demo(tmp_path_factory.mktemp("demo"), minutes=0.05, size=(256, 360))


@pytest.mark.slow
def test_everything_is_written_and_scored(demo):
    for name in demo.files.values():
        assert (demo.folder / name).exists(), name
    assert list(demo.scores) == ["forest, single pixels", "forest, filter features", "geopointseg"]
    title, headings, rows = demo.tables()[0]
    assert "no points lie" in title
    assert len(headings) == 4
    assert rows[-1][0] == "overall accuracy"


@pytest.mark.slow
def test_the_map_lies_on_the_scenes_grid_with_names_and_colours(demo):
    class_map = ClassMap.open(demo.folder / "map.tif")
    assert class_map.grid == Scene.open(demo.folder / "scene.tif").grid
    assert "orchard" in class_map.legend.names
    with rasterio.open(demo.folder / "map.tif") as dataset:
        assert set(np.unique(dataset.read(1))) <= {0, *class_map.legend.codes.tolist()}


@pytest.mark.slow
def test_context_beats_single_pixels(demo):
    scores = demo.to_json()["scores"]
    assert scores["geopointseg"]["mean_f1"] > scores["forest, single pixels"]["mean_f1"] + 0.05


@pytest.mark.slow
def test_own_data_are_tested_on_points_kept_apart(demo, tmp_path):
    own = run_demo(
        tmp_path,
        scene=str(demo.folder / "scene.tif"),
        points=str(demo.folder / "points.gpkg"),
        minutes=0.05,
    )
    assert "kept for testing block by block" in own.tested_on
    assert 0 < own.scores["geopointseg"].total < 400
    assert (tmp_path / "overview.png").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/demo' cannot be made .* name another one"):
        run_demo(tmp_path / "file" / "demo")


def test_data_alone_is_written_without_a_training(tmp_path):
    files = write_demo_data(tmp_path / "demo", size=(200, 260), seed=3)
    assert set(files) == {"scene", "points", "truth", "project"}
    points = read_points(tmp_path / "demo" / files["points"])
    assert set(points.counts().tolist()) == {50}
    with rasterio.open(tmp_path / "demo" / files["scene"]) as scene:
        assert scene.shape == (200, 260)
    assert not (tmp_path / "demo" / "model").exists()


def test_the_demo_on_embeddings_scores_heads_in_the_east(tmp_path):
    done = run_demo(tmp_path / "d", embeddings=True, size=(200, 320), seed=1)
    assert list(done.scores) == ["forest", "nearest neighbours", "geopointseg"]
    chance = 1 / len(done.scores["forest"].legend)
    assert all(found.overall_accuracy > 3 * chance for found in done.scores.values())
    assert "Google DeepMind" in (tmp_path / "d" / "report.html").read_text()
    assert {"embedding_2024.tif", "map.tif", "overview.png"} <= {
        p.name for p in done.folder.iterdir()
    }
