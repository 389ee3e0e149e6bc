"""Reliability and temperature scaling."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopointseg.assessment.calibration import (
    fit_temperature,
    measure_reliability,
    scale_probabilities,
)


def _sample(count: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities that are sharper than the truth by a temperature, and classes drawn from the truth."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 4)) * 3
    given_probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    honest = scale_probabilities(given_probabilities, temperature)
    return given_probabilities, np.array([rng.choice(4, p=p) for p in honest])


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_true_temperature_is_found(temperature: float) -> None:
    probabilities, truth = _sample(4000, temperature)
    found = fit_temperature(probabilities, truth)
    assert found.temperature == pytest.approx(temperature, rel=0.08)
    assert found.after.ece < 0.03
    assert found.points == 4000


def test_classes_do_not_change() -> None:
    probabilities, _ = _sample(100, 1)
    for temperature in (0.3, 3.0):
        scaled = scale_probabilities(probabilities, temperature)
        np.testing.assert_array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))
        np.testing.assert_allclose(scaled.sum(axis=1), 1)


def test_too_few_points_leave_it_alone_and_say_so() -> None:
    probabilities, truth = _sample(199, 3)
    found = fit_temperature(probabilities, truth)
    assert found.temperature == 1.0
    assert "Not calibrated: 199 held-out points" in found.reason
    assert found.before is found.after


def test_reliability_equals_counting_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.92, 0.08], [0.55, 0.45], [0.3, 0.7]])
    measured = measure_reliability(probabilities, [0, 1, 0, 1])
    assert measured.count.tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0, 2]
    assert measured.accuracy[9] == 0.5
    assert measured.confidence[9] == pytest.approx(0.935)
    assert measured.ece == pytest.approx((2 * 0.435 + 0.45 + 0.3) / 4)


@given(seed=st.integers(0, 1000), count=st.integers(1, 60), bins=st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_reliability_is_bounded(seed: int, count: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities, truth = rng.dirichlet([1, 1, 1], count), rng.integers(0, 3, count)
    measured = measure_reliability(probabilities, truth, bins)
    assert measured.count.sum() == count
    assert 0 <= measured.ece <= 1
    used = measured.count > 0
    assert (measured.low[used] <= measured.accuracy[used] + 1e-9).all()
    json.dumps(measured.to_json(), allow_nan=False)


def test_certain_and_wrong_is_finite() -> None:
    probabilities = np.tile([1.0, 0.0], (300, 1))
    found = fit_temperature(probabilities, np.ones(300, dtype=int))
    assert np.isfinite(found.temperature)
    assert found.before.ece == 1.0
    json.dumps(found.to_json(), allow_nan=False)


def test_no_points_at_all() -> None:
    found = fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int))
    assert found.temperature == 1.0
