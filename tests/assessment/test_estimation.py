"""Design-based estimates against the worked examples of the literature, and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopointseg.assessment.estimation import estimate_accuracy, wilson_interval
from geopointseg.errors import PointsError

# Olofsson et al. (2014), tables 8 and 9: sample counts by map (rows) and reference class, pixels mapped.
OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])

# Stehman (2014), table 2: stratum, map class and reference class of 40 pixels, ten a stratum.
STRATA = "A" * 10 + "B" * 10 + "C" * 10 + "D" * 10
MAPPED = "AAAAAAABBB" + "ABBBBBBBBB" + "BBCCCCCCBB" + "DDDDDDDDDD"
TRUE = "AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB"


def _half(estimate: object) -> float:
    return (estimate.high - estimate.low) / 2  # type: ignore[attr-defined]


def test_olofsson_table_8_to_every_printed_digit() -> None:
    estimates = estimate_accuracy(OLOFSSON, PIXELS)
    assert f"{estimates.overall.value:.5f}" == "0.94651"
    assert f"{_half(estimates.overall):.5f}" == "0.01848"
    assert [f"{u.value:.4f}" for u in estimates.users] == ["0.8800", "0.7333", "0.9273", "0.9631"]
    assert [f"{p.value:.4f}" for p in estimates.producers] == [
        "0.7487", "0.8472", "0.9345", "0.9616",
    ]  # fmt: skip
    total = PIXELS.sum()
    assert [round(a.value * total) for a in estimates.area_share] == [
        235_086, 129_846, 3_175_221, 6_459_846,
    ]  # fmt: skip
    margins = [round(1.96 * a.standard_error * total) for a in estimates.area_share]
    assert margins == [68_418, 41_731, 172_332, 180_907]
    assert [round(_half(a) * total) for a in estimates.area_share] == margins


def test_olofsson_intervals_of_users_and_producers_accuracy() -> None:
    """The paper prints 0.88 +- 0.07, 0.73 +- 0.10, 0.93 +- 0.04, 0.96 +- 0.02 and 0.75 +- 0.21 and so on."""
    estimates = estimate_accuracy(OLOFSSON, PIXELS)
    users = [1.96 * u.standard_error for u in estimates.users]
    producers = [1.96 * p.standard_error for p in estimates.producers]
    assert [f"{v:.2f}" for v in users] == ["0.07", "0.10", "0.04", "0.02"]
    assert [f"{v:.2f}" for v in producers] == ["0.21", "0.25", "0.03", "0.02"]


def test_stehman_strata_that_are_not_map_classes() -> None:
    counts = np.zeros((4, 4, 4))
    for stratum, mapped, true in zip(STRATA, MAPPED, TRUE, strict=True):
        counts["ABCD".index(stratum), "ABCD".index(mapped), "ABCD".index(true)] += 1
    estimates = estimate_accuracy(counts, [40_000, 30_000, 20_000, 10_000])
    assert f"{estimates.overall.value:.2f}" == "0.63"
    assert f"{estimates.overall.standard_error:.3f}" == "0.085"
    assert f"{estimates.users[1].value:.3f}" == "0.574"
    assert f"{estimates.users[1].standard_error:.3f}" == "0.125"
    assert f"{estimates.producers[1].value:.3f}" == "0.794"
    assert f"{estimates.producers[1].standard_error:.3f}" == "0.117"
    assert f"{estimates.area_share[0].value:.2f}" == "0.35"
    assert f"{estimates.area_share[0].standard_error:.3f}" == "0.082"
    assert f"{estimates.area_share[2].value:.2f}" == "0.20"
    assert f"{estimates.area_share[2].standard_error:.3f}" == "0.064"


counts_4x4 = st.lists(
    st.lists(st.integers(0, 40), min_size=3, max_size=3), min_size=3, max_size=3
).map(np.array)


@given(counts=counts_4x4, sizes=st.lists(st.integers(1, 10**7), min_size=3, max_size=3))
@settings(max_examples=80, deadline=None)
def test_shares_are_shares(counts: np.ndarray, sizes: list[int]) -> None:
    if counts.sum() < 2:
        return
    estimates = estimate_accuracy(counts, sizes)
    assert estimates.proportions.sum() == pytest.approx(1.0)
    assert sum(a.value for a in estimates.area_share) == pytest.approx(1.0)
    assert np.trace(estimates.proportions) == pytest.approx(estimates.overall.value)
    for estimate in (estimates.overall, *estimates.users, *estimates.producers):
        if not math.isnan(estimate.low):
            assert 0 <= estimate.low <= estimate.value + 1e-9
            assert estimate.value - 1e-9 <= estimate.high <= 1


@given(counts=counts_4x4, scale=st.integers(2, 1000))
@settings(max_examples=30, deadline=None)
def test_the_unit_of_the_sizes_does_not_matter(counts: np.ndarray, scale: int) -> None:
    if counts.sum() < 2:
        return
    one = estimate_accuracy(counts, [10, 20, 30])
    other = estimate_accuracy(counts, np.array([10, 20, 30]) * scale)
    assert one.overall.value == pytest.approx(other.overall.value)
    assert one.overall.standard_error == pytest.approx(other.overall.standard_error, nan_ok=True)


def test_proportional_allocation_equals_the_simple_share() -> None:
    """Where each stratum's share of points is its share of area, weighing changes nothing."""
    estimates = estimate_accuracy([[40, 10], [20, 30]], [500, 500])
    assert estimates.overall.value == pytest.approx(0.7)


def test_stratum_without_points_is_collapsed_and_named() -> None:
    estimates = estimate_accuracy([[30, 5, 0], [4, 40, 0], [0, 0, 0]], [100, 200, 50])
    assert estimates.collapsed == (0, 2)  # joined by the smallest sample
    assert not math.isnan(estimates.overall.standard_error)
    assert math.isnan(estimates.users[2].value)


def test_strata_with_one_point_each_are_merged() -> None:
    estimates = estimate_accuracy([[50, 0, 0], [0, 1, 0], [1, 0, 0]], [100, 10, 10])
    assert estimates.collapsed == (1, 2)
    assert estimates.overall.value == pytest.approx((100 + 20 * 0.5) / 120)


def test_all_right_does_not_claim_certainty() -> None:
    estimates = estimate_accuracy([[3, 0], [0, 3]], [10, 10])
    assert estimates.overall.value == 1
    assert estimates.overall.standard_error == 0
    assert estimates.overall.low < 0.7
    low, high = wilson_interval(1.0, 3, 1.96)
    assert (round(low, 3), high) == (0.438, 1.0)
    assert (estimates.users[0].low, estimates.users[0].high) == (low, high)


@pytest.mark.parametrize("count", [1, 2])
def test_few_points_that_are_all_right_do_not_claim_certainty(count) -> None:
    counts = np.zeros((4, 4), int)
    counts[0, :2], counts[1, 1], counts[2, 2] = (8, 1), count, count
    user = estimate_accuracy(counts, [100, 10, 10, 10]).users[1]
    assert (user.value, user.standard_error) == (1.0, 0.0)
    assert (user.low, user.high) == wilson_interval(1.0, count, 1.96)


def test_other_levels_have_their_own_quantile() -> None:
    narrow, wide = (
        estimate_accuracy([[40, 10], [10, 40]], [1, 1], level).overall for level in (0.9, 0.95)
    )
    assert (narrow.high - narrow.value) / narrow.standard_error == pytest.approx(1.645)
    assert (wide.high - wide.value) / wide.standard_error == pytest.approx(1.96)


def test_class_only_in_the_reference_has_area_but_no_users_accuracy() -> None:
    estimates = estimate_accuracy([[40, 2, 8], [5, 45, 0], [0, 0, 0]], [900, 100, 0])
    assert estimates.area_share[2].value == pytest.approx(0.9 * 8 / 50)
    assert math.isnan(estimates.users[2].value)
    assert estimates.producers[2].value == 0
    assert estimates.collapsed == ()


@pytest.mark.parametrize(
    ("counts", "sizes", "words"),
    [
        ([[1, 0], [0, 0]], [5, 5], r"There are 1 test points on the map\. Accuracy needs at least two"),
        ([[5, 0], [0, 3]], [5, 0], r"3 test points lie in strata that have no area"),
    ],
)  # fmt: skip
def test_unusable_samples_are_refused(counts: list, sizes: list, words: str) -> None:
    with pytest.raises(PointsError, match=words):
        estimate_accuracy(counts, sizes)


def simulate_coverage(runs: int, per_stratum: int, seed: int) -> dict[str, float]:
    """Draw stratified samples of a known map again and again; return how often intervals hold the truth."""
    rng = np.random.default_rng(seed)
    truth = np.array([[0.10, 0.02, 0.01], [0.03, 0.25, 0.04], [0.02, 0.08, 0.45]])
    sizes = truth.sum(axis=1)
    right = {"overall": truth.trace(), "area": truth[:, 1].sum(), "users": truth[0, 0] / sizes[0]}
    right["producers"] = truth[1, 1] / truth[:, 1].sum()
    hits = dict.fromkeys(right, 0)
    for _ in range(runs):
        counts = np.stack([rng.multinomial(per_stratum, row / row.sum()) for row in truth])
        found = estimate_accuracy(counts, sizes)
        estimates = {
            "overall": found.overall, "area": found.area_share[1], "users": found.users[0],
            "producers": found.producers[1],
        }  # fmt: skip
        for name, estimate in estimates.items():
            hits[name] += estimate.low <= right[name] <= estimate.high
    return {name: count / runs for name, count in hits.items()}


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    coverage = simulate_coverage(runs=1500, per_stratum=150, seed=3)
    assert all(0.93 <= share <= 0.97 for share in coverage.values()), coverage
