"""The `Grid` of a raster: its coordinate reference system, affine transform and shape.

All conversions between pixels and places are methods of the grid, so rotated, south-up and non-square grids need no
special treatment elsewhere. World coordinates are ``(x, y)``. Pixel coordinates are ``(row, col)`` with ``(0, 0)`` at the
outer corner of the first pixel, whose centre is ``(0.5, 0.5)``.

odc-geo's GeoBox does not replace it: it has no coordinate epoch, no period in x, no lengths on the ellipsoid of any body,
and a CRS class of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.raster.coordinates import (
    require_transformation,
    transform_coordinates,
    x_period_of,
)
from geopointseg.raster.crs import crs_name, crs_title
from geopointseg.raster.pixel_area import central_pixel_sides_m
from geopointseg.summary import described

__all__ = [
    "Bounds",
    "Grid",
    "clip_window",
    "crs_name",
    "crs_title",
    "require_transformation",
    "transform_coordinates",
]

Bounds = tuple[float, float, float, float]
"""West, south, east, north; or xmin, ymin, xmax, ymax in the grid's units."""

_HALF_PERIOD = 0.5 + 1e-12


@described
@dataclass(frozen=True)
class Grid:
    """A raster's coordinate reference system, affine transform, height and width.

    Parameters
    ----------
    crs
        Coordinate reference system.
    transform
        Maps ``(col, row)`` to ``(x, y)``.
    height, width
        Number of rows and columns.
    epoch
        Year to which coordinates in a dynamic CRS refer (2021.5), None where it is not declared.

    Examples
    --------
    >>> grid = Grid(CRS.from_epsg(32633), Affine(10, 0, 500000, 0, -10, 5700000), 100, 200)
    >>> grid.bounds
    (500000.0, 5699000.0, 502000.0, 5700000.0)
    >>> grid.world_to_pixel(500005.0, 5699995.0)
    (array(0.5), array(0.5))
    """

    crs: CRS
    transform: Affine
    height: int
    width: int
    epoch: float | None = field(default=None, compare=False)

    def _summary(self) -> list[str]:
        west, south, east, north = self.bounds
        width, height = self.resolution
        return [
            f"Grid: {self.height} rows x {self.width} columns, pixels of {width:.6g} x {height:.6g}, {crs_name(self.crs)}",
            f"x {west:.10g} to {east:.10g}, y {south:.10g} to {north:.10g}",
        ]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """The window of the whole grid."""
        return Window(0, 0, self.width, self.height)

    @property
    def bounds(self) -> Bounds:
        """The smallest box around the grid, in the grid's own coordinates."""
        return self.window_bounds(self.window)

    @property
    def resolution(self) -> tuple[float, float]:
        """Length of a pixel's side along the columns and along the rows, in the units of the CRS."""
        t = self.transform
        return math.hypot(t.a, t.d), math.hypot(t.b, t.e)

    @property
    def pixel_sides_m(self) -> tuple[float, float]:
        """Length of the central pixel's sides along the columns and along the rows, in metres on the ellipsoid.

        In the plane of the CRS where that distorts areas by less than 0.2 % there, as UTM and national grids do, and
        where the CRS has no ellipsoid; geodesic elsewhere.
        """
        return central_pixel_sides_m(self)

    @property
    def resolution_m(self) -> float:
        """Mean side of a pixel in metres on the ellipsoid, at the centre of the grid; see `pixel_sides_m`."""
        return math.sqrt(math.prod(self.pixel_sides_m))

    @cached_property
    def x_period(self) -> float | None:
        """Difference in x between a place and itself once around the body; None where x does not go around.

        360 degrees in a geographic CRS, the length of the equator in a cylindrical projection.
        """
        return x_period_of(self.crs)

    def nearest_x(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return x shifted by whole periods around the body to where it is nearest to the middle of the grid.

        Points in longitudes of -180 to 180 degrees are so found on a scene in 0 to 360 degrees, or across 180 degrees.
        """
        x = np.asarray(x, dtype=np.float64)
        period = self.x_period
        if period is None or not x.size:
            return x
        middle, _ = self.transform @ (self.width / 2, self.height / 2)
        with np.errstate(invalid="ignore"):
            around = (x - middle) / period
            if not (np.abs(around) > _HALF_PERIOD).any():
                return x
            return np.where(np.isfinite(around), x - np.round(around) * period, x)

    def shifted_towards(self, other: Grid) -> Grid:
        """Return this grid shifted by whole periods around the body to lie nearest to another one of the same CRS."""
        if self.x_period is None or self.crs != other.crs:
            return self
        middle, _ = self.transform @ (self.width / 2, self.height / 2)
        shift = float(other.nearest_x(middle)) - middle
        if shift == 0:
            return self
        return Grid(
            self.crs, Affine.translation(shift, 0) @ self.transform, self.height, self.width
        )

    def pixel_transform(self, other: Grid) -> Affine:
        """Return the transform from pixels of another grid of the same CRS, nearest around the body, to pixels of this."""
        step: Affine = ~self.transform @ other.shifted_towards(self).transform
        return step

    def world_to_pixel(
        self, x: ArrayLike, y: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return fractional ``(row, col)`` of world coordinates in this grid's CRS, the nearest where x goes around."""
        inverse = ~self.transform
        x = self.nearest_x(x)
        y = np.asarray(y, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            col = inverse.a * x + inverse.b * y + inverse.c
            row = inverse.d * x + inverse.e * y + inverse.f
        return np.asarray(row), np.asarray(col)

    def pixel_to_world(
        self, row: ArrayLike, col: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return world ``(x, y)`` of fractional pixel coordinates; add 0.5 for pixel centres."""
        t = self.transform
        row = np.asarray(row, dtype=np.float64)
        col = np.asarray(col, dtype=np.float64)
        return np.asarray(t.a * col + t.b * row + t.c), np.asarray(t.d * col + t.e * row + t.f)

    def window_transform(self, window: Window) -> Affine:
        """Return the affine transform of a window of this grid."""
        return self.transform @ Affine.translation(window.col_off, window.row_off)

    def window_bounds(self, window: Window) -> Bounds:
        """Return the smallest box around a window, in the grid's own coordinates."""
        top, left = window.row_off, window.col_off
        bottom, right = top + window.height, left + window.width
        x, y = self.pixel_to_world([top, top, bottom, bottom], [left, right, left, right])
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def crop(self, window: Window) -> Grid:
        """Return the grid of a window (which may reach beyond this grid)."""
        transform, height, width = self.window_transform(window), window.height, window.width
        return replace(self, transform=transform, height=int(height), width=int(width))

    def bounds_in(self, crs: CRS, steps: int = 21) -> Bounds:
        """Return the smallest box around the grid in another CRS, its edges transformed densely.

        The corners alone would cut off a curved edge, so ``steps`` points along each edge are transformed. Across 180
        degrees the box is in one piece: its west lies in -180 to 180 and its east may be larger. A pole on the grid is
        in the box.

        Parameters
        ----------
        crs
            The CRS of the box.
        steps
            Number of points along each edge.

        Returns
        -------
        tuple of float
            xmin, ymin, xmax, ymax.

        Raises
        ------
        RasterError
            If no part of the edge can be transformed.
        """
        along = np.linspace(0.0, 1.0, steps)
        row = np.concatenate([along * 0, along * 0 + 1, along, along]) * self.height
        col = np.concatenate([along, along, along * 0, along * 0 + 1]) * self.width
        if self.crs == crs:
            return self.bounds
        centre = self.pixel_to_world([self.height / 2], [self.width / 2])
        middle = transform_coordinates(*centre, self.crs, crs)
        x, y = transform_coordinates(*self.pixel_to_world(row, col), self.crs, crs)
        finite = np.isfinite(x) & np.isfinite(y)
        if not finite.any():
            raise RasterError(
                f"The scene's extent cannot be placed in {crs_name(crs)}. "
                "Check that both coordinate reference systems are right."
            )
        x, y = _unbroken(x[finite], float(middle[0][0]), crs), y[finite]
        return self._with_poles(
            (float(x.min()), float(y.min()), float(x.max()), float(y.max())), crs
        )

    def _with_poles(self, bounds: Bounds, crs: CRS) -> Bounds:
        """Return bounds in longitude and latitude that include the poles on the grid."""
        if not crs.is_geographic or self.crs.is_geographic:
            return bounds
        west, south, east, north = bounds
        quarter = math.pi / 2 / crs.units_factor[1]
        x, y = transform_coordinates([0.0, 0.0], [-quarter, quarter], crs, self.crs)
        row, col = self.world_to_pixel(x, y)
        with np.errstate(invalid="ignore"):
            inside = (row >= 0) & (row <= self.height) & (col >= 0) & (col <= self.width)
        if inside.any():
            west, east = -2 * quarter, 2 * quarter
        return west, -quarter if inside[0] else south, east, quarter if inside[1] else north

    def matches(self, other: Grid, tolerance_px: float = 1e-3) -> bool:
        """Whether two grids have one CRS and pixels that coincide to a tolerance.

        The shape does not matter: a crop of a grid matches it. Offsets must be whole pixels.
        """
        if self.crs != other.crs:
            return False
        to_pixel = self.pixel_transform(other)
        linear = (to_pixel.a - 1, to_pixel.b, to_pixel.d, to_pixel.e - 1)
        reach = max(other.height, other.width)
        shift = (to_pixel.c - round(to_pixel.c), to_pixel.f - round(to_pixel.f))
        return all(abs(v) * reach <= tolerance_px for v in linear) and all(
            abs(v) <= tolerance_px for v in shift
        )

    def offset_of(self, other: Grid) -> tuple[int, int]:
        """Return the ``(row, col)`` in this grid of the first pixel of a matching grid."""
        to_pixel = self.pixel_transform(other)
        return round(to_pixel.f), round(to_pixel.c)


def _unbroken(x: NDArray[np.float64], middle: float, crs: CRS) -> NDArray[np.float64]:
    """Return x shifted by whole periods next to a middle, all in one piece that begins less than half a period from 0."""
    period = x_period_of(crs)
    if period is None or not math.isfinite(middle):
        return x
    x = x - np.round((x - middle) / period) * period
    return (
        np.asarray(x - np.floor((x.min() + period / 2) / period) * period)
        if crs.is_geographic
        else x
    )


def slices_within(window: Window, part: Window) -> tuple[slice, slice]:
    """Return the rows and columns of an array of a window that a part of the window takes."""
    top, left = int(part.row_off - window.row_off), int(part.col_off - window.col_off)
    return slice(top, top + int(part.height)), slice(left, left + int(part.width))


def clip_window(window: Window, shape: tuple[int, int]) -> Window:
    """Return the part of a window that lies on a raster of the given ``(rows, cols)``; may be empty."""
    top = min(max(window.row_off, 0), shape[0])
    left = min(max(window.col_off, 0), shape[1])
    bottom = min(max(window.row_off + window.height, top), shape[0])
    right = min(max(window.col_off + window.width, left), shape[1])
    return Window(left, top, right - left, bottom - top)


def row_windows(window: Window, rows: int) -> Iterator[Window]:
    """Divide a window into windows of its width and of at most a number of rows, from top to bottom."""
    for top in range(0, window.height, rows):
        height = min(rows, window.height - top)
        yield Window(window.col_off, window.row_off + top, window.width, height)


def block_windows(shape: tuple[int, int], side: int) -> Iterator[Window]:
    """Divide rows and columns into square blocks, row by row; those at the right and lower border may be smaller."""
    for rows in row_windows(Window(0, 0, shape[1], shape[0]), side):
        for left in range(0, shape[1], side):
            yield Window(left, rows.row_off, min(side, shape[1] - left), rows.height)
