"""Choice of the places to label next, among candidates.

A useful place is uncertain for the model, unlike the places already labelled, typical of many other places, and far from
the other suggestions.

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

    The weight of a candidate is its uncertainty times its novelty, the distance in feature space to the nearest labelled
    place. Weighted k-means on the features gives as many clusters as points are wanted. From each cluster comes one
    point: the one of largest weight among those near the centre. So suggestions differ from each other and from labelled
    places, and are typical of other places. The most uncertain pixels alone would lie on edges and outliers.

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
        The chosen ones, those of the clusters of largest total weight first.

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
    choice.take_one_per_cluster(count, seed)
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
        weight = (measure_uncertainty(candidates) + _LEAST_UNCERTAINTY) * np.maximum(novelty, 1e-6)
        return cls(candidates, features, novelty, weight, min_distance_m, free, [])

    def take_one_per_cluster(self, count: int, seed: int) -> None:
        """Cluster the free candidates and take one of each cluster, those of largest total weight first."""
        from sklearn.cluster import KMeans

        pool = np.flatnonzero(self.free)
        clusters = min(count, len(np.unique(self.features[pool], axis=0)))
        grouped = KMeans(clusters, n_init=1, random_state=seed).fit(
            self.features[pool], sample_weight=self.weight[pool]
        )
        mass = np.bincount(grouped.labels_, self.weight[pool], minlength=clusters)
        centres = grouped.cluster_centers_
        for cluster in np.argsort(-mass, kind="stable").tolist():
            members = pool[grouped.labels_ == cluster]
            gap = ((self.features[members] - centres[cluster]) ** 2).sum(axis=1)
            near = members[np.argsort(gap, kind="stable")]
            core = near[: max(1, round(_CORE_SHARE * len(near)))]
            open_ones = core[self.free[core]] if self.free[core].any() else near[self.free[near]]
            if len(open_ones):
                self._take(int(open_ones[np.argmax(self.weight[open_ones])]))

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
