"""Fits of a live session: which features help, the logistic regression on them, and the accuracy on ground held out.

Every function depends on its arguments only. So the same points give the same head, whatever came before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from geopointseg.errors import PointsError
from geopointseg.labels.block_split import deal_blocks
from geopointseg.live.live_points import LabelledCells
from geopointseg.live.window_features import FeatureLayout, Head
from geopointseg.model.linear import LabelledFeatures, fit_logistic, spread_factors

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Features = NDArray[np.float32]
Factors = NDArray[np.float32]
"""Factor of each standardized feature, ``(feature,)``; 0 leaves a feature out."""

BLOCKS_ACROSS = 6
"""Blocks along the longer side of the labelled area, for choices and estimates on ground held out."""
FOLDS = 8
"""Largest number of parts in which blocks are held out."""
FEWEST_POINTS = 10
"""Labelled pixels that an estimate of accuracy needs."""
MOST_CHOOSING = 400
"""Labelled pixels on which feature sets are compared; of more, evenly spaced ones."""
BAND_FACTOR = 3.0
"""Factor of the bands. They are few among hundreds of features, and equal factors regularize their weights too much: on four scenes, with 25
random points per class, the mean F1 is .59 with the factor 1, .607 with 2, .617 with 3 and .620 with 4, which is worse on two of the scenes."""
FULL_BANDS = 7
"""Number of bands up to which they have this factor; with more, it falls until it is 1, and the sum of its squares stays the same."""
_RIDGE = 0.1


@dataclass(frozen=True)
class FeatureSets:
    """Sets of features that a head may use, as factors of the standardized features; 0 leaves a feature out.

    Parameters
    ----------
    everything
        Planes, filters and pretrained features, float32 ``(feature,)``.
    filters
        Without pretrained features.
    """

    everything: Factors
    filters: Factors

    @classmethod
    def of(cls, layout: FeatureLayout, pretrained: int) -> FeatureSets:
        """Return the sets of a layout whose first stages are pretrained.

        Parameters
        ----------
        layout
            Order of the features.
        pretrained
            Number of stages of the pretrained backbone.

        Returns
        -------
        FeatureSets
            Equal sets if there is no pretrained backbone.
        """
        everything = np.ones(layout.count, np.float32)
        few = min(FULL_BANDS / max(layout.planes, 1), 1.0)
        everything[: layout.planes] = max(BAND_FACTOR * few**0.5, 1.0)
        filters = everything.copy()
        filters[layout.planes : layout.planes + sum(layout.channels[:pretrained])] = 0.0
        return cls(everything, filters)

    def scaled(self, features: Features, moments: NDArray[np.float64]) -> FeatureSets:
        """Return the sets for features that are divided by their spread on the ground; see `spread_factors`.

        Parameters
        ----------
        features
            Of the labelled pixels, float32 ``(pixel, feature)``.
        moments
            Numbers, sums and sums of squares on the ground, float64 ``(3, feature)``.

        Returns
        -------
        FeatureSets
            Their factors multiplied by the ratios of the spreads.
        """
        count, total, squares = moments
        mean = total / np.maximum(count, 1.0)
        ground = np.sqrt((squares / np.maximum(count, 1.0) - mean**2).clip(0.0))
        factors = spread_factors(features.std(axis=0), ground)
        return FeatureSets(self.everything * factors, self.filters * factors)


def choose_features(sets: FeatureSets, features: Features, cells: LabelledCells) -> Factors:
    """Return the features that a head should use.

    Pretrained features lower the accuracy on some imagery. Ridge regressions on both sets are compared on blocks of ground that
    are held out, which has a closed form. Pretrained features are left out where the loss without them is lower by more
    than ``sqrt(sum(s[b]**2 / n[b]))`` of the gains s[b] and pixels n[b] of the blocks b. That is less than the standard error of
    the gain: without any difference, they are left out in about two of five cases.

    Parameters
    ----------
    sets
        The candidates.
    features
        float32 ``(pixel, feature)``.
    cells
        Positions and classes of the pixels.

    Returns
    -------
    ndarray
        One of the sets, float32 ``(feature,)``.

    References
    ----------
    Allen, D. M. (1974). The relationship between variable selection and data augmentation and a method for prediction.
    Technometrics 16(1), 125-127. doi:10.1080/00401706.1974.10489157.
    """
    if np.array_equal(sets.everything, sets.filters):
        return sets.everything
    step = -(-len(cells) // MOST_CHOOSING)
    chosen = np.zeros(len(cells), dtype=bool)
    chosen[::step] = True
    few, block = cells.select(chosen), number_squares(cells.select(chosen))
    if block.max(initial=0) < 3:
        return sets.everything
    with _blas().limit(limits=1, user_api="blas"):
        losses = [
            held_out_losses(features[chosen], few.class_index, block, factors)
            for factors in (sets.everything, sets.filters)
        ]
    gain = losses[0] - losses[1]
    by_block = np.bincount(block, gain) / np.sqrt(np.bincount(block))
    error = float(np.sqrt((by_block**2).sum()))
    return sets.filters if gain.sum() > error else sets.everything


@cache
def _blas() -> ThreadpoolController:
    """Return the controller of the BLAS libraries of this process; finding them takes milliseconds."""
    import sklearn.linear_model  # noqa: F401 - scipy, which it imports, loads a library of its own
    from threadpoolctl import ThreadpoolController  # changes the environment when it is imported

    return ThreadpoolController()


def held_out_losses(
    features: Features,
    class_index: NDArray[np.int64],
    block: NDArray[np.int64],
    factors: Factors,
) -> NDArray[np.float64]:
    """Return the squared error of each pixel by a ridge regression that did not see its block.

    Parameters
    ----------
    features
        float32 ``(pixel, feature)``; standardized here.
    class_index
        int64 ``(pixel,)``.
    block
        Block of each pixel, int64 ``(pixel,)``.
    factors
        Factor of each standardized feature, float32 ``(feature,)``; 0 leaves a feature out.

    Returns
    -------
    ndarray
        float64 ``(pixel,)``; each class has the same total weight.
    """
    used = factors > 0
    values = features[:, used].astype(np.float64)
    spread = values.std(axis=0)
    scale = np.where(spread > 1e-6, factors[used] / np.maximum(spread, 1e-6), 0.0)
    values = (values - values.mean(axis=0)) * scale
    kernel = values @ values.T / max(float((factors[used][spread > 1e-6] ** 2).sum()), 1.0)
    target = np.eye(int(class_index.max()) + 1)[class_index]
    target = target - target.mean(axis=0)
    hat = np.linalg.solve(kernel + _RIDGE * np.eye(len(kernel)), kernel).T
    residual = target - hat @ target
    for number in np.unique(block):
        own = np.flatnonzero(block == number)
        residual[own] = np.linalg.solve(np.eye(len(own)) - hat[np.ix_(own, own)], residual[own])
    counts = np.bincount(class_index)
    return np.asarray((residual**2).sum(axis=1) / counts[class_index])


def number_squares(cells: LabelledCells) -> NDArray[np.int64]:
    """Return the square block of ground of each pixel, int64 ``(pixel,)``, numbered from 0."""
    if not len(cells):
        return np.zeros(0, dtype=np.int64)
    extent = max(int(np.ptp(cells.row)), int(np.ptp(cells.col)), 1) + 1
    side = max(-(-extent // BLOCKS_ACROSS), 1)
    table = np.column_stack(
        [(cells.row - cells.row.min()) // side, (cells.col - cells.col.min()) // side]
    )
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def fit_cells(features: Features, cells: LabelledCells, factors: Factors) -> Head:
    """Fit a logistic regression on some of the features.

    Parameters
    ----------
    features
        float32 ``(pixel, feature)``.
    cells
        Classes of the pixels.
    factors
        Factor of each standardized feature, float32 ``(feature,)``; 0 leaves a feature out.

    Returns
    -------
    Head
        One row per class of ``cells``.
    """
    chosen = factors > 0
    used = LabelledFeatures(features[:, chosen], cells.class_index, np.ones(len(cells), np.float32))
    with _blas().limit(
        limits=1, user_api="blas"
    ):  # small matrices; threads would wait for each other
        own, bias = fit_logistic(used, len(cells.names), factors[chosen], is_quick=True)
    weight = np.zeros((len(own), features.shape[1]), np.float32)
    weight[:, chosen] = own
    return Head(torch.from_numpy(weight), torch.from_numpy(bias.astype(np.float32)))


@dataclass(frozen=True)
class HeldOutAccuracy:
    """Accuracy at pixels whose block of ground was left out of the fit.

    Parameters
    ----------
    accuracy
        Overall accuracy, 0..1.
    standard_error
        Over the blocks.
    mean_f1
        Mean F1 over the classes.
    points, blocks
        Number of pixels and of blocks.
    """

    accuracy: float
    standard_error: float
    mean_f1: float
    points: int
    blocks: int

    def to_json(self) -> dict[str, float | int | str]:
        """Return the estimate as in the protocol."""
        text = (
            f"On ground held out: {self.accuracy:.2f} +- {self.standard_error:.2f} ({self.points} points in "
            f"{self.blocks} blocks)"
        )
        return {k: round(v, 4) for k, v in vars(self).items()} | {"text": text}


def estimate_held_out(
    features: Features, cells: LabelledCells, factors: Factors
) -> Iterator[HeldOutAccuracy | None]:
    """Yield None after each fit, and the estimate at the end, so that the caller can stop in between.

    Parameters
    ----------
    features
        float32 ``(pixel, feature)``.
    cells
        Positions and classes of the pixels.
    factors
        Factor of each standardized feature, float32 ``(feature,)``; 0 leaves a feature out.

    Yields
    ------
    HeldOutAccuracy or None
        The estimate is the last value.

    Raises
    ------
    PointsError
        If there are too few points or blocks.
    """
    block = number_squares(cells)
    blocks = int(block.max(initial=-1)) + 1
    if len(cells) < FEWEST_POINTS or blocks < 4 or len(cells.names) < 2:
        raise PointsError(
            f"There are {len(cells)} points of {len(cells.names)} classes in {blocks} blocks of ground. An estimate of accuracy "
            f"needs {FEWEST_POINTS} points of two classes in 4 blocks; add points in other places."
        )
    parts = min(FOLDS, blocks)
    table = np.zeros((blocks, len(cells.names)), dtype=np.int64)
    np.add.at(table, (block, cells.class_index), 1)
    fold = deal_blocks(table, np.full(parts, 1 / parts))[block]
    predicted = np.full(len(cells), -1, dtype=np.int64)
    for part in range(parts):
        own = fold == part
        rest = np.unique(cells.class_index[~own])
        if len(rest) == 1:
            predicted[own] = rest[0]
        elif len(rest):
            head = fit_cells(features[~own], cells.select(~own), factors)
            logits = features[own] @ head.weight.numpy().T + head.bias.numpy()
            predicted[own] = logits.argmax(axis=1)
        yield None
    yield _summarize(predicted, cells.class_index, block)


def _summarize(
    predicted: NDArray[np.int64], truth: NDArray[np.int64], block: NDArray[np.int64]
) -> HeldOutAccuracy:
    right = (predicted == truth).astype(np.float64)
    accuracy = float(right.mean())
    blocks = int(block.max()) + 1
    residual = np.bincount(block, right - accuracy)
    error = np.sqrt((residual**2).sum() * blocks / (blocks - 1)) / len(truth)
    f1 = []
    for index in np.unique(truth):
        is_class, is_predicted = truth == index, predicted == index
        f1.append(2 * (is_class & is_predicted).sum() / (is_class.sum() + is_predicted.sum()))
    return HeldOutAccuracy(accuracy, float(error), float(np.mean(f1)), len(truth), blocks)
