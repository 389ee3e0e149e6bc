"""Distances against pyproj's geodesics, in CRSs whose units are no metres on the ellipsoid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS as ProjCRS
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from geopointseg.errors import RasterError
from geopointseg.raster.datum import datum_of
from geopointseg.raster.geodesy import Positions, measure_distance
from geopointseg.raster.grid import require_transformation, transform_coordinates
from geopointseg.raster.planar_coordinates import (
    assign_cells,
    is_true_to_scale,
    local_plane,
    measure_scale,
    search_coordinates,
)

WGS84 = CRS.from_epsg(4326)
SITE = CRS.from_wkt('LOCAL_CS["site grid",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]')
SITE_FEET = CRS.from_wkt('LOCAL_CS["site grid",UNIT["foot",0.3048],AXIS["X",EAST],AXIS["Y",NORTH]]')
ROTATED_POLE = CRS.from_string("+proj=ob_tran +o_proj=longlat +o_lon_p=-162 +o_lat_p=39.25 +lon_0=180 +datum=WGS84")  # fmt: skip

# name: CRS and the longitude and latitude of a place in its use
TIED = {
    "degrees": ("EPSG:4326", 20.0, 68.0),
    "grads from Paris": ("EPSG:4807", 3.0, 46.0),
    "web mercator": ("EPSG:3857", 20.0, 68.0),
    "world mercator": ("EPSG:3395", 20.0, 68.0),
    "polar north": ("EPSG:3413", -45.0, 60.0),
    "at the pole": ("EPSG:3413", 30.0, 89.9),
    "polar south": ("EPSG:3031", 100.0, -75.0),
    "US survey feet": ("EPSG:2263", -74.0, 40.7),
    "international feet": ("EPSG:2222", -111.9, 33.4),
    "UTM": ("EPSG:32633", 14.0, 51.0),
    "UTM in km": ("+proj=utm +zone=33 +datum=WGS84 +units=km", 14.0, 51.0),
    "Lambert of France": ("EPSG:27572", 2.3, 48.8),
    "British grid": ("EPSG:27700", -1.5, 52.5),
    "Europe, equal area": ("EPSG:3035", -8.0, 38.0),
    "cylinder, equal area": ("EPSG:6933", 20.0, 68.0),
    "compound with heights": ("EPSG:32633+5773", 14.0, 51.0),
    "across the date line": ("EPSG:4326", 180.0, 60.0),
    "Mercator across the date line": ("EPSG:3832", 180.0, 60.0),
    "Mars": ("IAU_2015:49910", 20.0, 60.0),
    "Mars, flattened": ("IAU_2015:49911", 20.0, 60.0),
    "Moon": ("IAU_2015:30120", 20.0, 60.0),
}


def _place(crs: CRS, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray, Geod]:
    """Return coordinates in a CRS of longitudes and latitudes on its ellipsoid, and its geodesics by pyproj."""
    known = ProjCRS.from_wkt(crs.to_wkt())
    bottom = known.sub_crs_list[0].geodetic_crs if known.is_compound else known.geodetic_crs
    factor = math.degrees(bottom.axis_info[0].unit_conversion_factor)
    from_paris = bottom.prime_meridian.longitude * math.degrees(
        bottom.prime_meridian.unit_conversion_factor
    )
    to_crs = Transformer.from_crs(bottom, known, always_xy=True)
    x, y = to_crs.transform((lon - from_paris) / factor, lat / factor)
    return np.asarray(x), np.asarray(y), Geod(a=bottom.ellipsoid.semi_major_metre, b=bottom.ellipsoid.semi_minor_metre)  # fmt: skip


@pytest.mark.parametrize("name", TIED)
@given(bearing=st.floats(0, 360), length=st.floats(1, 20_000))
@settings(max_examples=8, deadline=None)
def test_a_distance_is_that_of_the_geodesic(name: str, bearing: float, length: float) -> None:
    code, lon, lat = TIED[name]
    crs = CRS.from_user_input(code)
    geod = _place(crs, np.array([lon]), np.array([lat]))[2]
    there = geod.fwd(lon, lat, bearing, length)
    x, y, _ = _place(crs, np.array([lon, there[0]]), np.array([lat, there[1]]))
    assert measure_distance(x[0], y[0], x[1], y[1], crs)[0] == pytest.approx(length, rel=1e-5, abs=2e-3)  # fmt: skip
    first, second = (Positions.of(x[i], y[i], crs) for i in (0, 1))
    assert first.nearest(second)[0] == pytest.approx(length, rel=1e-5, abs=2e-3)


@pytest.mark.parametrize(("crs", "metres"), [(SITE, 5.0), (SITE_FEET, 5 * 0.3048)])
def test_a_site_grid_is_planar_in_its_own_unit(crs: CRS, metres: float) -> None:
    assert datum_of(crs).is_planar
    assert measure_distance(0, 0, 3, 4, crs)[0] == pytest.approx(metres, rel=1e-12)
    assert is_true_to_scale(np.zeros(1), np.zeros(1), crs)


def test_planetocentric_latitudes_are_measured_along_the_surface() -> None:
    centric, graphic = (CRS.from_user_input(f"IAU_2015:{code}") for code in (49902, 49901))
    latitude = math.degrees(math.atan(math.tan(math.radians(45)) * (3396190 / 3376200) ** 2))
    along = measure_distance(10, 0, 10, 45, centric)[0]
    assert along == pytest.approx(measure_distance(10, 0, 10, latitude, graphic)[0], rel=1e-9)


def test_a_rotated_pole_is_measured_on_the_ground() -> None:
    lon, lat = transform_coordinates([1.0, 2.0], [3.0, 3.0], ROTATED_POLE, WGS84)
    expected = Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2]
    assert measure_distance(1, 3, 2, 3, ROTATED_POLE)[0] == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 1000), polar=st.booleans(), distance=st.floats(10, 1e5))
@settings(max_examples=25, deadline=None)
def test_neighbours_are_found_across_the_date_line_and_the_pole(
    seed: int, polar: bool, distance: float
) -> None:
    rng = np.random.default_rng(seed)
    middle = (180.0, 88.0) if polar else (180.0, 60.0)
    spread = (180.0, 2.0) if polar else (2.0, 1.0)
    lon = (middle[0] + rng.uniform(-1, 1, 60) * spread[0] + 180) % 360 - 180
    lat = middle[1] + rng.uniform(-1, 1, 60) * spread[1]
    places = Positions.of(lon, lat, WGS84)
    geod = Geod(ellps="WGS84")
    every = np.array([[geod.inv(a, b, c, d)[2] for c, d in zip(lon, lat, strict=True)] for a, b in zip(lon, lat, strict=True)])  # fmt: skip
    assert places.are_nearer(0, distance).tolist() == (every[0] < distance).tolist()
    half = np.arange(60) < 30
    nearest = places.select(half).nearest(places.select(~half))
    assert nearest == pytest.approx(every[:30, 30:].min(axis=1), abs=1e-3)
    np.fill_diagonal(every, np.inf)
    assert places.nearest_neighbour() == pytest.approx(every.min(axis=1), rel=1e-6, abs=1e-3)
    assert places.pairwise() == pytest.approx(every[np.triu_indices(60, 1)], rel=2e-5)


def test_places_that_cannot_be_found_are_infinitely_far() -> None:
    places = Positions.of([20.0, np.inf, 20.0], [60.0, 60.0, 95.0], WGS84)
    assert places.known.tolist() == [True, False, False]
    assert places.nearest(places.select(np.array([0]))).tolist() == [0.0, np.inf, np.inf]
    assert places.nearest(places.select(np.array([1]))).tolist() == [np.inf] * 3
    assert Positions.of([], [], WGS84).nearest(places).shape == (0,)


def test_places_made_up_for_images_far_outside_of_a_zone_are_planar() -> None:
    utm = CRS.from_epsg(32633)
    assert measure_distance(2e7, 5e6, 2e7 + 30, 5e6 + 40, utm)[0] == pytest.approx(50)


@pytest.mark.parametrize("name", TIED)
def test_scale_is_the_ground_in_a_metre_of_the_plane(name: str) -> None:
    code, lon, lat = TIED[name]
    crs = CRS.from_user_input(code)
    if crs.is_geographic:
        pytest.skip("degrees have no metre")
    x, y, _ = _place(crs, np.array([lon]), np.array([lat]))
    unit = datum_of(crs).metres
    least, most = measure_scale(x, y, crs, 100.0 / unit)
    around = np.radians(np.arange(0, 360, 2))
    reach = 100.0 / unit
    ground = measure_distance(
        x + 0 * around, y + 0 * around, x + reach * np.cos(around), y + reach * np.sin(around), crs
    )
    assert least[0] == pytest.approx(ground.min() / 100, rel=1e-3)
    assert most[0] == pytest.approx(ground.max() / 100, rel=1e-3)


# the size of a block in metres; the tolerance that the documentation states
@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize("side", [100.0, 10_000.0])
def test_blocks_have_their_size_on_the_ground(name: str, side: float) -> None:
    code, lon, lat = TIED[name]
    crs = CRS.from_user_input(code)
    rng = np.random.default_rng(0)
    geod = _place(crs, np.array([lon]), np.array([lat]))[2]
    count = 40_000
    bearing, reach = rng.uniform(0, 360, count), 4 * side * np.sqrt(rng.random(count))
    there = geod.fwd(np.full(count, lon), np.full(count, lat), bearing, reach)
    x, y, _ = _place(crs, np.asarray(there[0]), np.asarray(there[1]))
    cells = assign_cells(x, y, crs, side)
    inner = reach < 4 * side - 1.6 * side
    _, block, size = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    block = block.reshape(-1)
    whole = np.unique(block[inner])
    area = size[whole] / count * np.pi * (4 * side) ** 2
    assert len(whole) >= 9
    assert np.median(area) == pytest.approx(side**2, rel=0.05)
    for index in whole:
        here = block == index
        width = measure_distance(x[here][0], y[here][0], x[here], y[here], crs).max()
        assert width < 1.03 * math.sqrt(2) * side


def test_blocks_do_not_depend_on_the_crs_or_on_other_points() -> None:
    rng = np.random.default_rng(0)
    lon, lat = 20 + rng.random(500) / 10, 68 + rng.random(500) / 10
    web = transform_coordinates(lon, lat, WGS84, CRS.from_epsg(3857))
    cells = assign_cells(lon, lat, WGS84, 500)
    assert (assign_cells(*web, CRS.from_epsg(3857), 500) == cells).all()
    assert (assign_cells(lon[:7], lat[:7], WGS84, 500) == cells[:7]).all()


def test_a_plane_around_places_on_both_sides_of_the_date_line() -> None:
    plane = local_plane(np.array([179.99, -179.99]), np.array([60.0, 60.0]), WGS84)
    assert np.hypot(*(plane[1] - plane[0])) == pytest.approx(1116.0, rel=1e-3)


@pytest.mark.parametrize("name", TIED)
def test_straight_distances_in_the_search_space_are_never_too_long(name: str) -> None:
    code, lon, lat = TIED[name]
    crs = CRS.from_user_input(code)
    rng = np.random.default_rng(1)
    lon, lat = lon + rng.uniform(-0.05, 0.05, 50), np.clip(lat + rng.uniform(-0.05, 0.05, 50), -90, 90)  # fmt: skip
    x, y, _ = _place(crs, lon, lat)
    space = search_coordinates(x, y, crs)
    straight = np.sqrt(((space[1:] - space[:-1]) ** 2).sum(axis=1))
    ground = measure_distance(x[1:], y[1:], x[:-1], y[:-1], crs)
    assert (straight <= ground + 1e-6).all()
    assert straight == pytest.approx(ground, rel=0.004)


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        (WGS84, SITE, "'WGS 84' to 'site grid': the first is tied to the earth, the second to no body, as a site"),
        (WGS84, CRS.from_user_input("IAU_2015:49910"), "the second to another body (Mars"),
        (CRS.from_user_input("IAU_2015:30100"), CRS.from_user_input("IAU_2015:49900"), "another body (Moon"),
        (CRS.from_wkt('LOCAL_CS["quarry",UNIT["foot",0.3048]]'), SITE, "'quarry' to 'site grid'"),
    ],
)  # fmt: skip
def test_data_of_other_ground_is_refused_in_a_sentence(source: CRS, target: CRS, text: str) -> None:
    with pytest.raises(RasterError) as refused:
        transform_coordinates([1.0], [2.0], source, target)
    assert text in str(refused.value)
    with pytest.raises(RasterError):
        require_transformation(source, target)


def test_one_site_grid_in_two_units_is_one_ground() -> None:
    x, y = transform_coordinates([100.0], [200.0], SITE_FEET, SITE)
    assert (x[0], y[0]) == pytest.approx((30.48, 60.96))


def test_two_bodies_of_one_name_are_not_needed_for_one_body() -> None:
    older, newer = CRS.from_user_input("ESRI:104905"), CRS.from_user_input("IAU_2015:49900")
    x, y = transform_coordinates([10.0], [0.0], older, newer)
    assert (x[0], y[0]) == pytest.approx((10.0, 0.0), abs=1e-6)
