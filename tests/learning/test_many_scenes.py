"""Training over scenes of different resolution and CRS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geopointseg.config import Config
from geopointseg.labels.points import Points
from geopointseg.learning.preparation import prepare
from geopointseg.legend import Legend
from geopointseg.progress import Reporter

LEGEND = Legend.from_names(["dark", "bright"])


def write(path: Path, side: int, resolution: float, left: float = 500_000) -> Path:
    image = np.random.default_rng(0).normal(60, 5, (1, side, side))
    image[:, :, side // 2 :] += 80
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=side, width=side, dtype="uint8", crs="EPSG:32633",
        transform=Affine(resolution, 0, left, 0, -resolution, 5_700_000),
    ) as target:  # fmt: skip
        target.write(image.astype(np.uint8))
    return path


def points(*lefts: float, scenes: list[str] | None = None) -> Points:
    offset = np.array([150.0, 250, 350, 650, 750, 850])
    x = (np.array(lefts)[:, None] + offset).ravel()
    index = np.tile([0, 0, 0, 1, 1, 1], len(lefts))
    return Points.from_arrays(
        x, np.full(x.shape, 5_699_505.0), index, LEGEND, "EPSG:32633", scene=scenes
    )


def test_scenes_of_another_pixel_size_are_learnt_from_in_the_first_ones(tmp_path: Path) -> None:
    fine = write(tmp_path / "fine.tif", 200, 5)
    coarse = write(tmp_path / "coarse.tif", 100, 10, left=600_000)
    with pytest.warns(UserWarning, match=r"'coarse.tif' are 10 m .* to pixels 0.5 times as large"):
        ready = prepare([fine, coarse], points(500_000, 600_000), [], Config(), 0, Reporter())
    assert [patch.image.shape[1:] for patch in ready.imagery.patches] == [(200, 200)] * 2
    labelled = ready.imagery.labelled
    image = [patch.image[0] for patch in ready.imagery.patches]
    assert sorted(labelled.patch) == [0] * 6 + [1] * 6
    for patch, row, col, index in zip(
        labelled.patch, labelled.row, labelled.col, labelled.class_index, strict=True
    ):
        assert (image[patch][row, col] > 100) == bool(index)


@pytest.mark.filterwarnings("ignore")
def test_points_belong_to_every_scene_that_shows_them_unless_they_name_one(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.tif", 100, 10), write(tmp_path / "two.tif", 100, 10)
    free = prepare([one, two], points(500_000), [], Config(), 0, Reporter())
    assert sorted(free.imagery.labelled.patch) == [0] * 6 + [1] * 6
    named = prepare(
        [one, two], points(500_000, scenes=["two.tif"] * 6), [], Config(), 0, Reporter()
    )
    assert set(named.imagery.labelled.patch) == {1}
