"""Small vector files and scenes for the tests of labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS

from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import Scene

UTM = "EPSG:32633"


@pytest.fixture
def write_layer(tmp_path: Path) -> Callable[..., Path]:
    """Write a layer with geopandas: ``write_layer(name, geometry, crs=..., layer=..., **columns)``."""

    def write(
        name: str,
        geometry: list[Any],
        /,
        *,
        crs: str | None = UTM,
        layer: str | None = None,
        **columns: Any,
    ) -> Path:
        path = tmp_path / name
        frame = gpd.GeoDataFrame(columns, geometry=geometry, crs=crs)
        options = {"layer": layer} if layer else {}
        frame.to_file(path, engine="pyogrio", **options)
        return path

    return write


@pytest.fixture
def write_scene(tmp_path: Path) -> Callable[..., Scene]:
    """Write a scene: ``write_scene(image (band, row, col), transform=..., nodata=...)``."""

    def write(
        image: Any,
        name: str = "scene.tif",
        *,
        transform: Affine | None = None,
        crs: str = UTM,
        **profile: Any,
    ) -> Scene:
        image = np.asarray(image)
        path = tmp_path / name
        transform = transform or Affine(10, 0, 500_000, 0, -10, 5_700_000)
        with rasterio.open(
            path, "w", driver="GTiff", count=image.shape[0], height=image.shape[1], width=image.shape[2],
            dtype=image.dtype, crs=crs, transform=transform, **profile,
        ) as dataset:  # fmt: skip
            dataset.write(image)
        return Scene.open(path)

    return write


@pytest.fixture
def grid() -> Grid:
    """A plain north-up grid of 40 rows and 60 columns with pixels of 10 m."""
    return Grid(CRS.from_string(UTM), Affine(10, 0, 500_000, 0, -10, 5_700_000), 40, 60)


def pixel_points(*places: tuple[float, float]) -> list[shapely.Point]:
    """Return points at fractional ``(row, col)`` of the plain grid."""
    return [shapely.Point(500_000 + 10 * col, 5_700_000 - 10 * row) for row, col in places]
