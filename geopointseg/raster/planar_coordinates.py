"""Planar coordinates in metres, and how far the plane of a CRS is true to scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geopointseg.raster.coordinates import geodetic_coordinates
from geopointseg.raster.datum import (
    Array,
    Datum,
    datum_at,
    datum_of,
    geod_of,
    is_angular,
    place_in_space,
)
from geopointseg.raster.geodesy import Positions

TOLERATED_DISTORTION = 0.002
"""Relative distortion of lengths or areas up to which distances and areas are measured in the plane of a CRS."""

_MOST_PLACES = 2000
_POLAR_LATITUDE = 80.0


def measure_scale(x: Array, y: Array, crs: CRS, step: float) -> tuple[Array, Array]:
    """Return the scale of a CRS's plane: metres on the ellipsoid per metre of the plane, least and most.

    Least and most are over the directions. The plane's metre is the unit of the CRS converted to metres; for degrees
    the unit itself.

    Parameters
    ----------
    x, y
        World coordinates, ``(place,)``.
    crs
        Their coordinate reference system.
    step
        Half of the length, in units of the CRS, over which the scale is measured.

    Returns
    -------
    least, most
        Metres on the ellipsoid per metre of the plane, float64 ``(place,)``; NaN where the projection is not defined.
        Their product is the scale of areas.
    """
    datum = datum_at(x, crs)
    if datum.is_planar:
        return np.ones(x.shape), np.ones(x.shape)
    across = _difference(x, y, (step, 0.0), crs, datum)
    up = _difference(x, y, (0.0, step), crs, datum)
    unit = 2 * step * datum.metres
    e, f, g = (
        (p * q).sum(axis=-1) / unit**2 for p, q in ((across, across), (across, up), (up, up))
    )
    half, spread = (e + g) / 2, np.hypot((e - g) / 2, f)
    product = np.sqrt(np.maximum(e * g - f**2, 0.0))
    most = np.sqrt(half + spread)
    return product / most, most


def _difference(x: Array, y: Array, offset: tuple[float, float], crs: CRS, datum: Datum) -> Array:
    """Return the geocentric vectors from one side of places to the other in metres, ``(place, 3)``."""
    sides = (
        place_in_space(*geodetic_coordinates(x + s * offset[0], y + s * offset[1], crs), datum)
        for s in (1, -1)
    )
    with np.errstate(invalid="ignore"):
        ahead, behind = sides
        return np.asarray(ahead - behind)


def is_true_to_scale(x: Array, y: Array, crs: CRS) -> bool:
    """Whether lengths in the plane of a CRS are those on the ellipsoid to 0.2 % at all places.

    Of more than 2000 places, the outermost ones and 2000 others are checked.

    Parameters
    ----------
    x, y
        World coordinates in ``crs``, float64 ``(place,)``.
    crs
        Their coordinate reference system.

    Returns
    -------
    bool
        True for a CRS without an ellipsoid, where only the plane can be measured.
    """
    chosen = _outermost_and_some(x, y)
    x, y = x[chosen], y[chosen]
    known = np.isfinite(x) & np.isfinite(y)
    if datum_at(x, crs).is_planar or not known.any():
        return True
    if is_angular(crs):
        return False
    least, most = measure_scale(x[known], y[known], crs, 100.0 / datum_of(crs).metres)
    gap = np.maximum(np.abs(least - 1), np.abs(most - 1))
    return bool(np.isfinite(gap).all() and gap.max() <= TOLERATED_DISTORTION)


def _outermost_and_some(x: Array, y: Array) -> NDArray[np.int64]:
    if len(x) <= _MOST_PLACES:
        return np.arange(len(x))
    with np.errstate(invalid="ignore"):
        sides = [np.where(np.isfinite(v), v, -np.inf).argmax() for v in (x, -x, y, -y, x + y, x - y, y - x, -x - y)]  # fmt: skip
    some = np.linspace(0, len(x) - 1, _MOST_PLACES).astype(np.int64)
    return np.union1d(some, np.array(sides, dtype=np.int64))


def search_coordinates(x: Array, y: Array, crs: CRS) -> Array:
    """Return coordinates in metres whose straight distances are never longer than the distances of `Positions`.

    For minimum distances that are enforced by comparing coordinates.

    Parameters
    ----------
    x, y
        World coordinates in ``crs``, float64 ``(place,)``.
    crs
        Their coordinate reference system.

    Returns
    -------
    numpy.ndarray
        float64 ``(place, 2)`` in a CRS that is true to scale, where straight distances are at most 0.2 % too short;
        ``(place, 3)`` elsewhere, where they are 1 mm too short at 10 km.
    """
    datum = datum_at(x, crs)
    if datum.is_planar or not is_true_to_scale(x, y, crs):
        return Positions.of(x, y, crs).space_m
    some = _outermost_and_some(x, y)
    least, _ = measure_scale(x[some], y[some], crs, 100.0 / datum.metres)
    return np.column_stack([x, y]) * (datum.metres * min(1.0, float(np.nanmin(least, initial=1.0))))


def local_plane(x: Array, y: Array, crs: CRS) -> Array:
    """Return coordinates in metres on a plane.

    The plane is that of the CRS where it is true to scale, otherwise an azimuthal equidistant projection around the
    middle of the places. Use it for axes and directions, and `Positions` for distances.

    Parameters
    ----------
    x, y
        World coordinates in ``crs``, float64 ``(place,)``.
    crs
        Their coordinate reference system.

    Returns
    -------
    numpy.ndarray
        float64 ``(place, 2)``; infinite where a place cannot be found.
    """
    datum = datum_at(x, crs)
    if is_true_to_scale(x, y, crs):
        return np.column_stack([x, y]) * datum.metres
    lon, lat = geodetic_coordinates(x, y, crs)
    space = place_in_space(lon, lat, datum)
    known = np.isfinite(space).all(axis=1)
    plane = np.full((len(x), 2), np.inf)
    if known.any():
        middle = np.median(space[known], axis=0)
        lon_0 = math.degrees(math.atan2(middle[1], middle[0]))
        lat_0 = math.degrees(math.atan2(middle[2], math.hypot(middle[0], middle[1])))
        around = _projection("aeqd", lon_0, lat_0, datum)
        plane[known] = np.column_stack(around(lon[known], lat[known]))
    return plane


def _projection(name: str, lon_0: float, lat_0: float, datum: Datum) -> Any:
    from pyproj import Proj

    axes: dict[str, Any] = {"a": datum.semi_major_m, "b": datum.semi_minor_m}
    return Proj(proj=name, lon_0=lon_0, lat_0=lat_0, **axes)


def assign_cells(x: Array, y: Array, crs: CRS, side_m: float) -> NDArray[np.int64]:
    """Return the square cell that each place lies in.

    In a CRS that is true to scale, cells start at whole multiples of their side in its plane. Elsewhere they do not
    depend on the CRS: rows follow parallels, and each row is divided into a whole number of equal cells, so that the
    cells at 180 degrees are not narrower. Beyond 80 degrees of latitude, rows and columns are those of an equal-area
    projection centred on the pole.

    Sides are right to 0.2 % in the plane of a CRS, and elsewhere to 1 % up to 10 km.

    Parameters
    ----------
    x, y
        World coordinates in ``crs``, float64 ``(place,)``.
    crs
        Their coordinate reference system.
    side_m
        Side of a cell in metres.

    Returns
    -------
    numpy.ndarray
        int64 ``(place, 3)``: zone (0, or 1 and 2 near the poles), column and row.
    """
    datum = datum_at(x, crs)
    if is_true_to_scale(x, y, crs):
        cell = np.column_stack([np.zeros(len(x)), x, y]) * (datum.metres / side_m)
        return _whole(cell)
    lon, lat = geodetic_coordinates(x, y, crs)
    polar = np.abs(lat) >= _POLAR_LATITUDE
    return np.where(
        polar[:, None],
        _polar_cells(lon, lat, datum, side_m),
        _banded_cells(lon, lat, datum, side_m),
    )


def _whole(cell: Array) -> NDArray[np.int64]:
    lost = ~np.isfinite(cell)
    return np.where(
        lost, np.iinfo(np.int64).max, np.floor(np.where(lost, 0.0, cell)).astype(np.int64)
    )


def _banded_cells(lon: Array, lat: Array, datum: Datum, side_m: float) -> NDArray[np.int64]:
    geod = geod_of(datum)
    zero = np.zeros(len(lat))
    known = np.isfinite(lat)
    height = np.where(known, geod.inv(zero, zero, zero, np.where(known, lat, 0.0))[2], np.inf)
    row = np.floor(np.copysign(height, lat) / side_m)
    middle = np.where(known, (row + 0.5) * side_m, 0.0)
    azimuth = np.where(middle >= 0, 0.0, 180.0)
    parallel = geod.fwd(zero, zero, azimuth, np.abs(middle))[1]
    radius = place_in_space(zero, parallel, datum)[:, 0]
    pieces = np.maximum(np.round(2 * np.pi * radius / side_m), 1.0)
    col = np.floor(np.mod(lon / 360.0 + 0.5, 1.0) * pieces)
    return _whole(np.column_stack([zero, col, row]))


def _polar_cells(lon: Array, lat: Array, datum: Datum, side_m: float) -> NDArray[np.int64]:
    north = lat > 0
    cell = np.full((len(lat), 3), np.inf)
    for part, of, lat_0 in ((1.0, north, 90.0), (2.0, ~north, -90.0)):
        here = of & np.isfinite(lat)
        x, y = _projection("laea", 0.0, lat_0, datum)(lon[here], lat[here])
        cell[here] = np.column_stack([np.full(len(x), part), x / side_m, y / side_m])
    return _whole(cell)
