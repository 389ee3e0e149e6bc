"""Training points are recognized again, in any CRS, and nothing else is."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geopointseg.assessment.location_digest import (
    COST,
    LARGEST_SAMPLE,
    encode_locations,
    is_sample,
    locate_cells,
    match_locations,
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
    cells = locate_cells(lon, np.full(len(lon), lat), WGS84)
    x, y = transform_coordinates(lon, np.full(len(lon), lat), WGS84, UTM)
    back = transform_coordinates(x, y, UTM, WGS84)
    assert match_locations(x, y, UTM, cells).all()
    assert match_locations(*back, WGS84, cells).all()


def test_neighbours_a_metre_away_are_strangers() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(4e5, 6e5, (2, LARGEST_SAMPLE)) + np.array([[0], [5e6]])
    for recognize, known in (
        (match_locations, locate_cells(x, y, UTM)),
        (recognize_locations, encode_locations(x, y, UTM)),
    ):
        assert recognize(x, y, UTM, known).all()
        assert not recognize(x + 1, y, UTM, known).any()


def test_many_points_keep_a_random_sample() -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(0, 10, (2, 4 * LARGEST_SAMPLE))
    encoded = encode_locations(lon, lat, WGS84)
    assert encoded["places"] == 4 * LARGEST_SAMPLE
    assert is_sample(encoded)
    first, second = (
        recognize_locations(lon, lat, WGS84, each)
        for each in (encoded, encode_locations(lon, lat, WGS84))
    )
    assert first.sum() == second.sum() == LARGEST_SAMPLE
    assert (first != second).any()


def test_digests_are_salted_and_slow(
    digest_cost: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COST, "n", digest_cost["n"])
    one, other = (encode_locations([10.0], [50.0], WGS84) for _ in range(2))
    assert one["salt"] != other["salt"]
    assert one["digests"] != other["digests"]
    assert not is_sample(one)
    assert 128 * one["n"] * one["r"] >= 2**25  # bytes of memory for each guess
    again, third = (encode_locations([10.0], [50.0], WGS84, entropy=e) for e in (b"a", b"b"))
    assert again == encode_locations([10.0], [50.0], WGS84, entropy=b"a")
    assert third["salt"] != again["salt"]
    plain = set(re.findall(r"[0-9.]+", json.dumps(one)))
    assert not plain & {"10.0", "50.0"}


@pytest.mark.parametrize(
    "change", [{"n": 2**24}, {"kdf": "md5"}, {"r": 0}], ids=["too dear", "unknown", "none"]
)
def test_strange_digests_are_not_computed(change: dict[str, Any]) -> None:
    encoded = encode_locations([10.0], [50.0], WGS84) | change
    with pytest.raises(ValueError, match="unknown kind"):
        recognize_locations([10.0], [50.0], WGS84, encoded)


def test_texts_of_old_models_are_still_read() -> None:
    one, other = "kq3UkXY=", "ndmA0iU="
    found = recognize_locations([10.0, 11.0, 12.0], [50.0] * 3, WGS84, f"{one},{other}")
    assert found.tolist() == [True, True, False]


def test_points_that_no_crs_can_place_are_strangers() -> None:
    encoded = encode_locations([10.0], [50.0], WGS84)
    assert recognize_locations([np.inf], [np.inf], WGS84, encoded).tolist() == [False]
    assert recognize_locations([1.0], [1.0], WGS84, "").tolist() == [False]


def test_places_of_a_site_grid_are_recognized() -> None:
    site = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    encoded = encode_locations([100.0, 250.5], [-20.0, 7.25], site)
    found = recognize_locations([100.0, 101.0, 250.5], [-20.0, -20.0, 7.25], site, encoded)
    assert found.tolist() == [True, False, True]
