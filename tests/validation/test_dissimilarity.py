"""The dissimilarity index against its definition, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist

from geopointseg.errors import PointsError
from geopointseg.validation.applicability import LARGEST_TRAINING_SET, AreaOfApplicability


def test_index_is_the_weighted_distance_over_the_mean_distance() -> None:
    rng = np.random.default_rng(0)
    training = rng.normal([0, 10, 100], [1, 5, 20], (60, 3))
    importance = np.array([1.0, 0.5, 0.0])
    fold = np.arange(60) % 5
    known = AreaOfApplicability.fit(training, fold, importance)
    weighted = (training - training.mean(axis=0)) / training.std(axis=0) * importance
    mean_distance = pdist(weighted).mean()
    assert known.mean_distance == pytest.approx(mean_distance)
    places = rng.normal([0, 10, 100], [2, 9, 20], (40, 3))
    there = (places - training.mean(axis=0)) / training.std(axis=0) * importance
    expected = cdist(there, weighted).min(axis=1) / mean_distance
    np.testing.assert_allclose(known.dissimilarity(places), expected, rtol=1e-5)
    across = cdist(weighted, weighted)
    across[fold[:, None] == fold[None, :]] = np.inf
    own = across.min(axis=1) / mean_distance
    low, high = np.quantile(own, [0.25, 0.75])
    assert known.threshold == pytest.approx(own[own <= high + 1.5 * (high - low)].max())


@given(shift=st.floats(-1e3, 1e3), factor=st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_units_of_the_features_do_not_matter(shift: float, factor: float) -> None:
    rng = np.random.default_rng(1)
    training, places = rng.normal(size=(30, 2)), rng.normal(size=(10, 2))
    fold = np.arange(30) % 3
    one = AreaOfApplicability.fit(training, fold)
    other = AreaOfApplicability.fit(training * factor + shift, fold)
    np.testing.assert_allclose(
        one.dissimilarity(places), other.dissimilarity(places * factor + shift), rtol=1e-3
    )
    assert one.threshold == pytest.approx(other.threshold)


def test_training_places_are_known_and_strange_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    training = rng.normal(size=(200, 4))
    known = AreaOfApplicability.fit(training, np.arange(200) % 5)
    np.testing.assert_allclose(known.dissimilarity(training), 0, atol=1e-6)
    assert known.contains(rng.normal(size=(500, 4))).mean() > 0.9
    assert not known.contains(rng.normal(12, 1, size=(500, 4))).any()


def test_clustered_training_knows_less_than_spread_training() -> None:
    """Folds that hold whole clusters make the threshold honest: the next cluster is far away."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 2)) * 10
    cluster = np.arange(200) % 10
    places = centres[cluster] + rng.normal(size=(200, 2)) * 0.1
    by_cluster = AreaOfApplicability.fit(places, cluster)
    at_random = AreaOfApplicability.fit(places, rng.integers(0, 10, 200))
    assert by_cluster.threshold > 3 * at_random.threshold


def test_constant_and_unimportant_features_do_not_count() -> None:
    rng = np.random.default_rng(0)
    training = np.column_stack([rng.normal(size=50), np.full(50, 7.0)])
    known = AreaOfApplicability.fit(training, np.arange(50) % 2)
    places = np.array([[0.0, 7.0], [0.0, -1e6]])
    one, other = known.dissimilarity(places)
    assert one == other


def test_very_many_places_are_thinned() -> None:
    rng = np.random.default_rng(0)
    training = rng.normal(size=(LARGEST_TRAINING_SET + 500, 2))
    known = AreaOfApplicability.fit(training, np.arange(len(training)) % 5)
    assert len(known.places) == LARGEST_TRAINING_SET


@pytest.mark.parametrize(
    ("features", "folds", "words"),
    [
        (np.zeros((1, 2)), [0], r"1 training places in 1 folds\. .* needs at least two places"),
        (np.random.default_rng(0).normal(size=(5, 2)), [1] * 5, r"5 training places in 1 folds"),
        (np.ones((5, 2)), [0, 1, 0, 1, 0], "have exactly the same features"),
    ],
)
def test_hopeless_training_sets_are_refused(features: np.ndarray, folds: list, words: str) -> None:
    with pytest.raises(PointsError, match=words):
        AreaOfApplicability.fit(features, folds)
