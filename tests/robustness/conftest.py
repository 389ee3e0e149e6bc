"""Good inputs of every command, made once."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geopointseg.config import Config
from geopointseg.lab.synthetic_embedding import make_embedding, write_alpha_earth
from geopointseg.labels.layer import write_layer
from geopointseg.labels.points import write_points
from geopointseg.landscape import draw_points, make_landscape, write_scene
from geopointseg.learning.training import train
from geopointseg.prediction.predictor import predict

STUDY = """
seeds = [0]
baselines = ["majority"]
data_root = "{folder}"
[data.town]
images = ["scene.tif"]
masks = ["map.tif"]
test_images = ["scene.tif"]
test_masks = ["map.tif"]
[[factors]]
name = "points.per_class"
levels = [3, 5]
[fixed]
"optimization.steps" = 2
"""


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold a scene, points, an area, a class map, a mask, an embedding, two models, settings and a study."""
    folder = tmp_path_factory.mktemp("good")
    landscape = make_landscape(96, 128, seed=3)
    points = draw_points(landscape, 20, seed=1)
    scene = folder / "scene.tif"
    write_scene(landscape, str(scene))
    write_points(points, folder / "points.gpkg")
    with rasterio.open(scene) as source:
        profile, image, bounds = source.profile, source.read(), source.bounds
    away = profile["transform"] @ Affine.translation(10_000, 10_000)
    with rasterio.open(folder / "far.tif", "w", **profile | {"transform": away}) as far:
        far.write(image)
    box = np.array([shapely.box(*bounds).buffer(-20)], dtype=object)
    write_layer(folder / "area.gpkg", "area", box, {"class": np.array(["a"])}, profile["crs"])
    config = Config().updated({"forest": {"trees": 10}})
    train(scene, points, output=folder / "model", config=config, model="forest")
    train(scene, points, output=folder / "network", config=config, model="linear")
    predict(folder / "model", scene, folder / "map.tif")
    write_alpha_earth(make_embedding(96, 128, seed=3), folder / "embedding.tif")
    (folder / "settings.toml").write_text("[forest]\ntrees = 10\n")
    (folder / "study.toml").write_text(STUDY.format(folder=folder))
    (folder / "palette.json").write_text(json.dumps(points.legend.to_json()))
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: Path) -> Path:
    """Make the folders of a run: of the bad file, of outputs, of temporary files, of the cache, and the current one."""
    for name in ("in", "out", "tmp", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("GEOPOINTSEG_CACHE", str(tmp_path.parent / "cache"))
    monkeypatch.setenv("GOOD", str(good))
    monkeypatch.setattr("geopointseg.vector_source.PATIENCE_S", 0.05)
    return tmp_path


FILES = {
    "raster": "scene.tif",
    "grid": "scene.tif",
    "mask": "map.tif",
    "map": "map.tif",
    "embedding": "embedding.tif",
    "points": "points.gpkg",
    "area": "area.gpkg",
    "model": "model",
    "network": "network",
    "weights": "network",
    "settings": "settings.toml",
    "study": "study.toml",
    "palette": "palette.json",
}
"""Name of a good file by kind."""
