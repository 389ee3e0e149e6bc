"""Filter features: against direct computation, with holes, and tile by tile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import structure_tensor_eigenvalues

from geopointseg.errors import ConfigError, RasterError
from geopointseg.model.filter_bank import KINDS, FilterBank


def random_image(bands: int, rows: int, cols: int, seed: int = 0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(bands, rows, cols)).astype(np.float32)


def everywhere(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.ones(image.shape[1:], bool)


def test_mean_far_from_the_rim_is_a_gaussian() -> None:
    image = random_image(1, 60, 60)
    feature = FilterBank((2.0,), ("mean",)).compute(image, everywhere(image))[1]
    expected = ndimage.gaussian_filter(image[0], 2.0, truncate=3.0)
    np.testing.assert_allclose(feature[10:-10, 10:-10], expected[10:-10, 10:-10], atol=1e-5)


def test_deviation_is_that_of_the_weighted_pixels() -> None:
    image = random_image(1, 21, 21)
    feature = FilterBank((2.0,), ("deviation",)).compute(image, everywhere(image))[1, 10, 10]
    impulse = np.zeros((21, 21))
    impulse[10, 10] = 1
    weight = ndimage.gaussian_filter(impulse, 2.0, truncate=3.0)
    mean = np.average(image[0], weights=weight)
    expected = np.sqrt(np.average((image[0] - mean) ** 2, weights=weight))
    assert feature == pytest.approx(expected, abs=1e-4)


def test_gradient_of_a_ramp_is_its_slope_times_the_scale() -> None:
    ramp = np.tile(np.arange(40, dtype=np.float32) * 0.5, (40, 1))[None]
    feature = FilterBank((2.0,), ("gradient",)).compute(ramp, everywhere(ramp))[1]
    np.testing.assert_allclose(feature[10:-10, 10:-10], 1.0, atol=1e-4)


def test_laplacian_of_a_parabola_is_its_curvature_times_the_squared_scale() -> None:
    parabola = np.tile((np.arange(40, dtype=np.float32) - 20) ** 2 / 100, (40, 1))[None]
    feature = FilterBank((2.0,), ("laplacian",)).compute(parabola, everywhere(parabola))[1]
    np.testing.assert_allclose(feature[12:-12, 12:-12], 4 * 2 / 100, atol=1e-4)


def test_structure_agrees_with_scikit_image() -> None:
    image = random_image(1, 64, 64)
    smooth = ndimage.gaussian_filter(image[0].astype(np.float64), 2.0, truncate=3.0)
    down, right = np.gradient(smooth)
    products = [
        ndimage.gaussian_filter(p, 2.0, truncate=3.0) for p in (down**2, down * right, right**2)
    ]
    expected = np.sqrt(structure_tensor_eigenvalues(products)) * 2.0
    feature = FilterBank((2.0,), ("structure",)).compute(image, everywhere(image))[1:]
    np.testing.assert_allclose(feature[:, 16:-16, 16:-16], expected[:, 16:-16, 16:-16], atol=1e-4)


def test_holes_change_nothing_in_a_flat_image() -> None:
    image = np.full((2, 30, 30), 3.0, np.float32)
    valid = np.random.default_rng(1).random((30, 30)) > 0.3
    features = FilterBank().compute(image, valid)
    per_band = FilterBank().count(2)
    names = FilterBank().names(["a", "b"])
    assert len(names) == per_band == len(features)
    for name, feature in zip(names, features, strict=True):
        level = 3.0 if "mean" in name or name in {"a", "b"} else 0.0
        np.testing.assert_allclose(feature[valid], level, atol=5e-3, err_msg=name)


def test_values_under_nodata_do_not_matter() -> None:
    image, valid = random_image(2, 40, 40), np.ones((40, 40), bool)
    valid[5:20, 8:30] = False
    other = np.where(valid, image, np.float32(np.nan)).astype(np.float32)
    bank = FilterBank()
    np.testing.assert_array_equal(bank.compute(image, valid), bank.compute(other, valid))


def test_an_empty_rim_changes_nothing() -> None:
    image = random_image(2, 33, 29)
    valid = everywhere(image)
    bank = FilterBank((1.0, 4.0))
    padded = bank.compute(np.pad(image, ((0, 0), (7, 7), (9, 9))), np.pad(valid, ((7, 7), (9, 9))))
    np.testing.assert_allclose(padded[:, 7:-7, 9:-9], bank.compute(image, valid), atol=2e-5)


@pytest.mark.parametrize("kinds", [KINDS, ("mean",), ("gradient",), ("laplacian", "deviation")])
def test_the_margin_is_all_the_context_there_is(kinds: tuple[str, ...]) -> None:
    image, bank = random_image(1, 80, 80), FilterBank((1.0, 3.0), kinds)
    margin = bank.margin_px
    full = bank.compute(image, everywhere(image))[:, 40, 40]
    window = image[:, 40 - margin : 41 + margin, 40 - margin : 41 + margin]
    part = bank.compute(window, everywhere(window))[:, margin, margin]
    np.testing.assert_allclose(part, full, atol=1e-5)


def test_no_scales_are_single_pixels() -> None:
    image, bank = random_image(4, 5, 6), FilterBank(scales=())
    assert (bank.margin_px, bank.count(4)) == (0, 4)
    np.testing.assert_array_equal(bank.compute(image, everywhere(image)), image)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 20),
    cols=st.integers(1, 20),
    bands=st.integers(1, 3),
    share=st.floats(0, 1),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_features_are_finite_whatever_the_holes(
    rows: int, cols: int, bands: int, share: float, scale: float
) -> None:
    image = random_image(bands, rows, cols) * np.float32(scale)
    valid = np.random.default_rng(2).random((rows, cols)) < share
    image[:, ~valid] = np.nan
    features = FilterBank((1.0, 2.0)).compute(image, valid)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert (features[:, ~valid] == 0).all()


def test_unknown_filters_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no filter 'laplacien'. Did you mean 'laplacian'\?"):
        FilterBank(kinds=("laplacien",))


def test_scales_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="Expected positive numbers of pixels"):
        FilterBank(scales=(1.0, 0.0))


def test_mask_of_another_size_is_refused() -> None:
    with pytest.raises(RasterError, match=r"Expected \(band, row, col\) and \(row, col\)"):
        FilterBank().compute(random_image(1, 4, 4), np.ones((4, 5), bool))
