"""Sampling of real scenes: points from the field, dates that overlap, sensors in several CRSs."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.windows import Window
from torch.utils.data import DataLoader
from torchgeo.datasets import stack_samples

from geopointseg.labels.points import Points, read_points
from geopointseg.labels.sparse_mask import rasterize_points
from geopointseg.legend import Legend
from geopointseg.raster.scene import Scene
from geopointseg.sampling import PointSampler, SceneDataset, SparseMaskDataset, labels_on_image


def test_every_chip_around_field_points_holds_one(real_data):
    scene = Scene.open(real_data / "leipzig_s2" / "leipzig_raster.tif")
    points = read_points(real_data / "leipzig_s2" / "leipzig_points.gpkg")
    mask = labels_on_image(rasterize_points(points, scene.grid), scene)
    dataset = SceneDataset([scene]) & SparseMaskDataset([mask])
    sampler = PointSampler(dataset, size=48, length=64, balance=1)
    seen = np.zeros(len(mask.legend), dtype=int)
    for batch in DataLoader(dataset, batch_size=16, sampler=sampler, collate_fn=stack_samples):
        assert (batch["mask"] != -1).flatten(1).any(dim=1).all()
        assert batch["image"].isfinite().all()
        seen += np.bincount(batch["mask"][batch["mask"] != -1], minlength=len(seen))
    assert (seen > 0).all()


def test_points_of_overlapping_dates_read_their_own_scene(real_data):
    scenes = [Scene.open(path) for path in sorted((real_data / "naip_multidate").glob("*.tif"))]
    legend = Legend.from_names(["a", "b"])
    rows, cols = np.array([0, 400, 722]), np.array([0, 500, 933])
    masks = []
    for scene in scenes:
        x, y = scene.grid.pixel_to_world(rows + 0.5, cols + 0.5)
        points = Points.from_arrays(x, y, np.array([0, 1, 0]), legend, scene.grid.crs)
        masks.append(rasterize_points(points, scene.grid))
    dataset = SceneDataset(scenes) & SparseMaskDataset(masks, scenes=scenes)
    for index in PointSampler(dataset, size=32, inside=False):
        scene = next(scene for scene in scenes if scene.path == index.scene)
        row, col = scene.grid.world_to_pixel(index[0].start, index[1].stop)
        truth = scene.read(Window(round(float(col)), round(float(row)), 32, 32))
        sample = dataset[index]
        np.testing.assert_array_equal(sample["image"].numpy(), truth.image)
        np.testing.assert_array_equal(sample["valid"].numpy(), truth.valid)


def test_a_scene_is_seen_alike_however_its_crs_was_chosen(real_data):
    paths = sorted((real_data / "naip_multidate").glob("*.tif"))[:1]
    scene = Scene.open(paths[0], bands=[1, 2, 3])
    other = CRS.from_epsg(32613)
    dataset = SceneDataset([scene], crs=other, res=7.5)
    west, south, east, north = dataset.boxes[0]
    x, y = (west + east) / 2, (south + north) / 2
    here = dataset[x : x + 750, y : y + 750]
    home = SceneDataset([scene])
    home.crs, home.res = other, 7.5
    again = home[x : x + 750, y : y + 750]
    assert here["image"].shape == (3, 100, 100)
    assert here["valid"].all()
    np.testing.assert_array_equal(here["image"].numpy(), again["image"].numpy())
    whole = scene.read()
    close = here["image"].numpy().mean(axis=(1, 2))
    assert close == pytest.approx(whole.image[:, whole.valid].mean(axis=1), rel=0.5)
