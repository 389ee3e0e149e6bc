"""Next points: doubtful, new, different from each other, and never too near."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS as ProjCRS
from pyproj import Geod, Transformer
from rasterio.crs import CRS
from scipy.spatial.distance import pdist

from geopointseg.errors import PointsError
from geopointseg.raster.geodesy import Positions
from geopointseg.validation.candidate_ranking import (
    Candidates,
    LabelledPlaces,
    deal_to_scarcest,
    entropy_share,
    measure_disagreement,
    measure_uncertainty,
    rank_candidates,
)

SURE, UNSURE = [0.98, 0.01, 0.01], [0.4, 0.35, 0.25]


def _candidates(
    position: np.ndarray, probabilities: np.ndarray, features: np.ndarray | None = None
) -> Candidates:
    count = len(position)
    features = np.asarray(position, float) if features is None else features
    return Candidates(Positions.in_plane(*position.T), probabilities, np.zeros(count), features)


def _random(count: int, seed: int = 0) -> Candidates:
    rng = np.random.default_rng(seed)
    return _candidates(
        rng.uniform(0, 100, (count, 2)),
        rng.dirichlet([1, 1, 1], count),
        rng.normal(size=(count, 4)),
    )


@given(count=st.integers(1, 25), distance=st.floats(0, 30), seed=st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_suggestions_keep_their_distance(count: int, distance: float, seed: int) -> None:
    candidates = _random(300, seed)
    labelled = LabelledPlaces(
        Positions.in_plane([50.0], [50.0]), np.zeros((1, 4)), np.array([1, 0, 0])
    )
    ranking = rank_candidates(candidates, count, distance, labelled=labelled)
    places = candidates.positions.space_m[ranking.chosen]
    assert 1 <= len(places) <= count
    assert len(set(ranking.chosen.tolist())) == len(places)
    assert (np.hypot(*(places - 50).T) >= distance).all()
    if len(places) > 1:
        assert pdist(places).min() >= distance
    assert len(ranking.reasons) == len(places)
    assert ranking.usefulness.max() == 1


def test_doubtful_places_are_preferred_to_certain_ones() -> None:
    rng = np.random.default_rng(0)
    probabilities = np.where(np.arange(400)[:, None] % 4 == 0, UNSURE, SURE)
    candidates = _candidates(
        rng.uniform(0, 1000, (400, 2)), probabilities, rng.normal(size=(400, 3))
    )
    ranking = rank_candidates(candidates, 20, 5.0)
    assert (ranking.chosen % 4 == 0).mean() > 0.9


def test_new_looking_places_are_preferred_to_known_ones() -> None:
    """Half of the ground looks like the labelled points, half does not; all is equally doubtful."""
    rng = np.random.default_rng(0)
    strange = np.arange(400) % 2 == 0
    features = rng.normal(size=(400, 3)) + np.where(strange, 8.0, 0.0)[:, None]
    candidates = _candidates(rng.uniform(0, 1000, (400, 2)), np.tile(UNSURE, (400, 1)), features)
    labelled = LabelledPlaces(
        Positions.in_plane(*np.zeros((2, 50)) - 100), rng.normal(size=(50, 3)), np.array([50, 0, 0])
    )
    ranking = rank_candidates(candidates, 10, 0.0, labelled=labelled)
    assert strange[ranking.chosen].mean() >= 0.6
    assert strange[ranking.chosen[0]]


def test_suggestions_differ_from_each_other() -> None:
    """Ten kinds of ground, one far more common than the others: every kind is asked about."""
    rng = np.random.default_rng(0)
    kind = np.concatenate([np.zeros(500, int), np.repeat(np.arange(1, 10), 40)])
    features = 20.0 * np.eye(10)[kind] + rng.normal(size=(len(kind), 10))
    candidates = _candidates(
        rng.uniform(0, 1000, (len(kind), 2)), np.tile(UNSURE, (len(kind), 1)), features
    )
    ranking = rank_candidates(candidates, 20, 0.0, seed=3)
    assert len(set(kind[ranking.chosen].tolist())) >= 9


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([0, 0, 0], [4, 4, 4]), ([50, 3, 5], [0, 7, 5]), ([1, 90, 90], [12, 0, 0])],
)
def test_the_predicted_classes_with_fewest_points_are_asked_for(
    counts: list[int], expected: list[int]
) -> None:
    """Whatever the shares of the classes on the map are; the scarcest class comes first."""
    rng = np.random.default_rng(1)
    predicted = rng.choice(3, 600, p=[0.9, 0.06, 0.04])
    candidates = _candidates(
        rng.uniform(0, 1000, (600, 2)), 0.2 + 0.4 * np.eye(3)[predicted], rng.normal(size=(600, 3))
    )
    labelled = LabelledPlaces(
        Positions.in_plane([-99.0], [-99.0]), np.zeros((0, 3)), np.array(counts)
    )
    ranking = rank_candidates(candidates, 12, 0.0, labelled=labelled)
    asked = predicted[ranking.chosen]
    assert np.bincount(asked, minlength=3).tolist() == expected
    assert counts[asked[0]] == min(counts)


def test_a_full_class_leaves_its_places_to_the_others() -> None:
    dealt = deal_to_scarcest(np.array([0, 4, 4]), np.array([2, 1, 9]), 20)
    assert dealt == [0, 0, 2, 1, *[2] * 8]


def test_fewer_come_back_where_there_is_no_room() -> None:
    ranking = rank_candidates(_random(200), 50, 60.0)
    assert 1 <= len(ranking.chosen) < 6


def test_candidates_that_look_alike_are_still_ranked() -> None:
    candidates = _candidates(
        np.column_stack([np.arange(30.0), np.zeros(30)]), np.tile(UNSURE, (30, 1)), np.ones((30, 2))
    )
    assert len(rank_candidates(candidates, 5, 3.0).chosen) == 5


def test_no_room_at_all_is_refused() -> None:
    candidates = _random(20)
    labelled = LabelledPlaces(candidates.positions, candidates.features, np.array([20, 0, 0]))
    with pytest.raises(PointsError, match=r"None of the 20 candidate places is 5 m or more from"):
        rank_candidates(candidates, 3, 5.0, labelled=labelled)


def test_disagreement_of_members() -> None:
    unsure, even = np.array([[0.7, 0.3]]), np.array([[0.5, 0.5]])
    assert measure_disagreement(unsure, entropy_share(unsure), 2)[0] == pytest.approx(0)
    assert measure_disagreement(even, np.zeros(1), 2)[0] == pytest.approx(1)
    thirds = np.array([[1, 1, 1, 0, 0]]) / 3
    assert measure_disagreement(thirds, np.zeros(1), 3)[0] == pytest.approx(1)


def test_entropy_and_margin() -> None:
    candidates = _candidates(np.zeros((2, 2)), np.array([[0.5, 0.5], [1.0, 0.0]]))
    assert candidates.entropy == pytest.approx([1, 0], abs=1e-9)
    assert candidates.margin == pytest.approx([0, 1])
    assert measure_uncertainty(candidates) == pytest.approx([1, 0], abs=1e-9)
    assert entropy_share(np.full(5, 0.2)) == pytest.approx(1)


def test_reasons_name_the_classes() -> None:
    names = ["water", "forest", "field"]
    undecided = _candidates(np.zeros((1, 2)), np.array([UNSURE]))
    [reason] = rank_candidates(undecided, 1, 0.0, names=names).reasons
    assert reason == "the model cannot decide between water and forest"
    disagreeing = Candidates(
        Positions.in_plane([0], [0]), np.array([SURE]), np.array([0.5]), np.zeros((1, 2))
    )
    [reason] = rank_candidates(disagreeing, 1, 0.0, names=names).reasons
    assert reason == "the members of the model disagree (water or forest)"
    rare = LabelledPlaces(
        Positions.in_plane(*np.full((2, 3), 9.0)), np.zeros((3, 2)), np.array([0, 3, 5])
    )
    sure = _candidates(np.zeros((1, 2)), np.array([SURE]), np.zeros((1, 2)))
    [reason] = rank_candidates(sure, 1, 0.0, names=names, labelled=rare).reasons
    assert reason == "water has few points so far"


ON_THE_GROUND = {
    "web mercator": ("EPSG:3857", 2226389.0, 10500000.0, 2000.0),
    "world mercator": ("EPSG:3395", 2226389.0, 10450000.0, 2000.0),
    "polar": ("EPSG:3413", -100000.0, -3300000.0, 1000.0),
    "degrees": ("EPSG:4326", 20.0, 68.0, 0.02),
    "degrees across 180": ("EPSG:4326", 179.99, 68.0, 0.02),
    "US survey feet": ("EPSG:2263", 1e6, 2e5, 3000.0),
    "UTM at the edge of its zone": ("EPSG:32633", 166000.0, 1e5, 1000.0),
}


@pytest.mark.parametrize("name", ON_THE_GROUND)
def test_suggestions_keep_their_distance_on_the_ground(name: str) -> None:
    """Every pair, and every labelled place beside the scene, by an independent way to measure."""
    code, left, bottom, extent = ON_THE_GROUND[name]
    rng = np.random.default_rng(4)
    x, y = left + rng.random(3000) * extent, bottom + rng.random(3000) * extent
    old_x, old_y = left - rng.random(20) * extent / 20, bottom + rng.random(20) * extent
    crs = CRS.from_user_input(code)
    candidates = Candidates(
        Positions.of(x, y, crs), rng.dirichlet([1, 1, 1], 3000), np.zeros(3000), rng.normal(size=(3000, 4))
    )  # fmt: skip
    labelled = LabelledPlaces(
        Positions.of(old_x, old_y, crs), np.zeros((0, 4)), np.array([20, 0, 0])
    )
    chosen = rank_candidates(candidates, 30, 50.0, labelled=labelled).chosen
    to_degrees = Transformer.from_crs(code, ProjCRS(code).geodetic_crs, always_xy=True)
    lon, lat = to_degrees.transform(np.r_[x[chosen], old_x], np.r_[y[chosen], old_y])
    gaps = [
        Geod(ellps="WGS84").inv(lon[i], lat[i], lon[j], lat[j])[2]
        for i in range(len(chosen))
        for j in range(i + 1, len(lon))
    ]
    assert len(chosen) > 10
    assert 50 <= min(gaps) < 80
