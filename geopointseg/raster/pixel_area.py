"""Areas of pixels: planar where the CRS is true to area, geodesic elsewhere.

UTM and national grids distort areas by less than 0.2 % where they are meant to be used. Their pixels have the area that
every GIS reports. In degrees, in Web Mercator at all latitudes and in polar grids away from their circle of true scale,
pixels have their area on the CRS's own ellipsoid, which may be that of Mars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.raster.crs import crs_name
from geopointseg.raster.datum import counts_longitude, datum_at, datum_of, is_angular
from geopointseg.raster.geodesy import measure_distance
from geopointseg.raster.planar_coordinates import TOLERATED_DISTORTION, measure_scale
from geopointseg.summary import described

if TYPE_CHECKING:
    from geopointseg.raster.grid import Grid

Array = NDArray[np.float64]

_MOST_ROWS, _MOST_COLS = 257, 65
_LEAST_STEP_M = 100.0
_EVEN = 1e-5


@described
@dataclass(frozen=True)
class AreaNote:
    """How areas are measured: ``planar`` (in the plane of the CRS) or ``geodesic``, and a sentence with the reason."""

    basis: Literal["planar", "geodesic"]
    sentence: str


@dataclass(frozen=True, eq=False)
class PixelAreas:
    """Areas of a grid's pixels in square metres, made by `PixelAreas.of`.

    Parameters
    ----------
    note
        How they are measured.
    by_row
        Mean area of the pixels of each row, float64 ``(row,)``.
    profile
        Area relative to the row's mean at some columns, ``(row, sample)``; None where all pixels of a row have the same
        area.
    at_col
        Columns of those samples, ``(sample,)``.
    """

    note: AreaNote
    by_row: Array
    profile: Array | None
    at_col: Array

    @classmethod
    def of(cls, grid: Grid) -> PixelAreas:
        """Measure a grid."""
        planar = planar_pixel_area(grid)
        rows, cols = _samples(grid.height, _MOST_ROWS), _samples(grid.width, _MOST_COLS)
        x, y = grid.pixel_to_world(rows[:, None], cols[None, :])
        if datum_at(x, grid.crs).is_planar:
            return cls._even(grid, planar, _planar(grid, tied=False))
        if is_angular(grid.crs) and _is_north_up(grid):
            return cls(_geodesic(grid), _area_of_parallels(grid), None, cols)
        scale = _scale_of_areas(grid, x, y)
        if not is_angular(grid.crs) and np.abs(scale - 1).max() <= TOLERATED_DISTORTION:
            return cls._even(grid, planar, _planar(grid, tied=True))
        mean = scale.mean(axis=1)
        at = np.arange(grid.height) + 0.5
        by_row = planar * np.interp(at, rows, mean)
        profile = scale / mean[:, None]
        if np.abs(profile - 1).max() <= _EVEN:
            return cls(_geodesic(grid), by_row, None, cols)
        every = np.stack([np.interp(at, rows, column) for column in profile.T], axis=1)
        return cls(_geodesic(grid), by_row, every, cols)

    @classmethod
    def _even(cls, grid: Grid, area: float, note: AreaNote) -> PixelAreas:
        return cls(note, np.full(grid.height, area), None, np.empty(0))

    def within(self, window: Window) -> Array:
        """Return the areas of a window's pixels, ``(row, col)``, or ``(row, 1)`` where they are the same in a row."""
        top, left = int(window.row_off), int(window.col_off)
        rows = slice(top, top + int(window.height))
        by_row = self.by_row[rows, None]
        if self.profile is None:
            return by_row
        col = np.arange(left, left + int(window.width)) + 0.5
        position = np.interp(col, self.at_col, np.arange(len(self.at_col)))
        low = np.minimum(position.astype(np.int64), len(self.at_col) - 2)
        part = self.profile[rows]
        share = position - low
        return np.asarray(by_row * (part[:, low] * (1 - share) + part[:, low + 1] * share))


def planar_pixel_area(grid: Grid) -> float:
    """Return the area of a pixel in the plane of its CRS, in square metres; for degrees in square units."""
    return abs(grid.transform.determinant) * datum_of(grid.crs).metres ** 2


@lru_cache(maxsize=256)
def central_pixel_sides_m(grid: Grid) -> tuple[float, float]:
    """Return the lengths of the central pixel's sides along the columns and along the rows, in metres on the ellipsoid.

    In the plane of the CRS where that distorts areas by less than 0.2 % there.
    """
    row, col = grid.height / 2, grid.width / 2
    x, y = grid.pixel_to_world(np.array([row]), np.array([col]))
    across, down = (side * datum_of(grid.crs).metres for side in grid.resolution)
    if datum_at(x, grid.crs).is_planar:
        return across, down
    if not is_angular(grid.crs):
        scale = _scale_of_areas(grid, x[None], y[None])
        if abs(float(scale[0, 0]) - 1) <= TOLERATED_DISTORTION:
            return across, down
    datum = datum_of(grid.crs)
    step = datum.radians * datum.semi_major_m if is_angular(grid.crs) else 1.0
    wide, high = (max(0.5, _LEAST_STEP_M / 2 / (side * step)) for side in (across, down))
    start = grid.pixel_to_world(np.array([row, row - high]), np.array([col - wide, col]))
    end = grid.pixel_to_world(np.array([row, row + high]), np.array([col + wide, col]))
    sides = measure_distance(*start, *end, grid.crs) / (2 * np.array([wide, high]))
    if not np.isfinite(sides).all() or not (sides > 0).all():
        return across, down
    return float(sides[0]), float(sides[1])


def _samples(count: int, most: int) -> Array:
    """Return pixel centres from the first to the last, evenly spread."""
    return np.linspace(0.5, max(count - 0.5, 0.5), min(max(count, 2), most))


def _is_north_up(grid: Grid) -> bool:
    t = grid.transform
    plain = counts_longitude(grid.crs) and not datum_of(grid.crs).is_planetocentric
    return t.b == 0 and t.d == 0 and plain


def _scale_of_areas(grid: Grid, x: Array, y: Array) -> Array:
    """Return area on the ellipsoid per area in the plane, ``(row, sample)``; 1 where the projection is not defined."""
    metres = datum_of(grid.crs).metres
    if is_angular(grid.crs):
        step = max(0.5 * max(grid.resolution), 1e-3)
    else:
        step = max(0.5 * max(grid.resolution), _LEAST_STEP_M / metres)
    least, most = measure_scale(x.ravel(), y.ravel(), grid.crs, step)
    scale = (least * most).reshape(x.shape)
    known = np.isfinite(scale) & (scale > 0)
    if known.all() or not known.any():
        return np.where(known, scale, 1.0)
    return np.where(known, scale, np.median(scale[known]))


def _area_of_parallels(grid: Grid) -> Array:
    """Return the area of a pixel of each row: the strip of the ellipsoid between its two parallels, in closed form."""
    datum = datum_of(grid.crs)
    edge = np.arange(grid.height + 1) * grid.transform.e + grid.transform.f
    sine = np.sin(np.clip(edge * datum.radians, -math.pi / 2, math.pi / 2))
    e = math.sqrt(max(1 - (datum.semi_minor_m / datum.semi_major_m) ** 2, 0.0))
    # area from the equator to a parallel, for one radian of longitude
    if e < 1e-9:
        zone = datum.semi_major_m**2 * sine
    else:
        zone = datum.semi_minor_m**2 / 2 * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)
    return np.asarray(np.abs(np.diff(zone)) * abs(grid.transform.a) * datum.radians)


def _planar(grid: Grid, *, tied: bool) -> AreaNote:
    name, unit = crs_name(grid.crs), datum_of(grid.crs).unit
    reason = (
        "which distorts areas by less than 0.2 % over the map"
        if tied
        else f"which has no ellipsoid or is used outside its zone; its unit is the {unit}"
    )
    return AreaNote("planar", f"Areas are planar, in the plane of {name}, {reason}.")


def _geodesic(grid: Grid) -> AreaNote:
    reason = (
        "whose unit is an angle"
        if is_angular(grid.crs)
        else "whose plane distorts areas by 0.2 % or more over the map"
    )
    return AreaNote(
        "geodesic", f"Areas are geodesic, on the ellipsoid of {crs_name(grid.crs)}, {reason}."
    )
