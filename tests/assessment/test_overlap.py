"""Training points are recognized again, in any CRS, and nothing else is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geopointseg.assessment.overlap import (
    LARGEST_COUNT,
    encode_locations,
    recognize_locations,
)
from geopointseg.raster.grid import transform_coordinates

UTM, WGS84 = CRS.from_epsg(32633), CRS.from_epsg(4326)


@given(
    lon=st.lists(st.floats(8, 22), min_size=1, max_size=30),
    lat=st.floats(-79, 79),
)
@settings(max_examples=60, deadline=None)
def test_points_are_recognized_after_a_change_of_crs(lon: list[float], lat: float) -> None:
    encoded = encode_locations(lon, np.full(len(lon), lat), WGS84)
    x, y = transform_coordinates(lon, np.full(len(lon), lat), WGS84, UTM)
    back = transform_coordinates(x, y, UTM, WGS84)
    assert recognize_locations(x, y, UTM, encoded).all()
    assert recognize_locations(*back, WGS84, encoded).all()


def test_neighbours_a_metre_away_are_strangers() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(4e5, 6e5, (2, 5000)) + np.array([[0], [5e6]])
    encoded = encode_locations(x, y, UTM)
    assert recognize_locations(x, y, UTM, encoded).all()
    assert not recognize_locations(x + 1, y, UTM, encoded).any()


def test_many_points_keep_a_sample_that_still_tells() -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(0, 10, (2, 3 * LARGEST_COUNT))
    encoded = encode_locations(lon, lat, WGS84)
    assert len(encoded) < 140_000
    assert 0.30 < recognize_locations(lon, lat, WGS84, encoded).mean() < 0.36


def test_strings_of_several_models_are_looked_through_together() -> None:
    one, other = (encode_locations([lon], [50.0], WGS84) for lon in (10.0, 11.0))
    found = recognize_locations([10.0, 11.0, 12.0], [50.0] * 3, WGS84, f"{one},{other}")
    assert found.tolist() == [True, True, False]


def test_points_that_no_crs_can_place_are_strangers() -> None:
    encoded = encode_locations([10.0], [50.0], WGS84)
    assert recognize_locations([np.inf], [np.inf], WGS84, encoded).tolist() == [False]
    assert recognize_locations([1.0], [1.0], WGS84, "").tolist() == [False]
