"""Levels are compared pair by pair, and hypotheses judged by intervals."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from geopointseg.lab.comparison import RunScore, compare_levels, judge
from geopointseg.lab.study_plan import Hypothesis


def runs(effect, noise=0.0, seeds=6):
    rng = np.random.default_rng(0)
    return [
        RunScore(data, {"loss.gamma": gamma, "tta": tta}, seed, 0.4 + 0.1 * seed + effect * gamma + noise * rng.normal())
        for data in ("a", "b") for seed in range(seeds) for gamma in (0, 1) for tta in ("none", "d4")
    ]  # fmt: skip


def test_pairs_remove_what_data_and_seed_do_to_both():
    compared = compare_levels(runs(0.02), "loss.gamma", 1, 0)
    assert compared.pairs == 12
    assert compared.difference == pytest.approx(2.0)
    assert compared.high - compared.low == pytest.approx(0.0, abs=1e-9)


def test_the_interval_is_students():
    scores = runs(0.01, noise=0.01)
    compared = compare_levels(scores, "loss.gamma", 1, 0)
    blocks = [(data, seed) for data in ("a", "b") for seed in range(6)]
    one, other = (
        [
            np.mean([100 * s.mean_f1 for s in scores if (s.data, s.seed) == b and s.levels["loss.gamma"] == g])
            for b in blocks
        ]
        for g in (1, 0)
    )  # fmt: skip
    interval = ttest_rel(one, other).confidence_interval(0.95)
    assert (compared.low, compared.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize(
    ("effect", "noise", "outcome"),
    [(0.05, 0.001, "held"), (-0.05, 0.001, "did not hold"), (0.0, 0.05, "undecided")],
)
def test_a_hypothesis_holds_when_its_interval_lies_above_the_margin(effect, noise, outcome):
    hypothesis = Hypothesis("t", "loss.gamma", 1, 0, margin=0.5)
    assert judge(hypothesis, runs(effect, noise))[0] == outcome


def test_failed_runs_leave_with_their_partner():
    scores = [s for s in runs(0.02) if s.levels["tta"] == "none"]
    scores[0] = RunScore("a", scores[0].levels, 0, failure="no points")
    assert compare_levels(scores, "loss.gamma", 1, 0).pairs == 11


def test_levels_that_never_ran_are_not_judged():
    outcome, compared = judge(Hypothesis("t", "loss.gamma", 3, 0), runs(0.1))
    assert outcome == "not run"
    assert math.isnan(compared.difference)
    assert compared.phrase == "no pairs"
