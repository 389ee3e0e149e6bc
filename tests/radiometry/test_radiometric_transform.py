"""Matching: against scikit-image, monotone for all inputs, honest where it cannot help."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.exposure import match_histograms

from geopointseg.errors import ConfigError, RasterError
from geopointseg.radiometry.band_statistics import (
    SceneStatistics,
    merge_statistics,
    statistics_of_array,
)
from geopointseg.radiometry.radiometric_transform import (
    METHODS,
    RadiometricTransform,
    compare_mixtures,
    fit_matching,
)
from geopointseg.raster.curve import Curve, table_index, table_values


def scene_like(seed: int = 0, size: int = 120) -> np.ndarray:
    """Two classes in three bands: dark patches with low third band, bright ones with high."""
    generator = np.random.default_rng(seed)
    patches = np.kron(generator.random((size // 10, size // 10)) < 0.3, np.ones((10, 10))) > 0
    means = np.where(patches, [[[60]], [[70]], [[40]]], [[[90]], [[100]], [[170]]])
    return np.clip(generator.normal(means, 9), 1, 255).astype(np.uint8)


def hazy(image: np.ndarray) -> np.ndarray:
    """The same area through another atmosphere: a monotone change of each band."""
    gain = np.array([0.7, 0.8, 0.5]).reshape(3, 1, 1)
    return (255 * (image / 255) ** 0.8 * gain + 30).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_equals_scikit_image_within_a_grey_level(dtype: str):
    source, reference = hazy(scene_like(1)).astype(dtype), scene_like(2).astype(dtype)
    transform = fit_matching(statistics_of_array(source), statistics_of_array(reference))
    expected = match_histograms(source, reference, channel_axis=0)
    assert np.abs(transform.apply(source) - expected).max() <= 1.0


def test_equals_scikit_image_for_floats():
    source, reference = (a.astype(np.float32) / 7 for a in (hazy(scene_like(1)), scene_like(2)))
    source += np.random.default_rng(0).normal(0, 0.3, source.shape).astype(np.float32)
    transform = fit_matching(statistics_of_array(source), statistics_of_array(reference))
    expected = match_histograms(source, reference, channel_axis=0)
    error = np.abs(transform.apply(source) - expected) / np.ptp(reference)
    assert np.quantile(error, 0.99) < 0.002  # where a gap parts two modes, one rank may jump it


def test_undoes_a_change_of_light():
    clear = scene_like(3)
    veiled = hazy(clear)
    transform = fit_matching(statistics_of_array(veiled), statistics_of_array(clear))
    assert np.abs(transform.apply(veiled) - clear).mean() < 1.5
    assert np.abs(veiled.astype(float) - clear).mean() > 15


@pytest.mark.parametrize("method", METHODS)
def test_matching_to_itself_keeps_the_image(method: str):
    image = scene_like(4)
    statistics = statistics_of_array(image)
    moved = fit_matching(statistics, statistics, method).apply(image)
    if method == "equalize":
        for band in moved:
            assert np.histogram(band, 8)[0] == pytest.approx(np.full(8, band.size / 8), rel=0.5)
    else:
        np.testing.assert_allclose(moved, image, atol=1e-2)


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(np.int16, st.tuples(st.just(1), st.integers(2, 300))),
    arrays.arrays(np.int16, st.tuples(st.just(1), st.integers(2, 300))),
    st.sampled_from(METHODS),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_brighter_pixels_stay_brighter(source: np.ndarray, reference: np.ndarray, method: str):
    transform = fit_matching(statistics_of_array(source), statistics_of_array(reference), method)
    moved = transform.apply(np.sort(source))
    assert (np.diff(moved) >= 0).all()
    assert np.isfinite(moved).all()


def test_mean_and_deviation_are_those_of_the_reference():
    source, reference = hazy(scene_like(1)), scene_like(2)
    moved = fit_matching(
        statistics_of_array(source), statistics_of_array(reference), "mean-std"
    ).apply(source)
    np.testing.assert_allclose(moved.mean(axis=(1, 2)), reference.mean(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(moved.std(axis=(1, 2)), reference.std(axis=(1, 2)), rtol=1e-4)


def test_midpoints_keep_the_mean_where_values_are_clipped():
    reference = scene_like(2)
    source = np.maximum(hazy(reference), 70)  # a third of the last band is clipped
    wanted = reference.mean(axis=(1, 2))
    found = {
        method: fit_matching(statistics_of_array(source), statistics_of_array(reference), method)
        .apply(source)
        .mean(axis=(1, 2))
        for method in ("midpoint", "histogram")
    }
    np.testing.assert_allclose(found["midpoint"], wanted, atol=0.5)
    assert found["histogram"].max() - wanted[found["histogram"].argmax()] > 1


def test_percentiles_are_those_of_the_reference():
    source, reference = hazy(scene_like(1)), scene_like(2)
    moved = fit_matching(
        statistics_of_array(source), statistics_of_array(reference), "percentile"
    ).apply(source)
    for share in (0.02, 0.98):
        np.testing.assert_allclose(
            np.quantile(moved, share, axis=(1, 2)),
            np.quantile(reference, share, axis=(1, 2)),
            atol=1e-3,
        )


def test_equalize_needs_no_reference_and_fills_the_range():
    image = scene_like(5)
    moved = fit_matching(statistics_of_array(image), method="equalize").apply(image)
    np.testing.assert_allclose(moved.min(axis=(1, 2)), 0)
    np.testing.assert_allclose(moved.max(axis=(1, 2)), 255)
    with pytest.raises(
        ConfigError, match=r"'histogram' has no reference. Expected one; name a scene"
    ):
        fit_matching(statistics_of_array(image))


def test_nodata_stays_zero_and_does_not_count():
    clear = scene_like(6)
    veiled = hazy(clear)
    valid = np.ones(clear.shape[1:], bool)
    valid[:50] = False
    veiled[:, :50] = 0
    fitted = fit_matching(statistics_of_array(veiled, valid), statistics_of_array(clear[:, 50:]))
    moved = fitted.apply(veiled, valid)
    assert (moved[:, :50] == 0).all()
    assert np.abs(moved[:, 50:] - clear[:, 50:]).mean() < 1.5


def test_undeclared_nodata_does_not_bend_the_curve():
    clear = scene_like(7).astype(np.int16)
    veiled = hazy(clear.astype(np.uint8)).astype(np.int16)
    spoilt = veiled.copy()
    spoilt[:, :12] = -9999
    plain = fit_matching(statistics_of_array(veiled[:, 12:]), statistics_of_array(clear))
    robust = fit_matching(statistics_of_array(spoilt), statistics_of_array(clear))
    np.testing.assert_array_equal(robust.apply(veiled), plain.apply(veiled))


@pytest.mark.filterwarnings("ignore:The class mixes")
def test_constant_and_empty_bands_are_kept_with_a_warning():
    image = scene_like(8)
    flat = image.copy()
    flat[1] = 77
    with pytest.warns(
        UserWarning, match="Band 'band_2' of the scene has a single value.*values are kept"
    ):
        moved = fit_matching(statistics_of_array(flat), statistics_of_array(image)).apply(flat)
    np.testing.assert_array_equal(moved[1], 77)
    with pytest.warns(UserWarning, match="Band 'band_2' of the reference has a single value"):
        fit_matching(statistics_of_array(image), statistics_of_array(flat))


def test_different_bands_are_refused():
    image = scene_like(9)
    with pytest.raises(
        RasterError, match=r"The scene has 2 bands .* and the reference 3 .*choose common ones"
    ):
        fit_matching(statistics_of_array(image[:2]), statistics_of_array(image))
    with pytest.raises(
        RasterError, match=r"red, green, nir and .* has them as nir, red, green.*by name"
    ):
        fit_matching(
            statistics_of_array(image, names=["red", "green", "nir"]),
            statistics_of_array(image, names=["nir", "red", "green"]),
        )
    with pytest.raises(
        ConfigError, match=r"no matching method 'histgram'. Did you mean 'histogram'"
    ):
        fit_matching(statistics_of_array(image), statistics_of_array(image), "histgram")
    with pytest.raises(RasterError, match="image has 2 bands and the radiometric transform 3"):
        fit_matching(statistics_of_array(image), statistics_of_array(image)).apply(image[:2])


def mixed(share: float, seed: int) -> np.ndarray:
    """Pixels of two classes, the dark one with a given share; the bands are independent within a class."""
    generator = np.random.default_rng(seed)
    dark = generator.random(20_000) < share
    values = np.where(dark, [[60], [70], [40]], [[90], [100], [170]])
    return np.clip(generator.normal(values, 9), 1, 255).astype(np.uint8)


@pytest.mark.parametrize(("share", "warns"), [(0.3, False), (0.4, False), (0.9, True)])
def test_different_class_mixes_are_measured(share: float, warns: bool):
    reference, source = mixed(0.3, 0), hazy(mixed(share, 1)[:, None])[:, 0]
    difference = compare_mixtures(statistics_of_array(source), statistics_of_array(reference))
    assert abs(share - 0.3) / 2 <= difference.share <= abs(share - 0.3) + 0.12
    if warns:
        with pytest.warns(UserWarning, match=r"class mixes .* differ by about \d+% of the pixels"):
            fit_matching(statistics_of_array(source), statistics_of_array(reference))


def test_light_alone_is_no_difference_of_mixture():
    image = mixed(0.3, 0)
    changed = hazy(image[:, None])[:, 0]
    difference = compare_mixtures(statistics_of_array(changed), statistics_of_array(image))
    assert difference.joint < 0.03


def test_the_transform_and_its_reference_survive_json():
    source, reference = hazy(scene_like(1)), scene_like(2)
    of_source = statistics_of_array(source)
    stored = json.loads(json.dumps(statistics_of_array(reference).to_json()))
    direct = fit_matching(of_source, statistics_of_array(reference))
    through = fit_matching(of_source, SceneStatistics.from_json(stored))
    np.testing.assert_allclose(through.apply(source), direct.apply(source), atol=1e-6)
    again = RadiometricTransform.from_json(json.loads(json.dumps(direct.to_json())))
    assert again == direct


# --- curves ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_tables_agree_with_the_curve(dtype: str):
    info = np.iinfo(dtype)
    curve = Curve([info.min / 2 - 1, 0, info.max / 3], [-5, 1, 9])
    stored = np.array([info.min, info.min + 1, -1 if info.min else 1, 0, 1, info.max], dtype)
    table = curve.table(dtype, 0.5, 3.0)
    np.testing.assert_allclose(
        table[table_index(stored)], curve.apply(stored * 0.5 + 3.0), rtol=1e-6
    )
    assert table_values(dtype)[table_index(stored)].tolist() == stored.tolist()


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ([0, 1], [1], "2 knots and 1 values"),
        ([0], [1], "two at least"),
        ([0, 0], [1, 2], "not monotone"),
        ([0, 1], [2, 1], "brighter pixels stay brighter"),
        ([0, np.nan], [1, 2], "not numbers"),
    ],
)
def test_bad_curves_are_refused(source: list[float], target: list[float], words: str):
    with pytest.raises(RasterError, match=words):
        Curve(np.array(source), np.array(target))


def test_curves_extrapolate_where_asked():
    curve = Curve([0, 1, 2], [0, 1, 4], extrapolates=True)
    np.testing.assert_allclose(curve.apply([-1.0, 3.0]), [-1, 7])
    assert hash(curve) == hash(Curve([0, 1, 2], [0, 1, 4], extrapolates=True))
    assert curve != Curve([0, 1, 2], [0, 1, 4])


def _quarters(side: int = 160) -> np.ndarray:
    """Four fields whose two bands go together differently: what a part shows is not what the whole shows."""
    generator = np.random.default_rng(0)
    image = generator.normal(0, 3, (2, side, side))
    image[0] += np.where(np.arange(side)[:, None] < side // 2, 60, 120)
    image[1] += np.where(np.arange(side)[None] < side // 2, 60, 120)
    image[1, : side // 2] += 40
    return np.clip(image, 1, 254).astype(np.uint8)


def test_scenes_together_are_sampled_all_over():
    """The sample of several scenes represents their whole area, not the place where reading begins."""
    one = statistics_of_array(_quarters())
    together = merge_statistics([one, one])
    assert compare_mixtures(one, together).share < 0.05
    share = (together.sample[:, 0] > 90).mean()
    assert share == pytest.approx(0.5, abs=0.05)


def test_undeclared_nodata_is_no_class_of_its_own():
    image = _quarters().astype(np.uint16)
    holed = image.copy()
    holed[:, np.random.default_rng(1).random(image.shape[1:]) < 0.3] = 60000
    difference = compare_mixtures(statistics_of_array(holed), statistics_of_array(image))
    assert difference.share < 0.05
