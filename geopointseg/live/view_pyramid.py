"""Windows of each pyramid level, and the pixels that a view shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.config import PredictionConfig
from geopointseg.errors import RasterError
from geopointseg.prediction.prediction_job import WINDOW_PX, resolve_overlap, trusted_margin
from geopointseg.prediction.tiling import Lattice, lay_lattice
from geopointseg.raster.grid import Bounds, Grid

MARGIN_PX = 128
"""Context of live models on every side of a pixel, in pixels; small windows answer a click sooner. Models keep it when saved."""
MOST_PIXELS = 2**24
"""Largest number of pixels of a view."""
_FARTHEST = 1e12
"""Larger than any coordinate of a body, in the units of a CRS."""


@dataclass(frozen=True, eq=False)
class LevelWindows:
    """The windows of one pyramid level, laid as `predict` lays them.

    Parameters
    ----------
    lattice
        Windows and their weights.
    """

    lattice: Lattice

    @classmethod
    def of(cls, shape: tuple[int, int], stride: int) -> LevelWindows:
        """Lay the windows of a level with rows and columns ``shape``."""
        settings = PredictionConfig(window_px=WINDOW_PX)
        overlap = resolve_overlap(settings, MARGIN_PX)
        return cls(
            lay_lattice(
                shape,
                window_px=settings.window_px,
                overlap_px=overlap,
                stride=stride,
                channels=2,
                blend=settings.blend,
                margin_px=trusted_margin(MARGIN_PX, overlap),
            )
        )

    def window(self, row: int, col: int) -> Window:
        """Return a window in pixels of the level."""
        rows, cols = self.lattice.rows, self.lattice.cols
        return Window(cols.origins[col], rows.origins[row], cols.size, rows.size)

    def touching(self, rows: slice, cols: slice) -> list[tuple[int, int]]:
        """Return the windows that have a weight in a region, row by row."""
        chosen = [
            _touching(axis.origins, profiles, span)
            for axis, profiles, span in zip(
                (self.lattice.rows, self.lattice.cols),
                self.lattice.profiles,
                (rows, cols),
                strict=True,
            )
        ]
        return [(i, j) for i in chosen[0] for j in chosen[1]]

    @cached_property
    def _owners(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        by_row, by_col = self.lattice.profiles
        return (
            _heaviest(self.lattice.rows.origins, by_row),
            _heaviest(self.lattice.cols.origins, by_col),
        )

    def owners(
        self, row: NDArray[np.int64], col: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return row and column of the window with the largest weight at each pixel, int64 ``(pixel,)``."""
        rows, cols = self._owners
        return rows[row], cols[col]


def _touching(
    origins: tuple[int, ...], profiles: list[NDArray[np.float32]], span: slice
) -> list[int]:
    found = []
    for number, (start, weights) in enumerate(zip(origins, profiles, strict=True)):
        first, last = max(span.start - start, 0), min(span.stop - start, len(weights))
        if first < last and weights[first:last].any():
            found.append(number)
    return found


def _heaviest(origins: tuple[int, ...], profiles: list[NDArray[np.float32]]) -> NDArray[np.int64]:
    best = np.zeros(origins[-1] + len(profiles[-1]), np.float32)
    owner = np.zeros(len(best), dtype=np.int64)
    for number, (start, weights) in enumerate(zip(origins, profiles, strict=True)):
        span = slice(start, start + len(weights))
        better = weights > best[span]
        owner[span][better] = number
        best[span] = np.maximum(best[span], weights)
    return owner


@dataclass(frozen=True, eq=False)
class ViewPixels:
    """The pixel of the imagery under each pixel of a view.

    Parameters
    ----------
    row, col
        int64 ``(view row, view col)``, or ``(view row, 1)`` and ``(1, view col)`` for imagery that is not rotated.
    inside
        bool ``(view row, view col)``.
    pixels_per_value
        Pixels of the imagery per pixel of the view, along one side.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    inside: NDArray[np.bool_]
    pixels_per_value: float

    @property
    def level(self) -> int:
        """Pyramid level whose pixels are nearest in size to those of the view."""
        return max(round(math.log2(max(self.pixels_per_value, 1e-9))), 0)

    def region(self, level: int) -> tuple[slice, slice] | None:
        """Return rows and columns of a level that the view needs; None where it lies outside."""
        if not self.inside.any():
            return None
        rows = (
            self.row[self.inside.any(axis=1)] if self.row.shape[1] == 1 else self.row[self.inside]
        )
        cols = (
            self.col[:, self.inside.any(axis=0)]
            if self.col.shape[0] == 1
            else self.col[self.inside]
        )
        rows, cols = rows >> level, cols >> level
        return (
            slice(int(rows.min()), int(rows.max()) + 1),
            slice(int(cols.min()), int(cols.max()) + 1),
        )

    def sample(
        self, values: NDArray[np.uint8], region: tuple[slice, slice], level: int
    ) -> NDArray[np.uint8]:
        """Return values at the pixels of the view.

        Parameters
        ----------
        values
            uint8 ``(row, col)`` of the region.
        region
            Rows and columns of the level.
        level
            Pyramid level.

        Returns
        -------
        ndarray
            uint8 ``(view row, view col)``; 255 outside.
        """
        row = ((self.row >> level) - region[0].start).clip(0, values.shape[0] - 1)
        col = ((self.col >> level) - region[1].start).clip(0, values.shape[1] - 1)
        found = np.full(self.inside.shape, 255, np.uint8)
        np.copyto(found, values[row, col], where=self.inside)
        return found


def place_view(grid: Grid, bounds: Bounds, width: int, height: int) -> ViewPixels:
    """Find the pixels of the imagery that a view shows.

    Parameters
    ----------
    grid
        Pixels of the imagery.
    bounds
        The view in the CRS of the grid.
    width, height
        Pixels of the view.

    Returns
    -------
    ViewPixels
        The nearest pixel of each pixel of the view.

    Raises
    ------
    RasterError
        If the bounds are empty, or the view has too many pixels.
    """
    west, south, east, north = bounds
    if not (west < east and south < north and math.isfinite(east - west + north - south)):
        raise RasterError(
            f"The view has the bounds {[west, south, east, north]}. Expected [xmin, ymin, xmax, ymax] with xmin < xmax and "
            "ymin < ymax."
        )
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise RasterError(
            f"The view has {width} x {height} pixels. Expected at least 1 x 1 and at most {MOST_PIXELS} pixels in total."
        )
    x = west + (np.arange(width) + 0.5) * ((east - west) / width)
    y = north - (np.arange(height) + 0.5) * ((north - south) / height)
    t = grid.transform
    if t.b == 0 and t.d == 0:
        row = grid.world_to_pixel(np.full(height, x[0]), y)[0][:, None]
        col = grid.world_to_pixel(x, np.full(width, y[0]))[1][None, :]
    else:
        row, col = grid.world_to_pixel(*np.meshgrid(x, y))
    inside = (row >= 0) & (row < grid.height) & (col >= 0) & (col < grid.width)
    rows, cols = (
        np.nan_to_num(np.floor(v)).clip(0, n - 1).astype(np.int64)
        for v, n in ((row, grid.height), (col, grid.width))
    )
    across, down = grid.resolution
    scale = math.sqrt(
        max((east - west) / width / across, 1e-9) * max((north - south) / height / down, 1e-9)
    )
    return ViewPixels(rows, cols, np.broadcast_to(inside, (height, width)), scale)


def read_bounds(value: object) -> Bounds:
    """Return the bounds of a message, or raise `RasterError`."""
    numbers = value if isinstance(value, list) else []
    good = [isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers]
    if len(numbers) != 4 or not all(good):
        raise RasterError(
            f"'bounds' is {str(value)[:60]}. Expected [xmin, ymin, xmax, ymax] in the CRS of the first raster."
        )
    if any(abs(v) > _FARTHEST for v in numbers):
        raise RasterError(
            f"'bounds' is {str(value)[:60]}. Expected coordinates in the CRS of the first raster, which are smaller."
        )
    west, south, east, north = (float(v) for v in numbers)
    return west, south, east, north
