"""Grown labels stay on what looks alike, conflicts are dropped, and a second round is balanced over classes."""

from __future__ import annotations

import numpy as np
import pytest

from geopointseg.config import TeachingConfig
from geopointseg.learning.pseudo_labels import (
    blend_teachers,
    expand_labels,
    grow_region,
    grow_superpixel,
    keep_most_confident,
)
from geopointseg.learning.training import train
from geopointseg.legend import Legend
from geopointseg.model.member import Normalization
from geopointseg.sampling.patch import LabelledPixels, PatchLabels
from tests.learning.conftest import make_patch


def halves(size: int = 40, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    image = np.where(np.arange(size) < size // 2, -1.0, 1.0) * np.ones((2, size, size))
    return (image + generator.normal(0, noise, image.shape)).astype(np.float32), np.ones(
        (size, size), bool
    )


def grow_labels(image, valid, pixels, soft=None, **teaching) -> np.ndarray:
    """Return the dense labels after growing labelled pixels of an image, given as row, column and class."""
    row, col, label = (np.array(v, dtype=np.int64) for v in zip(*pixels, strict=True))
    labelled = LabelledPixels(np.zeros_like(row), row, col, label, np.ones(len(row), np.float32))
    patches = [make_patch(image, valid)]
    masks = PatchLabels.of(patches, labelled, Legend.from_names(["one", "two"]))
    spread = np.maximum(image.std(axis=(1, 2)), 1e-3).astype(float)
    normalization = Normalization(image.mean(axis=(1, 2)).astype(float), spread)
    settings = TeachingConfig(expansion_px=6, **teaching)
    (grown,) = expand_labels(patches, masks, normalization, settings, soft)
    assert sorted(zip(grown.row, grown.col, strict=True)) == sorted(zip(row, col, strict=True))
    assert ((grown.dense_weight > 0) == (grown.dense_index >= 0)).all()
    return grown.dense_index


@pytest.mark.parametrize("grow", [grow_superpixel, grow_region])
def test_grown_pixels_look_like_the_point(grow) -> None:
    image, valid = halves()
    region = grow(image, valid, 8)
    assert region[20, 20]
    assert region.sum() > 20
    assert not region[:, :20].any()


@pytest.mark.parametrize("kind", ["superpixels", "region"])
def test_grown_labels_are_right_and_do_not_touch_points(kind) -> None:
    image, valid = halves()
    grown = grow_labels(image, valid, [(20, 17, 0), (20, 22, 1), (5, 30, 1)], expansion=kind)
    assert grown[20, 17] == 0
    assert grown[20, 22] == 1
    assert (grown >= 2).sum() > 30
    truth = np.where(np.arange(40) < 20, 0, 1) * np.ones((40, 1), int)
    assert np.all(grown[grown >= 2] - 2 == truth[grown >= 2])


def test_pixels_that_two_classes_claim_are_left_out() -> None:
    image, valid = np.zeros((1, 30, 30), np.float32), np.ones((30, 30), bool)
    grown = grow_labels(image, valid, [(15, 10, 0), (15, 18, 1)], expansion="region")
    assert (grown[:, 12:17] == -1).all()
    assert grown[15, 6] == 2
    assert grown[15, 22] == 3


def test_a_sure_forest_contradicts() -> None:
    image, valid = halves()
    soft = np.zeros((2, 40, 40), np.uint8)
    soft[1] = 255
    grown = grow_labels(image, valid, [(20, 10, 0), (20, 30, 1)], (soft,), expansion="region")
    assert not (grown == 2).any()
    assert (grown == 3).any()


def test_surest_pixels_of_every_class_are_kept_alike() -> None:
    generator = np.random.default_rng(0)
    first = generator.integers(0, 256, (50, 60))
    maps = np.stack([first, 255 - first]).astype(np.uint8)
    maps[:, :25] = np.stack([np.full((25, 60), 250), np.full((25, 60), 5)])
    (kept,) = keep_most_confident([maps], 0.5)
    for index in range(2):
        own = maps.argmax(0) == index
        assert 0.4 < (kept.sum(0) > 0)[own].mean() <= 1.0
    assert np.all((kept.sum(0) == 0) | (kept == maps).all(0))


def test_blended_teachers_are_the_weighted_mean() -> None:
    a, b = np.full((2, 2, 2), 200, np.uint8), np.full((2, 2, 2), 100, np.uint8)
    assert (blend_teachers((a,), (b,), 0.25)[0] == 175).all()


@pytest.mark.parametrize(
    "teaching",
    [
        {"expansion": "superpixels", "dice_weight": 0.5},
        {
            "expansion": "region",
            "affinity_weight": 0.2,
            "entropy_weight": 0.1,
            "lovasz_weight": 0.5,
        },
        {"self_training": True, "consistency_weight": 0.5, "consistency_start": 0.0},
    ],
)
def test_every_part_trains(place, tiny, tmp_path, teaching) -> None:
    config = tiny.updated({"teaching": teaching, "selection": {"held_out": 0.2}})
    bundle = train(
        place.path, place.points, output=tmp_path / "m", config=config, steps=4, model="network", device="cpu"
    )  # fmt: skip
    rows = (tmp_path / "m" / "training" / "metrics.csv").read_text().splitlines()
    header = rows[0].split(",")
    written = {
        name
        for row in rows[1:]
        for name, value in zip(header, row.split(","), strict=True)
        if value
    }
    names = {
        "expansion": "grown", "dice_weight": "dice", "affinity_weight": "affinity", "entropy_weight": "entropy",
        "consistency_weight": "consistency", "lovasz_weight": "lovasz",
    }  # fmt: skip
    assert {names[key] for key in teaching if key in names} <= written
    assert bundle.metadata["steps"] == 4
