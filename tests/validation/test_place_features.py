"""Features of places: those of the whole image at the pixels under points, without invalid pixels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.raster.scene import Scene
from geopointseg.validation.place_features import PlaceFeatures

SIDE = 60
MODEL: Any = SimpleNamespace(
    bands=("a", "b"), normalization=SimpleNamespace(apply=lambda image, _: image)
)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Three random bands, of which the model has two; the right half is nodata."""
    image = np.random.default_rng(0).integers(1, 200, (3, SIDE, SIDE)).astype(np.uint8)
    image[:, :, SIDE // 2 :] = 0
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=SIDE, width=SIDE, dtype="uint8", crs="EPSG:32633",
        transform=Affine(10, 0, 500_000, 0, -10, 5_700_000), nodata=0, photometric="MINISBLACK",
    ) as target:  # fmt: skip
        target.write(image)
    return Scene.open(path)


@pytest.mark.parametrize(("most_bands", "count"), [(1, 5), (9, 10)])
def test_points_get_the_features_of_their_pixels(scene: Scene, most_bands: int, count: int) -> None:
    row, col = np.array([0, 20, 59, 30, 5]), np.array([0, 10, 29, 40, -4])
    x, y = scene.grid.pixel_to_world(row + 0.5, col + 0.5)
    points = Points.from_arrays(x, y, [0] * 5, Legend.from_names(["a"]), scene.grid.crs)
    describe = PlaceFeatures(MODEL, most_bands)
    found, owner = describe.compute_at([scene], points.to_crs(rasterio.CRS.from_epsg(4326)))
    assert owner.tolist() == [0, 1, 2]  # not the one on nodata, nor the one beside the scene
    assert found.shape == (3, describe.count) == (3, count)
    whole = scene.read()
    expected = describe.compute(whole.image, whole.valid)[:, row[:3], col[:3]].T
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_no_point_on_any_scene_gives_no_place(scene: Scene) -> None:
    points = Points.from_arrays([0.0], [0.0], [0], Legend.from_names(["a"]), scene.grid.crs)
    found, owner = PlaceFeatures(MODEL, 2).compute_at([scene], points)
    assert found.shape == (0, 10)
    assert len(owner) == 0
