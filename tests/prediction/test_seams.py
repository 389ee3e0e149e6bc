"""A trained network's map does not depend on where windows lie, if they overlap by the context that it needs."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from geopointseg.config import Config
from geopointseg.landscape import draw_points, make_landscape, write_scene
from geopointseg.learning.training import train
from geopointseg.prediction.predictor import predict, predict_array
from geopointseg.raster.scene import Scene
from tests.learning.conftest import TINY, write_place

SHIFT = 24, 64
"""Rows and columns that are cut off: multiples of the network's stride."""
INNER = np.s_[:, 64:-64, 64:-64]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seams")
    place = write_place(folder, height=600, width=720)
    config = Config().updated(TINY).updated({"sampling": {"chip_size": 96}})
    model = train(
        place.path, place.points, output=folder / "m", config=config, steps=40, model="network", device="cpu"
    )  # fmt: skip
    return model, place.path


def probabilities(folder, model, scene, window):
    path = folder / "p.tif"
    predict(
        model, scene, folder / "map.tif", probabilities=path, encoding="float32", window_px=window,
        cog=False, backend="torch", device="cpu",
    )  # fmt: skip
    return Scene.open(path).read().image


def cut(scene, path):
    row, col = SHIFT
    with rasterio.open(scene) as source:
        window = Window(col, row, source.width - col, source.height - row)
        profile = {**source.profile, "height": window.height, "width": window.width}
        profile.pop("blockxsize", None)
        profile["transform"] = source.window_transform(window)
        with rasterio.open(path, "w", **profile) as target:
            target.write(source.read(window=window))
            target.descriptions = source.descriptions
    return path


@pytest.mark.parametrize("tiling", ["wider windows", "shifted origin"])
def test_other_tilings_give_the_same_map(tmp_path, trained, tiling):
    model, scene = trained
    first = probabilities(tmp_path, model, scene, 384)[:, SHIFT[0] :, SHIFT[1] :]
    if tiling == "wider windows":
        other = probabilities(tmp_path, model, scene, 512)[:, SHIFT[0] :, SHIFT[1] :]
    else:
        other = probabilities(tmp_path, model, cut(scene, tmp_path / "cut.tif"), 384)
    first, other = first[INNER], other[INNER]
    assert len(np.unique(first.argmax(axis=0))) == 3
    assert np.abs(first - other).max() < 5e-3
    assert (first.argmax(axis=0) == other.argmax(axis=0)).mean() >= 0.999


def test_the_linear_model_gives_the_same_probabilities_with_any_tiling(tmp_path):
    """At the margin that `geopointseg.model.linear.MARGIN_PX` states, on more than one default window."""
    small = make_landscape(256, 256, seed=0)
    write_scene(small, str(tmp_path / "small.tif"))
    model = train(
        tmp_path / "small.tif", draw_points(small, 20), output=tmp_path / "m", model="linear", device="cpu"
    )  # fmt: skip
    write_scene(make_landscape(1184, 2400, seed=1), str(tmp_path / "wide.tif"))
    scene = Scene.open(tmp_path / "wide.tif")
    whole, valid = predict_array(model, scene, window_px=2400)
    tiled, _ = predict_array(model, scene)
    other, _ = predict_array(model, scene, window_px=1216, overlap_px=576, blend="crop")
    for found in (tiled, other):
        difference = np.abs(found - whole)[:, valid]
        assert 0 < difference.max() < 1e-3
