"""Geometry on the way from features to labels: parts, representative places, exact transformation."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from geopointseg.raster.grid import transform_coordinates

_POINT, _MULTIPOINT, _COLLECTION = 0, 4, 7
_VERTICES_ALONG_EDGE = 32
_NO_TRUE_METRES = (3857, 900913, 3785)


def explode_parts(
    geometries: NDArray[np.object_],
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Split multipoints and collections into parts; return the parts and the feature of each."""
    feature = np.flatnonzero(~(shapely.is_missing(geometries) | shapely.is_empty(geometries)))
    parts = geometries[feature]
    split = np.isin(shapely.get_type_id(parts), (_MULTIPOINT, _COLLECTION))
    if split.any():
        pieces, owner = shapely.get_parts(parts[split], return_index=True)
        order = np.argsort(np.concatenate([feature[~split], feature[split][owner]]), kind="stable")
        parts = np.concatenate([parts[~split], pieces])[order]
        feature = np.concatenate([feature[~split], feature[split][owner]])[order]
    whole = np.isfinite(shapely.bounds(parts)).all(axis=1)
    return parts[whole], feature[whole]


def find_places(
    parts: NDArray[np.object_],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.object_] | None]:
    """Return a place on each geometry as x and y, and the lines and polygons (None if all are points)."""
    drawn = shapely.get_type_id(parts) != _POINT
    if not drawn.any():
        return shapely.get_x(parts), shapely.get_y(parts), None
    places = parts.copy()
    places[drawn] = shapely.point_on_surface(parts[drawn])
    shapes = parts.copy()
    shapes[~drawn] = None
    return shapely.get_x(places), shapely.get_y(places), shapes


def transform_shapes(shapes: NDArray[np.object_], source: CRS, target: CRS) -> NDArray[np.object_]:
    """Transform lines and polygons, with extra vertices on long edges so that they bend as the projection does."""
    bounds = shapely.bounds(shapes)
    longest = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    dense = shapely.segmentize(
        shapes, np.maximum(longest / _VERTICES_ALONG_EDGE, np.finfo(float).tiny)
    )

    def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transform_coordinates(xy[:, 0], xy[:, 1], source, target))

    moved: NDArray[np.object_] = shapely.transform(dense, move)
    return moved


def metric_coordinates(
    x: NDArray[np.float64], y: NDArray[np.float64], crs: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coordinates in metres, for distances and blocks.

    Projected coordinates are scaled by the unit of their CRS. Geographic ones, and those of Web Mercator, whose
    metres are no metres on the ground, are projected around the middle of the points first.

    Returns
    -------
    x, y
        float64 ``(point,)`` in metres.
    """
    if crs.is_geographic or crs.to_epsg() in _NO_TRUE_METRES:
        geographic = CRS.from_epsg(4326)
        lon, lat = transform_coordinates(x, y, crs, geographic)
        possible = np.isfinite(lon) & (np.abs(lat) <= 90)
        if not possible.any():
            return np.full_like(lon, np.inf), np.full_like(lat, np.inf)
        lon_0, lat_0 = float(np.median(lon[possible])), float(np.median(lat[possible]))
        around = f"+proj=aeqd +lat_0={lat_0} +lon_0={lon_0} +datum=WGS84 +units=m"
        return transform_coordinates(lon, lat, geographic, CRS.from_string(around))
    factor = crs.linear_units_factor[1] if crs.is_projected else 1.0
    return x * factor, y * factor
