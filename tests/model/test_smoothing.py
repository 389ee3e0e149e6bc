"""The guided filter: against its definition, with holes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geopointseg.model.smoothing import GuidedFilter

Plane = NDArray[np.float64]


def directly(guide: Plane, plane: Plane, valid: Plane, radius: int, tolerance: float) -> Plane:
    """Fit a line in every window, then average the lines over every pixel's windows."""

    def around(row: int, col: int) -> tuple[slice, slice]:
        return slice(max(row - radius, 0), row + radius + 1), slice(
            max(col - radius, 0), col + radius + 1
        )

    slope, offset = np.zeros(guide.shape), np.zeros(guide.shape)
    for row, col in np.ndindex(*guide.shape):
        window = around(row, col)
        inside = valid[window] > 0
        if inside.any():
            x, y = guide[window][inside], plane[window][inside]
            slope[row, col] = ((x * y).mean() - x.mean() * y.mean()) / (x.var() + tolerance)
            offset[row, col] = y.mean() - slope[row, col] * x.mean()
    result = np.zeros(guide.shape)
    for row, col in np.ndindex(*guide.shape):
        window = around(row, col)
        inside = valid[window] > 0
        if inside.any():
            lines = (
                slope[window][inside] * guide[row, col] * valid[row, col] + offset[window][inside]
            )
            result[row, col] = lines.mean()
    return np.maximum(result, 0)


def test_it_is_the_mean_of_the_windows_lines() -> None:
    generator = np.random.default_rng(0)
    guide, plane = generator.normal(size=(14, 11)), generator.random((14, 11))
    valid = generator.random((14, 11)) > 0.25
    smooth = GuidedFilter(guide.astype(np.float32), valid, 2, 0.3).apply(
        plane[None].astype(np.float32)
    )
    expected = directly(guide, plane, valid.astype(float), 2, 0.3)
    np.testing.assert_allclose(smooth[0][valid], expected[valid], atol=1e-4)


def test_radius_zero_changes_nothing() -> None:
    planes = np.random.default_rng(1).random((3, 5, 5)).astype(np.float32)
    smooth = GuidedFilter(planes[0], np.ones((5, 5), bool), 0).apply(planes)
    np.testing.assert_array_equal(smooth, planes)


@settings(max_examples=20, deadline=None)
@given(radius=st.integers(1, 5), seed=st.integers(0, 99), share=st.floats(0.2, 1))
def test_probabilities_still_sum_to_one(radius: int, seed: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    planes = generator.dirichlet(np.ones(4), size=(12, 9)).transpose(2, 0, 1).astype(np.float32)
    valid = generator.random((12, 9)) < share
    guide = generator.normal(size=(12, 9)).astype(np.float32)
    total = GuidedFilter(guide, valid, radius, 0.3).apply(planes).sum(axis=0)
    assert np.isfinite(total).all()
    np.testing.assert_allclose(total[valid], 1, atol=0.05)


def test_values_under_nodata_do_not_leak() -> None:
    planes = np.zeros((1, 9, 9), np.float32)
    planes[0, 4, 4] = 1
    valid = np.ones((9, 9), bool)
    valid[4, 4] = False
    smooth = GuidedFilter(np.zeros((9, 9), np.float32), valid, 2).apply(planes)
    assert smooth[0][valid].max() == 0
