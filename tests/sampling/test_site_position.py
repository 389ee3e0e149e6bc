"""Positions on the ground, and the pixels that they hold out together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from geopointseg.learning.selection import hold_out
from geopointseg.learning.training_imagery import TrainingImagery
from geopointseg.model.filter_bank import FilterBank
from geopointseg.model.filter_features import FeatureExtractor
from geopointseg.model.forest_fitting import FOLDS, ForestFitter, TrainingPixels
from geopointseg.raster.grid import Grid
from geopointseg.sampling.patch import LabelledPixels, Patch
from geopointseg.sampling.site_position import site_positions

SIDE = 400
GRID = Grid(CRS.from_epsg(32633), Affine(0.5, 0, 5e5, 0, -0.5, 5.7e6), SIDE, SIDE)


def make_patch(scene: int, grid: Grid, row: int = 0, col: int = 0) -> Patch:
    shape = grid.height, grid.width
    return Patch(scene, row, col, np.zeros((1, *shape), np.float32), np.ones(shape, bool), grid)


def make_pixels(patch: list[int], row: list[int], col: list[int]) -> LabelledPixels:
    places = (np.array(values, np.int64) for values in (patch, row, col))
    zeros = np.zeros(len(patch), np.int64)
    return LabelledPixels(*places, zeros, np.ones(len(patch), np.float32))


def test_scenes_elsewhere_keep_their_own_pixels() -> None:
    away = replace(GRID, transform=Affine.translation(1000, 0) @ GRID.transform)
    patches = [make_patch(0, GRID), make_patch(1, away), make_patch(1, away, row=500)]
    found = site_positions(patches, make_pixels([0, 1, 2], [3, 4, 5], [6, 7, 8]))
    assert found.tolist() == [[0, 3, 6], [1, 4, 7], [1, 505, 8]]


def test_a_place_has_one_position_on_all_dates() -> None:
    shifted = replace(GRID, transform=GRID.transform @ Affine.translation(-30, 20))
    coarser = replace(GRID, transform=GRID.transform @ Affine.scale(2))
    geographic = Grid(CRS.from_epsg(4326), Affine(1e-5, 0, 15.0, 0, -6e-6, 51.4509), SIDE, SIDE)
    patches = [make_patch(k, g) for k, g in enumerate((GRID, shifted, coarser, geographic))]
    found = site_positions(
        patches, make_pixels([0, 1, 2, 3], [100, 80, 50, 60], [100, 130, 50, 90])
    )
    assert found[:, 0].tolist() == [0, 0, 0, 0]
    assert found[:3, 1:].tolist() == [[100, 100], [100, 100], [101, 101]]
    x, y = geographic.pixel_to_world(60.5, 90.5)
    from pyproj import Transformer

    to_utm = Transformer.from_crs(4326, 32633, always_xy=True)
    row, col = GRID.world_to_pixel(*to_utm.transform(x, y))
    assert found[3, 1:].tolist() == [int(np.floor(row)), int(np.floor(col))]


def test_other_sites_and_bodies_are_no_error() -> None:
    local = replace(GRID, crs=CRS.from_wkt('LOCAL_CS["quarry",UNIT["metre",1]]'))
    found = site_positions(
        [make_patch(0, GRID), make_patch(1, local)], make_pixels([0, 1], [1, 1], [1, 1])
    )
    assert found[:, 0].tolist() == [0, 1]


def test_a_place_is_held_out_on_all_dates() -> None:
    generator = np.random.default_rng(0)
    patches = (make_patch(0, GRID), make_patch(1, GRID))
    row, col = np.tile(generator.integers(0, SIDE, (2, 120)), 2)
    index = np.tile(generator.integers(0, 3, 120), 2)
    labelled = LabelledPixels(np.repeat([0, 1], 120), row, col, index, np.ones(240, np.float32))
    imagery = TrainingImagery(patches, labelled, 3, 0.5)
    for seed in range(3):
        first, second = hold_out(imagery, labelled, 0.2, seed).reshape(2, -1)
        assert first.any()
        assert (first == second).all()


def fit_on(places: np.ndarray | None) -> ForestFitter:
    """Return a fitter of 20 pixels of noise, each in an image of its own."""
    generator, weight = np.random.default_rng(0), np.ones(1, np.float32)
    images = [
        (generator.normal(size=(2, 32, 32)).astype(np.float32), np.ones((32, 32), bool))
        for _ in range(20)
    ]
    pixels = [
        TrainingPixels(np.array([16]), np.array([16]), np.array([k % 2]), weight) for k in range(20)
    ]
    extractor = FeatureExtractor.fit(images, FilterBank())
    return ForestFitter.of(
        images, pixels, extractor, classes=2, trees=20, seed=0, dense=True, places=places
    )


def test_forests_are_tuned_on_pixels_that_they_did_not_see() -> None:
    place = np.arange(20) * 1000
    apart = np.column_stack([np.zeros(20, np.int64), place, place])
    for fitter in (fit_on(apart), fit_on(None)):
        counts = np.bincount(fitter._folds(), minlength=FOLDS)
        assert counts.min() > 0
        assert (
            min(fitter.tune().share_losses.values()) > 0.5
        )  # the classes are drawn: 0.69 is chance


def test_dates_of_one_place_are_no_folds() -> None:
    fitter = fit_on(np.zeros((20, 3), np.int64))
    assert fitter.tune().share_losses == {}
