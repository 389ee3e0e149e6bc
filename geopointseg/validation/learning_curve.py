"""Learning curve: scores against the number of training points, and whether more points would help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.json_values import to_json_values
from geopointseg.labels.points import Points
from geopointseg.summary import described

WORTHWHILE = 0.02
"""Gain in mean F1 from a doubling of the points, below which more points hardly help."""


@described
@dataclass(frozen=True)
class CurvePoint:
    """The score with one share of the training points.

    Parameters
    ----------
    share
        Share of each class's training points that was used.
    points_per_class
        Mean number of training points per class.
    mean_f1, low, high
        Mean F1 on held-out points, and its interval.
    """

    share: float
    points_per_class: float
    mean_f1: float
    low: float
    high: float


@described
@dataclass(frozen=True)
class LearningCurve:
    """Scores of one method against the number of training points.

    Parameters
    ----------
    method
        Name of the model.
    points
        From the smallest share to all points.
    gain, gain_low, gain_high
        Gain in mean F1 from the last doubling of the points, and its interval.
    """

    method: str
    points: tuple[CurvePoint, ...]
    gain: float
    gain_low: float
    gain_high: float

    def advice(self) -> str:
        """Return sentences on whether more points would help."""
        if len(self.points) < 2 or math.isnan(self.gain):
            return "There are too few points for a learning curve; more points will help."
        last = self.points[-1]
        measured = (
            f"The last doubling, to {last.points_per_class:.0f} points per class, changed the mean F1 of the "
            f"{self.method} by {self.gain:+.3f} (95 % interval {self.gain_low:+.3f} to {self.gain_high:+.3f})."
        )
        if self.gain_low > 0 and self.gain >= WORTHWHILE:
            return f"{measured} More points would help: expect about {self._next_gain():+.3f} from another doubling."
        if self.gain_high < WORTHWHILE:
            return f"{measured} More points of the same kind would hardly help; points in other places or other imagery might."
        return (
            f"{measured} This interval is too wide for a conclusion; more points would narrow it."
        )

    def _next_gain(self) -> float:
        """Return the expected gain of the next doubling: gains decrease at the last rate, to 25 to 75 % of the one before."""
        scores = [p.mean_f1 for p in self.points]
        before = scores[-2] - scores[-3] if len(scores) > 2 else math.nan
        ratio = self.gain / before if before > 0 else 0.75
        return self.gain * min(max(ratio, 0.25), 0.75)

    def to_json(self) -> dict[str, Any]:
        """Return the curve and its advice as JSON."""
        return {
            "method": self.method,
            "points": to_json_values(self.points),
            "gain_of_last_doubling": to_json_values(self.gain),
            "advice": self.advice(),
        }


def thin_points(points: Points, share: float, seed: int) -> Points:
    """Return a random share of the points of each class, at least two; smaller shares are subsets of larger ones.

    Parameters
    ----------
    points
        Training points.
    share
        Share to keep, 0..1.
    seed
        Seed of the random order.

    Returns
    -------
    Points
        In the order given.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(points))
    rank = np.empty(len(points), dtype=np.int64)
    for index in range(len(points.legend)):
        own = order[points.class_index[order] == index]
        rank[own] = np.arange(len(own))
    wanted = np.maximum(2, np.round(share * points.counts()))
    return points.select(rank < wanted[points.class_index])


def summarize_curve(
    method: str,
    shares: Sequence[float],
    points_per_class: Sequence[float],
    scores: Sequence[NDArray[np.float64]],
    replicates: Sequence[NDArray[np.float64]],
) -> LearningCurve:
    """Return the learning curve from block-bootstrapped scores.

    Parameters
    ----------
    method
        Name of the model.
    shares, points_per_class
        Share of the training points and mean number of points per class, in ascending order.
    scores
        For each share, mean F1 and the ends of its interval, float64 ``(3,)``.
    replicates
        For each share, mean F1 of the same resampled blocks, float64 ``(replicate,)``. Their differences give the interval
        of the gain.

    Returns
    -------
    LearningCurve
        With a gain of NaN for fewer than two shares.
    """
    curve = tuple(
        CurvePoint(float(share), float(n), *(float(v) for v in score))
        for share, n, score in zip(shares, points_per_class, scores, strict=True)
    )
    if len(curve) < 2:
        return LearningCurve(method, curve, math.nan, math.nan, math.nan)
    doublings = math.log2(max(points_per_class[-1] / max(points_per_class[-2], 1e-9), 1.01))
    difference = (replicates[-1] - replicates[-2]) / doublings
    known = difference[np.isfinite(difference)]
    low, high = np.percentile(known, [2.5, 97.5]) if known.size else (math.nan, math.nan)
    gain = (curve[-1].mean_f1 - curve[-2].mean_f1) / doublings
    return LearningCurve(method, curve, gain, float(low), float(high))
