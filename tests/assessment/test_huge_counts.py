"""Counts of more than 10^10 pixels are exact; they are made by adding counts, not pixels."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from geopointseg.assessment.confusion import ConfusionMatrix, class_f1
from geopointseg.assessment.map_inventory import _count
from geopointseg.legend import Legend
from geopointseg.radiometry.distribution import make_counter

LEGEND = Legend.from_names(["a", "b", "c"])
SMALL = np.array([[66, 1, 5], [3, 55, 8], [1, 0, 153]])


@pytest.mark.parametrize("factor", [1, 10**8, 10**10, 3 * 10**13])
def test_scores_do_not_depend_on_the_number_of_pixels(factor):
    matrix = ConfusionMatrix(SMALL * factor, LEGEND)
    total, rows, columns = SMALL.sum(), SMALL.sum(1), SMALL.sum(0)
    overall = Fraction(int(np.trace(SMALL)), int(total))
    chance = Fraction(int(rows @ columns), int(total) ** 2)
    assert matrix.total == int(total) * factor
    assert matrix.overall_accuracy == pytest.approx(float(overall), rel=1e-15)
    assert matrix.kappa == pytest.approx(float((overall - chance) / (1 - chance)), rel=1e-14)
    np.testing.assert_allclose(matrix.f1, class_f1(SMALL), rtol=1e-15)
    np.testing.assert_allclose(matrix.iou, ConfusionMatrix(SMALL, LEGEND).iou, rtol=1e-15)


def test_single_pixels_are_counted_beside_ten_billion():
    huge = ConfusionMatrix(SMALL * 10**14, LEGEND)
    one = ConfusionMatrix.from_labels(np.int8([0]), np.int8([1]), LEGEND)
    assert int((huge + one).counts[0, 1]) == 10**14 + 1
    assert (huge + one).counts.dtype == np.int64


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32"])
def test_statistics_of_many_pixels_are_those_of_few(dtype):
    rng = np.random.default_rng(0)
    values = rng.normal(60, 15, 1001).astype(dtype)
    small, huge = make_counter(dtype), make_counter(dtype)
    small.add(values)
    huge.add(values)
    for _ in range(34):  # 1.7 * 10^13 pixels
        huge.merge(huge)
    one, many = (counter.finish("b", 1.0, 0.0) for counter in (small, huge))
    assert many.count == 1001 * 2**34
    np.testing.assert_array_equal(many.counts, one.counts * 2**34)
    assert many.mean == pytest.approx(float(values.astype(np.float64).mean()), rel=1e-12)
    assert many.std == pytest.approx(float(values.astype(np.float64).std()), rel=1e-9)
    shares = np.linspace(0, 1, 11)
    ordered = np.sort(values.astype(np.float64))
    exact = ordered[np.minimum((shares * 1001).astype(int), 1000)]
    width = np.abs(exact) / 64 + 1e-9 if dtype == "float32" else 0  # bins of floats
    assert (np.abs(many.quantile(shares) - exact) <= width).all()


def test_a_far_mean_keeps_its_deviation():
    counter = make_counter("float32")
    for _ in range(50):
        counter.add(np.float32([1e6 - 1, 1e6 + 1]))
    for _ in range(33):
        counter.merge(counter)
    found = counter.finish("b", 1.0, 0.0)
    assert found.count == 100 * 2**33
    assert (found.mean, found.std) == (1e6, 1.0)


def test_areas_of_classes_add_up():
    totals = {0: np.array([10.0**13, 1e15]), 1: np.array([0.0, 0.0])}
    for _ in range(3):
        _count(totals, np.uint8([[0, 1], [1, 1]]), None, np.array([[100.0], [100.0]]))
    assert totals[0].tolist() == [10**13 + 3, 1e15 + 300]
    assert totals[1].tolist() == [9, 900]
