"""Samplers: every chip holds its label, every draw follows from the seed, everything goes into a DataLoader."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import shapely
import torch
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import RandomTimestampSampler, SpatialSampler

from geopointseg.errors import PointsError, RasterError
from geopointseg.sampling import (
    GridSampler,
    PointSampler,
    SceneDataset,
    SparseMaskDataset,
    UnlabelledSampler,
    labels_on_image,
)

QUIET = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def combined(make_scene, make_mask):
    scene = make_scene()
    return SceneDataset([scene]) & SparseMaskDataset([make_mask(scene.grid)])


def places(sampler) -> list[tuple[float, float, float, float]]:
    return [(x.start, x.stop, y.start, y.stop) for x, y in sampler]


@QUIET
@given(
    size=st.integers(1, 100),
    jitter=st.floats(0, 1),
    inside=st.booleans(),
    seed=st.integers(0, 2**31),
    crs=st.sampled_from(["EPSG:32633", "EPSG:32632"]),
)
def test_every_chip_holds_a_label(make_scene, make_mask, size, jitter, inside, seed, crs):
    scene = make_scene()
    mask = make_mask(scene.grid, count=8, seed=seed)
    dataset = SceneDataset([scene], crs=crs, res=10) & SparseMaskDataset([mask])
    sampler = PointSampler(dataset, size=size, jitter=jitter, inside=inside, seed=seed)
    for index in sampler:
        sample = dataset[index]
        assert sample["mask"].shape == sample["valid"].shape == (size, size)
        assert (sample["mask"] != -1).any()
        assert sample["valid"][sample["mask"] != -1].all()


@pytest.mark.parametrize("inside", [True, False])
def test_labels_in_the_very_corners_are_drawn_as_often_as_others(make_scene, make_mask, inside):
    scene = make_scene()
    corners = [(0, 0), (0, 79), (30, 40), (59, 0), (59, 79)]
    dataset = SceneDataset([scene]) & SparseMaskDataset([make_mask(scene.grid, pixels=corners)])
    sampler = PointSampler(dataset, size=24, jitter=0.5, balance=0, inside=inside, length=50)
    seen = []
    for index in sampler:
        sample = dataset[index]
        row, col = (sample["image"][:2, sample["mask"] != -1] - 1).int()
        seen += zip(row.tolist(), col.tolist(), strict=True)
        assert bool(sample["valid"].all()) or not inside
    assert {place: seen.count(place) for place in corners} == dict.fromkeys(corners, 10)


def test_scenes_smaller_than_a_chip_are_padded(make_scene, make_mask):
    scene = make_scene(height=5, width=90)
    dataset = SceneDataset([scene]) & SparseMaskDataset([make_mask(scene.grid, count=10)])
    for index in PointSampler(dataset, size=64):
        sample = dataset[index]
        assert int(sample["valid"].sum()) == 5 * 64
        assert (sample["image"][:, ~sample["valid"]] == 0).all()
        assert (sample["mask"] != -1).any()


def test_chips_are_cut_along_the_scenes_own_pixels(make_scene, make_mask, place_error_px):
    odd = Affine(0.3, 0, 500000.1234567, 0, -0.3, 5700000.7654321)
    scenes = [
        make_scene("one.tif"),
        make_scene("two.tif", transform=Affine.translation(803.7, 1.9) @ odd),
    ]
    scenes[1] = make_scene("two.tif", transform=Affine(10, 0, 600003.7, 0, -10, 5700001.9))
    masks = [make_mask(scene.grid, seed=k) for k, scene in enumerate(scenes)]
    dataset = SceneDataset(scenes) & SparseMaskDataset(masks)
    for index in PointSampler(dataset, size=16):
        scene = next(scene for scene in scenes if scene.path == index.scene)
        assert place_error_px(dataset[index], scene).max() < 1e-3


def test_seed_and_epoch_decide_every_draw(combined):
    for make in (
        lambda seed: PointSampler(combined, size=16, length=20, seed=seed),
        lambda seed: UnlabelledSampler(combined, size=16, length=20, seed=seed),
    ):
        one, same, other = make(1), make(1), make(2)
        first, second = places(one), places(one)
        assert first != second
        assert [places(same), places(same)] == [first, second]
        assert places(other) != first
        one.set_epoch(1)
        assert places(one) == second
        assert len(first) == len(one) == 20


@pytest.mark.parametrize(("balance", "expected"), [(0, [40, 16, 4]), (1, [20, 20, 20])])
def test_classes_are_balanced_as_asked(make_scene, make_mask, class_at, balance, expected):
    scene = make_scene()
    rows, cols = np.mgrid[0:60, 0:80]
    classes = class_at(rows, cols)
    chosen = [
        place
        for k, count in enumerate([40, 16, 4])
        for place in np.argwhere(classes == k)[:count].tolist()
    ]
    dataset = SceneDataset([scene]) & SparseMaskDataset([make_mask(scene.grid, pixels=chosen)])
    sampler = PointSampler(dataset, size=1, length=60, balance=balance)
    drawn = torch.cat([dataset[index]["mask"].flatten() for index in sampler])
    np.testing.assert_allclose(np.bincount(drawn, minlength=3), expected, atol=1)


def test_points_belong_to_every_scene_that_shows_them(make_scene, make_mask):
    one, two = make_scene("one.tif"), make_scene("two.tif", number=2)
    mask = make_mask(one.grid, count=10)
    free = SceneDataset([one, two]) & SparseMaskDataset([mask])
    numbers = [float(free[index]["image"][2].max()) for index in PointSampler(free, size=8)]
    assert sorted(numbers) == [1] * 10 + [2] * 10
    tied = SceneDataset([one, two]) & SparseMaskDataset([mask], scenes=[two])
    numbers = [float(tied[index]["image"][2].max()) for index in PointSampler(tied, size=8)]
    assert numbers == [2] * 10


def test_labels_outside_the_region_are_not_drawn(combined):
    region = shapely.box(500000, 5699700, 500400, 5700000)
    sampler = PointSampler(combined, size=8, jitter=0, inside=False, roi=region)
    assert 0 < len(sampler) < 30
    for x, y in sampler:
        assert region.contains(shapely.Point(x.start + 45, y.stop - 45))
    with pytest.raises(
        RasterError, match=r"region of interest \(0, 0, 1, 1\) lies outside.*dataset's CRS"
    ):
        PointSampler(combined, size=8, roi=shapely.box(0, 0, 1, 1))


def test_datasets_without_labels_are_refused(make_scene, make_mask):
    scene = make_scene()
    with pytest.raises(
        PointsError, match=r"no sparse mask \(it is made of SceneDataset\).*Combine it"
    ):
        PointSampler(SceneDataset([scene]), size=8)
    nothing = SceneDataset([scene]) & SparseMaskDataset([make_mask(scene.grid, count=0)])
    with pytest.raises(PointsError, match=r"No label lies on the dataset's scenes .*check_points"):
        PointSampler(nothing, size=8)
    with pytest.raises(RasterError, match="chip size is 0 pixels"):
        GridSampler(SceneDataset([scene]), size=0)
    with pytest.raises(RasterError, match="stride is 0 pixels"):
        GridSampler(SceneDataset([scene]), size=8, stride=0)


def test_torchgeos_own_rasters_can_be_sampled_by_points(make_scene, make_mask, tmp_path):
    scene = make_scene()
    mask = make_mask(scene.grid, pixels=[(1, 1), (30, 30), (58, 78)])
    dataset = RasterDataset(tmp_path / "scene.tif") & SparseMaskDataset([mask])
    for index in PointSampler(dataset, size=16):
        sample = dataset[index]
        row, col = (sample["image"][:2, sample["mask"] != -1] - 1).int()
        assert (int(row[0]), int(col[0])) in [(1, 1), (30, 30), (58, 78)]


def test_combines_with_torchgeos_temporal_samplers(combined):
    spatial = PointSampler(combined, size=16)
    assert isinstance(spatial, SpatialSampler)
    sampler = spatial @ RandomTimestampSampler(combined)
    chips = [combined[index] for index in sampler]
    assert len(chips) == 30
    assert all((chip["mask"] != -1).any() for chip in chips)


@QUIET
@given(size=st.integers(3, 100), stride=st.integers(3, 40))
def test_grid_sees_every_pixel(make_scene, size, stride):
    dataset = SceneDataset([make_scene()])
    seen = np.zeros((60, 80), dtype=int)
    for index in GridSampler(dataset, size=size, stride=min(size, stride)):
        sample = dataset[index]
        row, col = (sample["image"][:2, sample["valid"]] - 1).int().numpy()
        np.add.at(seen, (row, col), 1)
        assert sample["valid"].all() or size > 60
    assert seen.min() >= 1


def test_grid_stays_on_its_region_and_works_on_torchgeos_rasters(make_scene, tmp_path):
    scene = make_scene()
    dataset = SceneDataset([scene])
    region = shapely.box(500000, 5699800, 500200, 5700000)
    assert len(GridSampler(dataset, size=10)) == 48
    assert len(GridSampler(dataset, size=10, roi=region)) == 4
    raster = RasterDataset(tmp_path / "scene.tif")
    for index in GridSampler(raster, size=20):
        assert raster[index]["image"].shape == (3, 20, 20)


def test_unlabelled_chips_are_uniform_and_avoid_nodata(make_scene):
    scene = make_scene(nodata_at=(slice(0, 60), slice(0, 40)))
    dataset = SceneDataset([scene])
    sampler = UnlabelledSampler(dataset, size=10, length=400, min_valid=0.9)
    chips = [dataset[index] for index in sampler]
    assert all(chip["valid"].float().mean() >= 0.9 for chip in chips)
    tops = [int(chip["image"][0, 0, -1]) - 1 for chip in chips]
    counts = np.bincount(np.array(tops) * 5 // 51, minlength=5)
    assert stats.chisquare(counts, [400 * n / 51 for n in (11, 10, 10, 10, 10)]).pvalue > 1e-4


def test_unlabelled_chips_take_what_there_is(make_scene):
    small = make_scene("small.tif", height=6, width=6)
    dataset = SceneDataset([small])
    (index, *_) = UnlabelledSampler(dataset, size=16)
    assert int(dataset[index]["valid"].sum()) == 36
    sliver = shapely.LineString([(500000, 5699993), (500060, 5699993)]).buffer(1e-6)
    with pytest.raises(RasterError, match=r"No chip of 2 pixels was found.*enlarge it"):
        list(UnlabelledSampler(dataset, size=2, roi=sliver))


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (2, "spawn")])
def test_loaders_give_the_same_with_any_workers(combined, workers, start):
    if start is not None and start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot start workers by {start}")
    sampler = PointSampler(combined, size=32, length=10, seed=3)
    next(iter(DataLoader(combined, sampler=sampler, collate_fn=stack_samples)))
    sampler.set_epoch(0)
    loader = DataLoader(
        combined,
        batch_size=4,
        sampler=sampler,
        collate_fn=stack_samples,
        num_workers=workers,
        multiprocessing_context=start,
    )
    batches = list(loader)
    assert [len(batch["image"]) for batch in batches] == [4, 4, 2]
    sampler.set_epoch(0)
    truth = [combined[index] for index in sampler]
    for name in ("image", "valid", "mask", "weight"):
        assert torch.equal(
            torch.cat([batch[name] for batch in batches]), torch.stack([s[name] for s in truth])
        )


def test_labels_on_nodata_can_be_left_out_beforehand(make_scene, make_mask):
    scene = make_scene(height=700, width=600, nodata_at=(slice(100, 650), slice(0, 300)))
    mask = make_mask(scene.grid, count=500)
    kept = labels_on_image(mask, scene)
    hidden = (mask.row >= 100) & (mask.row < 650) & (mask.col < 300)
    np.testing.assert_array_equal(kept.row, mask.row[~hidden])
    np.testing.assert_array_equal(kept.col, mask.col[~hidden])
    assert labels_on_image(kept, scene) is kept
