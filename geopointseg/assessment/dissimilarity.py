"""Where a model is out of its depth: ground unlike anything it was trained on.

A model answers everywhere, also where it has seen nothing of the kind. The dissimilarity index is the distance, in
weighted features, from a place to the nearest training place, divided by the mean distance between training places.
Where it is larger than training places are from each other across folds, scores from test points say nothing about
the map: the place is outside the area of applicability.

References
----------
Meyer, H. & Pebesma, E. (2021). Predicting into unknown space? Estimating the area of applicability of spatial
prediction models. Methods in Ecology and Evolution 12, 1620-1633. https://doi.org/10.1111/2041-210X.13650
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geopointseg.errors import PointsError

Array = NDArray[np.float64]

LARGEST_TRAINING_SET = 5000
"""Of more training places a random part is kept, which changes distances little."""

_PIECE_VALUES = 4_000_000


@dataclass(frozen=True, eq=False)
class Applicability:
    """What a model knows, as places in the space of features.

    Parameters
    ----------
    mean, scale
        Mean, and deviation divided by importance, of each feature; float64 ``(feature,)``.
    places
        Weighted features of the training places, ``(place, feature)``.
    mean_distance
        Mean distance between training places.
    threshold
        Largest dissimilarity that still counts as known.
    """

    mean: Array
    scale: Array
    places: Array
    mean_distance: float
    threshold: float

    @classmethod
    def fit(
        cls,
        features: ArrayLike,
        folds: ArrayLike,
        importance: ArrayLike | None = None,
        *,
        seed: int = 0,
    ) -> Self:
        """Learn what is known from the features of training places.

        Parameters
        ----------
        features
            ``(place, feature)``.
        folds
            Fold of each place in a spatial cross-validation, ``(place,)``: the dissimilarity of a training place
            is its distance to places of other folds.
        importance
            How much each feature matters to the model, ``(feature,)``; alike by default.
        seed
            Chooses the places kept, where there are very many.

        Raises
        ------
        PointsError
            If there are fewer than two places or fewer than two folds.
        """
        values = np.asarray(features, dtype=np.float64)
        fold = np.asarray(folds)
        if len(values) < 2 or len(np.unique(fold)) < 2:
            raise PointsError(
                f"There are {len(values)} training places in {len(np.unique(fold))} folds. The area of applicability "
                "needs at least two places in two folds; give more points, or smaller blocks."
            )
        if len(values) > LARGEST_TRAINING_SET:
            kept = np.random.default_rng(seed).choice(
                len(values), LARGEST_TRAINING_SET, replace=False
            )
            values, fold = values[kept], fold[kept]
        weight = (
            np.ones(values.shape[1]) if importance is None else np.asarray(importance, np.float64)
        )
        deviation = values.std(axis=0)
        useful = (deviation > 0) & (weight > 0)
        scale = np.where(useful, deviation / np.where(useful, weight, 1), np.inf)
        mean = values.mean(axis=0)
        places = (values - mean) / scale
        mean_distance = _mean_distance(places)
        own = _distance_across_folds(places, fold) / mean_distance
        return cls(mean, scale, places, mean_distance, _upper_whisker(own))

    def dissimilarity(self, features: ArrayLike) -> NDArray[np.float32]:
        """Return the dissimilarity index of places, ``(place,)``; 0 is a training place.

        Parameters
        ----------
        features
            ``(place, feature)``.
        """
        values = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        return np.asarray(
            _distance_to_nearest(values, self.places) / self.mean_distance, np.float32
        )

    def is_applicable(self, features: ArrayLike) -> NDArray[np.bool_]:
        """Return which places lie inside the area of applicability, bool ``(place,)``."""
        return np.asarray(self.dissimilarity(features) <= self.threshold)


def _mean_distance(places: Array) -> float:
    """Return the mean distance of all pairs, block by block so that memory stays small."""
    from scipy.spatial.distance import cdist

    total = sum(float(cdist(places[i : i + 500], places).sum()) for i in range(0, len(places), 500))
    mean = total / (len(places) * (len(places) - 1))
    if not mean > 0:
        raise PointsError(
            "All training places look exactly alike. Expected features that differ between places; check that the "
            "points lie on the scene and that the scene has contrast."
        )
    return mean


def _distance_to_nearest(values: Array, places: Array) -> Array:
    """Return the distance of each row to the nearest place.

    With tens of features no tree beats plain matrix products, which are done in pieces of bounded size.
    """
    nearest = np.empty(len(values))
    lengths = (places**2).sum(axis=1)
    step = max(1, _PIECE_VALUES // max(len(places), 1))
    for first in range(0, len(values), step):
        piece = values[first : first + step]
        square = lengths - 2 * piece @ places.T
        nearest[first : first + step] = square.min(axis=1) + (piece**2).sum(axis=1)
    return np.sqrt(nearest.clip(min=0))


def _distance_across_folds(places: Array, fold: NDArray[np.generic]) -> Array:
    """Return the distance of each training place to the nearest one of another fold."""
    distance = np.zeros(len(places))
    for name in np.unique(fold):
        own = fold == name
        distance[own] = _distance_to_nearest(places[own], places[~own])
    return distance


def _upper_whisker(values: Array) -> float:
    """Return the largest value that is no outlier: within 1.5 quartile ranges above the upper quartile."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(values[values <= high + 1.5 * (high - low)].max())
