"""Where pixels lie on the ground: the `Grid` of a raster.

A grid is a coordinate reference system, an affine transform and a shape. Every question about pixels and
places is asked of it, so that rotated, south-up and non-square grids are right everywhere or nowhere. World
coordinates are ``(x, y)``, pixel coordinates ``(row, col)`` with ``(0, 0)`` at the outer corner of the first
pixel; the centre of the first pixel is ``(0.5, 0.5)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.raster.crs import crs_name

__all__ = ["Bounds", "Grid", "clip_window", "crs_name", "transform_coordinates"]

Bounds = tuple[float, float, float, float]
"""West, south, east, north; or xmin, ymin, xmax, ymax in the grid's units."""

_TOLERATED_STRETCH = 0.01
"""Share by which a projection may stretch lengths before pixels are measured on the ground."""

_TRUE_IN_THEIR_ZONE = {"utm", "tmerc"}
"""Projections taken at their word: they stretch more only far outside of their zone, where made-up places lie."""


def transform_coordinates(
    x: ArrayLike, y: ArrayLike, source: CRS, target: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform world coordinates, each one exactly, always in x, y (longitude, latitude) order.

    Coordinates that the projection cannot place come back as infinity.

    Raises
    ------
    RasterError
        If no transformation between the two is known, as from a local or engineering CRS.
    """
    x = np.asarray(x, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64)
    if source == target or x.size == 0:
        return x, y
    from rasterio.warp import transform

    try:
        moved = transform(source, target, x.ravel(), y.ravel())[:2]
    except CPLE_BaseError:  # one coordinate that cannot be placed fails them all
        moved = _transform_placeable(x.ravel(), y.ravel(), source, target)
    return np.asarray(moved[0]).reshape(x.shape), np.asarray(moved[1]).reshape(y.shape)


def _transform_placeable(
    x: NDArray[np.float64], y: NDArray[np.float64], source: CRS, target: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform what can be placed; the rest is infinite."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        transformer = Transformer.from_crs(source.to_wkt(), target.to_wkt(), always_xy=True)
    except ProjError as error:
        here, there = (crs.to_wkt().split('"')[1] for crs in (source, target))
        raise RasterError(
            f"Nothing is known that leads from the coordinate reference system '{here}' to '{there}'. Expected both "
            "to be tied to the earth, which local and engineering systems are not; assign the right CRS in QGIS with "
            '"Assign projection" and save.'
        ) from error
    moved_x, moved_y = transformer.transform(x, y)
    lost = ~(np.isfinite(moved_x) & np.isfinite(moved_y))
    return np.where(lost, np.inf, moved_x), np.where(lost, np.inf, moved_y)


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
        Year to which coordinates in a CRS that moves with the earth's plates refer (2021.5), None where it is not told.

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
    def resolution_m(self) -> float:
        """Mean side of a pixel in metres, measured at the centre of the grid.

        Geodesic where the CRS has degrees, and where its projection stretches lengths there by more than one percent,
        as Web Mercator does; otherwise by the units of the CRS.
        """
        if self.crs.is_geographic:
            return self._ground_pixel_m()
        factor = self.crs.linear_units_factor[1] if self.crs.is_projected else 1.0
        planar = math.sqrt(math.prod(self.resolution)) * factor
        if not self.crs.is_projected or self.crs.to_dict().get("proj") in _TRUE_IN_THEIR_ZONE:
            return planar
        ground = self._ground_pixel_m()
        is_known = math.isfinite(ground) and ground > 0
        return ground if is_known and abs(planar / ground - 1) > _TOLERATED_STRETCH else planar

    def _ground_pixel_m(self) -> float:
        """Return the geodesic mean side of the central pixel; not finite where it cannot be placed."""
        import pyproj

        row, col = self.height / 2, self.width / 2
        x, y = self.pixel_to_world([row, row, row + 1], [col, col + 1, col])
        crs = pyproj.CRS.from_user_input(self.crs.to_wkt())
        if not self.crs.is_geographic:
            if crs.geodetic_crs is None:
                return math.nan
            geodetic = CRS.from_wkt(crs.geodetic_crs.to_wkt())
            x, y = transform_coordinates(x, y, self.crs, geodetic)
        geod = crs.get_geod() or pyproj.Geod(ellps="WGS84")
        _, _, distance = geod.inv(x[[0, 0]], y[[0, 0]], x[1:], y[1:])
        return math.sqrt(float(distance[0]) * float(distance[1]))

    def world_to_pixel(
        self, x: ArrayLike, y: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return fractional ``(row, col)`` of world coordinates in this grid's CRS."""
        inverse = ~self.transform
        x = np.asarray(x, dtype=np.float64)
        y = np.asarray(y, dtype=np.float64)
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

        The corners alone would cut off a bulging edge; ``steps`` points along each edge are transformed.
        """
        along = np.linspace(0.0, 1.0, steps)
        row = np.concatenate([along * 0, along * 0 + 1, along, along]) * self.height
        col = np.concatenate([along, along, along * 0, along * 0 + 1]) * self.width
        x, y = transform_coordinates(*self.pixel_to_world(row, col), self.crs, crs)
        finite = np.isfinite(x) & np.isfinite(y)
        if not finite.any():
            raise RasterError(
                f"The scene's extent cannot be placed in {crs_name(crs)}. "
                "Check that both coordinate reference systems are right."
            )
        x, y = x[finite], y[finite]
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def matches(self, other: Grid, tolerance_px: float = 1e-3) -> bool:
        """Whether two grids have one CRS and pixels that coincide to a tolerance.

        The shape does not matter: a crop of a grid matches it. Offsets must be whole pixels.
        """
        if self.crs != other.crs:
            return False
        to_pixel = ~self.transform @ other.transform
        linear = (to_pixel.a - 1, to_pixel.b, to_pixel.d, to_pixel.e - 1)
        reach = max(other.height, other.width)
        shift = (to_pixel.c - round(to_pixel.c), to_pixel.f - round(to_pixel.f))
        return all(abs(v) * reach <= tolerance_px for v in linear) and all(
            abs(v) <= tolerance_px for v in shift
        )

    def offset_of(self, other: Grid) -> tuple[int, int]:
        """Return the ``(row, col)`` in this grid of the first pixel of a matching grid."""
        to_pixel = ~self.transform @ other.transform
        return round(to_pixel.f), round(to_pixel.c)


def clip_window(window: Window, shape: tuple[int, int]) -> Window:
    """Return the part of a window that lies on a raster of the given ``(rows, cols)``; may be empty."""
    top = min(max(window.row_off, 0), shape[0])
    left = min(max(window.col_off, 0), shape[1])
    bottom = min(max(window.row_off + window.height, top), shape[0])
    right = min(max(window.col_off + window.width, left), shape[1])
    return Window(left, top, right - left, bottom - top)
