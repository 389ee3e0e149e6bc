"""The forest: what it can tell apart, what it decides, and that a folder brings it back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from geopointseg.config import ForestConfig
from geopointseg.errors import ModelError, TrainingError
from geopointseg.model.forest import Forest

Image = NDArray[np.float32]
Pixels = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]

FEW_TREES = 30


def textures(rows: int = 96, cols: int = 96, seed: int = 0) -> tuple[Image, NDArray[np.int64]]:
    """Two classes of the very same pixel values: noise on the left, and stripes on the right."""
    generator = np.random.default_rng(seed)
    truth = np.zeros((rows, cols), np.int64)
    truth[:, cols // 2 :] = 1
    stripes = np.where((np.arange(rows) // 4 % 2)[:, None] > 0, 1.0, -1.0)
    noise = generator.choice([-1.0, 1.0], size=(rows, cols))
    band = np.where(truth == 1, np.broadcast_to(stripes, truth.shape), noise)
    band = band + generator.normal(scale=0.1, size=band.shape)
    return band[None].astype(np.float32), truth


def fields(seed: int = 0, noise: float = 1.0) -> tuple[Image, NDArray[np.int64]]:
    """Four square fields of three classes whose pixel values overlap; class 2 is common."""
    generator = np.random.default_rng(seed)
    truth = np.full((96, 96), 2, np.int64)
    truth[:32, :32], truth[64:, :32] = 0, 1
    level = np.array([[-1.0, 0.0, 1.0], [0.0, 1.0, -1.0]])[:, truth]
    return (level + generator.normal(scale=noise, size=level.shape)).astype(np.float32), truth


def points_on(truth: NDArray[np.int64], per_class: int, seed: int = 0) -> Pixels:
    generator = np.random.default_rng(seed)
    chosen = np.concatenate(
        [
            generator.choice(np.flatnonzero(truth == c), per_class, replace=False)
            for c in np.unique(truth)
        ]
    )
    row, col = np.unravel_index(chosen, truth.shape)
    return row, col, truth[row, col], np.ones(len(row), np.float32)


def fitted(image: Image, pixels: Pixels, features: str, classes: int, **options: int) -> Forest:
    config = replace(ForestConfig(trees=FEW_TREES), features=features)
    valid = np.ones(image.shape[1:], bool)
    return Forest.fit([(image, valid)], [pixels], classes=classes, config=config, **options)


def accuracy(forest: Forest, image: Image, truth: NDArray[np.int64]) -> float:
    probabilities = forest.probabilities(image, np.ones(truth.shape, bool))
    return float((probabilities.argmax(axis=0) == truth).mean())


def test_filters_tell_textures_apart_that_pixels_cannot() -> None:
    image, truth = textures()
    points = points_on(truth, 40)
    other, other_truth = textures(seed=9)
    assert accuracy(fitted(image, points, "filters", 2), other, other_truth) > 0.9
    assert accuracy(fitted(image, points, "pixel", 2), other, other_truth) < 0.65


def test_context_smooths_where_fields_are_large_and_noisy() -> None:
    image, truth = fields(noise=15.0)
    forest = fitted(image, points_on(truth, 60), "context", 3)
    assert forest.radius_px > 0
    assert accuracy(forest, image, truth) > accuracy(replace(forest, radius_px=0), image, truth)


def test_context_leaves_single_pixels_alone_where_neighbours_say_nothing() -> None:
    generator = np.random.default_rng(3)
    truth = generator.integers(0, 3, size=(96, 96))
    image = (
        np.eye(3)[truth].transpose(2, 0, 1) + generator.normal(scale=0.3, size=(3, 96, 96))
    ).astype(np.float32)
    forest = fitted(image, points_on(truth, 60), "context", 3)
    assert forest.radius_px == 0
    assert forest.notes["filter_share"] == 0


def test_context_learns_how_common_classes_are() -> None:
    image, truth = fields()
    forest = fitted(image, points_on(truth, 60), "context", 3)
    assert forest.prevalence.argmax() == 2
    assert forest.prevalence[0] < 0.8


def test_forests_without_context_are_plain() -> None:
    image, truth = fields()
    forest = fitted(image, points_on(truth, 20), "filters", 3)
    assert forest.radius_px == 0
    np.testing.assert_array_equal(forest.prevalence, 1)


def test_the_decisions_are_told() -> None:
    image, truth = fields()
    told = fitted(image, points_on(truth, 30), "context", 3).to_json()["decisions"]
    assert set(told) == {
        "filter_share", "radius_px", "held_out_loss_by_filter_share", "held_out_loss_by_radius", "prevalence",
    }  # fmt: skip
    assert set(told["held_out_loss_by_filter_share"]) == {"0", "1"}


@pytest.mark.parametrize("features", ["pixel", "filters", "context"])
def test_a_folder_brings_back_the_same_map(features: str) -> None:
    image, truth = fields()
    valid = np.random.default_rng(4).random(truth.shape) > 0.1
    forest = fitted(image, points_on(truth, 20), features, 3)
    again = Forest.from_arrays(forest.to_arrays(), forest.to_json())
    assert again.margin_px == forest.margin_px
    np.testing.assert_array_equal(
        again.probabilities(image, valid), forest.probabilities(image, valid)
    )


@pytest.mark.parametrize("features", ["pixel", "context"])
def test_a_window_with_its_margin_gives_the_same_map(features: str) -> None:
    image, truth = fields()
    image, truth = np.tile(image, (1, 2, 2)), np.tile(truth, (2, 2))
    forest = fitted(image, points_on(truth, 20), features, 3)
    forest = replace(forest, radius_px=min(forest.radius_px, 8))
    margin = forest.margin_px
    valid = np.ones(truth.shape, bool)
    full = forest.probabilities(image, valid)
    rows, cols = slice(80 - margin, 100 + margin), slice(80 - margin, 112 + margin)
    rows, cols = slice(max(rows.start, 0), rows.stop), slice(max(cols.start, 0), cols.stop)
    part = forest.probabilities(image[:, rows, cols], valid[rows, cols])
    part = part[:, 80 - rows.start : 100 - rows.start, 80 - cols.start : 112 - cols.start]
    np.testing.assert_allclose(part, full[:, 80:100, 80:112], atol=1e-3)


def test_probabilities_are_finite_and_sum_to_one_also_without_image() -> None:
    image, truth = fields()
    valid = np.ones(truth.shape, bool)
    valid[10:60, 20:70] = False
    image[:, ~valid] = np.nan
    keep = valid & (np.random.default_rng(1).random(truth.shape) < 0.02)
    row, col = np.nonzero(keep)
    pixels = (row, col, truth[keep], np.ones(len(row), np.float32))
    forest = Forest.fit([(image, valid)], [pixels], classes=3, config=ForestConfig("context", 20))
    probabilities = forest.probabilities(image, valid)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(probabilities[:, ~valid], 1 / 3, atol=1e-6)


def test_a_class_without_points_is_never_predicted() -> None:
    image, truth = fields()
    row, col, class_index, weight = points_on(truth, 20)
    forest = fitted(image, (row, col, class_index * 2, weight), "context", 6)
    probabilities = forest.probabilities(image, np.ones(truth.shape, bool))
    assert probabilities.shape == (6, 96, 96)
    assert (probabilities[[1, 3, 5]] == 0).all()


def test_shuffled_labels_teach_nothing() -> None:
    image, truth = fields()
    row, col, class_index, weight = points_on(truth, 60)
    shuffled = np.random.default_rng(8).permutation(class_index)
    forest = fitted(image, (row, col, shuffled, weight), "context", 3)
    other, other_truth = fields(seed=11)
    assert accuracy(forest, other, other_truth) <= (other_truth == 2).mean() + 0.05


def test_many_bands_are_filtered_in_few_components() -> None:
    image, truth = fields()
    mixing = np.random.default_rng(6).normal(size=(40, 2)).astype(np.float32)
    many = np.tensordot(mixing, image, axes=1).astype(np.float32)
    forest = fitted(many, points_on(truth, 40), "filters", 3)
    assert forest.extractor.count == 40 + forest.extractor.bank.count(8)
    assert accuracy(forest, many, truth) > 0.85


def test_the_same_seed_gives_the_same_forest() -> None:
    image, truth = fields()
    points = points_on(truth, 20)
    first, second = (fitted(image, points, "context", 3, seed=7) for _ in range(2))
    for name, array in first.to_arrays().items():
        np.testing.assert_array_equal(array, second.to_arrays()[name], err_msg=name)


def test_weights_of_points_count() -> None:
    image = np.zeros((1, 40, 40), np.float32)
    pixels = (
        np.arange(30),
        np.arange(30),
        np.arange(30) % 2,
        np.where(np.arange(30) % 2, 9.0, 1.0),
    )
    forest = fitted(image, pixels, "pixel", 2)
    assert forest.probabilities(image, np.ones((40, 40), bool))[1].min() > 0.7


def test_several_images_are_learnt_together() -> None:
    image, truth = fields()
    valid = np.ones(truth.shape, bool)
    row, col, class_index, weight = points_on(truth, 30)
    parts = [tuple(a[class_index == c] for a in (row, col, class_index, weight)) for c in range(3)]
    images = [(image, valid)] * 3
    forest = Forest.fit(images, parts, classes=3, config=ForestConfig("context", FEW_TREES))
    assert accuracy(forest, image, truth) > 0.8


def test_out_of_bag_answers_are_honest() -> None:
    image, truth = fields()
    row, col, class_index, weight = points_on(truth, 60)
    forest = fitted(image, (row, col, class_index, weight), "pixel", 3)
    assert forest.out_of_bag is not None
    known = np.isfinite(forest.out_of_bag).all(axis=1)
    rate = (forest.out_of_bag[known].argmax(axis=1) == class_index[known]).mean()
    assert 0.4 < rate < 0.9


def test_a_handful_of_points_is_enough_to_go_on() -> None:
    image, truth = fields()
    forest = fitted(image, points_on(truth, 1), "context", 3)
    assert forest.radius_px == 0
    assert np.isfinite(forest.probabilities(image, np.ones(truth.shape, bool))).all()


def test_no_points_are_refused() -> None:
    image, _ = fields()
    none = (np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    with pytest.raises(
        TrainingError, match=r"no labelled pixel\. Expected at least one; put points"
    ):
        fitted(image, none, "filters", 3)


def test_other_bands_are_refused() -> None:
    image, truth = fields()
    forest = fitted(image, points_on(truth, 10), "pixel", 3)
    with pytest.raises(
        ModelError, match=r"has 1 bands\. Expected the 2 that the forest was trained"
    ):
        forest.probabilities(image[:1], np.ones(truth.shape, bool))


def test_incomplete_folders_are_refused() -> None:
    image, truth = fields()
    forest = fitted(image, points_on(truth, 10), "pixel", 3)
    arrays = forest.to_arrays()
    del arrays["mean"]
    with pytest.raises(
        ModelError, match=r"lacks 'mean'\. Expected a model folder as `train` writes"
    ):
        Forest.from_arrays(arrays, forest.to_json())
    wrong = forest.to_json() | {"features": 1}
    with pytest.raises(ModelError, match=r"features.*copy the (whole|model) folder again"):
        Forest.from_arrays(forest.to_arrays(), wrong)
