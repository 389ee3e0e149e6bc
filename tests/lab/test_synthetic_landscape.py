"""The synthetic landscape keeps the promises that make it a test of context."""

import numpy as np
import pytest
from rasterio.crs import CRS

from geopointseg.lab.synthetic_landscape import (
    LEGEND,
    NODATA,
    draw_points,
    make_landscape,
    write_scene,
)
from geopointseg.raster.grid import transform_coordinates
from geopointseg.raster.scene import Scene


@pytest.fixture(scope="module")
def landscape():
    return make_landscape(384, 480, seed=3)


def of_class(landscape, name):
    chosen = (landscape.truth == LEGEND.names.index(name)) & landscape.valid
    return landscape.image[:, chosen].astype(float)


def test_the_same_seed_draws_the_same_landscape(landscape):
    again = make_landscape(384, 480, seed=3)
    np.testing.assert_array_equal(again.image, landscape.image)
    assert not np.array_equal(make_landscape(384, 480, seed=4).truth, landscape.truth)


def test_all_classes_are_there_on_both_sides(landscape):
    for half in (landscape.truth[:, :240], landscape.truth[:, 240:]):
        assert np.unique(half).size == len(LEGEND)


@pytest.mark.parametrize(
    ("one", "other"), [("forest", "orchard"), ("building", "road"), ("river", "lake")]
)
def test_some_classes_cannot_be_told_apart_by_pixel_value(landscape, one, other):
    a, b = of_class(landscape, one), of_class(landscape, other)
    quantiles = [0.2, 0.5, 0.8]
    for band_a, band_b in zip(a, b, strict=True):
        spread = np.subtract(*np.quantile(band_a, [0.9, 0.1]))
        difference = np.abs(np.quantile(band_a, quantiles) - np.quantile(band_b, quantiles))
        assert difference.max() < 0.5 * spread


def test_points_lie_on_their_class_and_within_the_columns(landscape):
    points = draw_points(landscape, 5, seed=1, columns=(0.0, 0.5))
    assert points.crs == CRS.from_epsg(4326)
    x, y = transform_coordinates(points.x, points.y, points.crs, landscape.grid.crs)
    row, col = (v.astype(int) for v in landscape.grid.world_to_pixel(x, y))
    np.testing.assert_array_equal(landscape.truth[row, col], points.class_index)
    assert col.max() < 240
    assert points.counts().tolist() == [5] * len(LEGEND)


def test_the_written_scene_reads_back_with_names_and_nodata(landscape, tmp_path):
    path = tmp_path / "scene.tif"
    write_scene(landscape, str(path))
    scene = Scene.open(path)
    chip = scene.read()
    assert scene.grid == landscape.grid
    assert scene.band_names == ["blue", "green", "red", "nir"]
    np.testing.assert_array_equal(chip.valid, landscape.valid)
    np.testing.assert_array_equal(chip.image, landscape.image)
    assert (landscape.image[:, ~landscape.valid] == NODATA).all()
