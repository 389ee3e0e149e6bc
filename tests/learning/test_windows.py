"""Training on large scenes looks at all labels, and at some ground without any."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from affine import Affine

from geopointseg.config import SamplingConfig
from geopointseg.labels.sparse_mask import SparseMask
from geopointseg.learning.training_imagery import _without_extremes, read_training_imagery
from geopointseg.progress import Reporter
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import Scene
from geopointseg.sampling import choose_windows, locate_labels
from geopointseg.sampling.patch import Patch
from tests.learning.conftest import CRS_, LEGEND, Recorder, write_place

CHIP = 16


def scene(height: int, width: int) -> SimpleNamespace:
    """Stand in for a scene that is not read."""
    return SimpleNamespace(grid=grid_of(height, width))


def grid_of(height: int, width: int) -> Grid:
    return Grid(CRS_, Affine(10, 0, 500000, 0, -10, 5700000), height, width)


def mask_of(row, col, index, grid) -> SparseMask:
    labels = np.full(grid.shape, -1)
    labels[row, col] = index
    return SparseMask.from_array(labels, grid, LEGEND)


def nearest_edge(mask: SparseMask, windows) -> np.ndarray:
    """Return how far each labelled pixel lies inside of the window that shows most around it; negative outside."""
    best = np.full(len(mask), -1)
    for _, w in windows:
        row, col = mask.row - w.row_off, mask.col - w.col_off
        inside = np.minimum.reduce([row, col, w.height - 1 - row, w.width - 1 - col])
        best = np.maximum(best, inside)
    return best


@pytest.mark.parametrize("count", [5, 60, 200])
def test_all_labels_are_looked_at_however_they_are_spread(count) -> None:
    place, generator = scene(1500, 1500), np.random.default_rng(count)
    row, col = generator.integers(100, 1400, (2, count))
    mask = mask_of(row, col, generator.integers(0, 3, count), place.grid)
    room = 200 * (2 * CHIP) ** 2 * 4 // 3
    windows = choose_windows([place], [[mask]], room=room, chip_size=CHIP, seed=0)
    assert sum(w.height * w.width for _, w in windows) <= room
    assert nearest_edge(mask, windows).min() >= 0.35 * CHIP
    assert any(nearest_edge(mask, [w]).max() < 0 for w in windows), "some ground without labels"


def test_rare_classes_keep_their_labels_where_not_all_fit() -> None:
    place, generator = scene(3000, 3000), np.random.default_rng(0)
    row, col = generator.integers(0, 3000, (2, 900))
    index = np.where(np.arange(900) < 6, 2, np.arange(900) % 2)
    mask = mask_of(row, col, index, place.grid)
    windows = choose_windows([place], [[mask]], room=40_000, chip_size=CHIP, seed=0)
    seen = nearest_edge(mask, windows) >= 0
    assert seen[mask.class_index == 2].all()
    assert 30 < seen.sum() < 400
    again = choose_windows([place], [[mask]], room=40_000, chip_size=CHIP, seed=0)
    assert [w for _, w in again] == [w for _, w in windows]


def test_scenes_that_fit_are_kept_whole() -> None:
    places = [scene(40, 50), scene(30, 20)]
    windows = choose_windows(places, [[], []], room=2600, chip_size=CHIP, seed=0)
    assert [(w.height, w.width) for _, w in windows] == [(40, 50), (30, 20)]


def test_a_label_on_two_patches_counts_once() -> None:
    valid = np.ones((20, 20), dtype=bool)
    image = np.zeros((1, 20, 20), dtype=np.float32)
    patches = [
        Patch(scene, 0, col, image, valid, grid_of(20, 20))
        for scene, col in ((0, 0), (0, 12), (1, 0))
    ]
    mask = mask_of([5, 5, 5], [3, 14, 17], [0, 1, 2], grid_of(20, 32))
    labelled = locate_labels(patches, [mask, None])
    assert labelled.patch.tolist() == [0, 0, 1]
    assert (labelled.col + np.array([0, 0, 12])).tolist() == [3, 14, 17]


def test_labels_that_are_left_out_are_told(place) -> None:
    scene = Scene.open(place.path)
    row, col = np.mgrid[4 : scene.grid.height : 12, 4 : scene.grid.width : 12].reshape(2, -1)
    mask = mask_of(row, col, np.arange(len(row)) % 3, scene.grid)
    recorder = Recorder()
    sampling = SamplingConfig(chip_size=8, area_mpx=0.002)
    imagery = read_training_imagery(
        [scene], [mask], classes=3, sampling=sampling, seed=0, reporter=recorder.reporter
    )
    assert 0 < len(imagery.labelled) < len(mask)
    assert f"of {len(mask)} labelled pixels lie too far" in recorder.said("warning")


def test_pixels_marked_for_validation_are_looked_at(tmp_path) -> None:
    far = write_place(tmp_path, height=200, width=200, seed=3)
    scene = Scene.open(far.path)
    learnt = mask_of([20, 24], [20, 30], [0, 1], scene.grid)
    marked = mask_of([180], [170], [2], scene.grid)
    imagery = read_training_imagery(
        [scene], [learnt], classes=3, sampling=SamplingConfig(chip_size=8, area_mpx=0.003), seed=0,
        reporter=Reporter(), marked=[marked],
    )  # fmt: skip
    assert len(locate_labels(imagery.patches, [marked])) == 1


def test_no_window_is_kept_twice() -> None:
    place = scene(400, 400)
    mask = mask_of([0, 6, 390], [3, 3, 390], [0, 1, 2], place.grid)
    windows = choose_windows([place], [[mask]], room=3 * 16**2 * 4 // 3, chip_size=CHIP, seed=0)
    assert len(set(windows)) == len(windows) >= 2


def test_undeclared_nodata_is_not_learnt_from() -> None:
    image = np.random.default_rng(0).normal(100, 20, (2, 64, 64)).astype(np.float32)
    image[:, :4, :4] = -3.4028235e38
    patch = Patch(0, 0, 0, image, np.ones((64, 64), bool), grid_of(64, 64))
    scenes = [SimpleNamespace(name="s.tif")]
    with pytest.warns(UserWarning, match="16 pixels of 's.tif' have values such as -3.4028"):
        (kept,) = _without_extremes([patch], scenes, Reporter())
    assert (~kept.valid).sum() == 16
    assert np.abs(kept.image).max() < 1000
    (same,) = _without_extremes([kept], scenes, Reporter())
    assert same is kept


def kept_of(image: np.ndarray, scene: int = 0) -> np.ndarray:
    """Return which pixels of an image are learnt from."""
    patch = Patch(scene, 0, 0, image.astype(np.float32), np.ones((64, 64), bool), grid_of(64, 64))
    scenes = [SimpleNamespace(name="a.tif"), SimpleNamespace(name="b.tif")]
    return _without_extremes([patch], scenes, Reporter())[0].valid


@pytest.mark.parametrize("common", [-0.1, 1.0, 58.3, 0.0])
def test_rare_values_of_imagery_with_one_common_value_are_learnt_from(common) -> None:
    image = np.full((2, 64, 64), common)
    image[:, :2] = np.random.default_rng(0).uniform(0, 9000, (2, 2, 64))
    assert kept_of(image).all()


def test_a_band_that_is_mostly_zero_does_not_hide_values_of_another() -> None:
    image = np.zeros((2, 64, 64))
    image[1] = np.random.default_rng(0).normal(100, 20, (64, 64))
    image[1, 5, 5] = -3.4028235e38
    with pytest.warns(UserWarning, match="1 pixels of 'b.tif'"):
        assert (~kept_of(image, scene=1)).sum() == 1
