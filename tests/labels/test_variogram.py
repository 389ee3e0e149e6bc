from __future__ import annotations

import numpy as np
import pytest

from geopointseg.errors import PointsError
from geopointseg.labels.points import Points
from geopointseg.labels.variogram import label_variogram, variogram_range
from geopointseg.legend import Legend

LEGEND = Legend.from_names(["a", "b", "c", "d"])


def mosaic_points(patch_m: float, seed: int = 0, count: int = 1500) -> Points:
    """Points on a mosaic of square patches, each of a random class."""
    rng = np.random.default_rng(seed)
    size = 40
    classes = rng.integers(0, 4, (size, size))
    place = rng.random((2, count)) * size
    index = classes[tuple(place.astype(int))]
    return Points.from_arrays(*(place * patch_m), index, LEGEND, 32633)


@pytest.mark.parametrize("patch_m", [20.0, 300.0])
def test_range_is_about_the_size_of_a_patch(patch_m):
    ranges = [variogram_range(mosaic_points(patch_m, seed)) / patch_m for seed in range(3)]
    assert 0.7 < np.median(ranges) < 1.8


def test_sill_is_the_chance_of_two_different_classes():
    variogram = label_variogram(mosaic_points(100))
    assert variogram.sill == pytest.approx(0.75, abs=0.04)
    assert variogram.nugget < 0.25
    assert (np.diff(variogram.lag_m) > 0).all()


def test_labels_without_structure_are_independent_at_once():
    points = mosaic_points(100)
    shuffled = np.random.default_rng(0).permutation(points.class_index)
    free = Points.from_arrays(points.x, points.y, shuffled, LEGEND, points.crs)
    assert variogram_range(free) < 150


def test_one_class_has_no_structure():
    points = mosaic_points(100)
    one = Points.from_arrays(points.x, points.y, points.class_index * 0, LEGEND, points.crs)
    assert variogram_range(one) < 150


def test_same_seed_same_range():
    points = mosaic_points(50, count=3000)
    assert variogram_range(points, seed=3) == variogram_range(points, seed=3)


def test_too_few_places():
    points = Points.from_arrays([1] * 50, [1] * 50, [0] * 50, LEGEND, 32633)
    with pytest.raises(PointsError, match=r"lie in 1 different places\. Expected at least 10"):
        variogram_range(points)
