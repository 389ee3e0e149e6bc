"""Estimation of accuracy and areas from a probability sample, with standard errors and intervals.

All estimates are ratios of two stratified means (Stehman 2014). Where the strata are the classes of the map, this is the
estimator of Olofsson et al. (2014), which is also valid for simple random and systematic samples that are post-stratified
by map class. There is no finite population correction, because a sample is a very small share of the pixels of a map.

References
----------
Olofsson, P. et al. (2014). Good practices for estimating area and assessing accuracy of land change. Remote
Sensing of Environment 148, 42-57. https://doi.org/10.1016/j.rse.2014.02.015

Stehman, S. V. (2014). Estimating area and map accuracy for stratified random sampling when the strata are
different from the map classes. International Journal of Remote Sensing 35, 4923-4939.
https://doi.org/10.1080/01431161.2014.930207

Cochran, W. G. (1977). Sampling Techniques, 3rd ed., sections 5A.9 and 5A.12 (strata collapsed). Wiley.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geopointseg.assessment.confusion import AXES
from geopointseg.errors import PointsError
from geopointseg.json_values import to_json_values
from geopointseg.summary import described

Array = NDArray[np.float64]


@described
@dataclass(frozen=True)
class Estimate:
    """An estimated share with its standard error and interval; NaN where it cannot be estimated.

    The interval is the value plus or minus z standard errors. Where the standard error is zero because all sampled points
    are correct, or all are wrong, it is Wilson's score interval.

    Parameters
    ----------
    value
        The estimate, 0..1.
    standard_error
        Its standard error.
    low, high
        Ends of the interval, within 0..1.
    """

    value: float
    standard_error: float
    low: float
    high: float


@described
@dataclass(frozen=True)
class AccuracyEstimates:
    """Area-adjusted accuracy and areas of a map, estimated from a sample.

    Parameters
    ----------
    overall
        Overall accuracy: the share of the map's area that is correct.
    users, producers
        User's and producer's accuracy of each class, in legend order.
    area_share
        True share of the map's area of each class.
    proportions
        Estimated share of the area in each cell of the confusion matrix, rows = map, columns = reference.
    confidence
        Confidence level of the intervals.
    collapsed
        Positions of the strata with fewer than two points, which were merged.
    """

    overall: Estimate
    users: tuple[Estimate, ...]
    producers: tuple[Estimate, ...]
    area_share: tuple[Estimate, ...]
    proportions: Array
    confidence: float
    collapsed: tuple[int, ...]

    def to_json(self, names: list[str]) -> dict[str, Any]:
        """Return all estimates as JSON, per class under the class's name."""
        per_class = {
            "users_accuracy": self.users, "producers_accuracy": self.producers, "area_share": self.area_share,
        }  # fmt: skip
        document = {
            "confidence": self.confidence,
            "overall_accuracy": self.overall,
            "area_proportions": {"axes": AXES, "values": self.proportions},
            "collapsed_strata": [names[i] if i < len(names) else str(i) for i in self.collapsed],
            **{key: dict(zip(names, each, strict=True)) for key, each in per_class.items()},
        }
        values: dict[str, Any] = to_json_values(document)
        return values


def estimate_accuracy(
    counts: ArrayLike, stratum_sizes: ArrayLike, confidence: float = 0.95
) -> AccuracyEstimates:
    """Estimate accuracy and areas from a stratified sample.

    Parameters
    ----------
    counts
        Sampled points by stratum, map class and reference class, ``(stratum, map, reference)``; or by map and
        reference class alone, ``(map, reference)``, where the strata are the map's classes.
    stratum_sizes
        Size of each stratum in any unit (pixels, square metres), ``(stratum,)``.
    confidence
        Confidence level of the intervals.

    Returns
    -------
    AccuracyEstimates
        Shares of the total size; multiply by it to get areas.

    Raises
    ------
    PointsError
        If there are fewer than two points, or points in strata without any area.

    Notes
    -----
    A stratum with a single point has no variance, and one without points no mean. Such strata are merged into one
    (Cochran 1977), and with the stratum of the next smallest sample if they have fewer than two points together.

    Examples
    --------
    >>> estimates = estimate_accuracy([[45, 5], [10, 40]], [90_000, 10_000])
    >>> round(estimates.overall.value, 3), round(estimates.area_share[1].value, 3)
    (0.89, 0.17)
    """
    cells = _as_strata(np.asarray(counts, dtype=np.float64))
    sizes = np.asarray(stratum_sizes, dtype=np.float64)
    _check_sample(cells, sizes)
    cells, sizes, collapsed = _collapse(cells, sizes)
    weights = sizes / sizes.sum()
    classes = cells.shape[1]
    z = round(NormalDist().inv_cdf(0.5 + confidence / 2), 3)  # 1.96, as in the references
    every = np.ones((classes, classes), dtype=bool)
    diagonal = np.eye(classes, dtype=bool)

    def ratio(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Estimate:
        return _ratio_estimate(cells, weights, part, whole, z)

    of_map = [_row(i, classes) for i in range(classes)]
    of_reference = [m.T for m in of_map]
    within = cells / np.maximum(cells.sum(axis=(1, 2), keepdims=True), 1)
    return AccuracyEstimates(
        overall=ratio(diagonal, every),
        users=tuple(ratio(diagonal & m, m) for m in of_map),
        producers=tuple(ratio(diagonal & m, m) for m in of_reference),
        area_share=tuple(ratio(m, every) for m in of_reference),
        proportions=np.einsum("h,hij->ij", weights, within),
        confidence=confidence,
        collapsed=collapsed,
    )


def wilson_interval(share: float, count: float, z: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share.

    Parameters
    ----------
    share
        Share of successes, 0..1.
    count
        Number of independent trials, not necessarily whole.
    z
        Quantile of the normal distribution, 1.96 for 95 %.

    Returns
    -------
    tuple of float
        Ends of the interval; NaN for no trials.

    Examples
    --------
    >>> [round(end, 3) for end in wilson_interval(1.0, 3, 1.96)]
    [0.438, 1.0]
    """
    if not count or math.isnan(share):
        return math.nan, math.nan
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _row(index: int, size: int) -> NDArray[np.bool_]:
    cells = np.zeros((size, size), dtype=bool)
    cells[index] = True
    return cells


def _as_strata(counts: Array) -> Array:
    if counts.ndim == 3:
        return counts
    strata = np.zeros((len(counts), *counts.shape))
    strata[np.arange(len(counts)), np.arange(len(counts))] = counts
    return strata


def _check_sample(cells: Array, sizes: Array) -> None:
    total = cells.sum()
    if total < 2:
        raise PointsError(
            f"There are {int(total)} test points on the map. Accuracy needs at least two, and some thirty in each "
            "class for a useful interval; collect more points."
        )
    stray = cells.sum(axis=(1, 2))[sizes <= 0].sum()
    if stray:
        raise PointsError(
            f"{int(stray)} test points lie in strata that have no area. Expected every point in a stratum of the assessed map; "
            "give the strata from which the points were drawn."
        )


def _collapse(cells: Array, sizes: Array) -> tuple[Array, Array, tuple[int, ...]]:
    """Merge strata with fewer than two points, and remove those without area."""
    points = cells.sum(axis=(1, 2))
    has_area = sizes > 0
    small = has_area & (points < 2)
    kept = has_area & ~small
    if small.any() and points[small].sum() < 2 and kept.any():
        candidates = np.flatnonzero(kept)
        small[candidates[np.argmin(points[candidates])]] = True
        kept &= ~small
    if not small.any():
        return cells[kept], sizes[kept], ()
    merged = np.concatenate([cells[kept], cells[small].sum(axis=0, keepdims=True)])
    return merged, np.append(sizes[kept], sizes[small].sum()), tuple(np.flatnonzero(small).tolist())


def _ratio_estimate(
    cells: Array, weights: Array, part: NDArray[np.bool_], whole: NDArray[np.bool_], z: float
) -> Estimate:
    """Estimate the share of ``whole`` cells that are ``part`` cells (a subset of them)."""
    count = np.maximum(cells.sum(axis=(1, 2)), 1)
    y = (cells * part).sum(axis=(1, 2)) / count
    x = (cells * whole).sum(axis=(1, 2)) / count
    size = float(weights @ x)
    if size == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan)
    value = float(weights @ y) / size
    # the variance of part - value * whole; this form is exactly 0 where no cell differs from its stratum
    spread = ((1 - value) ** 2 * y + value**2 * (x - y) - (y - value * x) ** 2).clip(0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(weights > 0, weights**2 * spread / (count - 1), 0.0)
    error = math.sqrt(max(float(terms.sum()), 0.0)) / size
    if error < 1e-12:
        low, high = wilson_interval(round(value, 12), float((cells * whole).sum()), z)
        return Estimate(value, 0.0, low, high)
    return Estimate(value, error, max(0.0, value - z * error), min(1.0, value + z * error))
