"""Grids: places to pixels and back, for every orientation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.raster.grid import Grid, clip_window, crs_name, transform_coordinates

UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(10, 0, 500000, 0, -10, 5700000)
SOUTH_UP = Affine(10, 0, 500000, 0, 10, 5600000)
ROTATED = Affine.translation(500000, 5700000) @ Affine.rotation(30) @ Affine.scale(10, -10)
OBLONG = Affine(2.5, 0, 500000, 0, -7.5, 5700000)
ORIENTATIONS = {"north-up": NORTH_UP, "south-up": SOUTH_UP, "rotated": ROTATED, "oblong": OBLONG}


@pytest.fixture(params=ORIENTATIONS.values(), ids=ORIENTATIONS.keys())
def grid(request: pytest.FixtureRequest) -> Grid:
    return Grid(UTM, request.param, 30, 50)


def test_pixel_centres_come_back(grid: Grid):
    row, col = np.mgrid[0:30, 0:50] + 0.5
    back_row, back_col = grid.world_to_pixel(*grid.pixel_to_world(row, col))
    np.testing.assert_allclose(back_row, row, atol=1e-6)
    np.testing.assert_allclose(back_col, col, atol=1e-6)


def test_places_agree_with_the_affine_matrix(grid: Grid):
    x, y = grid.pixel_to_world(3.0, 7.0)
    assert (float(x), float(y)) == pytest.approx(grid.transform @ (7.0, 3.0))


def test_bounds_hold_all_corners(grid: Grid):
    west, south, east, north = grid.bounds
    corners = [grid.transform @ c for c in ((0, 0), (50, 0), (0, 30), (50, 30))]
    assert west == pytest.approx(min(c[0] for c in corners))
    assert north == pytest.approx(max(c[1] for c in corners))
    assert east > west
    assert north > south


def test_resolution_is_measured_along_the_axes():
    assert Grid(UTM, ROTATED, 5, 5).resolution == pytest.approx((10, 10))
    assert Grid(UTM, OBLONG, 5, 5).resolution == pytest.approx((2.5, 7.5))
    assert Grid(UTM, OBLONG, 5, 5).resolution_m == pytest.approx(np.sqrt(2.5 * 7.5))


def test_resolution_in_metres_of_degrees_and_feet():
    degrees = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 10, 0, -0.001, 60), 100, 100)
    assert degrees.resolution_m == pytest.approx(np.sqrt(55.7 * 111.4), rel=0.01)
    feet = Grid(CRS.from_epsg(2264), Affine(10, 0, 2000000, 0, -10, 700000), 10, 10)
    assert feet.resolution_m == pytest.approx(3.048006, rel=1e-5)


def test_pixels_of_a_projection_that_stretches_are_measured_on_the_ground():
    web = Grid(CRS.from_epsg(3857), Affine(1, 0, 1e6, 0, -1, 8399737), 100, 100)  # 60 degrees north
    assert web.resolution_m == pytest.approx(0.5, rel=0.005)
    assert Grid(UTM, Affine(1, 0, 2e5, 0, -1, 5e6), 9, 9).resolution_m == 1
    assert Grid(CRS.from_epsg(2154), Affine(5, 0, 7e5, 0, -5, 6.6e6), 9, 9).resolution_m == 5


def test_made_up_places_far_outside_of_a_zone_keep_their_metres():
    for left in (3e6, 2e7):
        assert Grid(UTM, Affine(2, 0, left, 0, -2, 5e6), 9, 9).resolution_m == pytest.approx(2)


@given(
    top=st.integers(-40, 40),
    left=st.integers(-60, 60),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
)
def test_a_crop_keeps_every_pixel_in_its_place(top: int, left: int, height: int, width: int):
    for transform in ORIENTATIONS.values():
        grid = Grid(UTM, transform, 30, 50)
        crop = grid.crop(Window(left, top, width, height))
        assert crop.shape == (height, width)
        assert crop.matches(grid)
        assert grid.matches(crop)
        assert grid.offset_of(crop) == (top, left)
        np.testing.assert_allclose(
            crop.pixel_to_world(0.5, 0.5), grid.pixel_to_world(top + 0.5, left + 0.5), rtol=1e-12
        )


def test_grids_match_only_where_pixels_coincide(grid: Grid):
    shifted = Grid(UTM, grid.transform @ Affine.translation(0.3, 0), 30, 50)
    finer = Grid(UTM, grid.transform @ Affine.scale(0.5), 60, 100)
    elsewhere = Grid(CRS.from_epsg(32634), grid.transform, 30, 50)
    last_digit = Grid(UTM, grid.transform @ Affine.scale(1 + 1e-9), 30, 50)
    assert not grid.matches(shifted)
    assert not grid.matches(finer)
    assert not grid.matches(elsewhere)
    assert grid.matches(last_digit)


def test_north_up_and_south_up_do_not_match():
    assert not Grid(UTM, NORTH_UP, 30, 50).matches(Grid(UTM, SOUTH_UP, 30, 50))


def test_bounds_in_another_crs_take_in_bulging_edges():
    wide = Grid(CRS.from_epsg(3035), Affine(1000, 0, 3000000, 0, -1000, 4000000), 800, 2000)
    dense = transform_bounds(wide.crs, CRS.from_epsg(4326), *wide.bounds, densify_pts=200)
    corners = wide.bounds_in(CRS.from_epsg(4326), steps=2)
    assert wide.bounds_in(CRS.from_epsg(4326)) == pytest.approx(dense, abs=0.02)
    assert wide.bounds_in(CRS.from_epsg(4326))[3] > corners[3] + 0.1


def test_an_extent_that_cannot_be_placed_is_refused():
    nowhere = Grid(UTM, Affine(10, 0, 1e15, 0, -10, 1e15), 10, 10)
    with pytest.raises(RasterError, match="cannot be placed in EPSG:4326"):
        nowhere.bounds_in(CRS.from_epsg(4326))


def test_coordinates_keep_longitude_first():
    x, y = transform_coordinates([500000], [5700000], UTM, CRS.from_epsg(4326))
    assert (x[0], y[0]) == pytest.approx((15.0, 51.45), abs=0.01)


def test_a_coordinate_that_cannot_be_placed_leaves_the_others_alone():
    x, y = transform_coordinates([500000, 1e15], [5700000, 1e15], UTM, CRS.from_epsg(4326))
    assert (x[0], y[0]) == pytest.approx((15.0, 51.45), abs=0.01)
    assert np.isinf([x[1], y[1]]).all()


def test_a_crs_that_is_tied_to_nothing_is_refused():
    site = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    with pytest.raises(RasterError, match=r"from .* 'site' to 'WGS 84 / UTM zone 33N'.*in QGIS"):
        transform_coordinates([1.0], [2.0], site, UTM)


def test_coordinates_keep_their_shape():
    x, _ = transform_coordinates(
        np.full((2, 3), 500000.0), np.full((2, 3), 5.7e6), UTM, CRS.from_epsg(4326)
    )
    assert x.shape == (2, 3)
    empty, _ = transform_coordinates([], [], UTM, CRS.from_epsg(4326))
    assert empty.size == 0


@given(
    top=st.integers(-50, 50), left=st.integers(-50, 50), h=st.integers(0, 60), w=st.integers(0, 60)
)
def test_a_clipped_window_is_the_intersection(top: int, left: int, h: int, w: int):
    inside = clip_window(Window(left, top, w, h), (20, 30))
    rows = set(range(top, top + h)) & set(range(20))
    cols = set(range(left, left + w)) & set(range(30))
    assert inside.height == len(rows)
    assert inside.width == len(cols)
    if rows and cols:
        assert (inside.row_off, inside.col_off) == (min(rows), min(cols))


def test_crs_names():
    assert crs_name(None) == "no CRS"
    assert crs_name(UTM) == "EPSG:32633"
    assert crs_name(CRS.from_user_input("ESRI:54009")) == "ESRI:54009"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("+proj=lcc +lat_1=30 +lat_2=50 +lon_0=7", "unnamed Lambert Conic Conformal (2SP) CRS"),
        (
            "+proj=ob_tran +o_proj=longlat +o_lat_p=39 +o_lon_p=0 +R=6371229",
            "unnamed rotated pole CRS",
        ),
        ("+proj=longlat +R=6371229", "unnamed geographic CRS"),
        ('LOCAL_CS["Mine grid",UNIT["metre",1]]', "Mine grid"),
        ("EPSG:32633+5773", "WGS 84 / UTM zone 33N + EGM96 height"),
    ],
)
def test_a_crs_without_a_code_has_a_name_that_people_know(text: str, name: str):
    assert crs_name(CRS.from_user_input(text)) == name


DEGREES = CRS.from_epsg(4326)
AROUND = {
    "0 to 360": (DEGREES, Affine(0.001, 0, 190, 0, -0.001, 60)),
    "across 180, east of it": (DEGREES, Affine(0.001, 0, 179.95, 0, -0.001, 60)),
    "across 180, west of it": (DEGREES, Affine(0.001, 0, -180.05, 0, -0.001, 60)),
    "web mercator beyond its edge": (CRS.from_epsg(3857), Affine(100, 0, 20030000, 0, -100, 8.4e6)),
    "mercator of the Pacific": (CRS.from_epsg(3832), Affine(100, 0, 3330000, 0, -100, 8.4e6)),
    "equirectangular": (CRS.from_epsg(4087), Affine(100, 0, 20030000, 0, -100, 6.7e6)),
    "UTM zone 1": (CRS.from_epsg(32601), Affine(100, 0, 330000, 0, -100, 6655000)),
    "grads": (CRS.from_epsg(4807), Affine(0.001, 0, 199.95, 0, -0.001, 60)),
}


@pytest.mark.parametrize("name", AROUND)
def test_points_meet_grids_that_lie_across_180_degrees(name: str):
    crs, transform = AROUND[name]
    grid = Grid(crs, transform, 100, 100)
    row, col = np.mgrid[0.5:100:9, 0.5:100:9]
    lon, lat = transform_coordinates(*grid.pixel_to_world(row, col), crs, DEGREES)
    lon = (lon + 180) % 360 - 180
    back = grid.world_to_pixel(*transform_coordinates(lon, lat, DEGREES, crs))
    np.testing.assert_allclose(back, (row, col), atol=1e-3)
    west, _, east, _ = grid.bounds_in(DEGREES)
    assert east - west < 0.3


def test_a_grid_around_the_whole_earth_keeps_its_edges():
    world = Grid(DEGREES, Affine(1, 0, -180, 0, -1, 90), 180, 360)
    _, col = world.world_to_pixel([-180.0, 179.5, 180.0], [0.0, 0.0, 0.0])
    assert col.tolist() == [0.0, 359.5, 360.0]


def test_grids_a_whole_turn_apart_match():
    west = Grid(DEGREES, Affine(0.01, 0, -170, 0, -0.01, 60), 10, 10)
    east = Grid(DEGREES, Affine(0.01, 0, 190.05, 0, -0.01, 60), 10, 10)
    assert west.matches(east)
    assert west.offset_of(east) == (0, 5)


def test_a_pole_on_the_grid_is_in_its_bounds():
    arctic = Grid(CRS.from_epsg(3413), Affine(1e4, 0, -1e6, 0, -1e4, 1e6), 200, 200)
    assert arctic.bounds_in(DEGREES) == pytest.approx((-180, 77.0, 180, 90), abs=0.01)


def test_bounds_across_180_degrees_are_whole():
    utm = Grid(CRS.from_epsg(32601), Affine(100, 0, 330000, 0, -100, 6655000), 100, 100)
    west, _, east, _ = utm.bounds_in(DEGREES)
    assert (west, east) == pytest.approx((179.95, 180.14), abs=0.01)


def test_sides_of_pixels_are_measured_apart():
    degrees = Grid(DEGREES, Affine(0.0002, 0, 20, 0, -0.0002, 68), 100, 100)
    assert degrees.pixel_sides_m == pytest.approx((8.368, 22.307), rel=1e-4)
    tiny = Grid(DEGREES, Affine(2e-7, 0, 20, 0, -2e-7, 68), 100, 100)
    assert tiny.pixel_sides_m == pytest.approx((8.366e-3, 22.307e-3), rel=1e-3)


def test_positions_nowhere_stay_nowhere_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row, col = Grid(UTM, NORTH_UP, 30, 50).world_to_pixel([np.inf, np.nan], [np.inf, 0.0])
    assert not np.isfinite(row).any()
    assert not np.isfinite(col).any()
