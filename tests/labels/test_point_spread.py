from __future__ import annotations

import math

import numpy as np
import pytest

from geopointseg.labels.point_spread import measure_spread
from geopointseg.raster.geodesy import Positions


def test_random_points_have_a_ratio_near_one():
    rng = np.random.default_rng(0)
    ratios = [
        measure_spread(Positions.in_plane(*rng.random((2, 400)) * 1000), 1e6).ratio
        for _ in range(20)
    ]
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


def test_clusters_and_lattices_lie_on_either_side():
    rng = np.random.default_rng(0)
    middle = rng.random((2, 10)) * 1000
    clustered = np.repeat(middle, 20, axis=1) + rng.normal(0, 5, (2, 200))
    lattice = np.mgrid[0:20, 0:20].reshape(2, -1) * 50.0
    assert measure_spread(Positions.in_plane(*clustered), 1e6).is_clustered
    assert measure_spread(Positions.in_plane(*lattice), 1e6).ratio == pytest.approx(2)
    assert not measure_spread(Positions.in_plane(*lattice), 1e6).is_clustered


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_points_give_nan(count):
    spread = measure_spread(Positions.in_plane(np.zeros(count), np.zeros(count)), 1e6)
    assert math.isnan(spread.nearest_m)
    assert math.isnan(spread.ratio)
    assert not spread.is_clustered


def test_a_few_points_give_a_distance_but_no_ratio():
    spread = measure_spread(Positions.in_plane([0.0, 3.0], [0.0, 4.0]), 1e6)
    assert spread.nearest_m == 5
    assert math.isnan(spread.ratio)
