"""Pictures of a live session: they equal the map of the saved model, and depend on the points alone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geopointseg.config import Config
from geopointseg.errors import GeopointsegError
from geopointseg.live.live_fit import (
    BAND_FACTOR,
    FeatureSets,
    choose_features,
    estimate_held_out,
)
from geopointseg.live.live_points import LabelledCells
from geopointseg.live.model_saving import save_model
from geopointseg.live.question import NEAREST_PX, Questions
from geopointseg.live.session import KEPT_ROWS
from geopointseg.live.window_features import FeatureLayout
from geopointseg.model.bundle import ModelBundle
from geopointseg.prediction.predictor import predict
from tests.live.conftest import SIDE, draw_clicks, open_session_on, pixel_bounds


def final(session, bounds, width=256, height=192, **options):
    return list(session.view(bounds, width, height, **options))[-1]


def agreement_with_predict(session, path: Path, folder: Path) -> float:
    """Return the share of pixels of the whole scene where the live picture equals the map of the saved model."""
    bundle = save_model(session, folder / "model", Config())
    predict(folder / "model", path, folder / "map.tif", cog=False)
    with rasterio.open(folder / "map.tif") as source:
        codes, nodata = source.read(1), source.nodata
    height, width = codes.shape
    live = final(session, session.scene.grid.bounds, width, height)
    position = {e.code: live.legend.index(e.name) for e in bundle.legend.entries}
    expected = np.full(codes.shape, 255, np.uint8)
    for code, index in position.items():
        expected[codes == code] = index
    assert (live.classes == 255).sum() == (codes == nodata).sum()
    return float((live.classes == expected).mean())


def test_the_live_picture_equals_the_map_of_the_saved_model(session, mosaic, tmp_path) -> None:
    assert agreement_with_predict(session, mosaic.path, tmp_path) >= 0.9997
    loaded = ModelBundle.load(tmp_path / "model")
    assert [m.kind for m in loaded.members] == ["linear"]
    assert loaded.legend.names == session.points.legend.names
    kept = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert kept["points"]["count"] == len(session.points)


def test_the_map_is_mostly_right(session, mosaic) -> None:
    picture = final(session, session.scene.grid.bounds, SIDE, SIDE)
    truth = mosaic.classes.repeat(4, axis=0).repeat(4, axis=1)
    known = np.array(
        [
            picture.legend.index(name)
            for name in ("field", "forest", "road", "water", "roof", "grass")
        ]
    )
    assert (picture.classes == known[truth]).mean() > 0.85


def test_the_same_points_in_any_order_give_the_same_picture(session, points) -> None:
    bounds = pixel_bounds(session, 100, 120, 192, 256)
    before = final(session, bounds)
    names = [before.legend[k] for k in range(len(before.legend))]
    session.points.set_legend([])
    session.points.replace_all(points()[::-1])
    after = final(session, bounds)
    assert after.legend != before.legend
    moved = np.array([*(after.legend.index(name) for name in names)], np.uint8)
    np.testing.assert_array_equal(after.classes, moved[before.classes])
    np.testing.assert_array_equal(after.confidence, before.confidence)


def test_removing_what_was_added_restores_the_picture(session, points) -> None:
    bounds = pixel_bounds(session, 300, 320, 192, 256)
    before = final(session, bounds)
    wrong = {"x": points()[0]["x"] + 1.0, "y": points()[0]["y"], "class": "water"}
    added = session.points.add(wrong)
    changed = final(session, bounds)
    session.points.remove(added)
    assert (changed.confidence != before.confidence).any()
    np.testing.assert_array_equal(final(session, bounds).classes, before.classes)


def test_panning_changes_no_class(session) -> None:
    left = final(session, pixel_bounds(session, 200, 100, 192, 256))
    right = final(session, pixel_bounds(session, 200, 228, 192, 256))
    np.testing.assert_array_equal(left.classes[:, 128:], right.classes[:, :128])


def test_zooming_in_repeats_pixels(session) -> None:
    near = final(session, pixel_bounds(session, 200, 100, 96, 128))
    far = final(session, pixel_bounds(session, 200, 100, 192, 256))
    np.testing.assert_array_equal(near.classes[::2, ::2], far.classes[:96, :128])


def test_a_view_zoomed_out_mostly_agrees_with_full_resolution(session) -> None:
    whole = session.scene.grid.bounds
    sharp, reduced = final(session, whole, SIDE, SIDE), final(session, whole, SIDE // 2, SIDE // 2)
    assert (sharp.level, reduced.level) == (0, 1)
    assert (reduced.classes == sharp.classes[1::2, 1::2]).mean() > 0.8


def test_a_coarse_picture_comes_first_where_windows_are_missing(mosaic) -> None:
    fresh = open_session_on(mosaic.path)
    fresh.points.replace_all(draw_clicks(mosaic, fresh, 2))
    whole = fresh.scene.grid.bounds
    pictures = list(fresh.view(whole, SIDE, SIDE))
    assert [(p.final, p.level > 0) for p in pictures] == [(False, True), (True, False)]
    assert [p.final for p in fresh.view(whole, SIDE, SIDE)] == [True]
    small = open_session_on(mosaic.path, memory_bytes=1, folder=mosaic.path.parent)
    small.points.replace_all(draw_clicks(mosaic, small, 2))
    np.testing.assert_array_equal(final(small, whole, SIDE, SIDE).classes, pictures[-1].classes)
    assert len(small.cache) == 1
    np.testing.assert_array_equal(final(small, whole, SIDE, SIDE).classes, pictures[-1].classes)


@pytest.mark.parametrize("shift", [-10_000, 10_000])
def test_a_view_outside_is_unknown(session, shift) -> None:
    picture = final(session, pixel_bounds(session, shift, shift, 192, 256))
    assert (picture.classes == 255).all()
    assert (picture.confidence == 255).all()


def test_a_view_across_the_border_is_unknown_outside(session) -> None:
    picture = final(session, pixel_bounds(session, SIDE - 96, SIDE - 128, 192, 256))
    assert (picture.classes[:96, :128] != 255).all()
    assert (picture.classes[96:] == 255).all()
    assert (picture.classes[:, 128:] == 255).all()


def test_two_clicks_give_a_map_and_no_other_class(session, points) -> None:
    clicks = points(1)[:2]
    session.points.replace_all(clicks[:1])
    bounds = pixel_bounds(session, 0, 0, 192, 256)
    assert (final(session, bounds).classes == 255).all()
    session.points.add(clicks[1])
    picture = final(session, bounds)
    assert len(picture.legend) == 6
    assert {picture.legend[k] for k in np.unique(picture.classes)} <= {c["class"] for c in clicks}
    assert session.describe()["weak"] == [c["class"] for c in clicks]


@pytest.mark.parametrize(
    ("bounds", "size", "sentence"),
    [
        ((1.0, 0.0, 0.0, 1.0), (8, 8), "Expected [xmin, ymin, xmax, ymax] with xmin < xmax"),
        ((-1e308, 0.0, 1e308, 1.0), (8, 8), "Expected [xmin, ymin, xmax, ymax] with xmin < xmax"),
        ((0.0, 0.0, 1.0, 1.0), (100_000, 100_000), "Expected at least 1 x 1 and at most 16777216 pixels"),
    ],
)  # fmt: skip
def test_an_impossible_view_is_refused(session, bounds, size, sentence) -> None:
    with pytest.raises(GeopointsegError) as told:
        final(session, bounds, *size)
    assert sentence in str(told.value)


def write_scene(path: Path, image: np.ndarray, **options) -> Path:
    bands, height, width = image.shape
    transform = options.pop("transform", Affine(1, 0, 500_000, 0, -1, 5_700_000))
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=bands, dtype=image.dtype,
        crs=CRS.from_epsg(32633), transform=transform, **options,
    ) as target:  # fmt: skip
        target.write(image)
    return path


def two_halves(bands: int, dtype: str, height: int = 160, width: int = 200) -> np.ndarray:
    """Return an image whose left and right half differ in all bands."""
    rng = np.random.default_rng(bands)
    image = rng.normal(80, 6, (bands, height, width))
    image[:, :, width // 2 :] += rng.normal(40, 5, (bands, 1, 1))
    return image.astype(dtype)


@pytest.mark.parametrize(
    ("bands", "dtype"), [(1, "uint8"), (2, "float32"), (5, "uint16"), (20, "int16")]
)
def test_any_bands_give_a_map_that_equals_predict(tmp_path, bands, dtype) -> None:
    image = two_halves(bands, dtype)
    image[:, :30, :40] = 0
    path = write_scene(tmp_path / "scene.tif", image, nodata=0)
    session = open_session_on(path)
    for k in range(6):
        for col, name in ((50 + k, "left"), (150 - k, "right")):
            x, y = session.scene.grid.pixel_to_world(40.5 + 22 * k, col + 0.5)
            session.points.add({"x": float(x), "y": float(y), "class": name})
    assert agreement_with_predict(session, path, tmp_path) >= 0.9997
    classes = final(session, session.scene.grid.bounds, 200, 160).classes
    assert (classes[:30, :40] == 255).all()
    assert (classes[40:, :90] == 0).mean() > 0.8
    assert (classes[40:, 110:] == 1).mean() > 0.8


def test_a_rotated_scene_is_shown_north_up(tmp_path) -> None:
    turned = Affine.translation(500_000, 5_700_000) @ Affine.rotation(90)
    path = write_scene(tmp_path / "turned.tif", two_halves(3, "uint8"), transform=turned)
    session = open_session_on(path)
    for place in range(0, 160, 20):
        col, name = (20 + place // 4, "left") if place % 40 else (180 - place // 4, "right")
        x, y = session.scene.grid.pixel_to_world(place + 5.5, col + 0.5)
        session.points.add({"x": float(x), "y": float(y), "class": name})
    west, south, east, north = session.scene.grid.bounds
    picture = final(session, (west, south, east, north), 160, 200)
    assert picture.classes.shape == (200, 160)  # columns run north: the right half is on top
    top, bottom = (picture.legend.index(name) for name in ("right", "left"))
    assert (picture.classes[:90] == top).mean() > 0.8
    assert (picture.classes[110:] == bottom).mean() > 0.8


def test_a_raster_that_vanishes_or_changes_is_named_and_points_are_kept(mosaic, tmp_path) -> None:
    path = tmp_path / "moving.tif"
    shutil.copy2(mosaic.path, path)
    session = open_session_on(path)
    clicks = draw_clicks(mosaic, session, 1)
    session.points.replace_all(clicks[:2])
    bounds = pixel_bounds(session, 0, 0, 96, 128)
    before = final(session, bounds)
    path.rename(tmp_path / "away.tif")
    with pytest.raises(
        GeopointsegError, match=r"'moving.tif' was removed .* restore the file to go on\."
    ):
        final(session, bounds)
    with pytest.raises(GeopointsegError, match=r"'moving.tif' was removed"):
        session.points.add(clicks[2])
    (tmp_path / "away.tif").rename(path)
    np.testing.assert_array_equal(final(session, bounds).classes, before.classes)
    os.utime(path, (1, 1))
    with pytest.raises(GeopointsegError, match=r"'moving.tif' was changed .* start a new session"):
        final(session, bounds)
    assert len(session.points) == 2


def test_questions_differ_and_keep_away_from_points(session) -> None:
    asked = [Questions(session).ask()]
    questions = Questions(session)
    asked = [questions.ask() for _ in range(4)]
    assert [q.kind for q in asked] == ["balance", "doubt", "balance", "new"]
    places = np.array([(q.x, q.y) for q in asked])
    clicked = np.array([(p.x, p.y) for p in session.points.points])
    resolution = session.scene.grid.resolution[0]
    for k, place in enumerate(places):
        others = np.concatenate([clicked, places[:k]])
        assert np.abs(others - place).max(axis=1).min() >= (NEAREST_PX // 2) * resolution
    assert all(q.probabilities[0] >= q.probabilities[1] for q in asked)


def test_accuracy_is_that_of_ground_held_out(session) -> None:
    *_, estimate = session.accuracy()
    assert 0.5 < estimate.accuracy <= 1.0
    assert (estimate.points, estimate.blocks >= 4) == (len(session.points.cells()), True)
    assert estimate.to_json()["text"].startswith(f"On ground held out: {estimate.accuracy:.2f} +- ")


def cells_of(class_index: np.ndarray, seed: int = 0) -> LabelledCells:
    place = np.random.default_rng(seed).integers(0, 600, (2, len(class_index)))
    return LabelledCells(place[0], place[1], class_index, tuple("abc"[: class_index.max() + 1]))


def test_accuracy_of_labels_without_meaning_is_that_of_chance() -> None:
    rng = np.random.default_rng(3)
    cells = cells_of(rng.integers(0, 2, 120))
    features = rng.normal(size=(120, 5)).astype(np.float32)
    *_, estimate = estimate_held_out(features, cells, np.ones(5, np.float32))
    assert abs(estimate.accuracy - 0.5) < 0.17
    with pytest.raises(
        GeopointsegError, match=r"There are 4 points of 2 classes .* needs 10 points"
    ):
        list(
            estimate_held_out(
                features[:4], cells_of(np.array([0, 1, 0, 1])), np.ones(5, np.float32)
            )
        )


@pytest.mark.parametrize(
    ("planes", "factor"), [(1, 3.0), (7, 3.0), (28, 1.5), (63, 1.0), (224, 1.0)]
)
def test_few_bands_weigh_more(planes, factor) -> None:
    sets = FeatureSets.of(FeatureLayout(planes, (2, 2), (2, 1)), 1)
    np.testing.assert_allclose(sets.everything, [factor] * planes + [1.0] * 3)
    np.testing.assert_allclose(sets.filters, [factor] * planes + [0.0, 0.0, 1.0])


def test_factors_compare_the_spread_of_points_with_that_of_the_ground() -> None:
    sets = FeatureSets.of(FeatureLayout(1, (2, 2), (3, 1)), 1)
    features = np.array([[0.0] * 5, [2.0] * 5], np.float32)  # spread 1 around 1
    mean, spread = 3.0, np.array([2.0, 0.5, 1.0, 100.0, 0.0])
    moments = 50 * np.stack([np.ones(5), np.full(5, mean), spread**2 + mean**2])
    scaled = sets.scaled(features, moments)
    np.testing.assert_allclose(scaled.everything, [BAND_FACTOR / 2, 2.0, 1.0, 0.25, 4.0], rtol=1e-5)
    np.testing.assert_allclose(scaled.filters, [BAND_FACTOR / 2, 0.0, 0.0, 0.0, 4.0], rtol=1e-5)


def test_what_is_forgotten_and_computed_again_gives_the_same_head(
    session, points, monkeypatch
) -> None:
    session.points.replace_all(points(6, seed=4))
    before = session.fitted(0).head
    monkeypatch.setattr("geopointseg.live.session.KEPT_ROWS", 1)
    session.points.replace_all(points(16, seed=5))  # more than twice as many: others are dropped
    session.fitted(0)
    session.points.replace_all(points(6, seed=4))
    after = session.fitted(0).head
    np.testing.assert_array_equal(after.weight, before.weight)
    np.testing.assert_array_equal(after.bias, before.bias)


def test_features_of_removed_points_do_not_fill_the_memory(session, points, monkeypatch) -> None:
    monkeypatch.setattr("geopointseg.live.session.KEPT_ROWS", 40)
    kept = points()
    before = session.fitted(0).head
    for shift in range(1, 9):
        moved = [{**point, "x": point["x"] + 2.0 * shift} for point in kept[:10]]
        added = [session.points.add(point) for point in moved]
        session.fitted(0)
        for point in added:
            session.points.remove(point)
    assert len(session._rows[0]) <= max(40, 2 * (len(kept) + 10))
    after = session.fitted(0).head
    np.testing.assert_array_equal(after.weight, before.weight)


@pytest.mark.parametrize("is_harmful", [True, False])
def test_pretrained_features_are_left_out_where_they_do_harm(is_harmful) -> None:
    rng = np.random.default_rng(0)
    sets = FeatureSets.of(FeatureLayout(2, (2, 2), (60, 3)), 1)
    cells = cells_of(rng.integers(0, 3, 90))
    signal = np.eye(3)[cells.class_index] + rng.normal(0, 0.35, (90, 3))
    features = rng.normal(size=(90, 65)).astype(np.float32)
    features[:, 62:] = signal
    if not is_harmful:
        features[:, 2:62:3], features[:, 62:] = signal[:, :1], rng.normal(size=(90, 3))
        features[:, 3:62:3], features[:, 4:62:3] = signal[:, 1:2], signal[:, 2:3]
    chosen = choose_features(sets, features, cells)
    assert chosen.all() != is_harmful
    np.testing.assert_array_equal(chosen, sets.filters if is_harmful else sets.everything)


def test_all_of_many_points_can_be_removed(session) -> None:
    pixels = [(k // 64, k % 64) for k in range(KEPT_ROWS + 100)]
    kept = dict.fromkeys(pixels)
    session._rows[0] = kept
    session._forget_removed(0, [])
    assert kept == {}
