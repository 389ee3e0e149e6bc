"""Augmentation: labels stay on their pixels, nodata stays nodata, and nothing depends on the number of bands."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Generator

from geopointseg.sampling.augmentation import (
    Augmentation,
    Batch,
    Geometry,
    bend,
    blur,
    cut_and_paste,
    draw_boxes,
    move,
)

OFF = Augmentation(
    symmetry=False, scale=1, gain=0, offset=0, gamma=1, dropout=0, noise=0, blur_probability=0
)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def encoded(
    count: int = 4, bands: int = 4, side: int = 24, labels: int = 5, seed: int = 0
) -> Batch:
    """Band 0 is the row and band 1 the column; the class of a labelled pixel is its number."""
    generator = seeded(seed)
    image = torch.randn((count, bands, side, side), generator=generator)
    rows, cols = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image[:, 0], image[:, 1] = rows.float(), cols.float()
    mask = torch.full((count, side * side), -1)
    for chip in mask:
        places = torch.randperm(side * side, generator=generator)[:labels]
        chip[places] = places
    mask = mask.reshape(count, side, side)
    weight = torch.where(mask >= 0, mask.float() + 0.5, 0.0)
    soft = torch.softmax(torch.randn((count, 3, side, side), generator=generator), dim=1)
    return Batch(image, mask, weight, torch.ones_like(mask, dtype=torch.bool), soft)


def places_of_labels(batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return true row and column of the labels in a moved batch, and those that the image shows there."""
    side = batch.mask.shape[-1]
    chip, row, col = (batch.mask >= 0).nonzero(as_tuple=True)
    label = batch.mask[chip, row, col]
    shown = batch.image[chip, :2, row, col]
    return label // side, label % side, shown[:, 0], shown[:, 1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), bands=st.integers(2, 12), side=st.integers(2, 24))
def test_symmetries_move_everything_alike_and_lose_nothing(seed, bands, side):
    batch = encoded(bands=bands, side=side, labels=3, seed=seed)
    moved = replace(OFF, symmetry=True).weak(batch, seeded(seed))
    true_row, true_col, row, col = places_of_labels(moved)
    assert torch.equal(true_row.float(), row)
    assert torch.equal(true_col.float(), col)
    labelled = moved.mask >= 0
    assert torch.equal(moved.weight[labelled], moved.mask[labelled] + 0.5)
    assert int(labelled.sum()) == int((batch.mask >= 0).sum())
    for before, after in ((batch.image, moved.image), (batch.soft, moved.soft)):
        assert torch.equal(before.flatten(2).sort(-1)[0], after.flatten(2).sort(-1)[0])


def test_all_eight_symmetries_are_drawn_equally():
    batch = Batch(torch.arange(4.0).reshape(1, 1, 2, 2).expand(800, 1, 2, 2))
    moved = replace(OFF, symmetry=True).weak(batch, seeded())
    kinds, counts = np.unique(moved.image.flatten(1).numpy(), axis=0, return_counts=True)
    assert len(kinds) == 8
    assert counts.min() > 60


def test_oblong_chips_keep_their_shape():
    image = torch.arange(12.0).reshape(1, 1, 3, 4).expand(40, 1, 3, 4)
    moved = replace(OFF, symmetry=True).weak(Batch(image), seeded())
    assert moved.image.shape == (40, 1, 3, 4)
    assert len(torch.unique(moved.image.flatten(1), dim=0)) == 4


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1.01, 3), symmetry=st.booleans())
def test_scaling_keeps_labels_on_their_pixels(seed, scale, symmetry):
    batch = encoded(seed=seed)
    augmentation = replace(OFF, symmetry=symmetry, scale=scale, scale_probability=1)
    moved = augmentation.weak(batch, seeded(seed))
    assert ((moved.mask >= 0).flatten(1).any(dim=1)).all()
    true_row, true_col, row, col = places_of_labels(moved)
    inner = (true_row > 1) & (true_row < 22) & (true_col > 1) & (true_col < 22)
    assert ((true_row - row).abs()[inner] <= 0.5 + scale / 2).all()
    assert ((true_col - col).abs()[inner] <= 0.5 + scale / 2).all()
    labelled = moved.mask >= 0
    assert torch.equal(moved.weight[labelled], moved.mask[labelled] + 0.5)
    assert (moved.weight[~labelled] == 0).all()
    torch.testing.assert_close(moved.soft.sum(dim=1), torch.ones(4, 24, 24))


def still(count: int, scale: float, anchor: tuple[float, float] = (0.0, 0.0)) -> Geometry:
    off = torch.zeros(count, dtype=torch.bool)
    return Geometry(off, off, off, torch.full((count,), scale), torch.tensor([anchor] * count))


def test_magnifying_by_two_doubles_every_pixel_about_the_middle():
    batch = encoded(count=1, side=8, labels=64)
    moved = move(batch, still(1, 2.0))
    expected = batch.mask[0, 2:6, 2:6].repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(moved.mask[0], expected)


def test_shrinking_loses_labels_only_by_collision():
    batch = encoded(count=1, side=24, labels=12, seed=3)
    moved = move(batch, still(1, 0.5))
    row, col = (batch.mask[0] >= 0).nonzero(as_tuple=True)
    targets = {(int(r), int(c)) for r, c in zip((row + 12) // 2, (col + 12) // 2, strict=True)}
    inner = moved.mask[0, 6:18, 6:18]
    assert int((inner >= 0).sum()) == len(targets)


def test_the_anchor_stays_where_it_is():
    batch = encoded(count=1, side=24, labels=1, seed=9)
    (row,), (col,) = (batch.mask[0] >= 0).nonzero(as_tuple=True)
    for seed in range(20):
        drawn = replace(OFF, scale=2, scale_probability=1).weak(batch, seeded(seed))
        assert drawn.mask[0, row, col] == batch.mask[0, row, col]


@pytest.mark.parametrize("bands", [1, 3, 13, 200])
def test_any_number_of_bands(bands):
    batch = Batch(torch.randn(3, bands, 16, 16, generator=seeded()))
    weak, strong = Augmentation(dropout=0.9).views(batch, seeded())
    assert weak.image.shape == strong.image.shape == (3, bands, 16, 16)
    assert strong.image.isfinite().all()
    assert (strong.image.flatten(2).abs().amax(dim=2) > 0).any(dim=1).all()


def test_dropout_blanks_bands_at_its_rate():
    image = torch.randn(400, 10, 4, 4, generator=seeded())
    strong = replace(OFF, dropout=0.3).strong(Batch(image), seeded())
    blank = (strong.image == 0).all(dim=(2, 3))
    assert 0.26 < blank.float().mean() < 0.34


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_nodata_stays_zero_and_unlabelled_stays_unlabelled(seed):
    batch = encoded(seed=seed)
    batch.valid[:, :5] = False
    batch.image[:, :, :5] = 0
    batch.mask[:, :5], batch.weight[:, :5] = -1, 0
    strong = Augmentation(blur_probability=1, scale_probability=1).strong(batch, seeded(seed))
    assert (strong.image.movedim(1, -1)[~strong.valid] == 0).all()
    known = set(batch.mask.unique().tolist())
    assert set(strong.mask.unique().tolist()) <= known
    assert strong.mask.dtype == torch.int64
    assert strong.valid.dtype == torch.bool


def test_everything_off_changes_nothing_and_inputs_are_never_written_to():
    batch = encoded()
    copies = {name: value.clone() for name, value in vars(batch).items()}
    same = OFF.strong(batch, seeded())
    Augmentation(scale_probability=1, blur_probability=1).strong(batch, seeded())
    for name, value in copies.items():
        assert torch.equal(getattr(batch, name), value)
        assert torch.equal(getattr(same, name), value)


def test_seed_decides_the_views():
    batch = encoded()
    one, again, other = (Augmentation().strong(batch, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.image, again.image)
    assert torch.equal(one.mask, again.mask)
    assert not torch.equal(one.image, other.image)


def test_views_share_geometry_but_not_values():
    batch = encoded(count=8)
    weak, strong = Augmentation().views(batch, seeded())
    for name in ("mask", "weight", "valid", "soft"):
        assert torch.equal(getattr(weak, name), getattr(strong, name))
    assert not torch.equal(weak.image, strong.image)
    mild = replace(OFF, gain=0.01).views(batch, seeded())
    torch.testing.assert_close(mild[0].image, mild[1].image, rtol=0.1, atol=0)


def test_values_vary_as_much_as_asked():
    image = torch.ones(4000, 3, 2, 2)
    gained = replace(OFF, gain=0.1).strong(Batch(image), seeded()).image[:, :, 0, 0]
    assert float(gained.log().std()) == pytest.approx(0.1, rel=0.05)
    shifted = replace(OFF, offset=0.2).strong(Batch(image), seeded()).image[:, :, 0, 0] - 1
    assert float(shifted.std()) == pytest.approx(0.2, rel=0.05)
    assert np.corrcoef(shifted.T.numpy())[0, 1] == pytest.approx(0.5, abs=0.06)
    noisy = replace(OFF, noise=0.3).strong(Batch(image), seeded()).image - 1
    assert float(noisy.std()) == pytest.approx(0.3 / math.sqrt(3), rel=0.05)


def test_gamma_keeps_the_ends_and_the_order():
    values = torch.linspace(-3, 3, 61).reshape(1, 1, 1, 61)
    for exponent in (0.5, 1.0, 2.0):
        bent = bend(values, torch.full((1, 1, 1, 1), exponent)).flatten()
        assert bent[[0, -1]].tolist() == pytest.approx([-3, 3], abs=1e-4)
        assert (bent.diff() > 0).all()
    torch.testing.assert_close(bend(values, torch.ones(1)), values, atol=1e-5, rtol=0)
    assert bend(torch.tensor([0.0]), torch.tensor([2.0])).item() == pytest.approx(-1.5)


def test_blur_is_a_gaussian():
    image = torch.randn(1, 2, 40, 40, generator=seeded())
    smooth = blur(image, torch.tensor([1.2]))
    expected = gaussian_filter(image[0, 1].numpy(), 1.2, mode="mirror", truncate=2.5)
    np.testing.assert_allclose(smooth[0, 1].numpy(), expected, atol=1e-5)


def test_nodata_lends_nothing_to_blurred_neighbours():
    valid = torch.rand((2, 20, 20), generator=seeded()) > 0.3
    image = torch.full((2, 3, 20, 20), 7.0) * valid[:, None]
    smooth = blur(image, torch.tensor([0.8, 2.0]), valid)
    assert torch.allclose(smooth.movedim(1, -1)[valid], torch.tensor(7.0))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(4, 60), width=st.integers(4, 60))
def test_boxes_are_rectangles_of_the_area_asked_for(seed, height, width):
    boxes = draw_boxes(16, (height, width), seeded(seed), area=(0.2, 0.5))
    assert boxes.shape == (16, height, width)
    for box in boxes:
        rows, cols = box.any(dim=1), box.any(dim=0)
        assert torch.equal(box, rows[:, None] & cols[None, :])
        assert int(box.sum()) == int(rows.sum()) * int(cols.sum())
        slack = (height + width) / (height * width)
        assert 0.2 - slack <= box.float().mean() <= 0.5 + slack


def test_boxes_fall_anywhere():
    share = draw_boxes(4000, (20, 20), seeded()).float().mean(dim=0)
    assert share.min() > 0.002
    left, right = float(share[:, :10].mean()), float(share[:, 10:].mean())
    assert left == pytest.approx(right, rel=0.05)


def test_pasting_takes_everything_inside_the_box_from_the_other_batch():
    one, other = encoded(seed=1), encoded(seed=2)
    boxes = draw_boxes(4, (24, 24), seeded())
    mixed = cut_and_paste(one, other, boxes)
    for name in ("mask", "weight", "valid"):
        assert torch.equal(getattr(mixed, name)[boxes], getattr(other, name)[boxes])
        assert torch.equal(getattr(mixed, name)[~boxes], getattr(one, name)[~boxes])
    for name in ("image", "soft"):
        maps, a, b = (getattr(batch, name).movedim(1, -1) for batch in (mixed, one, other))
        assert torch.equal(maps[boxes], b[boxes])
        assert torch.equal(maps[~boxes], a[~boxes])
    assert cut_and_paste(one, Batch(other.image), boxes).mask is None
