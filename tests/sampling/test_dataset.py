"""Datasets: the pixels that were asked for, in any combination, on any grid."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import torch
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.windows import Window
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, VectorDataset, stack_samples
from torchgeo.samplers import RandomPatchSampler

from geopointseg.errors import RasterError
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import HANDLES, Scene
from geopointseg.sampling import (
    ChipIndex,
    PointSampler,
    SceneDataset,
    SoftLabelDataset,
    SparseMaskDataset,
    UnlabelledSampler,
)
from geopointseg.sampling.patch import Patch

QUIET = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
GRIDS = {
    "north-up": Affine(10, 0, 500000, 0, -10, 5700000),
    "south-up": Affine(10, 0, 500000, 0, 10, 5600000),
    "mirrored": Affine(-10, 0, 500000, 0, -10, 5700000),
    "quarter-turned": Affine(0, 10, 500000, 10, 0, 5700000),
    "oblong": Affine(2.5, 0, 500000, 0, -7.5, 5700000),
    "odd corner": Affine(0.3, 0, 500000.1234567, 0, -0.3, 5700000.7654321),
}


def slices(scene: Scene, top: int, left: int, height: int, width: int) -> tuple[slice, slice]:
    """Return x and y of a window of a north-up scene."""
    west, south, east, north = scene.grid.window_bounds(Window(left, top, width, height))
    return slice(west, east), slice(south, north)


@QUIET
@given(
    top=st.integers(-20, 70),
    left=st.integers(-20, 90),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_windows_are_exact_wherever_they_lie(make_scene, top, left, height, width):
    scene = make_scene()
    dataset = SceneDataset([scene])
    index = slices(scene, top, left, height, width)
    if top + height <= 0 or left + width <= 0 or top >= 60 or left >= 80:
        with pytest.raises(IndexError, match="ask for a place within it"):
            dataset[index]
        return
    sample = dataset[index]
    truth = scene.read(Window(left, top, width, height))
    np.testing.assert_array_equal(sample["image"].numpy(), truth.image)
    np.testing.assert_array_equal(sample["valid"].numpy(), truth.valid)


@pytest.mark.parametrize("name", GRIDS)
def test_grids_with_parallel_axes_are_read_untouched(
    make_scene, make_mask, name, class_at, place_error_px
):
    scene = make_scene(transform=GRIDS[name])
    mask = make_mask(scene.grid)
    dataset = SceneDataset([scene]) & SparseMaskDataset([mask])
    west, south, east, north = scene.grid.bounds
    xres, yres = dataset.res
    sample = dataset[west - 3 * xres : east + 5 * xres, south - 2 * yres : north + yres]
    assert sample["valid"].sum() == 60 * 80
    assert place_error_px(sample, scene).max() < 1e-3
    labelled = sample["mask"].numpy() != -1
    row, col = (sample["image"].numpy()[:2, labelled] - 1).astype(int)
    assert sorted(zip(row, col, strict=True)) == sorted(zip(mask.row, mask.col, strict=True))
    np.testing.assert_array_equal(sample["mask"].numpy()[labelled], class_at(row, col))
    np.testing.assert_array_equal(sample["weight"].numpy()[labelled], 1 + row % 4)


def test_rotated_scene_is_resampled_and_keeps_its_labels(make_scene, make_mask, place_error_px):
    rotated = Affine.translation(500000, 5700000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    scene = make_scene(transform=rotated)
    mask = make_mask(scene.grid, count=20)
    dataset = SceneDataset([scene]) & SparseMaskDataset([mask])
    west, south, east, north = scene.grid.bounds
    sample = dataset[west:east, south:north]
    assert np.quantile(place_error_px(sample, scene), 0.97) < 0.1
    assert 0.4 < sample["valid"].float().mean() < 0.7
    assert abs(int((sample["mask"] != -1).sum()) - 20) <= 1


@pytest.mark.parametrize(
    ("crs", "res"), [("EPSG:32632", 10.0), ("EPSG:4326", 0.0002), ("EPSG:3035", 25.0)]
)
def test_other_crs_and_resolution_are_resampled_on_the_fly(
    make_scene, make_mask, crs, res, place_error_px
):
    scene = make_scene(height=200, width=220)
    mask = make_mask(scene.grid, count=40)
    dataset = SceneDataset([scene], crs=crs, res=res) & SparseMaskDataset([mask], crs=crs, res=res)
    x, y, _ = dataset.bounds
    sample = dataset[x.start : x.stop, y.start : y.stop]
    error = place_error_px(sample, scene, CRS.from_user_input(crs))
    assert np.quantile(error, 0.95) < 0.12
    labelled = (sample["mask"] != -1).numpy()
    assert 36 <= labelled.sum() <= 40
    near = np.abs(sample["image"].numpy()[:2, labelled] - 1)
    assert sample["mask"].numpy()[labelled].tolist() == _nearest_class(near, mask)


def _nearest_class(places: np.ndarray, mask: Any) -> list[int]:
    distance = np.hypot(places[0][:, None] - mask.row, places[1][:, None] - mask.col)
    return mask.class_index[distance.argmin(axis=1)].tolist()


def test_no_label_is_lost_where_the_grid_is_coarser(make_scene, make_mask, class_at):
    scene = make_scene()
    mask = make_mask(scene.grid, pixels=[(0, 0), (20, 31), (41, 57), (59, 79)])
    dataset = SparseMaskDataset([mask], res=70)
    x, y, _ = dataset.bounds
    labels = dataset[x.start : x.start + 840, y.stop - 630 : y.stop]["mask"]
    assert int((labels != -1).sum()) == 4
    assert labels[0, 0] == class_at(np.array(0), np.array(0))


def test_heavier_label_wins_where_two_meet_in_a_coarser_pixel(make_scene, make_mask):
    mask = make_mask(make_scene().grid, pixels=[(3, 0), (0, 5)])  # weights 4 and 1, classes 0 and 1
    sample = SparseMaskDataset([mask], res=100)[500000:500100, 5699900:5700000]
    assert sample["mask"].tolist() == [[0]]
    assert sample["weight"].tolist() == [[4.0]]


def test_works_with_torchgeos_raster_and_vector_datasets(make_scene, make_mask, tmp_path):
    scene = make_scene(height=150, width=150)
    dots = gpd.GeoDataFrame(
        {"label": [7, 9]},
        geometry=[shapely.Point(500505, 5699505), shapely.Point(500905, 5699205)],
        crs="EPSG:32633",
    )
    dots.to_file(tmp_path / "dots.gpkg")
    raster = RasterDataset(tmp_path / "scene.tif")
    layers = raster & SceneDataset([scene]) & SparseMaskDataset([make_mask(scene.grid)])
    sampler = RandomPatchSampler(layers, size=16, length=4, generator=0)
    for sample in DataLoader(layers, sampler=sampler, batch_size=2, collate_fn=stack_samples):
        assert sample["image"].shape == (2, 6, 16, 16)
        assert torch.equal(sample["image"][:, :3], sample["image"][:, 3:])
        assert sample["mask"].shape == sample["valid"].shape == (2, 16, 16)
    vector = VectorDataset(tmp_path / "dots.gpkg", res=10.0, label_name="label")
    drawn = (SceneDataset([scene]) | raster) & vector
    sample = drawn[500500:500510, 5699500:5699510]
    assert sample["mask"].tolist() == [[7]]
    assert sample["image"].squeeze().tolist() == [50.0, 51.0, 1.0]


def test_intersection_with_torchgeo_brings_our_grid_to_theirs(make_scene, make_mask, tmp_path):
    make_scene("coarse.tif", 30, 40, transform=Affine(20, 0, 500000, 0, -20, 5700000))
    scene = make_scene("fine.tif")
    layers = RasterDataset(tmp_path / "coarse.tif") & SceneDataset([scene])
    assert layers.res == (20, 20)
    sample = layers[500000:500100, 5699900:5700000]
    fine = sample["image"].numpy()[3:5, 1:, 1:]
    np.testing.assert_allclose(fine[0], np.arange(3.5, 11, 2)[:, None].repeat(4, 1), atol=0.02)


def test_joined_scenes_are_valid_where_both_are_and_unlabelled_elsewhere(make_scene, make_mask):
    one = make_scene("one.tif", nodata_at=(slice(0, 10), slice(0, 80)))
    two = make_scene("two.tif", nodata_at=(slice(0, 60), slice(0, 20)), number=2)
    mask = make_mask(one.grid, pixels=[(5, 40), (40, 40), (40, 5)])
    dataset = SceneDataset([one]) & (SceneDataset([two]) & SparseMaskDataset([mask]))
    sample = dataset[500000:500800, 5699400:5700000]
    assert sample["image"].shape == (6, 60, 80)
    assert sample["bounds"].shape == (9,)
    assert sample["valid"][10:, 20:].all()
    assert int(sample["valid"].sum()) == 50 * 60
    assert (sample["mask"] != -1).nonzero().tolist() == [[40, 40]]
    assert (sample["weight"] > 0).nonzero().tolist() == [[40, 40]]


def test_first_scene_wins_and_others_fill_its_gaps(make_scene):
    one = make_scene("one.tif", nodata_at=(slice(0, 60), slice(0, 20)))
    two = make_scene("two.tif", number=2)
    place = (slice(500000, 500400), slice(5699800, 5700000))
    for dataset in (SceneDataset([one, two]), SceneDataset([one]) | SceneDataset([two])):
        sample = dataset[place]
        assert sample["valid"].all()
        assert (sample["image"][2, :, :20] == 2).all()
        assert (sample["image"][2, :, 20:] == 1).all()
    chosen = SceneDataset([one, two])[ChipIndex(*place, two.path)]
    assert (chosen["image"][2] == 2).all()


def test_negative_values_survive_a_union(make_scene):
    one, two = make_scene("one.tif", number=-5), make_scene("two.tif", number=9)
    union = SceneDataset([one]) | SceneDataset([two])
    assert union[500000:500100, 5699900:5700000]["image"][2].unique().tolist() == [-5]


def test_labels_of_unions_do_not_take_the_larger_class(make_scene, make_mask):
    grid = make_scene().grid
    one, two = make_mask(grid, pixels=[(0, 0)]), make_mask(grid, pixels=[(0, 0), (0, 12)])
    two.class_index[0] = 2
    union = SparseMaskDataset([one]) | SparseMaskDataset([two])
    labels = union[500000:500200, 5699900:5700000]["mask"]
    assert labels[0, 0] == 0
    assert labels[0, 12] == 2


def test_tied_masks_are_seen_only_with_their_scene(make_scene, make_mask):
    one, two = make_scene("one.tif"), make_scene("two.tif", number=2)
    masks = [make_mask(one.grid, pixels=[(1, 1)]), make_mask(two.grid, pixels=[(2, 2)])]
    dataset = SparseMaskDataset(masks, scenes=[one, two])
    place = (slice(500000, 500100), slice(5699900, 5700000))
    seen = dataset[ChipIndex(*place, two.path)]["mask"]
    assert (seen != -1).nonzero().tolist() == [[2, 2]]
    assert (dataset[place]["mask"] != -1).nonzero().tolist() == [[1, 1], [2, 2]]


def test_changing_crs_and_resolution_says_nothing_and_can_be_undone(make_scene, capsys):
    scene = make_scene()
    dataset = SceneDataset([scene])
    before = dataset.index.total_bounds
    dataset.crs, dataset.res = "EPSG:4326", 0.001
    assert 14 < dataset.index.total_bounds[0] < 16
    assert dataset.lattice(0).shape == (6, 12)
    dataset.crs, dataset.res = "EPSG:32633", 10
    np.testing.assert_array_equal(dataset.index.total_bounds, before)
    assert capsys.readouterr().out == ""


def test_dates_choose_among_scenes(make_scene):
    scenes = [make_scene(f"{year}.tif", number=year) for year in (2018, 2020)]
    stamps = [pd.Timestamp(year=year, month=7, day=1) for year in (2018, 2020)]
    dataset = SceneDataset(scenes, intervals=[(t, t) for t in stamps])
    day = pd.Timestamp(2020, 1, 1), pd.Timestamp(2021, 1, 1)
    sample = dataset[500000:500100, 5699900:5700000, slice(*day)]
    assert sample["image"][2].unique().tolist() == [2020]
    with pytest.raises(IndexError, match="Nothing lies at x"):
        dataset[500000:500100, 5699900:5700000, pd.Timestamp(1990, 1, 1) : pd.Timestamp(1991, 1, 1)]


def test_transforms_see_the_whole_sample(make_scene):
    dataset = SceneDataset(
        [make_scene()], transforms=lambda sample: sample | {"seen": sorted(sample)}
    )
    seen = dataset[500000:500100, 5699900:5700000]["seen"]
    assert seen == ["bounds", "image", "transform", "valid"]


def test_datasets_and_indices_travel(make_scene, make_mask):
    scene = make_scene()
    dataset = SceneDataset([scene]) & SparseMaskDataset([make_mask(scene.grid)])
    place = ChipIndex(slice(500000, 500100), slice(5699900, 5700000), scene.path)
    moved, index = pickle.loads(pickle.dumps((dataset, place)))
    assert index == place
    assert index.scene == scene.path
    for name, value in dataset[place].items():
        assert torch.equal(moved[index][name], value)


def test_bounds_keep_their_precision(make_scene):
    sample = SceneDataset([make_scene(transform=GRIDS["odd corner"])])[
        500001.0234567:500004.0234567, 5699997.1654321:5700000.1654321
    ]
    assert sample["bounds"][0].item() == 500001.0234567
    assert sample["transform"][5].item() == 5700000.1654321


def test_many_scenes_share_few_handles(make_scene):
    fds = Path("/proc/self/fd")
    if not fds.is_dir():
        pytest.skip("open files are counted through /proc, which this system lacks")
    spread = [Affine(10, 0, 800 * k, 0, -10, 5700000) for k in range(80)]
    scenes = [make_scene(f"{k}.tif", 20, 20, transform=spread[k]) for k in range(80)]
    dataset = SceneDataset(scenes)
    HANDLES.close()
    before = len(list(fds.iterdir()))
    for box in dataset.boxes:
        dataset[box[0] : box[2], box[1] : box[3]]
    assert len(list(fds.iterdir())) - before <= 64


def test_reading_lets_gdal_keep_decoded_blocks(make_scene):
    before = get_gdal_config("GDAL_CACHEMAX")
    dataset = SceneDataset([make_scene()], cache_mb=before // 2**20 + 1)
    dataset[500000:500100, 5699900:5700000]
    raised = get_gdal_config("GDAL_CACHEMAX")
    assert raised == (before // 2**20 + 1) * 2**20
    SceneDataset([make_scene()], cache_mb=1)[500000:500100, 5699900:5700000]
    assert get_gdal_config("GDAL_CACHEMAX") == raised
    set_gdal_config("GDAL_CACHEMAX", before)


def test_scenes_of_different_bands_are_refused(make_scene):
    one, two = make_scene("one.tif"), make_scene("two.tif")
    with pytest.raises(
        RasterError, match=r"'two.tif' has 2 bands and 'one.tif' has 3.*choose them"
    ):
        SceneDataset([one, two.select_bands([1, 2])])


def test_nothing_to_hold_is_refused():
    with pytest.raises(
        RasterError, match=r"SceneDataset was given nothing.*check the list of files"
    ):
        SceneDataset([])


def test_masks_and_scenes_must_pair_up(make_scene, make_mask):
    scene = make_scene()
    with pytest.raises(RasterError, match=r"1 sparse masks came with 2 scenes.*same order"):
        SparseMaskDataset([make_mask(scene.grid)], scenes=[scene, scene])


def test_three_layers_join_in_any_order(make_scene, make_mask):
    scene, number = make_scene(), make_scene("number.tif", number=7)
    mask = make_mask(scene.grid)
    layers = SceneDataset([scene]), SceneDataset([number]), SparseMaskDataset([mask])
    joined = layers[0] & layers[1] & layers[2]
    again = layers[0] & (layers[1] & layers[2])
    for index in PointSampler(joined, size=16, length=5):
        sample, other = joined[index], again[index]
        assert sample["image"].shape == (6, 16, 16)
        assert sample["bounds"].shape == (9,)
        assert (sample["mask"] != -1).any()
        assert all(torch.equal(sample[name], other[name]) for name in sample)


def test_pixels_that_an_index_names_are_those_at_its_coordinates(make_scene, make_mask):
    scene = make_scene(nodata_at=(slice(0, 20), slice(0, 20)))
    dataset = SceneDataset([scene]) & SparseMaskDataset([make_mask(scene.grid)], scenes=[scene])
    for index in PointSampler(dataset, size=32, inside=False):
        assert index.window is not None
        named, placed = dataset[index], dataset[ChipIndex(*index, index.scene)]
        assert all(torch.equal(named[name], placed[name]) for name in placed)


def test_named_pixels_of_another_grid_are_found_by_coordinates(
    make_scene, make_mask, place_error_px
):
    scene = make_scene()
    (index, *_) = PointSampler(
        SceneDataset([scene]) & SparseMaskDataset([make_mask(scene.grid)]), size=8
    )
    finer = SceneDataset([scene], res=5)
    assert finer[index]["image"].shape == (3, 16, 16)
    assert place_error_px(finer[index], scene).max() < 0.5
    other = make_scene(
        "elsewhere.tif", transform=Affine(10, 0, 499800, 0, -10, 5700200), height=90, width=99
    )
    renamed = ChipIndex(*index, other.path, index.window)
    assert place_error_px(SceneDataset([other])[renamed], other).max() < 1e-3


def test_soft_labels_take_indices_of_samplers_alone():
    grid = Grid(CRS.from_epsg(32633), Affine(10, 0, 500000, 0, -10, 5700000), 9, 9)
    patch = Patch(0, 0, 0, np.zeros((1, 9, 9), np.float32), np.ones((9, 9), bool), grid)
    soft = SoftLabelDataset([np.full((2, 9, 9), 51, np.uint8)], [patch])
    (index,) = UnlabelledSampler(SceneDataset([patch], own_pixels=True) & soft, size=12, length=1)
    assert soft[index]["soft"].sum() == 2 * 51 * 81
    with pytest.raises(IndexError, match="names no pixels of a patch"):
        soft[index[0], index[1]]
