"""Chips of a training: out of the torchgeo datasets, normalized, balanced, and decided by seed and step."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset, IntersectionDataset
from torchgeo.samplers import SpatialSampler

from geopointseg.learning.chips import TrainingChips, join_layers
from geopointseg.learning.pretraining import pretrain
from geopointseg.learning.training import train
from geopointseg.model.member import Normalization
from geopointseg.raster.grid import Grid
from geopointseg.sampling import (
    ChipPlan,
    PatchLabels,
    PointSampler,
    SceneDataset,
    SoftLabelDataset,
    SparseMaskDataset,
    StepSampler,
    UnlabelledSampler,
)
from geopointseg.sampling.augmentation import Batch
from geopointseg.sampling.patch import LabelledPixels, Patch, cut
from tests.learning.conftest import LEGEND, make_patch

PLAIN = Normalization(np.array([50.0, 50.0]), np.array([9.0, 9.0]))


def plan(**changes) -> ChipPlan:
    values = {
        "size": 32,
        "batch": 6,
        "around_points": 3,
        "class_balance": 1.0,
        "jitter": 0.9,
        "seed": 4,
    } | changes
    return ChipPlan(**values)


def image_of(size: int = 120, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(50, 9, (2, size, size)).astype(np.float32)


def labels_on(size: int, count: int, patch: int = 0, seed: int = 0) -> LabelledPixels:
    generator = np.random.default_rng(seed)
    row, col = np.unravel_index(generator.choice(size * size, count, replace=False), (size, size))
    weight = generator.uniform(0.5, 2, count).astype(np.float32)
    return LabelledPixels(np.full(count, patch), row, col, np.arange(count) % 3, weight)


def chips_of(patches: list[Patch], labelled: LabelledPixels, soft=None, **changes) -> TrainingChips:
    masks = PatchLabels.of(patches, labelled, LEGEND)
    return TrainingChips(join_layers(patches, masks, soft), PLAIN, plan(**changes))


def steps(chips: TrainingChips, count: int, first: int = 0, workers: int = 0) -> list[Batch]:
    return list(islice(chips.load(first, workers), count))


@pytest.fixture
def chips() -> TrainingChips:
    return chips_of([make_patch(image_of())], labels_on(120, 90))


@pytest.mark.parametrize("kind", ["train", "pretrain"])
def test_every_training_chip_comes_out_of_the_torchgeo_datasets(
    kind, place, tiny, tmp_path, monkeypatch
) -> None:
    read: dict[type, int] = {}

    def count(dataset: type) -> None:
        original = dataset.__getitem__

        def counted(self: GeoDataset, index: object) -> dict:
            read[dataset] = read.get(dataset, 0) + 1
            return original(self, index)

        monkeypatch.setattr(dataset, "__getitem__", counted)

    for each in (SceneDataset, SparseMaskDataset, SoftLabelDataset):
        assert issubclass(each, GeoDataset)
        count(each)
    seen = []
    from geopointseg.learning.trainer import Learner

    original = Learner.training_step

    def training_step(self: Learner, batch: Batch, number: int) -> torch.Tensor:
        seen.append(len(batch))
        return original(self, batch, number)

    monkeypatch.setattr(Learner, "training_step", training_step)
    config = tiny.updated({"optimization": {"steps": 3}, "selection": {"held_out": 0.0}})
    if kind == "train":
        train(place.path, place.points, output=tmp_path / "m", config=config, device="cpu")
        assert sum(seen) == 12
        # a batch may be read ahead of the last step
        assert set(read.values()) <= {12, 16}
        assert set(read) == {SceneDataset, SparseMaskDataset, SoftLabelDataset}
    else:
        pretrain(place.path, output=tmp_path / "w", config=config, device="cpu")
        assert sum(seen) == 12
        assert read[SceneDataset] - 50 * 4 in (12, 16)  # 50 batches measure the statistics


def test_the_parts_are_torchgeos_and_the_ones_that_are_promised(chips) -> None:
    dataset, sampler = chips.dataset, StepSampler(chips.dataset, chips.plan)
    assert isinstance(dataset, IntersectionDataset)
    assert [type(layer) for layer in dataset.datasets] == [SceneDataset, SparseMaskDataset]
    parts = [type(part) for part, _ in sampler._kinds[0]]
    assert parts == [PointSampler, UnlabelledSampler]
    assert all(issubclass(part, SpatialSampler) for part in parts)


def test_chips_depend_on_seed_and_step_alone(chips) -> None:
    batches = steps(chips, 70)
    for first, workers in ((0, 0), (17, 0), (63, 0), (64, 2)):
        for batch, again in zip(
            batches[first : first + 3], steps(chips, 3, first, workers), strict=True
        ):
            for name, values in vars(batch).items():
                assert values is None or torch.equal(values, vars(again)[name])
    assert not torch.equal(batches[17].image, batches[18].image)
    other = chips_of([make_patch(image_of())], labels_on(120, 90), seed=5)
    assert not torch.equal(batches[0].image, steps(other, 1)[0].image)


def test_chips_around_points_hold_one_and_show_the_pixels_of_the_scene() -> None:
    rows, cols = np.mgrid[0:120, 0:120]
    labelled, soft = labels_on(120, 90), np.zeros((3, 120, 120), np.uint8)
    soft[0], soft[1] = rows, cols
    patch = make_patch(np.stack([rows, cols]).astype(np.float32))
    chips = chips_of([patch], labelled, [soft])
    dense = PatchLabels.of([patch], labelled, LEGEND)[0]
    for batch in steps(chips, 20):
        assert batch.image.shape == (6, 2, 32, 32)
        assert bool((batch.mask[:3] >= 0).flatten(1).any(1).all())
        pixels = torch.round(batch.image * 9 + 50).long()
        row, col = pixels[:, 0].numpy(), pixels[:, 1].numpy()
        assert np.array_equal(row[:, 1:] - row[:, :-1], np.ones_like(row[:, 1:]))
        assert np.array_equal(batch.mask.numpy(), dense.dense_index[row, col])
        assert np.array_equal(batch.weight.numpy(), dense.dense_weight[row, col])
        assert np.array_equal(torch.round(batch.soft[:, :2] * 255).long(), pixels)


def test_pixels_are_those_of_the_scene_in_any_crs_and_orientation() -> None:
    transforms = {
        "EPSG:32633": Affine(10, 0, 500000, 0, -10, 5700000),
        "EPSG:4326": Affine(1e-4, 0, 15, 0, -1e-4, 51),
        "EPSG:32632": Affine.translation(700000, 5600000) @ Affine.rotation(30) @ Affine.scale(10),
        'LOCAL_CS["site",UNIT["metre",1]]': Affine(1, 0, 0, 0, -1, 0),
    }
    images = [image_of(60, seed) for seed in range(len(transforms))]
    patches = [
        Patch(k, 0, 0, image, np.ones((60, 60), bool), Grid(CRS.from_user_input(crs), t, 60, 60))
        for k, (image, (crs, t)) in enumerate(zip(images, transforms.items(), strict=True))
    ]
    labelled = LabelledPixels.concatenate([labels_on(60, 12, k, k) for k in range(4)])
    chips = chips_of(patches, labelled, size=20, batch=8, around_points=4)
    windows = np.stack([np.lib.stride_tricks.sliding_window_view(i[0], (20, 20)) for i in images])
    normalized = ((windows - np.float32(50)) / np.float32(9)).reshape(-1, 400)
    known = {row.tobytes(): number for number, row in enumerate(normalized)}
    found = [known[chip[0].numpy().tobytes()] for b in steps(chips, 12) for chip in b.image]
    assert set(np.array(found) // 41**2) == {0, 1, 2, 3}


def test_windows_that_overlap_are_cut_from_their_own_pixels() -> None:
    whole = image_of(80)
    grid = make_patch(whole).grid
    patches = []
    for number, left in enumerate((0, 20)):
        image = whole[:, :40, left : left + 40] + np.float32(1000 * number)
        window = grid.crop(Window(left, 0, 40, 40))
        patches.append(Patch(0, 0, left, image, np.ones((40, 40), bool), window))
    chips = chips_of(patches, labels_on(40, 9, 1), size=16, around_points=6)
    for batch in steps(chips, 5):
        assert bool((batch.image > 50).all())


def test_chips_take_the_style_of_a_patch_of_another_scene() -> None:
    hole = np.ones((120, 120), bool)
    hole[30:70, 20:90] = False
    image = np.where(hole, image_of(), 0).astype(np.float32)
    patches = [make_patch(image, hole), make_patch(image * 2 + 100, hole, scene=1)]
    empty = make_patch(image * 0, hole & False, scene=2)
    labelled = labels_on(120, 90)
    plain, styled = (
        steps(chips_of([*patches, empty], labelled, style=share), 3)[2] for share in (0, 1.0)
    )
    assert np.array_equal(plain.mask, styled.mask)
    assert np.array_equal(plain.weight, styled.weight)
    assert np.array_equal(plain.valid, styled.valid)
    assert not plain.valid.all()
    assert not styled.image.numpy().swapaxes(0, 1)[:, ~plain.valid.numpy()].any()
    (mean, std), (new_mean, new_std) = (patch.moments for patch in patches)
    was, shown = (b.image[0].numpy()[:, b.valid[0].numpy()] * 9 + 50 for b in (plain, styled))
    expected = (was - mean[:, None]) * (new_std / std)[:, None] + new_mean[:, None]
    np.testing.assert_allclose(shown, expected, rtol=1e-4)


def test_moments_of_a_patch_are_computed_once_over_valid_pixels() -> None:
    hole = np.ones((120, 120), bool)
    hole[:40] = False
    patch = make_patch(image_of(), hole)
    assert patch.moments is patch.moments
    mean, deviation = patch.moments
    np.testing.assert_allclose(mean, patch.image[:, hole].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(deviation, patch.image[:, hole].std(axis=1) + 1e-6, rtol=1e-5)


def test_classes_are_drawn_alike() -> None:
    labelled = labels_on(120, 200)
    rare = labelled.select((labelled.class_index != 2) | (np.arange(200) % 20 == 0))
    chips = chips_of([make_patch(image_of())], rare, size=1, jitter=0.0, batch=3, around_points=3)
    drawn = np.concatenate([batch.mask.flatten().numpy() for batch in steps(chips, 64)])
    assert np.ptp(np.bincount(drawn)) <= 3


def test_scene_smaller_than_a_chip_is_padded() -> None:
    chips = chips_of([make_patch(image_of(20))], labels_on(20, 12))
    (batch,) = steps(chips, 1)
    assert int(batch.valid[0].sum()) == 400
    assert bool((batch.image[~batch.valid[:, None].expand_as(batch.image)] == 0).all())


@given(st.integers(-6, 12), st.integers(-6, 12), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_cut_is_a_padded_slice(row, col, size) -> None:
    array = np.arange(80).reshape(8, 10)
    padded = np.pad(array, 20, constant_values=-1)
    expected = padded[row + 20 : row + 20 + size, col + 20 : col + 20 + size]
    assert np.array_equal(cut(array, row, col, size, fill=-1), expected)


def test_every_other_step_has_a_quarter_as_many_chips_of_twice_the_side() -> None:
    patch, labels = make_patch(image_of(200)), labels_on(200, 90)
    mixed = chips_of([patch], labels, batch=8, around_points=4, has_wide_steps=True)
    found = steps(mixed, 6)
    assert [tuple(batch.image.shape[:1] + batch.image.shape[2:]) for batch in found] == [
        (8, 32, 32),
        (2, 64, 64),
    ] * 3
    for batch in found[1::2]:
        assert batch.mask is not None
        assert (batch.mask[0] >= 0).any()
    for batch, other in zip(found[3:], steps(mixed, 3, first=3), strict=True):
        assert torch.equal(batch.image, other.image)


@pytest.mark.parametrize(
    ("batch", "around", "wide"), [(8, 4, (2, 1)), (8, 8, (2, 2)), (8, 0, (2, 0)), (2, 1, (1, 1))]
)
def test_wide_steps_have_chips_around_points_where_the_others_have_some(
    batch, around, wide
) -> None:
    one = plan(batch=batch, around_points=around)
    assert one.kinds == (one,)
    small, large = replace(one, has_wide_steps=True).kinds
    assert small == one
    assert (large.size, large.batch, large.around_points) == (64, *wide)


def test_wide_steps_draw_every_label_before_any_again() -> None:
    patch = make_patch(image_of(200))
    counts = np.zeros(200 * 200, dtype=int)
    labels = labels_on(200, 128)
    mixed = chips_of([patch], labels, batch=8, around_points=4, jitter=0.0, has_wide_steps=True, class_balance=0.0)  # fmt: skip
    for chip in [
        c for step in islice(StepSampler(mixed.dataset, mixed.plan), 64) for c in step[:4]
    ]:
        assert chip.window is not None
        if chip.window.width == 32:
            centre = int(chip.window.row_off + 16) * 200 + int(chip.window.col_off + 16)
            counts[centre] += 1
    drawn = counts[counts > 0]
    assert drawn.sum() == 128
    assert len(drawn) >= 100  # near the border, windows are moved, so centres coincide
