"""Choice of the places to label next, among candidates.

Classes get equal numbers of points: the next place is one that the model gives to the class with the fewest points. Among the
places of a class, a useful one is uncertain for the model, unlike labelled places, typical of other places, and far from the
other suggestions.

References
----------
Settles, B. (2009). Active learning literature survey. University of Wisconsin-Madison, report 1648.

Zhdanov, F. (2019). Diverse mini-batch active learning. https://doi.org/10.48550/arXiv.1901.05954
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import PointsError
from geopointseg.raster.geodesy import Positions

Array = NDArray[np.float64]

_LEAST_UNCERTAINTY = 0.02
_LARGEST_NOVELTY = 2.0
_CORE_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Candidates:
    """Places that could be labelled.

    Parameters
    ----------
    positions
        Where they lie.
    probabilities
        Class probabilities, float64 ``(candidate, class)``.
    disagreement
        Disagreement of the members of the model, 0..1, float64 ``(candidate,)``; zeros for a single member.
    features
        Features of the places, each with a standard deviation of about 1, float64 ``(candidate, feature)``.
    """

    positions: Positions
    probabilities: Array
    disagreement: Array
    features: Array

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def entropy(self) -> Array:
        """Entropy of the probabilities as a share of the largest possible one, ``(candidate,)``."""
        return entropy_share(self.probabilities)

    @property
    def margin(self) -> Array:
        """Difference of the two largest probabilities, ``(candidate,)``."""
        return np.asarray(np.diff(np.sort(self.probabilities, axis=1)[:, -2:], axis=1)[:, 0])

    @property
    def most_likely(self) -> NDArray[np.int64]:
        """The two most likely classes, int64 ``(candidate, 2)``."""
        return np.asarray(np.argsort(-self.probabilities, axis=1, kind="stable")[:, :2])


@dataclass(frozen=True, eq=False)
class LabelledPlaces:
    """Places that are labelled already.

    Parameters
    ----------
    positions
        Where all labelled places lie.
    features
        Features of those on the scenes, float64 ``(place, feature)``; scaled as for `Candidates`.
    counts
        Points of each class, int64 ``(class,)``.
    """

    positions: Positions
    features: Array
    counts: NDArray[np.int64]

    @classmethod
    def none(cls, classes: int, features: int) -> LabelledPlaces:
        """Return an empty set of places."""
        return cls(
            Positions.in_plane([], []), np.zeros((0, features)), np.zeros(classes, dtype=np.int64)
        )


REASON_KINDS = (
    "members disagree",
    "undecided",
    "unlike any labelled place",
    "few points of the class",
    "unsure",
)
"""Reasons for a suggestion; they give points their colour in QGIS."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Chosen candidates, the most useful first.

    Parameters
    ----------
    chosen
        Positions among the candidates, int64 ``(rank,)``.
    usefulness
        Weight by which they were chosen, relative to the largest, float64 ``(rank,)``.
    kinds
        Why each was chosen, one of `REASON_KINDS`.
    reasons
        The same as a phrase that names the classes.
    """

    chosen: NDArray[np.int64]
    usefulness: Array
    kinds: tuple[str, ...]
    reasons: tuple[str, ...]


def entropy_share(probabilities: Array) -> Array:
    """Return the entropy along the last axis as a share of the largest possible one.

    Examples
    --------
    >>> entropy_share(np.array([[0.5, 0.5], [1.0, 0.0]])).round(3).tolist()
    [1.0, 0.0]
    """
    p = np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-12)
    return np.asarray(-(p * np.log(p)).sum(axis=-1) / np.log(max(p.shape[-1], 2)))


def measure_disagreement(probabilities: Array, mean_entropy: Array, members: int) -> Array:
    """Return the disagreement of members: the entropy of their mean less their mean entropy (Jensen-Shannon divergence).

    Parameters
    ----------
    probabilities
        The members' weighted mean, float64 ``(candidate, class)``.
    mean_entropy
        Weighted mean of the members' entropies, each a share of the largest possible one, float64 ``(candidate,)``.
    members
        Number of members, at least two.

    Returns
    -------
    ndarray
        float64 ``(candidate,)``, from 0 where all members agree to 1 where each is certain of another class and all have
        equal weights.
    """
    classes = max(probabilities.shape[-1], 2)
    gap = entropy_share(probabilities) - mean_entropy
    return np.asarray(gap.clip(min=0) * np.log(classes) / np.log(min(members, classes)))


def measure_uncertainty(candidates: Candidates) -> Array:
    """Return the uncertainty of each candidate, 0..1: entropy, margin and, with several members, disagreement."""
    uncertainty = 0.5 * candidates.entropy + 0.5 * (1 - candidates.margin)
    if candidates.disagreement.any():
        uncertainty = 0.5 * uncertainty + 0.5 * np.sqrt(candidates.disagreement.clip(0, 1))
    return np.asarray(uncertainty)


def deal_to_scarcest(counts: NDArray[np.int64], room: NDArray[np.int64], count: int) -> list[int]:
    """Deal places to classes, each one to the class that has the fewest; of equal ones, to the one with the most room.

    Parameters
    ----------
    counts
        Places that each class has already, int64 ``(class,)``.
    room
        Most places that each class can take, int64 ``(class,)``.
    count
        Number of places; fewer are dealt where there is no room.

    Returns
    -------
    list of int
        Classes in the order in which places were dealt.

    Examples
    --------
    >>> deal_to_scarcest(np.array([5, 1, 2]), np.array([9, 2, 9]), 5)
    [1, 2, 1, 2, 2]
    """
    dealt: list[int] = []
    has, left = counts.copy(), room.copy()
    while len(dealt) < count and left.any():
        chosen = int(np.lexsort((-left, has, left == 0))[0])
        dealt.append(chosen)
        has[chosen] += 1
        left[chosen] -= 1
    return dealt


def rank_candidates(
    candidates: Candidates,
    count: int,
    min_distance_m: float,
    *,
    labelled: LabelledPlaces | None = None,
    names: Sequence[str] = (),
    seed: int = 0,
) -> Ranking:
    """Choose the candidates to label next.

    Suggestions are dealt to the predicted classes, each one to the class with the fewest labelled places and suggestions.
    The weight of a candidate is its uncertainty, which is reduced where it is more like a labelled place than half of
    the candidates are. Within a class, weighted k-means on the features gives as many clusters as suggestions are dealt
    to it. From each cluster comes one point: the one of largest weight among those near the centre. So suggestions
    differ from each other and are typical of other places. The most uncertain pixels alone would lie on edges and
    outliers, and random pixels in the most frequent classes.

    Parameters
    ----------
    candidates
        Places to choose among.
    count
        Number of places; fewer are returned where the distance leaves no room.
    min_distance_m
        Smallest distance of two suggestions, and of a suggestion to a labelled place, in metres.
    labelled
        Places that are labelled already.
    names
        Class names, for the reasons.
    seed
        Seed of k-means.

    Returns
    -------
    Ranking
        The chosen ones in the order in which classes were dealt; within a class, those of the clusters of largest total
        weight first.

    Raises
    ------
    PointsError
        If there is no candidate far enough from the labelled places.

    References
    ----------
    Zhdanov, F. (2019). Diverse mini-batch active learning. https://doi.org/10.48550/arXiv.1901.05954
    """
    labelled = labelled or LabelledPlaces.none(
        candidates.probabilities.shape[1], candidates.features.shape[1]
    )
    choice = _Choice.from_candidates(candidates, labelled, min_distance_m)
    if not choice.free.any():
        raise PointsError(
            f"None of the {len(candidates)} candidate places is {min_distance_m:g} m or more from every labelled "
            "point. Expected some room between points; ask for a smaller distance."
        )
    choice.take_by_class(count, labelled.counts, seed)
    choice.take_largest(count)
    chosen = np.array(choice.chosen, dtype=np.int64)
    usefulness = choice.weight[chosen]
    explained = [choice.explain(index, names, labelled.counts) for index in choice.chosen]
    return Ranking(
        chosen,
        usefulness / max(float(usefulness.max()), 1e-300),
        kinds=tuple(kind for kind, _ in explained),
        reasons=tuple(phrase for _, phrase in explained),
    )


@dataclass
class _Choice:
    """The state of a choice: weights, and which candidates can still be chosen."""

    candidates: Candidates
    features: Array
    novelty: Array
    weight: Array
    min_distance_m: float
    free: NDArray[np.bool_]
    chosen: list[int]

    @classmethod
    def from_candidates(
        cls, candidates: Candidates, labelled: LabelledPlaces, min_distance_m: float
    ) -> _Choice:
        from scipy.spatial import cKDTree

        mean, scale = candidates.features.mean(axis=0), candidates.features.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        features = (candidates.features - mean) / scale
        novelty = np.ones(len(candidates))
        free = np.ones(len(candidates), dtype=bool)
        if len(labelled.features):
            distance = cKDTree((labelled.features - mean) / scale).query(features)[0]
            novelty = np.minimum(
                distance / max(float(np.median(distance)), 1e-12), _LARGEST_NOVELTY
            )
        if len(labelled.positions):
            free = candidates.positions.nearest(labelled.positions) >= min_distance_m
        weight = (measure_uncertainty(candidates) + _LEAST_UNCERTAINTY) * novelty.clip(1e-6, 1.0)
        return cls(candidates, features, novelty, weight, min_distance_m, free, [])

    def take_by_class(self, count: int, counts: NDArray[np.int64], seed: int) -> None:
        """Deal the places to take to predicted classes, and take one of each cluster of a class.

        Parameters
        ----------
        count
            Number of places to take.
        counts
            Labelled points of each class, int64 ``(class,)``.
        seed
            Seed of k-means.
        """
        predicted = self.candidates.most_likely[:, 0]
        room = np.bincount(predicted[self.free], minlength=len(counts))
        dealt = deal_to_scarcest(counts, room, count)
        clusters = {
            k: iter(
                self._cluster(np.flatnonzero(self.free & (predicted == k)), dealt.count(k), seed)
            )
            for k in set(dealt)
        }
        for k in dealt:
            self._take_typical(next(clusters[k], np.zeros(0, dtype=np.int64)))

    def _cluster(self, pool: NDArray[np.int64], count: int, seed: int) -> list[NDArray[np.int64]]:
        """Return clusters of a pool, those of largest total weight first; within one, those nearest to the centre first."""
        from sklearn.cluster import KMeans

        features, weight = self.features[pool], self.weight[pool]
        clusters = min(count, len(np.unique(features, axis=0)))
        grouped = KMeans(clusters, n_init=1, random_state=seed).fit(features, sample_weight=weight)
        gap = ((features - grouped.cluster_centers_[grouped.labels_]) ** 2).sum(axis=1)
        nearest = np.argsort(gap, kind="stable")
        mass = np.bincount(grouped.labels_, weight, minlength=clusters)
        order = np.argsort(-mass, kind="stable")
        return [pool[nearest[grouped.labels_[nearest] == cluster]] for cluster in order]

    def _take_typical(self, near: NDArray[np.int64]) -> None:
        """Take the candidate of largest weight of those near the centre of a cluster, the nearest first, if one is free."""
        core = near[: max(1, round(_CORE_SHARE * len(near)))]
        free = core[self.free[core]] if self.free[core].any() else near[self.free[near]]
        if len(free):
            self._take(int(free[np.argmax(self.weight[free])]))

    def take_largest(self, count: int) -> None:
        """Take the free candidates of largest weight until there are enough."""
        while len(self.chosen) < count and self.free.any():
            self._take(int(np.where(self.free, self.weight, -1.0).argmax()))

    def _take(self, index: int) -> None:
        self.chosen.append(index)
        self.free &= ~self.candidates.positions.are_nearer(index, self.min_distance_m)
        self.free[index] = False

    def explain(
        self, index: int, names: Sequence[str], counts: NDArray[np.int64]
    ) -> tuple[str, str]:
        """Return the reason for a candidate: one of `REASON_KINDS`, and a phrase.

        Parameters
        ----------
        index
            Position of the candidate.
        names
            Class names.
        counts
            Labelled points of each class, int64 ``(class,)``.
        """
        most_likely = self.candidates.most_likely[index].tolist()
        first, second = (names[k] if k < len(names) else f"class {k}" for k in most_likely)
        if self.candidates.disagreement[index] > 0.15:
            return "members disagree", f"the members of the model disagree ({first} or {second})"
        if self.candidates.margin[index] < 0.3:
            return "undecided", f"the model cannot decide between {first} and {second}"
        if self.novelty[index] > 0.75 * _LARGEST_NOVELTY:
            return (
                "unlike any labelled place",
                "its features are unlike those of any labelled place",
            )
        if counts.any() and counts[most_likely[0]] < counts[counts > 0].mean():
            return "few points of the class", f"{first} has few points so far"
        return "unsure", f"the model is not certain that this is {first}"
