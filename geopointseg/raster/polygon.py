"""Lines and polygons in the CRS of a grid, with dense vertices, shifted by 360 degrees to where the grid lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from geopointseg.raster.coordinates import transform_coordinates, x_period_of
from geopointseg.raster.grid import Grid

_PIECES = 32
"""Pieces into which the longest side of a shape is cut before it is moved."""


def move_shapes(shapes: NDArray[np.object_], source: CRS, target: CRS) -> NDArray[np.object_]:
    """Transform lines and polygons to another CRS, with extra vertices on long edges.

    The extra vertices let edges bend as the projection does.

    Parameters
    ----------
    shapes
        Shapely geometries, object ``(shape,)``.
    source, target
        The CRSs to transform from and to.

    Returns
    -------
    numpy.ndarray
        Geometries in ``target``, object ``(shape,)``. A shape across 180 degrees stays in one piece: its x may be
        beyond the usual range.
    """
    bounds = shapely.bounds(shapes)
    longest = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    dense = shapely.force_2d(shapes)
    is_long = longest > 0  # segmentize fails on shapes whose vertices are all at one place
    dense[is_long] = shapely.segmentize(dense[is_long], longest[is_long] / _PIECES)

    def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transform_coordinates(xy[:, 0], xy[:, 1], source, target))

    moved: NDArray[np.object_] = shapely.transform(dense, move)
    period, source_period = x_period_of(target), x_period_of(source)
    if period is None:
        return moved
    narrow = np.ones(len(moved), dtype=bool)
    if source_period is not None:
        narrow = bounds[:, 2] - bounds[:, 0] <= source_period / 2
    width = shapely.bounds(moved)[:, 2] - shapely.bounds(moved)[:, 0]
    for index in np.flatnonzero(narrow & (width > period / 2)):
        moved[index] = _in_one_piece(moved[index], period)
    return moved


def nearest_shape(shape: Any, grid: Grid) -> Any:
    """Return a shape in the CRS of a grid, shifted as a whole around the body to where it is nearest to the grid."""
    if grid.x_period is None:
        return shape
    west, _, east, _ = shapely.bounds(shape)
    middle = (west + east) / 2
    shift = float(grid.nearest_x(middle)) - middle
    if not np.isfinite(shift) or shift == 0:
        return shape
    return shapely.transform(shape, lambda xy: xy + np.array([shift, 0.0]))


def _in_one_piece(shape: Any, period: float) -> Any:
    def gather(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x = xy[:, 0]
        return np.column_stack([x - np.round((x - x[0]) / period) * period, xy[:, 1]])

    return shapely.transform(shape, gather)
