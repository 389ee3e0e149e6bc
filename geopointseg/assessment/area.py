"""How much ground a pixel covers, row by row.

In a projected CRS all pixels are alike. In a geographic CRS they shrink towards the poles, and in a projection
that stretches areas (Web Mercator most of all) the map's square metres are not the ground's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geopointseg.raster.grid import Grid, transform_coordinates

TOLERATED_DISTORTION = 0.01
"""Share by which a projection may stretch areas before they are corrected."""


def pixel_areas_m2(grid: Grid) -> NDArray[np.float64]:
    """Return the area of a pixel of each row in square metres of ground.

    Projected grids give planimetric areas, as a GIS reports them, unless the projection stretches areas by more
    than one percent anywhere along the middle column; then its areal scale is divided out. Geographic grids give
    areas on the ellipsoid. Rotated grids are measured along their middle column.

    Parameters
    ----------
    grid
        The raster's grid.

    Returns
    -------
    ndarray
        float64 ``(row,)``.

    Examples
    --------
    >>> from affine import Affine
    >>> from rasterio.crs import CRS
    >>> pixel_areas_m2(Grid(CRS.from_epsg(32633), Affine(10, 0, 5e5, 0, -10, 5.7e6), 2, 2))
    array([100., 100.])
    """
    determinant = abs(grid.transform.determinant)
    row = np.arange(grid.height) + 0.5
    x, y = grid.pixel_to_world(row, np.full(grid.height, grid.width / 2))
    if grid.crs.is_geographic:
        return determinant * _square_degree_m2(grid, y)
    factor = grid.crs.linear_units_factor[1] if grid.crs.is_projected else 1.0
    areas = np.full(grid.height, determinant * factor**2)
    if not grid.crs.is_projected:
        return areas
    scale = _areal_scale(grid, x, y)
    distorted = np.abs(scale - 1).max(initial=0.0) > TOLERATED_DISTORTION
    return areas / scale if distorted else areas


def _square_degree_m2(grid: Grid, latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ground in one square unit of longitude and latitude: M N cos(phi) on the ellipsoid."""
    import pyproj

    crs = pyproj.CRS.from_user_input(grid.crs.to_wkt())
    unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else np.pi / 180
    major, minor = 6_378_137.0, 6_356_752.314245  # WGS 84
    if crs.ellipsoid is not None:
        major, minor = crs.ellipsoid.semi_major_metre, crs.ellipsoid.semi_minor_metre
    e2 = 1 - (minor / major) ** 2
    phi = latitude * unit
    w2 = 1 - e2 * np.sin(phi) ** 2
    meridional, transverse = major * (1 - e2) / w2**1.5, major / np.sqrt(w2)
    return np.asarray(meridional * transverse * np.cos(phi).clip(min=0) * unit**2)


def _areal_scale(
    grid: Grid, x: NDArray[np.float64], y: NDArray[np.float64], samples: int = 65
) -> NDArray[np.float64]:
    """Return the projection's areal scale at places, interpolated between some of them."""
    import pyproj

    crs = pyproj.CRS.from_user_input(grid.crs.to_wkt())
    if crs.geodetic_crs is None:
        return np.ones(len(x))
    picked = np.unique(np.linspace(0, len(x) - 1, samples).round().astype(np.int64))
    geodetic = grid.crs.from_wkt(crs.geodetic_crs.to_wkt())
    lon, lat = transform_coordinates(x[picked], y[picked], grid.crs, geodetic)
    scale = np.asarray(pyproj.Proj(crs).get_factors(lon, lat, errcheck=False).areal_scale)
    known = np.isfinite(scale) & (scale > 0)
    if not known.any():
        return np.ones(len(x))
    return np.asarray(np.interp(np.arange(len(x)), picked[known], scale[known]))
