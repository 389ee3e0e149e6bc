"""A painted part of a window equals the linear function of the interpolated features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from geopointseg.live.feature_cache import FeatureCache
from geopointseg.live.window_features import (
    FeatureLayout,
    Head,
    WindowFeatures,
    measure_window,
    paint_window,
    sample_window,
)
from geopointseg.model.linear import LATTICE_PX

LAYOUT = FeatureLayout(2, (2, 4, 16, 16, 32), (3, 2, 4, 2, 5))
SIDE = 128


def draw_window(seed: int) -> tuple[WindowFeatures, Head]:
    rng = np.random.default_rng(seed)
    stages = tuple(
        rng.normal(size=(channels, SIDE // stride, SIDE // stride)).astype(np.float16)
        for stride, channels in zip(LAYOUT.strides, LAYOUT.channels, strict=True)
    )
    planes = rng.normal(size=(2, SIDE, SIDE)).astype(np.float16)
    head = Head(
        torch.from_numpy(rng.normal(size=(3, LAYOUT.count)).astype(np.float32)), torch.zeros(3)
    )
    return WindowFeatures(planes, stages, np.ones((SIDE, SIDE), dtype=bool)), head


@pytest.mark.parametrize(("rows", "cols"), [((0, 128), (0, 128)), ((0, 9), (119, 128)), ((23, 57), (40, 41))])  # fmt: skip
def test_a_part_of_a_window_is_painted_as_the_whole(rows, cols) -> None:
    features, head = draw_window(0)
    values = [torch.from_numpy(features.planes).float()]
    for stage in features.stages:
        whole = torch.from_numpy(stage).float()[None]
        values.append(functional.interpolate(whole, (SIDE, SIDE), mode="bilinear")[0])
    expected = (
        torch.einsum("kf,frc->krc", head.weight, torch.cat(values)) + head.bias[:, None, None]
    )
    region = slice(*rows), slice(*cols)
    painted = paint_window(features, LAYOUT, head, *region)
    torch.testing.assert_close(painted, expected[:, *region], atol=1e-4, rtol=0)


def test_pixels_are_sampled_where_they_are_painted() -> None:
    features, head = draw_window(1)
    row, col = np.random.default_rng(2).integers(0, SIDE, (2, 60))
    sampled = torch.from_numpy(sample_window(features, LAYOUT, row, col))
    painted = paint_window(features, LAYOUT, head, slice(0, SIDE), slice(0, SIDE))[:, row, col]
    torch.testing.assert_close(sampled @ head.weight.T + head.bias, painted.T, atol=1e-3, rtol=0)


def test_moments_are_those_of_valid_pixels_of_the_lattice() -> None:
    features, _ = draw_window(3)
    valid = features.valid.copy()
    valid[:, 60:] = False
    count, total, squares = measure_window(replace(features, valid=valid), LAYOUT)
    planes = features.planes[:, ::LATTICE_PX, :60:LATTICE_PX].reshape(2, -1).astype(np.float64)
    assert (count == planes.shape[1]).all()
    np.testing.assert_allclose(total[:2], planes.sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(squares[:2], (planes**2).sum(axis=1), rtol=1e-6)
    nothing = measure_window(replace(features, valid=np.zeros_like(valid)), LAYOUT)
    np.testing.assert_array_equal(nothing, np.zeros((3, LAYOUT.count)))


def test_windows_without_image_do_not_keep_others_from_the_disk(tmp_path) -> None:
    nothing = np.zeros((0, 0, 0), np.float16)
    valid = np.ones((64, 64), bool)
    full = WindowFeatures(
        np.ones((3, 64, 64), np.float16), (np.ones((8, 32, 32), np.float16),), valid
    )
    cache, made = FeatureCache(1, tmp_path), []

    def make(number: int) -> WindowFeatures:
        made.append(number)
        return WindowFeatures(nothing, (nothing,), ~valid) if number == 0 else full

    for number in (*range(6), *range(1, 6)):
        found = cache.get((0, 0, number), lambda number=number: make(number))
        assert found.valid.all() == (number > 0)
    assert made == [*range(6)]
