"""Bootstrap intervals for scores of cross-validated points.

Blocks are resampled instead of points, because errors of neighbouring points are correlated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopointseg.assessment.confusion import ConfusionMatrix, class_f1
from geopointseg.legend import Legend
from geopointseg.summary import described

REPLICATES = 1000


@described
@dataclass(frozen=True, eq=False)
class BlockScores:
    """Scores of one method with bootstrap intervals.

    Parameters
    ----------
    confusion
        All held-out points together, rows = map, columns = reference.
    f1
        F1 of each class and the ends of its interval, float64 ``(class, 3)``.
    mean_f1, overall_accuracy
        Value and ends of the interval, float64 ``(3,)``.
    replicates
        Mean F1 of every replicate, float64 ``(replicate,)``; the same blocks for methods scored with one seed.
    """

    confusion: ConfusionMatrix
    f1: NDArray[np.float64]
    mean_f1: NDArray[np.float64]
    overall_accuracy: NDArray[np.float64]
    replicates: NDArray[np.float64]


def score_blocks(
    predicted: NDArray[np.int64],
    truth: NDArray[np.int64],
    block: NDArray[np.int64],
    legend: Legend,
    *,
    seed: int = 0,
    confidence: float = 0.95,
) -> BlockScores:
    """Score predictions at points, with intervals from resampled blocks.

    Parameters
    ----------
    predicted, truth
        Class indices, int64 ``(point,)``; points with a negative index are left out.
    block
        Block of each point, int64 ``(point,)``.
    legend
        The classes.
    seed
        Seed of the resampling. With one seed, methods can be compared replicate by replicate.
    confidence
        Confidence level of the percentile intervals.

    Returns
    -------
    BlockScores
        Scores of all points, and intervals from 1000 replicates.
    """
    matrices = _count_by_block(predicted, truth, block, len(legend))
    rng = np.random.default_rng(seed)
    number = len(matrices)
    draws = rng.multinomial(number, np.full(number, 1 / number), size=REPLICATES)
    sums = np.tensordot(draws, matrices, axes=1)
    f1, mean_f1, accuracy = _scores(sums)
    total = ConfusionMatrix(matrices.sum(axis=0), legend)
    tail = 100 * (1 - confidence) / 2

    def interval(value: float, replicates: NDArray[np.float64]) -> NDArray[np.float64]:
        known = replicates[np.isfinite(replicates)]
        ends = np.percentile(known, [tail, 100 - tail]) if known.size else [np.nan, np.nan]
        return np.array([value, *ends])

    return BlockScores(
        total,
        np.stack([interval(v, f1[:, k]) for k, v in enumerate(total.f1)]),
        interval(total.mean("f1"), mean_f1),
        interval(total.overall_accuracy, accuracy),
        mean_f1,
    )


def _count_by_block(
    predicted: NDArray[np.int64], truth: NDArray[np.int64], block: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Return a confusion matrix for each block, ``(block, map, reference)``."""
    known = (predicted >= 0) & (truth >= 0)
    _, position = np.unique(block, return_inverse=True)
    matrices = np.zeros((int(position.max(initial=-1)) + 1, classes, classes), dtype=np.int64)
    np.add.at(matrices, (position[known], predicted[known], truth[known]), 1)
    return matrices


def _scores(
    matrices: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return F1 by class, mean F1 over classes present, and overall accuracy of many matrices."""
    correct = np.diagonal(matrices, axis1=1, axis2=2)
    f1 = class_f1(matrices)
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = correct.sum(axis=1) / matrices.sum(axis=(1, 2))
        mean = np.nansum(f1, axis=1) / (~np.isnan(f1)).sum(axis=1)
    return f1, mean, accuracy
