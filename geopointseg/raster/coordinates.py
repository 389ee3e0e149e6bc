"""Transformation of coordinates by PROJ, always in x, y order, with an error where there is none.

Longitude and latitude are those on the CRS's own ellipsoid, which may be that of another body than the earth.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS

from geopointseg.errors import RasterError
from geopointseg.process import use_own_geodata
from geopointseg.raster.crs import is_own_name, own_name, quote_crs
from geopointseg.raster.datum import (
    Array,
    counts_longitude,
    datum_of,
    describe_reference_body,
    is_angular,
)

_CYLINDRICAL = {"merc", "webmerc", "eqc", "cea", "mill", "gall", "comill"}


def transform_coordinates(
    x: ArrayLike, y: ArrayLike, source: CRS, target: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform world coordinates, each one exactly, always in x, y (longitude, latitude) order.

    Parameters
    ----------
    x, y
        World coordinates in ``source``, of one shape.
    source, target
        The CRSs to transform from and to.

    Returns
    -------
    x, y
        World coordinates in ``target``, float64 of the same shape; infinite where the projection is not defined.

    Raises
    ------
    RasterError
        If no transformation between the two is known, as from a local or engineering CRS.
    """
    x = np.asarray(x, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64)
    if source == target or x.size == 0:
        return x, y
    use_own_geodata()
    ratio = require_transformation(source, target)
    if ratio is not None:
        return x * ratio, y * ratio
    from rasterio.warp import transform

    try:
        moved = transform(source, target, x.ravel(), y.ravel())[:2]
    except CPLE_BaseError:  # one coordinate that cannot be placed fails them all
        moved = _transform_placeable(x.ravel(), y.ravel(), source, target)
    return np.asarray(moved[0]).reshape(x.shape), np.asarray(moved[1]).reshape(y.shape)


def require_transformation(source: CRS, target: CRS) -> float | None:
    """Raise `RasterError` unless coordinates of one CRS can be transformed to another.

    Returns
    -------
    float or None
        Units of the target in a unit of the source where both are one site grid, so that nothing but the unit differs;
        None where PROJ transforms.
    """
    if source == target:
        return None
    here, there = datum_of(source), datum_of(target)
    if here.is_planar and there.is_planar:
        if _is_same_site(source, target):
            return here.metres / there.metres
    elif not here.is_planar and not there.is_planar and here.is_on_body_of(there):
        return None
    raise RasterError(
        f"No transformation leads from the coordinate reference system {quote_crs(source)} to {quote_crs(target)}: the first "
        f"is tied to {describe_reference_body(source)}, the second to {describe_reference_body(target)}. Expected both on the same body or site grid; give "
        'data in the CRS of the raster, or correct the wrong CRS in QGIS with "Assign projection".'
    )


def _is_same_site(source: CRS, target: CRS) -> bool:
    """Whether two CRSs that are tied to no body are one: of one name, or one of them of no name."""
    names = [own_name(crs).casefold() for crs in (source, target)]
    return names[0] == names[1] or not all(map(is_own_name, names))


def _transform_placeable(
    x: NDArray[np.float64], y: NDArray[np.float64], source: CRS, target: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform what can be placed; the rest is infinite."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        transformer = Transformer.from_crs(source.to_wkt(), target.to_wkt(), always_xy=True)
    except ProjError as error:
        raise RasterError(
            f"PROJ has no transformation from the coordinate reference system {quote_crs(source)} to {quote_crs(target)}. "
            'Expected one; correct the wrong CRS in QGIS with "Assign projection", or give data in the CRS of the raster.'
        ) from error
    moved_x, moved_y = transformer.transform(x, y)
    lost = ~(np.isfinite(moved_x) & np.isfinite(moved_y))
    return np.where(lost, np.inf, moved_x), np.where(lost, np.inf, moved_y)


def geodetic_coordinates(x: ArrayLike, y: ArrayLike, crs: CRS) -> tuple[Array, Array]:
    """Return longitude and latitude in degrees on the CRS's own ellipsoid.

    Parameters
    ----------
    x, y
        World coordinates in ``crs``, ``(point,)``.
    crs
        A CRS that is tied to a body.

    Returns
    -------
    lon, lat
        Degrees, float64 ``(point,)``; infinite where the projection is not defined.
    """
    datum = datum_of(crs)
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if datum.geodetic is None:
        return np.full(x.shape, np.inf), np.full(x.shape, np.inf)
    if crs != datum.geodetic and not counts_longitude(crs):
        x, y = transform_coordinates(x, y, crs, datum.geodetic)
    degrees = math.degrees(datum.radians)
    lon, lat = x * degrees, y * degrees
    if datum.is_planetocentric:
        stretch = (datum.semi_major_m / datum.semi_minor_m) ** 2
        lat = np.degrees(np.arctan(stretch * np.tan(np.radians(lat))))
    lost = ~(np.isfinite(lon) & (np.abs(lat) <= 90 + 1e-9))
    return np.where(lost, np.inf, lon), np.where(lost, np.inf, np.clip(lat, -90, 90))


@lru_cache(maxsize=256)
def x_period_of(crs: CRS) -> float | None:
    """Return the difference in x once around the body, None where x does not go around; see `Grid.x_period`."""
    datum = datum_of(crs)
    if datum.geodetic is None:
        return None
    if is_angular(crs):
        return 2 * math.pi / datum.radians
    described = crs.to_dict()
    if described.get("proj") not in _CYLINDRICAL:
        return None
    middle = float(described.get("lon_0", 0.0)) * math.radians(1) / datum.radians
    sides = [middle - 10, middle + 10]
    x, _ = transform_coordinates(sides, [0.0, 0.0], datum.geodetic, crs)
    period = abs(float(x[1] - x[0])) * 2 * math.pi / (20 * datum.radians)
    return period if math.isfinite(period) and period > 0 else None
