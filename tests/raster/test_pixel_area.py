"""Pixel areas against geodesic polygons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS

from geopointseg.raster.grid import Grid
from geopointseg.raster.pixel_area import PixelAreas


def pixel_areas_m2(grid: Grid) -> np.ndarray:
    return PixelAreas.of(grid).by_row


@pytest.mark.parametrize("degrees", [0.1, 0.01])
def test_geographic_pixels_equal_geodesic_polygons(degrees: float) -> None:
    grid = Grid(CRS.from_epsg(4326), Affine(degrees, 0, 10, 0, -degrees, 70), 300, 5)
    areas = pixel_areas_m2(grid)
    geod = Geod(ellps="WGS84")
    for row in (0, 150, 299):
        top, bottom = 70 - degrees * row, 70 - degrees * (row + 1)
        lon = [10, 10, 10 + degrees, 10 + degrees]
        expected, _ = geod.polygon_area_perimeter(lon, [top, bottom, bottom, top])
        assert areas[row] == pytest.approx(abs(expected), rel=5e-6)
    assert areas[0] < areas[-1]


def test_whole_earth_has_the_area_of_the_ellipsoid() -> None:
    grid = Grid(CRS.from_epsg(4326), Affine(0.25, 0, -180, 0, -0.25, 90), 720, 1440)
    assert pixel_areas_m2(grid).sum() * 1440 == pytest.approx(5.10065622e14, rel=1e-5)


def test_utm_pixels_are_planimetric() -> None:
    grid = Grid(CRS.from_epsg(32633), Affine(10, 0, 3e5, 0, -10, 5.7e6), 50, 50)
    np.testing.assert_array_equal(pixel_areas_m2(grid), 100.0)


def test_web_mercator_pixels_are_corrected() -> None:
    """At 52 degrees north Web Mercator shows 2.6 times the ground that is there."""
    y = 6_378_137 * math.log(math.tan(math.pi / 4 + math.radians(52) / 2))
    grid = Grid(CRS.from_epsg(3857), Affine(100, 0, 1e6, 0, -100, y + 50), 1, 20)
    assert pixel_areas_m2(grid)[0] == pytest.approx(1e4 * math.cos(math.radians(52)) ** 2, rel=0.01)


def test_feet_become_metres() -> None:
    grid = Grid(CRS.from_epsg(2264), Affine(100, 0, 2e6, 0, -100, 7e5), 3, 3)  # US survey feet
    assert pixel_areas_m2(grid)[0] == pytest.approx((100 * 1200 / 3937) ** 2)


def test_rotation_and_south_up_do_not_change_area() -> None:
    turned = Affine.translation(5e5, 5.7e6) @ Affine.rotation(30) @ Affine.scale(10, 10)
    assert pixel_areas_m2(Grid(CRS.from_epsg(32633), turned, 4, 4)) == pytest.approx(100.0)
    south_up = Grid(CRS.from_epsg(4326), Affine(0.1, 0, 10, 0, 0.1, 50), 10, 10)
    assert (np.diff(pixel_areas_m2(south_up)) < 0).all()
