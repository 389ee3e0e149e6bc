"""Paired comparison of two levels of a factor, and tests of hypotheses by confidence intervals.

Scores of two levels are paired: the same data set, the same seed, the same levels of all other factors. The
difference of a pair does not contain the effect of data set and seed, so that its variance is smaller. Runs of one data
set and seed share points and starting weights, so their errors are correlated: their differences are averaged over the
other factors and are one pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from geopointseg.lab.study_plan import Hypothesis

Outcome = Literal["held", "did not hold", "undecided", "not run"]


@dataclass(frozen=True)
class RunScore:
    """The score of one finished run.

    Parameters
    ----------
    data, levels, seed
        Data set, level by factor, and seed of the run.
    mean_f1, overall_accuracy
        Scores on the test images, 0..1.
    class_f1
        F1 by class name; NaN for classes that the reference lacks.
    seconds
        Wall time of training and mapping.
    failure
        Why there is no score; empty where there is one.
    key
        Short name of the run; its files are in ``runs/KEY``.
    cpu_seconds
        CPU time of training and mapping.
    steps
        Optimizer steps of the network; 0 where only a forest was trained.
    confusion
        Counts of the test pixels, ``[map class][reference class]``; all other scores are computed from them.
    """

    data: str
    levels: Mapping[str, Any]
    seed: int
    mean_f1: float = math.nan
    overall_accuracy: float = math.nan
    class_f1: Mapping[str, float] | None = None
    seconds: float = math.nan
    failure: str = ""
    key: str = ""
    cpu_seconds: float = math.nan
    steps: int = 0
    confusion: Sequence[Sequence[int]] | None = None


@dataclass(frozen=True)
class Comparison:
    """Mean paired difference of two levels in points of mean F1 (0..100), with a 95 % interval."""

    factor: str
    better: Any
    than: Any
    difference: float
    low: float
    high: float
    pairs: int

    @property
    def phrase(self) -> str:
        """The difference as text."""
        if not self.pairs:
            return "no pairs"
        interval = "" if math.isnan(self.low) else f" [{self.low:+.1f}, {self.high:+.1f}]"
        return f"{self.difference:+.1f}{interval}, {self.pairs} pairs"


def compare_levels(scores: Sequence[RunScore], factor: str, better: Any, than: Any) -> Comparison:
    """Return the mean paired difference between two levels of a factor.

    Parameters
    ----------
    scores
        Finished runs; failed ones are left out with their partner.
    factor
        Name of the factor.
    better, than
        The two levels.

    Returns
    -------
    Comparison
        Difference, Student-t interval (NaN with fewer than two pairs) and number of pairs of data set and seed.

    Examples
    --------
    >>> runs = [RunScore("a", {"loss.gamma": g}, s, 0.5 + g / 100) for g in (0, 1) for s in (0, 1)]
    >>> compare_levels(runs, "loss.gamma", 1, 0).difference
    1.0
    """
    from scipy.stats import t

    first, second = _by_rest(scores, factor, better), _by_rest(scores, factor, than)
    blocks: dict[tuple[Any, ...], list[float]] = {}
    for rest in first.keys() & second.keys():
        blocks.setdefault(rest[:2], []).append(100 * (first[rest] - second[rest]))
    differences = np.array([np.mean(values) for values in blocks.values()])
    if not differences.size:
        return Comparison(factor, better, than, math.nan, math.nan, math.nan, 0)
    mean = round(float(differences.mean()), 10)
    low = high = math.nan
    if differences.size > 1:
        error = differences.std(ddof=1) / math.sqrt(differences.size)
        half = float(t.ppf(0.975, differences.size - 1) * error)
        low, high = mean - half, mean + half
    return Comparison(factor, better, than, mean, low, high, differences.size)


def judge(hypothesis: Hypothesis, scores: Sequence[RunScore]) -> tuple[Outcome, Comparison]:
    """Test a hypothesis: the interval of the difference lies above the margin, below it, or contains it."""
    compared = compare_levels(scores, hypothesis.factor, hypothesis.better, hypothesis.than)
    if not compared.pairs:
        return "not run", compared
    if compared.low > hypothesis.margin:
        return "held", compared
    if compared.high < hypothesis.margin:
        return "did not hold", compared
    return "undecided", compared


def _by_rest(scores: Sequence[RunScore], factor: str, level: Any) -> dict[tuple[Any, ...], float]:
    """Return mean F1 by everything but the factor, of the runs at one level."""
    found = {}
    for score in scores:
        if score.failure or "baseline" in score.levels or score.levels.get(factor) != level:
            continue
        rest = tuple(sorted((k, str(v)) for k, v in score.levels.items() if k != factor))
        found[(score.data, score.seed, *rest)] = score.mean_f1
    return found
