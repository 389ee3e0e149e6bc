"""Tests for the linear mixing of bands."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from geopointseg.errors import ConfigError, RasterError
from geopointseg.radiometry.histogram_matching import match_raster
from geopointseg.radiometry.invariant_pixels import Thumbnail, find_invariant
from geopointseg.radiometry.picture_style import PictureStyle
from geopointseg.radiometry.radiometric_transform import RadiometricTransform
from geopointseg.raster.band_mixing import Mixing, fit_mixing
from geopointseg.raster.scene import Scene
from tests.radiometry.test_histogram_matching import ground, read, write

CAMERA = np.array([[0.7, 0.25, 0.0], [0.1, 0.75, 0.15], [0.0, 0.2, 0.75]])
"""How another camera's bands see the first one's."""


def other_camera(image: np.ndarray) -> np.ndarray:
    return np.clip(np.einsum("ij,j...->i...", CAMERA, image.astype(float)) + 8, 0, 255)


def two_cameras(tmp_path: Path) -> tuple[Path, Path, np.ndarray]:
    """The same area by two cameras; a third of it is flooded in the second image."""
    before = ground(5, 120, 140)
    after = np.rint(other_camera(before)).astype(np.uint8)
    flooded = np.zeros(before.shape[1:], bool)
    flooded[:, :45] = True
    after[:, flooded] = np.random.default_rng(0).integers(5, 25, (3, flooded.sum()), np.uint8)
    return write(tmp_path / "after.tif", after), write(tmp_path / "before.tif", before), flooded


def test_alike_images_stay_as_they_are():
    pixels = np.random.default_rng(0).normal(50, 10, (4, 3000)).astype(np.float32)
    mixing = fit_mixing(pixels, pixels)
    np.testing.assert_allclose(mixing.weights, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(mixing.apply(pixels), pixels, atol=1e-3)


def test_mean_and_covariance_are_those_of_the_reference():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(3, 5000)) * [[3], [1], [2]] + 20
    y = CAMERA @ x + 5
    moved = fit_mixing(x.astype(np.float32), y.astype(np.float32)).apply(x.astype(np.float32))
    np.testing.assert_allclose(moved.mean(axis=1), y.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(np.cov(moved), np.cov(y), atol=0.02)


def test_bands_that_say_the_same_do_not_blow_up():
    x = np.random.default_rng(2).normal(100, 20, (1, 2000)).repeat(3, axis=0)
    mixing = fit_mixing(x.astype(np.float32), (x * 1.2).astype(np.float32))
    assert np.abs(mixing.weights).max() < 2


def test_too_few_pixels_for_their_bands_mix_nothing():
    x = np.random.default_rng(3).normal(size=(20, 1500)).astype(np.float32)
    assert fit_mixing(x, x) is None
    assert fit_mixing(x[:1], x[:1]) is None


def test_span_holds_every_mixture():
    mixing = Mixing(((0.5, -2.0), (1.0, 1.0)), (1.0, 0.0))
    corners = np.array([[0, 0, 4, 4], [1, 3, 1, 3]], np.float32)
    low, high = mixing.span(np.array([0.0, 1.0]), np.array([4.0, 3.0]))
    np.testing.assert_allclose(low, mixing.apply(corners).min(axis=1))
    np.testing.assert_allclose(high, mixing.apply(corners).max(axis=1))


def test_another_camera_is_matched_where_curves_cannot(tmp_path: Path):
    after, before, flooded = two_cameras(tmp_path)
    truth = read(before).astype(float)[:, ~flooded]
    errors = {}
    for mix_bands in (False, True):
        done = match_raster(after, before, tmp_path / "o.tif", invariant=True, mix_bands=mix_bands)
        matched = read(tmp_path / "o.tif").astype(float)[:, ~flooded]
        errors[mix_bands] = np.abs(matched - truth).mean()
        written = read(tmp_path / "o.tif").reshape(3, -1).mean(axis=1)
        np.testing.assert_allclose([b.mean for b in done.after.bands], written, atol=0.6)
    assert errors[True] < 0.5 * errors[False]


def test_nodata_stays_and_valid_pixels_do_not_become_it(tmp_path: Path):
    after, before, _ = two_cameras(tmp_path)
    holes = read(after)
    holes[:, 50:60, 60:90] = 0
    source = write(tmp_path / "holes.tif", np.maximum(holes, 1) * (holes > 0), nodata=0)
    match_raster(source, before, tmp_path / "o.tif", invariant=True, mix_bands=True)
    matched = Scene.open(tmp_path / "o.tif").read()
    np.testing.assert_array_equal(matched.valid, Scene.open(source).read().valid)


def test_a_style_that_mixes_survives_json_and_processes(tmp_path: Path):
    after, before, flooded = two_cameras(tmp_path)
    truth = read(before).astype(float)
    style = PictureStyle.of([Scene.open(before)], "mixed")
    again = PictureStyle.from_json(json.loads(json.dumps(style.to_json())))
    scene = again.apply(Scene.open(after))
    moved = pickle.loads(pickle.dumps(scene)).read()
    assert np.abs(moved.image - truth)[:, ~flooded].mean() < 3
    window = scene.grid.crop(scene.grid.window).window
    np.testing.assert_array_equal(scene.read(window).image, moved.image)
    assert scene.fingerprint() != Scene.open(after).fingerprint()
    plain = scene.with_radiometry(None)
    np.testing.assert_array_equal(plain.read().image, Scene.open(after).read().image)


def test_a_transform_applies_as_the_scene_does(tmp_path: Path):
    after, before, _ = two_cameras(tmp_path)
    pair = find_invariant(
        Scene.open(after), [Thumbnail.of(Scene.open(before), 9000)], mix_bands=True
    )
    from geopointseg.radiometry.band_statistics import compute_statistics

    transform = pair.fit(compute_statistics(Scene.open(after), cache=False))
    assert transform.method == "mixed"
    again = RadiometricTransform.from_json(json.loads(json.dumps(transform.to_json())))
    scene = Scene.open(after)
    np.testing.assert_allclose(
        again.apply(scene.read().image), scene.with_radiometry(transform).read().image, atol=1e-3
    )


def test_bands_are_chosen_before_they_are_mixed(tmp_path: Path):
    after, before, _ = two_cameras(tmp_path)
    scene = PictureStyle.of([Scene.open(before)], "mixed").apply(Scene.open(after))
    with pytest.raises(RasterError, match=r"by mixing its bands band_1, band_2, band_3. Expected"):
        scene.with_bands(scene.bands[:2])
    assert scene.with_nodata(3.0).mixing == scene.mixing


def test_mixing_needs_invariant_pixels(tmp_path: Path):
    after, before, _ = two_cameras(tmp_path)
    with pytest.raises(ConfigError, match=r"It can only be fitted where both images"):
        match_raster(after, before, tmp_path / "o.tif", mix_bands=True)
