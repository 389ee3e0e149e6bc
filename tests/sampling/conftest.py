"""Scenes whose pixels encode their own coordinates, and masks whose classes follow from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geopointseg.labels.sparse_mask import SparseMask
from geopointseg.legend import Legend
from geopointseg.raster.grid import Grid, transform_coordinates
from geopointseg.raster.scene import Scene

NORTH_UP = Affine(10, 0, 500000, 0, -10, 5700000)
LEGEND = Legend.from_names(["water", "forest", "town"])

MakeScene = Callable[..., Scene]
MakeMask = Callable[..., SparseMask]


def encoded(height: int, width: int, number: float = 1) -> np.ndarray:
    """Band 1 is the row, band 2 the column, both from 1; band 3 tells the scene."""
    rows, cols = np.mgrid[0:height, 0:width] + 1
    return np.stack([rows, cols, np.full((height, width), number)]).astype("float32")


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeScene:
    def make(
        name: str = "scene.tif",
        height: int = 60,
        width: int = 80,
        *,
        number: float = 1,
        crs: str = "EPSG:32633",
        transform: Affine = NORTH_UP,
        nodata_at: tuple[slice, slice] | None = None,
        **options: Any,
    ) -> Scene:
        image = encoded(height, width, number)
        if nodata_at is not None:
            image[(slice(None), *nodata_at)] = -9999
            options["nodata"] = -9999
        profile = {"driver": "GTiff", "dtype": "float32", "count": 3, "crs": crs}
        profile |= {"height": height, "width": width, "transform": transform} | options
        with rasterio.open(tmp_path / name, "w", **profile) as target:
            target.write(image)
        return Scene.open(tmp_path / name)

    return make


def _class_at(row: np.ndarray, col: np.ndarray) -> np.ndarray:
    return ((row // 7 + col // 5) % 3).astype("int16")


@pytest.fixture
def make_mask() -> MakeMask:
    def make(grid: Grid, count: int = 30, seed: int = 0, pixels: Any = None) -> SparseMask:
        if pixels is None:
            chosen = np.random.default_rng(seed).choice(grid.height * grid.width, count, False)
        else:
            chosen = np.array([row * grid.width + col for row, col in pixels])
        row, col = np.divmod(np.sort(chosen), grid.width)
        weight = (1 + (row % 4)).astype("float32")
        return SparseMask(
            grid, row.astype("int32"), col.astype("int32"), _class_at(row, col), weight, LEGEND
        )

    return make


@pytest.fixture
def class_at() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Tell the class that a pixel of a scene has in every test."""
    return _class_at


@pytest.fixture
def place_error_px() -> Callable[..., np.ndarray]:
    """Return how far, in scene pixels, each valid pixel of a sample lies from where its values say it is."""

    def measure(sample: dict[str, Any], scene: Scene, crs: CRS | None = None) -> np.ndarray:
        transform = Affine(*sample["transform"].tolist()[:6])
        valid = sample["valid"].numpy()
        row, col = np.nonzero(valid)
        x, y = transform @ (col + 0.5, row + 0.5)
        x, y = transform_coordinates(x, y, crs or scene.grid.crs, scene.grid.crs)
        true_row, true_col = scene.grid.world_to_pixel(x, y)
        image = sample["image"].numpy()[:2, valid] - 0.5
        return np.hypot(image[0] - true_row, image[1] - true_col)

    return measure
