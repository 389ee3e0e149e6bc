"""Would more points pay? Scores against the number of training points, and what they suggest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.labels.points import Points
from geopointseg.summary import described

WORTHWHILE = 0.02
"""A doubling of the points that raises mean F1 by less than this hardly pays."""


@described
@dataclass(frozen=True)
class CurvePoint:
    """The score with one share of the training points.

    Parameters
    ----------
    share
        Share of each class's training points that was used.
    points_per_class
        Mean number of training points a class.
    mean_f1, low, high
        Mean F1 on held-out ground, and its interval.
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
        Which model.
    points
        From few points to all.
    gain, gain_low, gain_high
        What the last doubling of the points brought, and the interval of that.
    """

    method: str
    points: tuple[CurvePoint, ...]
    gain: float
    gain_low: float
    gain_high: float

    def advice(self) -> str:
        """Return a sentence on whether more points would pay."""
        if len(self.points) < 2 or math.isnan(self.gain):
            return "There are too few points to tell whether more would pay; more surely would."
        last = self.points[-1]
        told = (
            f"The last doubling, to {last.points_per_class:.0f} points a class, changed the mean F1 of the "
            f"{self.method} by {self.gain:+.3f} (95 % interval {self.gain_low:+.3f} to {self.gain_high:+.3f})."
        )
        if self.gain_low > 0 and self.gain >= WORTHWHILE:
            return f"{told} More points would pay: expect about {self._next_gain():+.3f} from doubling them again."
        if self.gain_high < WORTHWHILE:
            return f"{told} More points of the same kind would hardly pay; other places or other imagery might."
        return f"{told} That is too uncertain to promise anything; more points would at least make it surer."

    def _next_gain(self) -> float:
        """Guess the next doubling: gains shrink as they did before, at least by a quarter."""
        scores = [p.mean_f1 for p in self.points]
        before = scores[-2] - scores[-3] if len(scores) > 2 else math.nan
        ratio = self.gain / before if before > 0 else 0.75
        return self.gain * min(max(ratio, 0.25), 0.75)

    def to_json(self) -> dict[str, Any]:
        """Return the curve and its advice as JSON."""
        return {
            "method": self.method,
            "points": [vars(point) for point in self.points],
            "gain_of_last_doubling": None if math.isnan(self.gain) else self.gain,
            "advice": self.advice(),
        }


def thin_points(points: Points, share: float, seed: int) -> Points:
    """Return a share of each class's points, at least two of each; smaller shares are parts of larger ones.

    Parameters
    ----------
    points
        Training points.
    share
        0..1.
    seed
        Decides which.
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
    """Put a curve together from block-bootstrapped scores.

    Parameters
    ----------
    method
        Which model.
    shares, points_per_class
        For each number of points, ascending.
    scores
        Mean F1 with the ends of its interval, each ``(3,)``.
    replicates
        Mean F1 of the same resampled blocks for each number of points: their differences tell how sure the gain is.
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
