"""Variogram of classes: the distance over which labels are correlated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import PointsError
from geopointseg.labels.points import Points
from geopointseg.raster.geodesy import Positions

_BINS = 16
_MOST_POINTS = 2000
_FLAT = 0.1


@dataclass(frozen=True)
class Variogram:
    """The share of point pairs with different classes by distance, and the fitted model.

    Parameters
    ----------
    lag_m
        Mean distance of the pairs in each bin in metres, float64 ``(bin,)``.
    semivariance
        Share of pairs whose classes differ, float64 ``(bin,)``; the sum of the classes' indicator semivariances.
    pairs
        Number of pairs, int64 ``(bin,)``.
    nugget, sill
        The fitted model at distance zero and beyond its range.
    range_m
        Distance in metres at which the fitted spherical model reaches the sill.
    """

    lag_m: NDArray[np.float64]
    semivariance: NDArray[np.float64]
    pairs: NDArray[np.int64]
    nugget: float
    sill: float
    range_m: float


def label_variogram(points: Points, *, seed: int = 0) -> Variogram:
    """Measure the share of pairs with different classes by distance, and fit a spherical model to it.

    Parameters
    ----------
    points
        Labelled points; of more than 2000 a random sample is used.
    seed
        Seed of that sample.

    Returns
    -------
    Variogram
        Where the fit is flat, labels are uncorrelated even at the smallest distances, and the range is the mean distance
        of the first bin.

    Raises
    ------
    PointsError
        If there are fewer than 10 points in different places.

    References
    ----------
    Chiles and Delfiner (2012), Geostatistics, chapter 2, doi:10.1002/9781118136188.
    """
    distance, differs = _pairs(points, seed)
    edges = _bin_edges(distance)
    which = np.digitize(distance, edges[1:-1])
    near = distance <= edges[-1]
    pairs = np.bincount(which[near], minlength=_BINS)
    used = pairs > 0
    lag = np.bincount(which[near], distance[near], _BINS)[used] / pairs[used]
    semivariance = np.bincount(which[near], differs[near], _BINS)[used] / pairs[used]
    nugget, sill, range_m = _fit_spherical(lag, semivariance, pairs[used])
    return Variogram(lag, semivariance, pairs[used], nugget, sill, range_m)


def variogram_range(points: Points, *, seed: int = 0) -> float:
    """Return the distance in metres beyond which labels are uncorrelated."""
    return label_variogram(points, seed=seed).range_m


def _pairs(points: Points, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    positions = Positions.of(points.x, points.y, points.crs)
    chosen = np.flatnonzero(positions.known)
    if len(chosen) > _MOST_POINTS:
        chosen = np.random.default_rng(seed).choice(chosen, _MOST_POINTS, replace=False)
    positions, classes = positions.select(chosen), points.class_index[chosen]
    places = len(np.unique(positions.space_m, axis=0))
    if places < 10:
        raise PointsError(
            f"The points lie in {places} different places. Expected at least 10 to measure "
            "the range of the variogram; give a block size instead."
        )
    first, second = np.triu_indices(len(chosen), k=1)
    return positions.pairwise(), classes[first] != classes[second]


def _bin_edges(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return edges in metres up to half of the largest distance, finer at small distances, where the curve is steep."""
    return np.asarray(distance.max() / 2 * np.linspace(0, 1, _BINS + 1) ** 1.5)


def _spherical(
    lag: NDArray[np.float64], nugget: float, rise: float, range_m: float
) -> NDArray[np.float64]:
    scaled = np.minimum(lag / range_m, 1.0)
    return np.asarray(nugget + rise * (1.5 * scaled - 0.5 * scaled**3))


def _fit_spherical(
    lag: NDArray[np.float64], semivariance: NDArray[np.float64], pairs: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Fit by least squares over 200 ranges; for each, nugget and rise are a linear fit. Return nugget, sill and range.

    Bins are weighted by the number of pairs over the squared distance, so that a trend across the whole area has little
    influence on the range.
    """
    best = (float(semivariance[0]), float(semivariance[0]), float(lag[0]))
    least = np.inf
    weight = np.sqrt(pairs) / lag
    for range_m in np.geomspace(lag[0], lag[-1], 200):
        basis = np.column_stack([np.ones_like(lag), _spherical(lag, 0.0, 1.0, range_m)])
        solution, *_ = np.linalg.lstsq(basis * weight[:, None], semivariance * weight, rcond=None)
        nugget = max(float(solution[0]), 0.0)
        rise = max(float(solution[1]), 0.0)
        error = float(((semivariance - nugget - rise * basis[:, 1]) ** 2 * weight**2).sum())
        if error < least - 1e-12:
            least, best = error, (nugget, nugget + rise, float(range_m))
    nugget, sill, range_m = best
    if sill - nugget < _FLAT * max(sill, 1e-9):
        range_m = float(lag[0])
    return nugget, sill, range_m
