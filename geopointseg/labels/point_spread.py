"""Spatial distribution of points: nearest-neighbour distances compared with those of random points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geopointseg.raster.geodesy import Positions
from geopointseg.summary import described

_LEAST_POINTS = 5


@described
@dataclass(frozen=True)
class Spread:
    """Distances from points to their nearest neighbours.

    Parameters
    ----------
    nearest_m
        Median distance in metres; NaN for fewer than two points.
    ratio
        Mean distance divided by that of random points on the same area: about 1 for random points, well below 1 for
        clustered ones, above 1 for evenly spaced ones; NaN for fewer than five points.
    z
        Difference of the mean distance from that of random points, in standard errors; NaN likewise.
    """

    nearest_m: float
    ratio: float
    z: float

    @property
    def is_clustered(self) -> bool:
        """Whether the ratio is below 0.6 and significantly below 1 (z below -1.96)."""
        return self.ratio < 0.6 and self.z < -1.96


def measure_spread(positions: Positions, area_m2: float) -> Spread:
    """Compare the nearest-neighbour distances of points with those of random points (Clark-Evans).

    Parameters
    ----------
    positions
        The points.
    area_m2
        Area on which the points can lie, in square metres.

    Returns
    -------
    Spread
        Median distance, ratio and z.

    Notes
    -----
    For ``n`` random points on area ``A`` the mean distance is ``0.5 / sqrt(n / A)`` with the standard error
    ``0.26136 / sqrt(n * n / A)``. Points near the edge of the area have fewer neighbours, so the ratio of
    few random points is slightly above 1.

    References
    ----------
    Clark and Evans (1954), Distance to nearest neighbor as a measure of spatial relationships in populations,
    Ecology 35:445-453, doi:10.2307/1931034.

    Examples
    --------
    >>> import numpy as np
    >>> rows, cols = np.mgrid[0:10, 0:10] * 10.0
    >>> measure_spread(Positions.in_plane(rows.ravel(), cols.ravel()), 100 * 100).ratio
    2.0
    """
    count = len(positions)
    if count < 2:
        return Spread(math.nan, math.nan, math.nan)
    distance = positions.nearest_neighbour()
    nearest = float(np.median(distance))
    if count < _LEAST_POINTS or area_m2 <= 0:
        return Spread(nearest, math.nan, math.nan)
    density = count / area_m2
    expected = 0.5 / math.sqrt(density)
    error = 0.26136 / math.sqrt(count * density)
    mean = float(distance.mean())
    return Spread(nearest, mean / expected, (mean - expected) / error)
