"""Geometries of features: their parts, and a representative point of each part."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

_POINT, _MULTIPOINT, _COLLECTION = 0, 4, 7


def explode_parts(geometries: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Split multipoints and collections into parts; return the finite parts and the position of each one's feature."""
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
    """Return x and y of a point on each geometry, and the lines and polygons, None elsewhere (None if all are points)."""
    drawn = shapely.get_type_id(parts) != _POINT
    if not drawn.any():
        return shapely.get_x(parts), shapely.get_y(parts), None
    places = parts.copy()
    places[drawn] = shapely.point_on_surface(parts[drawn])
    shapes = parts.copy()
    shapes[~drawn] = None
    return shapely.get_x(places), shapely.get_y(places), shapes
