"""Polygons around the body: in one piece, and where the grid is."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geopointseg.raster.grid import Grid
from geopointseg.raster.polygon import move_shapes, nearest_shape

DEGREES, UTM1, WEB = (CRS.from_epsg(code) for code in (4326, 32601, 3857))


def _shapes(*shapes: shapely.Geometry) -> np.ndarray:
    return np.array(shapes, dtype=object)


def test_a_polygon_across_180_degrees_stays_in_one_piece() -> None:
    [moved] = move_shapes(_shapes(shapely.box(330000, 6640000, 340000, 6650000)), UTM1, DEGREES)
    west, _, east, _ = moved.bounds
    assert east - west == pytest.approx(0.19, abs=0.02)
    [back] = move_shapes(_shapes(moved), DEGREES, UTM1)
    assert back.area == pytest.approx(1e8, rel=1e-3)


def test_a_polygon_beyond_180_degrees_keeps_its_width_in_web_mercator() -> None:
    [moved] = move_shapes(_shapes(shapely.box(179, 0, 181, 1)), DEGREES, WEB)
    assert moved.bounds[2] - moved.bounds[0] == pytest.approx(2 * 111319.49, rel=1e-6)


def test_a_polygon_around_the_earth_stays_as_wide() -> None:
    [moved] = move_shapes(_shapes(shapely.box(-179, -60, 179, 60)), DEGREES, WEB)
    assert moved.bounds[2] - moved.bounds[0] == pytest.approx(358 * 111319.49, rel=1e-6)


@pytest.mark.parametrize(("west", "expected"), [(-170, 190), (190, 190), (550, 190), (100, 100)])
def test_a_polygon_comes_to_lie_where_the_grid_is(west: float, expected: float) -> None:
    grid = Grid(DEGREES, Affine(0.01, 0, 190, 0, -0.01, 1), 100, 100)
    assert nearest_shape(shapely.box(west, 0, west + 1, 1), grid).bounds[0] == expected


def test_a_polygon_on_the_other_side_is_not_torn() -> None:
    grid = Grid(DEGREES, Affine(0.01, 0, 0, 0, -0.01, 1), 100, 100)
    west, _, east, _ = nearest_shape(shapely.box(179.5, 0, 181.5, 1), grid).bounds
    assert east - west == pytest.approx(2)
