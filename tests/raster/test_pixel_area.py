"""Pixel areas against geodesic polygons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.raster.coordinates import geodetic_coordinates
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
    """At 52 degrees north areas are 2.6 times too large in Web Mercator."""
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


GRIDS = {
    "web mercator": (3857, Affine(20, 0, 2226389, 0, -20, 10500000)),
    "world mercator": (3395, Affine(20, 0, 2226389, 0, -20, 10450000)),
    "polar, far from its circle": (3413, Affine(1000, 0, -100000, 0, -1000, -3300000)),
    "polar, around the pole": (3413, Affine(10000, 0, -2e6, 0, -10000, 2e6)),
    "degrees": (4326, Affine(0.01, 0, 20, 0, -0.01, 68)),
    "degrees, turned": (
        4326,
        Affine.translation(20, 68) @ Affine.rotation(30) @ Affine.scale(0.01),
    ),
    "grads": (4807, Affine(0.01, 0, 2, 0, -0.01, 54)),
    "UTM far outside of its zone": (32633, Affine(1000, 0, 1.2e6, 0, -1000, 6e6)),
    "across 180 degrees": (3832, Affine(100, 0, 3330000, 0, -100, 8400000)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_areas_are_geodesic_where_the_plane_distorts_them(name: str) -> None:
    code, transform = GRIDS[name]
    grid = Grid(CRS.from_epsg(code), transform, 400, 400)
    areas = PixelAreas.of(grid)
    every = np.broadcast_to(areas.within(grid.window), grid.shape)
    assert areas.note.basis == "geodesic"
    assert "geodesic" in areas.note.sentence
    geod = Geod(ellps="WGS84") if code != 4807 else Geod(a=6378249.2, b=6356515.0)
    for row, col in ((0, 0), (399, 399), (100, 300)):
        x, y = grid.pixel_to_world(
            np.array([row, row, row + 1, row + 1]), np.array([col, col + 1, col + 1, col])
        )
        expected, _ = geod.polygon_area_perimeter(*geodetic_coordinates(x, y, grid.crs))
        assert every[row, col] == pytest.approx(abs(expected), rel=2e-5)


@pytest.mark.parametrize(
    ("crs", "transform", "metres"),
    [
        ("EPSG:32633", Affine(10, 0, 3e5, 0, -10, 5.7e6), 1.0),
        ("EPSG:2154", Affine(10, 0, 7e5, 0, -10, 6.6e6), 1.0),
        ("EPSG:27700", Affine(10, 0, 4e5, 0, -10, 3e5), 1.0),
        ("EPSG:5514", Affine(10, 0, -7e5, 0, -10, -1.05e6), 1.0),
        ("EPSG:3035", Affine(10, 0, 2.7e6, 0, -10, 1.9e6), 1.0),
        ("EPSG:2263", Affine(10, 0, 1e6, 0, -10, 2e5), 1200 / 3937),
        ("EPSG:2222", Affine(10, 0, 7e5, 0, -10, 9e5), 0.3048),
        ("+proj=utm +zone=33 +datum=WGS84 +units=km", Affine(10, 0, 500, 0, -10, 5700), 1000.0),
        ("IAU_2015:49910", Affine(10, 0, 0, 0, -10, 0), 1.0),
        ('LOCAL_CS["site",UNIT["foot",0.3048]]', Affine(10, 0, 0, 0, -10, 0), 0.3048),
    ],
)
def test_areas_are_planar_where_the_plane_is_true(
    crs: str, transform: Affine, metres: float
) -> None:
    grid = Grid(CRS.from_user_input(crs), transform, 20, 30)
    areas = PixelAreas.of(grid)
    assert areas.note.basis == "planar"
    assert areas.within(Window(3, 4, 5, 6)) == pytest.approx((10 * metres) ** 2, rel=1e-12)
    assert grid.resolution_m == pytest.approx(10 * metres, rel=1e-12)


def test_the_areas_around_the_pole_add_up() -> None:
    """A circle of 1000 km around the pole, summed over pixels that differ along rows, too."""
    grid = Grid(CRS.from_epsg(3413), Affine(10000, 0, -2e6, 0, -10000, 2e6), 400, 400)
    x, y = grid.pixel_to_world(*(np.mgrid[:400, :400] + 0.5))
    lon, lat = geodetic_coordinates(x, y, grid.crs)
    height = Geod(ellps="WGS84").inv(lon, lat, lon, np.full_like(lat, 90))[2]
    total = PixelAreas.of(grid).within(grid.window)[height < 1e6].sum()
    cap = 2 * math.pi * 6_371_007.2**2 * (1 - math.cos(1e6 / 6_399_593.6))
    assert total == pytest.approx(cap, rel=0.01)
